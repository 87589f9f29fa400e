"""One run at a time: a lock, which ends with its run, also with one that is killed.

On a local filesystem it is a lock on a file, which the operating system frees when its process
ends. Where the filesystem allows it, the folder of the file is locked as well: a file that is
removed during a run, by somebody who tidies up, would otherwise let a second run in. Elsewhere it
is a folder of claims, see `sparkweights.storage.object_store_lock`.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from sparkweights.core.errors import PublishError
from sparkweights.storage import object_store_lock
from sparkweights.storage.mounts import require_no_object_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sparkweights.storage.location import Location

_POLL = 0.2  # seconds
# Network filesystems lock a folder only for those who can write to it as to a file: for nobody.
_NO_FOLDER_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Lock(Protocol):
    """A lock that a run has taken."""

    def require_held(self) -> None:
        """Refuse to go on where the run has lost it; call it before each step that publishes.

        Raises
        ------
        PublishError
            If another run may have it now.
        """


class LastingLock:
    """A lock that its run cannot lose, as one of the operating system."""

    def require_held(self) -> None:
        """Return: it is held."""


class OccupiedError(PublishError):
    """Another run has the lock."""


def try_lock(file: Location) -> AbstractContextManager[object] | None:
    """Lock what a file stands for; the file is made where it is missing, and stays.

    Returns
    -------
    AbstractContextManager or None
        Releases the lock at its end; None while another process, or another run in this one, has
        it.

    Raises
    ------
    ConfigError
        If its storage has no locks.
    OSError
        If the file cannot be written.
    """
    if not file.is_local:
        taken = object_store_lock.take(file)
        return taken if isinstance(taken, object_store_lock.ObjectStoreLock) else None
    require_no_object_store(file.parent)
    # Where the storage has no locks, filelock would fall back to a file whose mere existence is the
    # lock; that one outlives a process that is killed.
    file_lock = FileLock(
        file.local_path,
        mode=file.mode & 0o666,
        blocking=False,
        thread_local=False,
        fallback_to_soft=False,
    )
    try:
        return file_lock.acquire()
    except Timeout:
        return None


@contextmanager
def lock(file: Location, protected: str, *, patience: float = 0.0) -> Iterator[Lock]:
    """Lock what a file stands for, for one run.

    Parameters
    ----------
    file
        The lock's file; it and its folder are made where they are missing. No other lock may lie in
        that folder.
    protected
        What it stands for, as messages say it.
    patience
        For how many seconds to wait while another run has it.

    Raises
    ------
    ConfigError
        If its storage has no locks.
    OccupiedError
        If another run has the lock.
    PublishError
        If the file cannot be written.
    """
    enter = _enter_local if file.is_local else _enter_on_object_store
    deadline = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            file.parent.make_folder()
            try:
                held = enter(file, protected, stack)
                break
            except OSError as error:
                raise file.parent.unwritable(error) from None
            except OccupiedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL)
        yield held


def _enter_local(file: Location, protected: str, stack: ExitStack) -> Lock:
    with ExitStack() as both:
        for attempt, locked in ((try_lock, file), (_try_lock_folder, file.parent)):
            acquired = attempt(locked)
            if acquired is None:
                raise _occupied(protected)
            both.enter_context(acquired)
        stack.enter_context(both.pop_all())
    return LastingLock()


def _enter_on_object_store(file: Location, protected: str, stack: ExitStack) -> Lock:
    taken = object_store_lock.take(file)
    if isinstance(taken, object_store_lock.Claim):
        until = f"{taken.until:%Y-%m-%d %H:%M:%S} UTC"
        raise _occupied(
            f"{protected}: {taken.owner}, which has the lock until {until} or longer",
            "; a lock of a run that was killed ends by itself",
        )
    return stack.enter_context(taken)


def _occupied(protected: str, advice: str = "") -> OccupiedError:
    return OccupiedError(
        f"Another run is writing {protected}.",
        hint=f"wait for it to end, then start this one again{advice}.",
    )


def _try_lock_folder(folder: Location) -> AbstractContextManager[object] | None:
    """Lock a folder as `try_lock` does a file; do nothing where the filesystem cannot."""
    try:
        import fcntl  # noqa: PLC0415 (Windows has none)
    except ModuleNotFoundError:
        return nullcontext()
    with ExitStack() as stack:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        descriptor = os.open(folder.local_path, flags)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _NO_FOLDER_LOCKS:
                raise
        return stack.pop_all()
