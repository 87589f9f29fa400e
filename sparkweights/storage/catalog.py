"""Publish into a table of the catalog: a date is a partition, which is pointed to the run's folder.

This is how a date is replaced in one step where folders cannot be renamed, as on an object store: a
run writes into a folder below ``<the table's location>/_runs``, and one statement tells the
catalog that the date now lies there. The engine offers no way to remove a folder, only to write
over one, so a run of a date has two: it writes into the one that the catalog does not name. What a
dead run left is written over by the next, the rows before the last ones are one statement away, and
queries that already run go on reading them.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from sparkweights.columns import quoted
from sparkweights.errors import ConfigError, PublishError
from sparkweights.storage.lease import lease
from sparkweights.storage.publish import Publication

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

DATE = "run_date"
_PART = r"(?:\w+|`(?:[^`]|``)+`)"
_NO_WORD = re.compile(r"\W+")
_NAME = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")


def is_table_name(text: str) -> bool:
    """Whether a text is the name of a table: up to three parts, in backticks where need be."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class CatalogPublication(Publication):
    """One date of a Parquet or ORC table of the catalog, partitioned by ``run_date``.

    The decision is a column of it, not a partition: a second level could not be swapped with the
    first in one step. A table that is not there yet is made, as Parquet, where its database lies.

    Attributes
    ----------
    spark
        The session; classic or Connect.
    name
        The table's, as SQL names it.
    locks
        A folder on a file system that all who might run share; it holds the table's lease.
    """

    spark: SparkSession
    name: str
    locks: Path

    @property
    def format(self) -> str:
        """Of its files: parquet or orc."""
        return str(self._table["provider"])

    @cached_property
    def staged(self) -> str:
        """The folder of the two that readers are not in."""
        folder = f"{self._table['location']}/_runs/{DATE}={self.run_date}/{self.run_id}"
        dated = self._run(f"SHOW PARTITIONS {self.name} {self._partition}").first()
        now = None if dated is None else self._described(self._partition)["location"]
        return next(own for own in (f"{folder}/a", f"{folder}/b") if own != now)

    @property
    def _partition(self) -> str:
        return f"PARTITION ({DATE} = DATE '{self.run_date}')"

    @cached_property
    def _table(self) -> dict[str, Any]:
        return self._described()

    def _described(self, partition: str = "") -> dict[str, Any]:
        """Return what the catalog knows about the table, or about a partition of it."""
        row = self._run(f"DESCRIBE TABLE EXTENDED {self.name} {partition} AS JSON").first()
        assert row is not None  # noqa: S101 (a description is one row)
        found: dict[str, Any] = json.loads(row[0])
        return found

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the table for one run.

        Raises
        ------
        PublishError
            If another run holds it.
        """
        plain = _NO_WORD.sub("_", self.name).casefold()
        with lease(self.locks / f"_lease-{plain}", self.name):
            yield

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table that is none of files by date, or whose columns are of other types.

        Raises
        ------
        ConfigError
            If the session's catalog forgets, or the table is of another kind.
        PublishError
            If a column is there with another type.
        """
        if self.spark.conf.get("spark.sql.catalogImplementation", "") == "in-memory":
            raise ConfigError(
                f"Table '{self.name}' is to be written, but this session's catalog forgets its "
                "tables when it ends.",
                hint="run under spark-submit --conf spark.sql.catalogImplementation=hive, or "
                "with the catalog of your platform.",
            )
        if not self._exists():
            return
        kind, by = self._table.get("provider"), self._table.get("partition_columns", [])
        if kind not in {"parquet", "orc"} or by != [DATE]:
            raise ConfigError(
                f"Table '{self.name}' is {kind or 'a view'}, partitioned by "
                f"{', '.join(by) or 'nothing'}; a table that is written is parquet or orc, "
                f"partitioned by {DATE} alone.",
                hint="name a table that is not there yet, and it is made; or make it by CREATE "
                f"TABLE ... USING parquet PARTITIONED BY ({DATE}).",
            )
        self._require_types(T.StructType() if schema is None else schema)

    def _require_types(self, schema: T.StructType) -> None:
        present = {own.name.casefold(): own for own in self.spark.table(self.name).schema}
        for wanted in (*schema, T.StructField(DATE, T.DateType())):
            found = present.get(wanted.name.casefold())
            if found is not None and _told(found) != _told(wanted):
                raise PublishError(
                    f"Column '{wanted.name}' of table '{self.name}' is "
                    f"{_told(found)}; the run writes {_told(wanted)}.",
                    hint="nothing was published; name a new table, or bring the column back to "
                    "its type.",
                )

    def write_stage(self, df: DataFrame, *, partition_by: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write the rows to the run's folder, in one Spark job; make the table if need be.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        self._make(df.schema)
        self.require_ready(df.schema)
        super().write_stage(df)
        self._add_columns(df.schema)

    def publish(self) -> None:
        """Point the date's partition to the run's folder.

        Raises
        ------
        PublishError
            If the catalog refuses; the old rows stay.
        """
        change, place = f"ALTER TABLE {self.name}", f"LOCATION {_text(self.staged)}"
        self._run(f"{change} ADD IF NOT EXISTS {self._partition} {place}")
        self._run(f"{change} {self._partition} SET {place}")

    def discard(self) -> None:
        """Leave the folder: the date's next run writes over it."""

    def _exists(self) -> bool:
        return self.spark.catalog.tableExists(self.name)

    def _make(self, schema: T.StructType) -> None:
        if self._exists():
            return
        dated = T.StructType([*schema, T.StructField(DATE, T.DateType())])
        writer = self.spark.createDataFrame([], dated).writeTo(self.name)
        try:
            writer.using("parquet").partitionedBy(F.col(DATE)).create()
        except PySparkException as error:
            raise self._refused(error) from None

    def _add_columns(self, schema: T.StructType) -> None:
        """Add the columns that earlier dates had not; they are null there."""
        present = {name.casefold() for name in self.spark.table(self.name).columns}
        new = [own for own in schema if own.name.casefold() not in present]
        for own in new:
            self._run(f"ALTER TABLE {self.name} ADD COLUMNS ({quoted(own.name)} {_told(own)})")

    def _run(self, statement: str) -> DataFrame:
        try:
            return self.spark.sql(statement)
        except PySparkException as error:
            raise self._refused(error) from None

    def _refused(self, error: PySparkException) -> PublishError:
        return PublishError(
            f"Table '{self.name}' cannot be written: {str(error).splitlines()[0]}",
            hint="nothing was published; check the table's name, its database and your rights.",
        )


def _told(own: T.StructField) -> str:
    return own.dataType.simpleString()  # whether a value may be null is no matter


def _text(value: str) -> str:
    """Return a text as SQL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
