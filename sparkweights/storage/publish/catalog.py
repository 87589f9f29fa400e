"""Publish into a table of the catalog: a date is a partition, which is pointed to the run's folder.

This is how a date is replaced in one step where folders cannot be renamed, as on an object store: a
run writes into a folder of its own, below ``<the table's location>/_runs``, and one statement
tells the catalog that the date now lies there. Queries that already run go on reading the old
folder. It is kept: one statement restores the old rows, and no file is removed during a read.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, ParamSpec, TypedDict, TypeVar
from uuid import uuid4

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import ConfigError, PublishError, spark_message
from sparkweights.core.roles import quoted
from sparkweights.core.session_settings import read_setting
from sparkweights.storage.location import Location
from sparkweights.storage.lock import lock
from sparkweights.storage.names import CATALOG, TableName
from sparkweights.storage.publish.protocol import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

DATE = "run_date"
FORMATS = ("parquet", "orc")

P = ParamSpec("P")
R = TypeVar("R")


class _Description(TypedDict, total=False):
    """What this module reads of ``DESCRIBE TABLE EXTENDED ... AS JSON``."""

    provider: str
    location: str
    partition_columns: list[str]
    num_buckets: int


def _new_attempt() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


@dataclass(frozen=True, kw_only=True)
class CatalogPublication(Publication):
    """One date of a Parquet or ORC table of the catalog, partitioned by ``run_date``.

    The decision is a column of it, not a partition: a date of several partitions could not be
    replaced in one step. A table that does not exist is made, as Parquet, in its database's folder.

    Attributes
    ----------
    spark
        The session; classic or Connect.
    name
        The table's name.
    locks
        A folder, on a filesystem shared by all machines that run this, for the table's lock.
    attempt
        The name of this attempt's folder; those of other attempts may still be read.
    """

    spark: SparkSession
    name: TableName
    locks: Location
    attempt: str = field(default_factory=_new_attempt)
    _unpublished: list[T.StructType] = field(default_factory=list, init=False, repr=False)

    @property
    def format(self) -> str:
        """The format of its files: parquet or orc."""
        return self._table["provider"].lower()

    @property
    def stage_path(self) -> str:
        """The attempt's folder, below the table's location."""
        root = self._table["location"].rstrip("/")
        return f"{root}/_runs/{DATE}={self.run_date}/{self.attempt}"

    @cached_property
    def _table(self) -> _Description:
        """The catalog's description of the table."""
        (row,) = self._run(f"DESCRIBE TABLE EXTENDED {self.name.sql} AS JSON").collect()
        description: _Description = json.loads(row[0])
        return description

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the table for one run.

        Raises
        ------
        PublishError
            If another run has locked it.
        """
        with lock(self.locks / "_locks" / self.name.file / "_lock", str(self.name)):
            yield

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table that is not partitioned by date alone, or has columns of other types.

        Raises
        ------
        ConfigError
            If the session's catalog cannot keep such tables, or the table is of another kind.
        PublishError
            If a column exists with another type, or the catalog does not answer.
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

    def published_schema(self) -> T.StructType | None:
        """Return the table's columns; None where it is not there yet."""
        return self._columns() if self._exists() else None

    def _require_catalog(self) -> None:
        if read_setting(self.spark, "spark.sql.catalogImplementation") == "in-memory":
            raise ConfigError(
                f"Table '{self.name}' is to be written, but this session's catalog forgets its "
                "tables when it ends.",
                hint="run under spark-submit --conf spark.sql.catalogImplementation=hive, or "
                "with the catalog of your platform.",
            )
        current = self._ask(self.spark.catalog.currentCatalog)
        if current != CATALOG:
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the session's catalog is '{current}'; "
                f"available: {CATALOG}.",
                hint=f"run with spark.sql.defaultCatalog={CATALOG}.",
            )
        if not self._ask(self.spark.catalog.databaseExists, quoted(self.name.database)):
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the catalog has no database "
                f"'{self.name.database}'.",
                hint="correct the name, or CREATE DATABASE with the location for its tables.",
            )

    def _partitions(self) -> list[str]:
        return [name.lower() for name in self._table.get("partition_columns", [])]

    def _require_types(self, schema: T.StructType) -> None:
        present = {column.name.casefold(): column for column in self._columns()}
        for column in (*schema, T.StructField(DATE, T.DateType())):
            existing = present.get(column.name.casefold())
            if existing is not None and _sql_type(existing.dataType) != _sql_type(column.dataType):
                raise PublishError(
                    f"Column '{column.name}' of table '{self.name}' is "
                    f"{existing.dataType.simpleString()}; the run writes "
                    f"{column.dataType.simpleString()}.",
                    hint="nothing was published; name a new table, or bring the column back to "
                    "its type.",
                )

    def write_stage(
        self,
        df: DataFrame,
        *,
        partition_by: Sequence[str] = (),  # noqa: ARG002 (a partition has no further partitions)
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
        self._unpublished.clear()  # the next statement makes it visible to readers
        self._settle_stage()
        partition = f"PARTITION ({DATE} = DATE '{self.run_date}')"
        known = self._run(f"SHOW PARTITIONS {self.name.sql} {partition}").first()
        change = f"ADD {partition}" if known is None else f"{partition} SET"
        self._run(f"ALTER TABLE {self.name.sql} {change} LOCATION {_text(self.stage_path)}")

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

    def discard(self) -> None:
        """Overwrite a stage that was not published with an empty table, which frees its storage.

        Spark has no call that removes a folder, and only Spark reaches every storage.
        """
        while self._unpublished:
            schema = self._unpublished.pop()
            with suppress(*SPARK_ERRORS):  # the error that stopped the run is the one to report
                none_df = self.spark.createDataFrame([], schema)
                none_df.write.format(self.format).mode("overwrite").save(self.stage_path)

    def _exists(self) -> bool:
        return self._ask(self.spark.catalog.tableExists, self.name.sql)

    def _columns(self) -> T.StructType:
        return self._ask(lambda: self.spark.table(self.name.sql).schema)

    def _make(self, schema: T.StructType) -> None:
        if self._exists():
            return
        dated = T.StructType([*schema, T.StructField(DATE, T.DateType())])
        writer = self.spark.createDataFrame([], dated).writeTo(self.name.sql)
        self._ask(writer.using("parquet").partitionedBy(F.col(DATE)).create)

    def _add_columns(self, schema: T.StructType) -> None:
        """Add the columns that earlier dates do not have; they are null there."""
        present = {name.casefold() for name in self._columns().names}
        new = [
            f"{quoted(column.name)} {_sql_type(column.dataType)}"
            for column in schema
            if column.name.casefold() not in present
        ]
        if new:
            self._run(f"ALTER TABLE {self.name.sql} ADD COLUMNS ({', '.join(new)})")

    def _run(self, statement: str) -> DataFrame:
        return self._ask(self.spark.sql, statement)

    def _ask(self, question: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the catalog; its refusal becomes a `PublishError`."""
        try:
            return question(*args, **kwargs)
        except SPARK_ERRORS as error:
            raise PublishError(
                f"Table '{self.name}' cannot be written: {spark_message(error)}.",
                hint="nothing was published; check the table's name, the catalog and your rights.",
            ) from None


def _sql_type(kind: T.DataType) -> str:
    """Return a type as SQL writes it; whether a value may be null is no part of it."""
    if isinstance(kind, T.StructType):
        fields = ", ".join(f"{quoted(each.name)}: {_sql_type(each.dataType)}" for each in kind)
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
