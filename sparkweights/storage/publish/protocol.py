"""Stage, verify, publish: one date of a table is replaced as a whole or not at all.

This module holds what all kinds of table share: how a stage is written, read back and verified.
The other modules define where a stage lies and how it replaces the date.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, PublishError, QualityGateError
from sparkweights.core.session_settings import use_settings
from sparkweights.core.spark_releases import planning_settings
from sparkweights.storage.keys import count_keys, count_repeats
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from sparkweights.storage.lock import Lock

SETTINGS = {
    # Spark sorts rows by partition before it writes them, unless a task may keep this many files
    # open at once.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    # Java never compiles a method above 8,000 bytes, and a whole stage in one method soon has more.
    # With this limit Spark generates smaller methods, which took a third of the time with boosted
    # trees.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # Spark's default is a type that Parquet has deprecated, and slower to write.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
# Where most rows are filtered out, the write is short. Java needs seconds, and the cores, to
# optimise a long method, and runs it slowly until then; short methods are optimised at once.
SETTINGS_FILTERED = {**SETTINGS, "spark.sql.codegen.hugeMethodLimit": "3000"}


def require_owner(table: str, owner: str | None, expected: str, *, removal: str) -> None:
    """Refuse to write into a table that holds rows of another configuration.

    Parameters
    ----------
    owner
        The name of the configuration whose rows it holds; None where it is nobody's yet.
    expected
        The name of this configuration.
    removal
        How the owner's name is removed, as an imperative.

    Raises
    ------
    ConfigError
        Naming both.
    """
    if owner not in {None, expected}:
        raise ConfigError(
            f"'{table}' holds rows of the configuration '{owner}'; this is '{expected}', and would "
            "replace them date by date.",
            hint="give each configuration tables of its own under tables; if it was renamed, "
            f"{removal}.",
        )


@dataclass(frozen=True, kw_only=True)
class Publication(ABC):
    """One date's rows of one table, from stage to publish.

    Attributes
    ----------
    run_id, run_date
        The run that writes the stage, and the date that it replaces.
    options
        Spark's writer options; they may hold secrets and are never logged.
    """

    run_id: str
    run_date: date
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    @abstractmethod
    def format(self) -> str:
        """The format of its files: parquet or orc."""

    @property
    @abstractmethod
    def stage_path(self) -> str:
        """The stage's folder, as Spark names it."""

    @abstractmethod
    def lock(self) -> AbstractContextManager[Lock]:
        """Lock the date for one run, and remove what runs that died have left.

        Who publishes asks the lock before, whether the run still has it.

        Raises
        ------
        PublishError
            If another run has locked the date, or it cannot be written.
        """

    @abstractmethod
    def require_ready(self, schema: StructType | None = None) -> None:
        """Refuse a table that could not take the rows, before any job runs.

        Parameters
        ----------
        schema
            The rows' columns, where they are known.

        Raises
        ------
        ConfigError, PublishError
            Saying what prevents it.
        """

    @abstractmethod
    def publish(self) -> None:
        """Replace the date's rows by the stage, in one step.

        Raises
        ------
        PublishError
            If that is not possible, and the old rows stay; or if nobody answers whether it was
            done.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove what is left of the stage, published or not."""

    def published_schema(self) -> StructType | None:
        """Return the columns of the table's other dates; None where there are none."""
        return None

    def write_stage(
        self, df: DataFrame, *, partition_by: Sequence[str] = (), few: bool = False
    ) -> None:
        """Write the rows to the stage, in one Spark job.

        Parameters
        ----------
        partition_by
            Columns to partition by below the date, for tables that support it.
        few
            Whether most of the rows that are read are filtered out before the write.
        """
        settings = SETTINGS_FILTERED if few else SETTINGS
        with use_settings(df.sparkSession, {**settings, **planning_settings(df.sparkSession)}):
            self.write_rows(df, partition_by)

    def write_rows(self, df: DataFrame, partition_by: Sequence[str]) -> None:
        """Write the rows to the stage; other kinds of stage than a folder do so in another way."""
        writer = df.write.format(self.format).options(**self.options).mode("error")
        writer.partitionBy(*partition_by).save(self.stage_path)

    def read_stage(self, spark: SparkSession, like: DataFrame) -> DataFrame:
        """Return the staged rows, with the schema of the frame they were written from."""
        return (
            spark.read.format(self.format).schema(like.schema).load(literal_path(self.stage_path))
        )

    def verify_stage(self, staged_df: DataFrame, *, rows: int, keys: Sequence[str]) -> None:
        """Read the staged keys back and compare, in one Spark job.

        Raises
        ------
        PublishError
            If the stage does not hold the rows that were written.
        QualityGateError
            If two rows share their keys.
        """
        counts = count_keys(staged_df, keys)
        if counts.rows != rows:
            raise PublishError(
                f"The stage '{self.stage_path}' holds {counts.rows} rows; {rows} were written.",
                hint="nothing was published; check the storage, then run again.",
            )
        if counts.distinct < counts.rows:
            repeats = count_repeats(staged_df, keys)
            raise QualityGateError(
                f"{repeats.values} values of the key {', '.join(keys)} occur more than once "
                f"(on {repeats.rows} rows); every row needs its own.",
                hint="nothing was published; remove the duplicate keys from the incoming table, "
                "or add the column that tells its rows apart to columns.keys.",
            )
