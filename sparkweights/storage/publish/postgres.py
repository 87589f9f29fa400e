"""Publish into a table of PostgreSQL: the rows of a staging table replace the date at once.

Tasks of Spark write each their own transaction, so that they cannot replace a date together. A run
writes into a staging table beside the table, where its rows are verified; one transaction, sent
from the driver's machine, copies them.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import ConfigError, PublishError, spark_message
from sparkweights.storage.jdbc import option_of, with_defaults
from sparkweights.storage.lock import LastingLock
from sparkweights.storage.names import POSTGRES_BYTES
from sparkweights.storage.postgres import (
    ATTEMPT_CHARACTERS,
    DATE,
    PostgresTable,
    attempt_of,
    matching,
    stage_names,
    stage_prefix,
)
from sparkweights.storage.publish.column_types import as_written
from sparkweights.storage.publish.protocol import Publication, require_owner
from sparkweights.storage.tables import find_jdbc_refusal, open_jdbc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.storage.lock import Lock
    from sparkweights.storage.names import PostgresName
    from sparkweights.storage.postgres import Access

_PROBE = "(SELECT 1 AS probe) AS probe"
_OF_READING = {"partitioncolumn", "lowerbound", "upperbound", "numpartitions"}
# Without it a timestamp of no zone is read as a moment.
_EXACT_TYPES = {"preferTimestampNTZ": "true"}
# Spark's type -> PostgreSQL's, and others that hold every value of it.
_TYPES: Mapping[type[T.DataType], tuple[str, ...]] = {
    T.StringType: ("text", "character varying"),
    T.BooleanType: ("boolean",),
    T.ByteType: ("smallint", "integer", "bigint"),
    T.ShortType: ("smallint", "integer", "bigint"),
    T.IntegerType: ("integer", "bigint"),
    T.LongType: ("bigint",),
    T.FloatType: ("real", "double precision"),
    T.DoubleType: ("double precision",),
    T.DateType: ("date",),
    T.TimestampType: ("timestamp with time zone",),
    T.TimestampNTZType: ("timestamp without time zone",),
    T.BinaryType: ("bytea",),
}


@dataclass(frozen=True, kw_only=True)
class PostgresPublication(Publication):
    """One date of a table of PostgreSQL.

    Two dates may be written at once. A table that does not exist is made, with an index on the
    date, when its first date is published.

    Attributes
    ----------
    spark
        The session; classic or Connect.
    name
        The table's name.
    where
        The place of `options` in the configuration, for messages.
    owner
        The configuration whose rows the table holds; the table's comment keeps its name.
    attempt
        A name that no other attempt has, this date's neither.
    """

    spark: SparkSession
    name: PostgresName
    where: str
    owner: str
    attempt: str = field(default_factory=lambda: uuid4().hex[:ATTEMPT_CHARACTERS])
    _locked: list[PostgresTable] = field(default_factory=list, init=False, repr=False)

    @property
    def format(self) -> str:
        """The format of Spark's reader and writer."""
        return "jdbc"

    @property
    def stage_path(self) -> str:
        """The staging table, for messages."""
        return f"{self.name.schema}.{self._stage}"

    @property
    def _writing(self) -> str:
        return stage_names(self.name.table, self.attempt)[0]

    @property
    def _stage(self) -> str:
        return stage_names(self.name.table, self.attempt)[1]

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Lock the date for one run, and remove the staging tables of runs that died.

        The locks are those of a connection, which PostgreSQL frees when it ends.

        Raises
        ------
        PublishError
            If another run has locked it, or the server cannot be reached.
        """
        with PostgresTable.connect(self.options, self.name, self.where) as table:
            if not table.try_lock(f"{self.name} {self.run_date}"):
                raise PublishError(
                    f"Another run is writing '{self.name}' of {self.run_date}.",
                    hint="wait for it to end, then start this one again.",
                )
            table.try_lock(self.attempt)
            _recover(table)
            self._locked.append(table)
            try:
                yield LastingLock()  # what publishes is a transaction of the same connection
            finally:
                self._locked.remove(table)

    @contextmanager
    def _table(self) -> Iterator[PostgresTable]:
        """Return the table on the run's connection; before there is one, on another one."""
        if self._locked:
            yield self._locked[-1]
            return
        with PostgresTable.connect(self.options, self.name, self.where) as table:
            yield table

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table that cannot be written, from the driver's machine and from Spark.

        Raises
        ------
        ConfigError
            If the schema is missing, the user has not the rights, a column has no type in
            PostgreSQL, or the table holds rows of another configuration.
        PublishError
            If a column exists with another type, or the server cannot be reached.
        """
        with self._table() as table:
            access = self._require_access(table.access())
            existing, owner = table.columns(), table.owner()
        removal = f"COMMENT ON TABLE {self.name.sql} IS NULL"
        require_owner(str(self.name), owner, self.owner, removal=removal)
        if existing and existing.get(DATE) != "date":
            raise ConfigError(
                f"Table '{self.name}' has no column {DATE} of type date.",
                hint="name a table that is not there yet, and it is made; or ALTER TABLE ... ADD "
                f"COLUMN {DATE} date.",
            )
        self._read_by_spark(_PROBE)
        if schema is None:
            return
        self._require_types(schema, existing)
        new = set(schema.names) - set(matching(schema.names, existing))
        if new and not access.is_owner:
            raise PublishError(
                f"Table '{self.name}' has no column '{min(new)}', and its owner alone may add one.",
                hint="nothing was published; have the owner add it, or run as the owner.",
            )

    def _require_access(self, access: Access | None) -> Access:
        if access is None:
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the database has no schema "
                f"'{self.name.schema}'.",
                hint="correct the location, or CREATE SCHEMA.",
            )
        if access.kind not in {None, "r", "p"}:
            raise ConfigError(
                f"'{self.name}' is no table, but a view or another object of the database.",
                hint="name a table, or one that is not there yet, and it is made.",
            )
        if not (access.may_create and access.may_write):
            raise ConfigError(
                f"The user may not write '{self.name}'; what is needed is CREATE on the schema "
                f"'{self.name.schema}', and SELECT, INSERT and DELETE on the table.",
                hint="GRANT these, or name another user.",
            )
        return access

    def _require_types(self, schema: T.StructType, existing: Mapping[str, str]) -> None:
        for name, present in matching(schema.names, existing).items():
            written = schema[name]
            if not takes(existing[present], written.dataType):
                raise PublishError(
                    f"Column '{present}' of table '{self.name}' is {existing[present]}; the run "
                    f"writes {_own_type(written)}.",
                    hint="nothing was published; name a new table, or bring the column back to "
                    "its type.",
                )
        for column in schema:
            _own_type(column)

    def published_schema(self) -> T.StructType | None:
        """Return the table's columns; None where it is not there yet."""
        with self._table() as table:
            if not table.columns():
                return None
        return self._read_by_spark(self.name.sql).schema

    def _read_by_spark(self, table: str) -> DataFrame:
        """Open a table; what Spark lacks for it is found before a job begins."""
        try:
            return open_jdbc(self.spark, {**self._read_options, **_EXACT_TYPES}, table)
        except SPARK_ERRORS as error:
            refusal = find_jdbc_refusal(self.spark, error)
            reason = spark_message(error) if refusal is None else refusal.reason
            raise PublishError(
                f"Table '{self.name}' cannot be written by Spark: {reason}.",
                hint="nothing was published; "
                + ("see Spark's log." if refusal is None else refusal.hint),
            ) from None

    @property
    def _read_options(self) -> dict[str, str]:
        """The options without those that divide the table's rows by a column."""
        options = with_defaults(self.options)
        return {key: text for key, text in options.items() if key.casefold() not in _OF_READING}

    def write_stage(
        self,
        df: DataFrame,
        *,
        partition_by: Sequence[str] = (),
        few: bool = False,
    ) -> None:
        """Write the rows to the staging table, in one Spark job.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        self.require_ready(df.schema)
        super().write_stage(df, few=few)

    def write_rows(self, df: DataFrame, partition_by: Sequence[str]) -> None:
        """Write the rows; each task in a transaction."""
        with self._table() as table:
            writing = replace(table, name=replace(self.name, table=self._writing))
            writing.create({each.name: _own_type(each) for each in df.schema})
            writer = df.write.format(self.format).options(**with_defaults(self.options))
            writer.option("dbtable", writing.name.sql).mode("append").save()
            writing.rename(self._stage)

    def read_stage(self, spark: SparkSession, like: DataFrame) -> DataFrame:
        """Return the staged rows, with the schema of the frame they were written from."""
        stage = replace(self.name, table=self._stage)
        stated = option_of(self.options, "numPartitions")
        most = int(stated) if stated.isdecimal() else None
        with self._table() as table:
            ranges = replace(table, name=stage).block_ranges(most)
        options = {**self._read_options, **_EXACT_TYPES}
        url = option_of(options, "url")
        staged_df = spark.read.jdbc(url, stage.sql, predicates=ranges, properties=options)
        return as_written(staged_df, like.schema)

    def publish(self) -> None:
        """Replace the date's rows by those of the staging table, in one transaction.

        Raises
        ------
        PublishError
            If PostgreSQL refuses; the old rows stay.
        """
        with self._table() as table:
            table.replace_date(self._stage, self.run_date, self.owner)

    def discard(self) -> None:
        """Drop the staging table, if it is there."""
        # The error that stopped the run is the one to report.
        with suppress(PublishError), self._table() as table:
            table.drop([self._writing, self._stage])


def _recover(table: PostgresTable) -> None:
    """Drop the staging tables of attempts whose connection has ended."""
    for stage in table.beside(stage_prefix(table.name.table)):
        attempt = attempt_of(stage)
        if attempt is None or not table.try_lock(attempt):
            continue
        # A task of a run that was killed may still write; the next run finds what it leaves.
        with suppress(PublishError):
            table.drop([stage])
        table.unlock(attempt)


def takes(existing: str, written: T.DataType) -> bool:
    """Whether a column of PostgreSQL takes every value of a type of Spark, or refuses it aloud.

    Parameters
    ----------
    existing
        The column's type, as PostgreSQL writes it.

    Examples
    --------
    >>> takes("bigint", T.IntegerType()), takes("character varying(20)", T.StringType())
    (True, True)
    >>> takes("numeric", T.DecimalType(9, 2)), takes("real", T.DoubleType())
    (True, False)
    """
    if isinstance(written, T.ArrayType):
        return existing.endswith("[]") and takes(existing[:-2], written.elementType)
    if isinstance(written, T.DecimalType):
        return existing in {"numeric", f"numeric({written.precision},{written.scale})"}
    # A text that is longer than its column allows is an error, and not shortened.
    plain = existing.partition("(")[0] if existing.startswith("character varying") else existing
    return plain in _TYPES.get(type(written), ())


def to_postgres(kind: T.DataType) -> str | None:
    """Return the type of PostgreSQL for one of Spark; None where it has none.

    Examples
    --------
    >>> to_postgres(T.ArrayType(T.StringType())), to_postgres(T.DecimalType(9, 2))
    ('text[]', 'numeric(9,2)')
    >>> to_postgres(T.StructType())
    """
    if isinstance(kind, T.DecimalType):
        return f"numeric({kind.precision},{kind.scale})"
    if isinstance(kind, T.ArrayType):
        inner = None if isinstance(kind.elementType, T.ArrayType) else to_postgres(kind.elementType)
        return None if inner is None else f"{inner}[]"
    types = _TYPES.get(type(kind))
    return None if types is None else types[0]


def _own_type(column: T.StructField) -> str:
    """Return a column's type in PostgreSQL; refuse one that has no type or too long a name."""
    if len(column.name.encode()) > POSTGRES_BYTES:
        raise ConfigError(
            f"Column '{column.name}' cannot be written; names of PostgreSQL have at most "
            f"{POSTGRES_BYTES} bytes.",
            hint="shorten the name; those of classes and decisions are in names of columns.",
        )
    kind = to_postgres(column.dataType)
    if kind is None:
        raise ConfigError(
            f"Column '{column.name}' is {column.dataType.simpleString()}, for which a table of "
            "PostgreSQL has no type; it has numbers, texts, dates, timestamps, booleans, binary, "
            "and lists of these.",
            hint="write this table into a folder (format: parquet), or flatten the column before.",
        )
    return kind
