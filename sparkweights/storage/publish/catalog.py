"""Publish into a table of the catalog: a date is a partition, which is pointed to the run's folder.

This is how a date is replaced in one step where folders cannot be renamed, as on an object store: a
run writes into a folder of its own, below ``<the table's location>/_runs``, and one statement
tells the catalog that the date now lies there. Queries that already run go on reading the old
folder. It stays: with it the old rows are one statement away, and no file goes under a reader.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from sparkweights.core.errors import ConfigError, PublishError, engine_reason
from sparkweights.core.roles import quoted
from sparkweights.storage.lock import lease
from sparkweights.storage.names import CATALOG, TableName
from sparkweights.storage.publish.protocol import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

DATE = "run_date"
FORMATS = ("parquet", "orc")
# A file system's own errors arrive without Spark's name.
_ENGINE_ERRORS = (PySparkException, Py4JError)


def _own_folder() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


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
        The table's.
    locks
        A folder on a file system that all who might run share; it holds the table's lease.
    attempt
        Tells this attempt's folder from those of others, whose readers may still be in them.
    """

    spark: SparkSession
    name: TableName
    locks: Path
    attempt: str = field(default_factory=_own_folder)
    _unpublished: list[T.StructType] = field(default_factory=list, init=False, repr=False)

    @property
    def format(self) -> str:
        """Of its files: parquet or orc."""
        return str(self._table["provider"]).lower()

    @property
    def staged(self) -> str:
        """The attempt's folder, below the table's location."""
        root = self._table["location"].rstrip("/")
        return f"{root}/_runs/{DATE}={self.run_date}/{self.attempt}"

    @cached_property
    def _table(self) -> dict[str, Any]:
        """What the catalog knows about the table."""
        row = self._run(f"DESCRIBE TABLE EXTENDED {self.name.sql} AS JSON").first()
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
        with lease(self.locks / f"_lease-{self.name.file}", str(self.name)):
            yield

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table that is none of files by date, or whose columns are of other types.

        Raises
        ------
        ConfigError
            If the session's catalog is none that keeps such tables, or the table is another.
        PublishError
            If a column is there with another type, or the catalog does not answer.
        """
        self._require_catalog()
        if not self._exists():
            return
        try:
            kind, by = self._table.get("provider", "a view").lower(), self._partitions()
        except PublishError as error:
            raise ConfigError(
                f"Table '{self.name}' is none whose files the catalog keeps: {error.message}",
                hint="name a Parquet or ORC table, or one that is not there yet.",
            ) from None
        if kind not in FORMATS or by != [DATE] or self._table.get("num_buckets"):
            raise ConfigError(
                f"Table '{self.name}' is {kind}, partitioned by {', '.join(by) or 'nothing'}; a "
                f"table that is written is {' or '.join(FORMATS)}, partitioned by {DATE} alone and "
                "not bucketed.",
                hint="name a table that is not there yet, and it is made; or make it by CREATE "
                f"TABLE ... USING parquet PARTITIONED BY ({DATE} DATE).",
            )
        self._require_types(T.StructType() if schema is None else schema)

    def _require_catalog(self) -> None:
        if self.spark.conf.get("spark.sql.catalogImplementation", "") == "in-memory":
            raise ConfigError(
                f"Table '{self.name}' is to be written, but this session's catalog forgets its "
                "tables when it ends.",
                hint="run under spark-submit --conf spark.sql.catalogImplementation=hive, or "
                "with the catalog of your platform.",
            )
        current = self._asked(self.spark.catalog.currentCatalog)
        if current != CATALOG:
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the session's catalog is '{current}'; "
                f"available: {CATALOG}.",
                hint=f"run with spark.sql.defaultCatalog={CATALOG}.",
            )
        if not self._asked(self.spark.catalog.databaseExists, quoted(self.name.database)):
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the catalog has no database "
                f"'{self.name.database}'.",
                hint="correct the name, or CREATE DATABASE with the location for its tables.",
            )

    def _partitions(self) -> list[str]:
        return [name.lower() for name in self._table.get("partition_columns", [])]

    def _require_types(self, schema: T.StructType) -> None:
        present = {own.name.casefold(): own for own in self._columns()}
        for wanted in (*schema, T.StructField(DATE, T.DateType())):
            found = present.get(wanted.name.casefold())
            if found is not None and _sql_type(found.dataType) != _sql_type(wanted.dataType):
                raise PublishError(
                    f"Column '{wanted.name}' of table '{self.name}' is "
                    f"{found.dataType.simpleString()}; the run writes "
                    f"{wanted.dataType.simpleString()}.",
                    hint="nothing was published; name a new table, or bring the column back to "
                    "its type.",
                )

    def write_stage(
        self,
        df: DataFrame,
        *,
        partition_by: Sequence[str] = (),  # noqa: ARG002 (a partition has no room for more)
        few: bool = False,
    ) -> None:
        """Write the rows to the attempt's folder, in one Spark job; make the table if need be.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        self._make(df.schema)
        self.require_ready(df.schema)
        self._unpublished.append(df.schema)
        super().write_stage(df, few=few)

    def publish(self) -> None:
        """Point the date's partition to the attempt's folder.

        Raises
        ------
        PublishError
            If the catalog refuses; the old rows stay.
        """
        for schema in self._unpublished:
            self._add_columns(schema)
        self._unpublished.clear()  # from here on readers may be in it
        partition = f"PARTITION ({DATE} = DATE '{self.run_date}')"
        known = self._run(f"SHOW PARTITIONS {self.name.sql} {partition}").first()
        change = f"ADD {partition}" if known is None else f"{partition} SET"
        self._run(f"ALTER TABLE {self.name.sql} {change} LOCATION {_text(self.staged)}")

    def discard(self) -> None:
        """Write nothing over a stage that was not published, which frees what it took.

        The engine offers no way to remove a folder, and only it reaches every storage.
        """
        while self._unpublished:
            schema = self._unpublished.pop()
            with suppress(*_ENGINE_ERRORS):  # what stopped the run says more
                none_df = self.spark.createDataFrame([], schema)
                none_df.write.format(self.format).mode("overwrite").save(self.staged)

    def _exists(self) -> bool:
        return bool(self._asked(self.spark.catalog.tableExists, self.name.sql))

    def _columns(self) -> T.StructType:
        found: T.StructType = self._asked(lambda: self.spark.table(self.name.sql).schema)
        return found

    def _make(self, schema: T.StructType) -> None:
        if self._exists():
            return
        dated = T.StructType([*schema, T.StructField(DATE, T.DateType())])
        writer = self.spark.createDataFrame([], dated).writeTo(self.name.sql)
        self._asked(writer.using("parquet").partitionedBy(F.col(DATE)).create)

    def _add_columns(self, schema: T.StructType) -> None:
        """Add the columns that earlier dates had not; they are null there."""
        present = {name.casefold() for name in self._columns().names}
        new = [
            f"{quoted(own.name)} {_sql_type(own.dataType)}"
            for own in schema
            if own.name.casefold() not in present
        ]
        if new:
            self._run(f"ALTER TABLE {self.name.sql} ADD COLUMNS ({', '.join(new)})")

    def _run(self, statement: str) -> DataFrame:
        found: DataFrame = self._asked(self.spark.sql, statement)
        return found

    def _asked(self, question: Callable[..., Any], *args: str) -> Any:  # noqa: ANN401 (anything)
        """Ask the catalog, whose refusal is a sentence."""
        try:
            return question(*args)
        except _ENGINE_ERRORS as error:
            raise PublishError(
                f"Table '{self.name}' cannot be written: {engine_reason(error)}.",
                hint="nothing was published; check the table's name, the catalog and your rights.",
            ) from None


def _sql_type(kind: T.DataType) -> str:
    """Return a type as SQL writes it; whether a value may be null is no part of it."""
    if isinstance(kind, T.StructType):
        fields = ", ".join(f"{quoted(own.name)}: {_sql_type(own.dataType)}" for own in kind)
        return f"STRUCT<{fields}>"
    if isinstance(kind, T.ArrayType):
        return f"ARRAY<{_sql_type(kind.elementType)}>"
    if isinstance(kind, T.MapType):
        return f"MAP<{_sql_type(kind.keyType)}, {_sql_type(kind.valueType)}>"
    return kind.simpleString()


def _text(value: str) -> str:
    """Return a text as SQL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
