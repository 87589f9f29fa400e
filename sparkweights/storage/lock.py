"""One run at a time: a lock on a file, which the system frees when its process ends, anyhow."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkweights.core.errors import PublishError
from sparkweights.storage.files import make_folder, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def lease(path: Path, held: str) -> Iterator[None]:
    """Hold what a file stands for, for one run.

    Parameters
    ----------
    path
        The file; it is made, and stays.
    held
        What it stands for, for messages.

    Raises
    ------
    PublishError
        If another run holds it, or the file cannot be written.
    """
    make_folder(path.parent)
    try:
        stream = path.open("w")
    except OSError as error:
        raise unwritable(path.parent, error) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PublishError(
                f"Another run is writing '{held}'.",
                hint="wait for it to end, then start this one again.",
            ) from None
        except OSError as error:  # some mounted storage has no locks
            raise unwritable(path, error) from None
        yield
