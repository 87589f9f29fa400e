"""Stage, verify, publish: one date of a table is replaced as a whole or not at all.

What is common to all places: how a stage is written, read back and judged. `folders` and `catalog`
say where it lies and how it takes the date's place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkweights.core.errors import PublishError, QualityGateError
from sparkweights.storage.keys import count_keys, count_repeats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

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
# Where few of many rows are wanted, code runs once and briefly: Java takes seconds, and the cores,
# to compile a long method well, and the rows crawl meanwhile. Apart, its pieces compile at once.
SETTINGS_FOR_FEW = {**SETTINGS, "spark.sql.codegen.hugeMethodLimit": "3000"}


@dataclass(frozen=True, kw_only=True)
class Publication(ABC):
    """One date's rows of one table, from stage to publish.

    Attributes
    ----------
    run_id, run_date
        Whose stage it is, and which date it replaces.
    options
        Spark's writer options; they may hold secrets and are never logged.
    """

    run_id: str
    run_date: date
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    @abstractmethod
    def format(self) -> str:
        """Of its files: parquet or orc."""

    @property
    @abstractmethod
    def staged(self) -> str:
        """Where the stage lies, as Spark names it."""

    @abstractmethod
    def hold(self) -> AbstractContextManager[None]:
        """Hold the table for one run, and clear what a dead one left.

        Raises
        ------
        PublishError
            If another run holds the table, or it cannot be written.
        """

    @abstractmethod
    def require_ready(self, schema: StructType | None = None) -> None:
        """Refuse a place that could not take the rows, before any job.

        Parameters
        ----------
        schema
            Of the rows, where it is known.

        Raises
        ------
        ConfigError, PublishError
            With what stands in the way.
        """

    @abstractmethod
    def publish(self) -> None:
        """Put the stage in the date's place, in one step.

        Raises
        ------
        PublishError
            If that is not possible; the old rows stay.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove what is left of the stage, published or not."""

    def write_stage(
        self, df: DataFrame, *, partition_by: Sequence[str] = (), few: bool = False
    ) -> None:
        """Write the rows to the stage, in one Spark job.

        Parameters
        ----------
        partition_by
            Columns whose values get folders of their own, where the place has room for that.
        few
            Whether few rows are left of those that are read.
        """
        writer = df.write.format(self.format).options(**self.options)
        with _set(df.sparkSession, SETTINGS_FOR_FEW if few else SETTINGS):
            writer.mode("error").partitionBy(*partition_by).save(self.staged)

    def read_stage(self, spark: SparkSession, like: DataFrame) -> DataFrame:
        """Return the staged rows, with the schema of the frame they were written from."""
        return spark.read.format(self.format).schema(like.schema).load(self.staged)

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


@contextmanager
def _set(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Set what makes a write fast, and put back what was there."""
    before = {name: spark.conf.get(name) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            spark.conf.set(name, old or "")
