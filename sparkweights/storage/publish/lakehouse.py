"""What publications into tables of Delta and Iceberg share: one commit replaces a date."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.core.engine_errors import CLEANUP_ERRORS
from sparkweights.core.errors import PublishError
from sparkweights.storage.files import write_text
from sparkweights.storage.lock import lock
from sparkweights.storage.publish.column_types import as_written, is_wider_number
from sparkweights.storage.publish.table import DATE, TablePublication, beginning

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql import types as T

    from sparkweights.storage.catalog_table import TableDescription
    from sparkweights.storage.location import Location

ABANDONED = timedelta(days=1)  # no run takes as long from its stage to its publication
_PATIENCE = 600.0  # seconds, in which runs of other dates have copied their rows
MAX_STAGE_BYTES = 2**10  # of a stage's name


@dataclass(frozen=True, kw_only=True)
class LakehousePublication(TablePublication):
    """One date of a table whose commits replace rows by a condition on their partition.

    The table may be partitioned by further columns below the date.
    """

    @property
    def format(self) -> str:
        """The table's format."""
        return self.formats[0]

    @property
    def requirement(self) -> str:
        """What a table must be to be written, in words."""
        return f"{self.format}, and partitioned by {DATE}"

    def is_suitable(self, description: TableDescription) -> bool:
        """Whether every file of the table is of one date, so that no other date is rewritten."""
        return DATE in description.partition_columns

    def accepts(self, existing: T.DataType, written: T.DataType) -> bool:
        """Whether a column of the table holds every value of a type; Iceberg has no short."""
        return super().accepts(existing, written) or is_wider_number(existing, written)

    @property
    def token(self) -> str:
        """The attempt's name, in characters that every catalog accepts."""
        return self.attempt.replace("-", "_").lower()

    @property
    @abstractmethod
    def stage_prefix(self) -> str:
        """What the names of the table's stages begin with; an attempt's token follows."""

    @property
    def stage_name(self) -> str:
        """The name of the attempt's stage, in the table's catalog."""
        return f"{self.stage_prefix}{self.token}"

    @abstractmethod
    def staged(self) -> DataFrame:
        """Return the rows of the stage."""

    @abstractmethod
    def list_names(self) -> list[str]:
        """Return names of the catalog, the stages of the table among them."""

    def list_stages(self) -> dict[str, datetime]:
        """Return the table's stages, whatever run they are of: name -> when the attempt began.

        What somebody else has named is none of them, whatever its name begins with.
        """
        prefix, stages = self.stage_prefix, dict[str, datetime]()
        for name in self.list_names():
            began = beginning(name[len(prefix) :])
            if began is not None and name.lower().startswith(prefix.lower()):
                stages[name] = began
        return stages

    @abstractmethod
    def remove_stage(self, name: str) -> None:
        """Remove a stage, if it is there."""

    @property
    def stage_path(self) -> str:
        """The stage, for messages."""
        return f"{self.stage_name} of {self.name}"

    @property
    def is_of_date(self) -> Column:
        """Whether a row of the table is one of the date."""
        return F.col(DATE) == F.lit(self.run_date)

    def to_columns(self, df: DataFrame) -> DataFrame:
        """Return rows of the date with the table's columns, followed by their new ones."""
        written = {name.casefold(): name for name in df.columns}
        existing = [
            self._value(each, written.get(each.name.casefold())).alias(each.name)
            for each in self.table.columns()
        ]
        return df.select(*existing, *[column(each.name) for each in self.table.missing(df.schema)])

    def _value(self, existing: T.StructField, written: str | None) -> Column:
        if existing.name.casefold() == DATE:
            return F.lit(self.run_date)
        value = F.lit(None) if written is None else column(written)
        return value.cast(existing.dataType)

    def read_stage(self, spark: SparkSession, like: DataFrame) -> DataFrame:
        """Return the staged rows, with the schema of the frame they were written from."""
        return as_written(self.staged(), like.schema)

    def publish(self) -> None:
        """Replace the date's rows by the staged ones, in one commit.

        Runs of other dates wait meanwhile: of two commits that meet, one would have to copy its
        rows again.

        Raises
        ------
        PublishError
            If the catalog refuses, another writer is faster again and again, or runs of other dates
            take too long, and the old rows stay; or if nobody answers whether it was done.
        """
        waiting = self.table_locks / "publish" / "_lock"
        with lock(waiting, f"'{self.name}'", patience=_PATIENCE):
            self.commit()

    @abstractmethod
    def commit(self) -> None:
        """Replace the date's rows by the staged ones; see `publish`."""

    def recover(self) -> None:
        """Remove the stages of runs that died.

        The run that had the lock before is dead. Another stage may be that of a live run whose lock
        is in another folder `runs`, until it is too old for that.
        """
        if self.table.exists():
            dead, before = self._read_last_stage(), datetime.now(UTC) - ABANDONED
            for stage, began in self.list_stages().items():
                if stage.lower() == dead.lower():
                    self.remove_stage(stage)
                elif began < before:
                    with suppress(PublishError):  # a run of another date removes it as well
                        self.remove_stage(stage)
        write_text(self._last_stage, self.stage_name)

    @property
    def _last_stage(self) -> Location:
        """The file with the name of the stage of the run that had the lock last."""
        return self.lock_folder / "_stage"

    def _read_last_stage(self) -> str:
        try:
            return self._last_stage.read_plain(MAX_STAGE_BYTES).decode()
        except (OSError, ValueError):  # there is none, or it is not text
            return ""

    def discard(self) -> None:
        """Remove the stage, published or not."""
        with suppress(PublishError, *CLEANUP_ERRORS):
            if self.table.exists():
                self.remove_stage(self.stage_name)
