"""Folders for work in progress, which driver and executors share, and rows kept there."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark import StorageLevel

from sparkweights.storage.files import make_folder, remove, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from pyspark.sql import DataFrame

_PREFIX, _LEASE = "_work-", "_lease"


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Open a folder of one's own under another, and remove it at the end.

    Also removes those of dead processes: the system frees a lease when its process ends.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    make_folder(folder)
    try:
        _clear(folder)
        place, lease = _open(folder)
    except OSError as error:
        raise unwritable(folder, error) from None
    with lease:
        try:
            yield place
        finally:
            remove(place)


def _open(folder: Path) -> tuple[Path, TextIO]:
    while True:
        place = folder / f"{_PREFIX}{uuid4().hex}"
        place.mkdir()
        lease = (place / _LEASE).open("w")
        fcntl.flock(lease, fcntl.LOCK_EX)
        # Another process may have taken a folder that had no lease yet for a dead one's.
        if (place / _LEASE).exists():
            return place, lease
        lease.close()


def _clear(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*/{_LEASE}"):
        try:
            with path.open("r+") as lease:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path.parent)
        except OSError:
            continue  # it is at work, or gone


@contextmanager
def keep_rows(df: DataFrame, folder: Path) -> Iterator[DataFrame]:
    """Write rows once, in one Spark job, and give them back for many passes.

    A task carries its whole plan, also that of rows in a cache, and a learner starts hundreds of
    them: with quantile features that was four fifths of the time of a logistic fit. A plan that
    begins at a file is small. Nor does a lost executor cost more than reading its share again.

    Parameters
    ----------
    folder
        Where the rows may lie meanwhile, in a `workspace`.
    """
    with workspace(folder) as place:
        written = str(place / "rows")
        df.write.parquet(written)
        read_df = df.sparkSession.read.schema(df.schema).parquet(written)
        kept_df = read_df.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            yield kept_df
        finally:
            kept_df.unpersist()
