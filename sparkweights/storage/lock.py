"""One run at a time: a lock on a file, which the operating system frees when its process ends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sparkweights.core.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sparkweights.storage.location import Location


def try_lock(file: Location) -> AbstractContextManager[object] | None:
    """Lock a file, which is made where it is missing, and stays.

    Returns
    -------
    AbstractContextManager or None
        Releases the lock at its end; None while another process, or another run in this one, has
        it.

    Raises
    ------
    OSError
        If the file cannot be written, or its storage has no locks.
    """
    # Where the storage has no locks, filelock would fall back to a file whose mere existence is the
    # lock; that one outlives a process that is killed.
    file_lock = FileLock(
        file.local_path, blocking=False, thread_local=False, fallback_to_soft=False
    )
    try:
        return file_lock.acquire()
    except Timeout:
        return None


@contextmanager
def lock(file: Location, protected: str) -> Iterator[None]:
    """Lock what a file stands for, for one run.

    Parameters
    ----------
    file
        The lock's file; it and its folder are made where they are missing.
    protected
        What it stands for, for messages.

    Raises
    ------
    PublishError
        If another run has the lock, or the file cannot be written.
    """
    file.parent.make_folder()
    try:
        acquired = try_lock(file)
    except OSError as error:
        raise file.parent.unwritable(error) from None
    if acquired is None:
        raise PublishError(
            f"Another run is writing '{protected}'.",
            hint="wait for it to end, then start this one again.",
        )
    with acquired:
        yield
