"""Folders for intermediate files, which driver and executors share, and rows kept there.

They are private: whoever may read what is published may not read what a run keeps meanwhile.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark import StorageLevel

from sparkweights.core.engine_errors import CLEANUP_ERRORS, SPARK_ERRORS
from sparkweights.storage.location import PRIVATE
from sparkweights.storage.lock import try_lock
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame

    from sparkweights.storage.location import Location

_PREFIX, _LOCK = "_work-", "_lock"
_LOCKS = (_LOCK, "_lease")  # the second is the name that release 0.1 used


@contextmanager
def scratch_folder(parent: Location) -> Iterator[Location]:
    """Make a folder for one process below another folder, and remove it at the end.

    Scratch folders of processes that have died are removed as well: each holds a lock, which ends
    with its process.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    parent.make_folder()
    try:
        _remove_abandoned(parent)
        folder, lock = _make_locked(parent)
    except OSError as error:
        raise parent.unwritable(error) from None
    with lock:
        try:
            yield folder
        finally:
            folder.remove()


def lasting_scratch_folder(parent: Location) -> Location:
    """Make a scratch folder that is removed when the process ends.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    return _until_exit().enter_context(scratch_folder(parent))


@cache
def _until_exit() -> ExitStack:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack


def _make_locked(parent: Location) -> tuple[Location, AbstractContextManager[object]]:
    while True:
        folder = (parent / f"{_PREFIX}{uuid4().hex}").with_mode(PRIVATE)
        folder.make_folder()
        try:
            lock = try_lock(folder / _LOCK)
        except FileNotFoundError:
            continue
        # Between the lock's making and its taking, another process may take the folder for an
        # abandoned one and remove it.
        if lock is not None:
            return folder, lock


def _remove_abandoned(parent: Location) -> None:
    for folder in parent.children() if parent.is_dir() else ():
        if not folder.name.startswith(_PREFIX):
            continue
        for file in (folder / name for name in _LOCKS):
            try:
                if not file.exists():  # its process is about to make it
                    continue
                lock = try_lock(file)
            except OSError:  # another process has just removed it, or another user's has it
                continue
            if lock is not None:
                with lock:
                    folder.remove()


@contextmanager
def keep_rows(df: DataFrame, parent: Location) -> Iterator[DataFrame]:
    """Write rows once, in one Spark job, and return them for many passes.

    A task carries its whole plan, also that of rows in a cache, and a learner starts hundreds of
    tasks: with quantile features that took four fifths of the time of a logistic fit. A plan that
    begins at a file is small. And a lost executor costs no more than reading its share again.

    Parameters
    ----------
    parent
        Folder of the rows, in a `scratch_folder`.
    """
    with scratch_folder(parent) as folder:
        written = str(folder / "rows")
        df.write.parquet(written)
        read_df = df.sparkSession.read.schema(df.schema).parquet(literal_path(written))
        with cached(read_df) as kept_df:
            yield kept_df


@contextmanager
def cached(df: DataFrame) -> Iterator[DataFrame]:
    """Cache rows for many passes; where the engine has no cache, each pass computes them anew.

    Engines without a cluster of their own (serverless) refuse to cache.
    """
    try:
        cached_df = df.persist(StorageLevel.MEMORY_AND_DISK)
    except SPARK_ERRORS:
        yield df
        return
    try:
        yield cached_df
    finally:
        with suppress(*CLEANUP_ERRORS):
            cached_df.unpersist()
