"""Stage, verify, publish: one date of a table is replaced as a whole or not at all.

A run writes below ``<table>/_staging/<run_id>`` (names that begin with an underscore are hidden
from Spark's readers), verifies what it wrote, and swaps the date's folder in one step. A run that
dies leaves the old folder in place; the next run removes what it left behind.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from sparkweights.errors import PublishError, QualityGateError
from sparkweights.storage.files import exchange, make_folder, remove, unwritable
from sparkweights.storage.keys import count_keys, count_repeats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

STAGING, RETIRED = "_staging", "_retired"
SETTINGS = {
    # Spark sorts rows by partition before it writes them, unless a task may keep a file open for
    # each of so many.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    # Java never compiles a method above 8,000 bytes, and a whole stage in one soon is; Spark then
    # falls back to smaller pieces, which took a third of the time with boosted trees.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # Spark's default is a type that Parquet gave up, and slower to write.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


@contextmanager
def lease(root: Path) -> Iterator[None]:
    """Hold a table for one run; the system frees it when the process ends, however it ends.

    Also clears what a dead run left: half-written stages go, a folder retired but not replaced
    comes back.

    Raises
    ------
    PublishError
        If another run holds the table, or its folder cannot be written.
    """
    make_folder(root)
    try:
        stream = (root / "_lease").open("w")
    except OSError as error:
        raise unwritable(root, error) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PublishError(
                f"Another run is writing '{root}'.",
                hint="wait for it to end, then start this one again.",
            ) from None
        _recover(root)
        yield


def _recover(root: Path) -> None:
    retired = root / RETIRED
    if retired.is_dir():
        for folder in retired.iterdir():
            if not (root / folder.name).exists():
                folder.rename(root / folder.name)
    remove(retired)
    remove(root / STAGING)


@dataclass(frozen=True)
class Publication:
    """One date's rows of one table, from stage to publish.

    Attributes
    ----------
    root
        The table's folder.
    run_id, run_date
        Whose stage it is, and which date it replaces.
    format
        parquet or orc.
    options
        Spark's writer options; they may hold secrets and are never logged.
    """

    root: Path
    run_id: str
    run_date: date
    format: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def staged(self) -> Path:
        """The stage's folder, named as the date's partition."""
        return self.root / STAGING / self.run_id / self.target.name

    @property
    def target(self) -> Path:
        """The date's partition, as readers see it."""
        return self.root / f"run_date={self.run_date.isoformat()}"

    def write_stage(self, df: DataFrame, *, partition_by: Sequence[str] = ()) -> None:
        """Write the rows to the stage, in one Spark job.

        Raises
        ------
        PublishError
            If the stage cannot be written.
        """
        make_folder(self.staged.parent)
        writer = df.write.format(self.format).options(**self.options)
        writer = writer.mode("errorifexists").partitionBy(*partition_by)
        try:
            with _settings(df.sparkSession):
                writer.save(str(self.staged))
        except PySparkException as error:
            if _is_about_writing(error):
                raise PublishError(
                    f"Writing '{self.staged}' failed: {str(error).splitlines()[0]}",
                    hint="nothing was published; check the disk's room and rights.",
                ) from None
            raise

    def read_stage(self, spark: SparkSession, like: DataFrame) -> DataFrame:
        """Return the staged rows, with the schema of the frame they were written from."""
        return spark.read.format(self.format).schema(like.schema).load(str(self.staged))

    def verify_stage(self, staged_df: DataFrame, *, rows: int, keys: Sequence[str]) -> None:
        """Read the staged keys back and compare, in one Spark job.

        Raises
        ------
        PublishError
            If the stage does not hold the rows that were written.
        QualityGateError
            If two rows share their keys.
        """
        found = count_keys(staged_df, keys)
        if found.rows != rows:
            raise PublishError(
                f"The stage '{self.staged}' holds {found.rows} rows; {rows} were written.",
                hint="nothing was published; check the storage, then run again.",
            )
        if found.distinct < found.rows:
            repeats = count_repeats(staged_df, keys)
            raise QualityGateError(
                f"{repeats.values} values of the key {', '.join(keys)} occur more than once "
                f"(on {repeats.rows} rows); every row needs its own.",
                hint="nothing was published; remove the duplicate keys from the incoming table, "
                "or add the column that tells its rows apart to columns.keys.",
            )

    def publish(self) -> None:
        """Put the staged folder in the date's place.

        Raises
        ------
        PublishError
            If it cannot be moved; the old folder stays.
        """
        try:
            if not self.target.exists():
                self.staged.rename(self.target)
            elif not exchange(self.staged, self.target):
                self._replace_in_two_steps()
        except OSError as error:
            raise unwritable(self.target, error) from None
        self.discard()

    def _replace_in_two_steps(self) -> None:
        retired = self.root / RETIRED / self.target.name
        make_folder(retired.parent)
        self.target.rename(retired)
        try:
            self.staged.rename(self.target)
        except OSError:
            retired.rename(self.target)
            raise
        remove(retired.parent)

    def discard(self) -> None:
        """Remove what is left of the stage, published or not."""
        remove(self.root / STAGING)


@contextmanager
def _settings(spark: SparkSession) -> Iterator[None]:
    """Set what makes a write fast, and put back what was there."""
    before = {name: spark.conf.get(name) for name in SETTINGS}
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            spark.conf.set(name, old or "")


def _is_about_writing(error: PySparkException) -> bool:
    text = str(error)
    return any(
        sign in text
        for sign in (
            "TASK_WRITE_FAILED",
            "No space left",
            "Permission denied",
            "Mkdirs failed",
            "Read-only file system",
            "PATH_ALREADY_EXISTS",
        )
    )
