"""Publish into a table of files: a date is a partition, which is pointed to the run's folder.

This is how a date is replaced in one step where folders cannot be renamed, as on an object store: a
run writes into a folder of its own, below ``<the table's location>/_runs``, and one statement
tells the catalog that the date now lies there. Queries that already run go on reading the old
folder. It is kept: one statement restores the old rows, and no file is removed during a read.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from sparkweights.core.engine_errors import CLEANUP_ERRORS
from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage.catalog_table import sql_text
from sparkweights.storage.location import Location
from sparkweights.storage.names import CATALOG
from sparkweights.storage.publish.table import DATE, TablePublication, beginning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pyspark.sql import DataFrame
    from pyspark.sql import types as T

    from sparkweights.storage.catalog_table import TableDescription

_RUNS = "_runs"
# An address of a storage, of which Spark alone knows where it is; a path with a colon is none.
_OF_NO_HOST = re.compile("(?!file:)([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")


@dataclass(frozen=True, kw_only=True)
class CatalogPublication(TablePublication):
    """One date of a Parquet or ORC table of the catalog, partitioned by ``run_date`` alone.

    A date of several partitions could not be replaced in one step.
    """

    formats: ClassVar[tuple[str, ...]] = ("parquet", "orc")
    _unpublished: list[T.StructType] = field(default_factory=list, init=False, repr=False)

    @cached_property
    def format(self) -> str:
        """The format of its files; of a table that is not there yet, that of a new one."""
        return self._description.provider if self.table.exists() else self.formats[0]

    @property
    def stage_path(self) -> str:
        """The attempt's folder, below the table's location."""
        root = self._description.location.rstrip("/")
        return f"{root}/{_RUNS}/{DATE}={self.run_date}/{self.attempt}"

    @cached_property
    def _description(self) -> TableDescription:
        return self.table.describe()

    @property
    def requirement(self) -> str:
        """What a table must be to be written, in words."""
        return f"{' or '.join(self.formats)}, partitioned by {DATE} alone and not bucketed"

    def is_suitable(self, description: TableDescription) -> bool:
        """Whether a date of the table is one folder."""
        return description.partition_columns == (DATE,) and not description.is_bucketed

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table of another catalog as well: only Hive's points a date to a folder."""
        if self.name.catalog != CATALOG:
            raise ConfigError(
                f"Table '{self.name}' is to be written as {self.formats[0]}; available in catalog "
                f"'{self.name.catalog}': tables of Delta or Iceberg.",
                hint="make it by CREATE TABLE ... USING delta or iceberg PARTITIONED BY "
                f"({DATE}) with the column {DATE} DATE.",
            )
        super().require_ready(schema)

    def write_rows(self, df: DataFrame, partition_by: Sequence[str]) -> None:
        """Write the rows to the attempt's folder."""
        self._unpublished.append(df.schema)
        super().write_rows(df, partition_by)

    def publish(self) -> None:
        """Point the date's partition to the attempt's folder.

        Raises
        ------
        PublishError
            If the catalog refuses, and the old rows stay; or if it does not answer.
        """
        for schema in self._unpublished:
            self.table.add_columns(schema)
        self._unpublished.clear()  # the next statement makes it visible to readers
        self._settle_stage()
        partition = _partition(self.run_date.isoformat())
        change = (
            f"{partition} SET" if self.table.partition_location(partition) else f"ADD {partition}"
        )
        where = sql_text(self.stage_path)
        self.table.run(f"ALTER TABLE {self.name.sql} {change} LOCATION {where}")

    def _settle_stage(self) -> None:
        """Give the stage its permissions, where it lies on a filesystem of this machine."""
        if not self.stage_path.startswith("file:"):
            return
        stage = Location.of(self.stage_path).with_mode(self.locks.mode)
        if not stage.is_dir():  # the executors' machine has another filesystem
            return
        try:
            stage.settle()
        except OSError as error:
            raise stage.unwritable(error) from None

    def days_of_runs(self) -> list[date]:
        """Return the dates that a run has ever written.

        Raises
        ------
        ConfigError
            If the table is another configuration's, or its storage cannot be opened from Python.
        PublishError
            If the catalog does not answer.
        OSError
            If the storage does not answer.
        """
        if not self.table.exists():
            return []
        self.require_own()
        root = self._folder_of_runs
        days = [_day(folder.name) for folder in root.children()] if root.is_dir() else []
        return [day for day in days if day is not None]

    def unnamed_folders(self, before: datetime) -> list[Location]:
        """Return the folders of the date's runs that its partition has not named since a moment.

        The date must be locked: its partition does not name a run's folder until it is published.

        Raises
        ------
        ConfigError, PublishError, OSError
            As `days_of_runs`.
        """
        day = self._folder_of_runs / f"{DATE}={self.run_date}"
        named = self.table.partition_location(_partition(self.run_date.isoformat()))
        return [
            attempt
            for attempt in day.children()
            if _is_unnamed_since(before, attempt.name, named.rstrip("/").rpartition("/")[2])
        ]

    @property
    def _folder_of_runs(self) -> Location:
        return _open_folder(f"{self._description.location.rstrip('/')}/{_RUNS}")

    def discard(self) -> None:
        """Overwrite a stage that was not published with an empty table, which frees its storage.

        Spark has no call that removes a folder, and only Spark reaches every storage.
        """
        while self._unpublished:
            schema = self._unpublished.pop()
            with suppress(PublishError, *CLEANUP_ERRORS):
                none_df = self.spark.createDataFrame([], schema)
                none_df.write.format(self.format).mode("overwrite").save(self.stage_path)


def _open_folder(uri: str) -> Location:
    """Return a folder that the catalog names.

    Raises
    ------
    ConfigError
        If only Spark can open its storage.
    """
    scheme = _OF_NO_HOST.match(uri)
    if scheme is not None:
        raise ConfigError(
            f"'{uri}' is on {scheme[1]}, which only Spark can open.",
            hint="run this where the storage has another address, such as abfss:// or s3a://; or "
            "remove old folders with the platform's own tools.",
        )
    return Location.of(uri)


def _day(folder: str) -> date | None:
    """Return the date of a folder of runs; None of another folder."""
    with suppress(ValueError):
        day = date.fromisoformat(folder.removeprefix(f"{DATE}="))
        if folder == f"{DATE}={day}":
            return day
    return None


def _partition(day: str) -> str:
    return f"PARTITION ({DATE} = DATE '{day}')"


def _is_unnamed_since(moment: datetime, attempt: str, named: str) -> bool:
    """Whether no partition has named an attempt's folder since a moment.

    Parameters
    ----------
    attempt
        The folder's name.
    named
        The name of the folder that the date's partition names; empty where there is no partition.

    Examples
    --------
    A query may read the first folder until the second one is published, which is no earlier than
    its attempt begins:

    >>> from datetime import UTC, datetime
    >>> moment, attempt = datetime(2026, 3, 8, tzinfo=UTC), "20260301T101500Z-0123abcd"
    >>> _is_unnamed_since(moment, attempt, "20260307T101500Z-0123abcd")
    True
    >>> _is_unnamed_since(moment, attempt, "20260308T101500Z-0123abcd")
    False
    """
    if attempt == named:
        return False
    began = [beginning(name) for name in (attempt, named) if name]
    # Of a folder that is not a run's, nobody knows since when the partition has named it.
    return all(each is not None and each < moment for each in began)
