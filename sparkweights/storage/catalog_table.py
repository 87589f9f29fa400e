"""A table of a catalog, as SQL describes and changes it; the same for every format."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import ConfigError, PublishError, spark_message
from sparkweights.core.roles import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pyspark.sql import Row, SparkSession

    from sparkweights.storage.names import TableName

# Delta's conditions, exceptions and older message; Iceberg's exception, and its messages of a
# branch that does not begin at the other's end, and of one that the session does not know yet. An
# error's text may hold a whole stack trace, in which the packages java.util.concurrent and
# scala.concurrent say nothing of another writer.
_CONFLICT = re.compile(
    r"\bDELTA_CONCURRENT_|\bDELTA_(?:METADATA|PROTOCOL)_CHANGED\b|by a concurrent update"
    r"|\b(?<!java\.util\.)\w*Concurrent\w+Exception\b|\b(?:Metadata|Protocol)ChangedException\b"
    r"|\bCommitFailedException\b|not an ancestor|Cannot use branch \(does not exist\)"
)
# Spark takes the name of a catalog that it does not have for a part of the database's name.
_NO_CATALOG = "REQUIRES_SINGLE_PART_NAMESPACE"
_PAUSES = (0.1, 0.3, 0.9)  # seconds
_PARTITIONS = "# Partition Information"
_DETAILS = {"# Detailed Table Information", "# Detailed Partition Information"}

P = ParamSpec("P")
R = TypeVar("R")


class ConflictError(PublishError):
    """Another writer has changed the table between two steps of a commit."""


@dataclass(frozen=True)
class TableDescription:
    """What ``DESCRIBE TABLE EXTENDED`` says of a table.

    Attributes
    ----------
    provider
        Its format, in lower case: parquet, delta, iceberg; empty for a view.
    location
        Where its files are; empty where the catalog does not say.
    partition_columns
        The columns that it is partitioned by, in lower case. Transforms of columns do not count.
    is_bucketed
        Whether its rows are in buckets.
    """

    provider: str
    location: str
    partition_columns: tuple[str, ...]
    is_bucketed: bool

    @classmethod
    def parse(cls, rows: Iterable[tuple[str, str]]) -> TableDescription:
        """Read the first two columns of the answer, in its order.

        The answer ``AS JSON`` is not given for tables of other catalogs than Hive's.

        Examples
        --------
        >>> rows = [("a", "int"), ("run_date", "date"), ("# Partition Information", "")]
        >>> rows += [("# col_name", "data_type"), ("run_date", "date"), ("", "")]
        >>> rows += [("# Detailed Table Information", ""), ("Provider", "parquet")]
        >>> TableDescription.parse(rows).partition_columns
        ('run_date',)
        """
        section, partitions, details = "", list[str](), dict[str, str]()
        for name, value in rows:
            if name in {"", _PARTITIONS, *_DETAILS}:
                section = name
            elif section == _PARTITIONS and not name.startswith("# "):
                partitions.append(name.lower())
            elif section in _DETAILS:
                details.setdefault(name, value)
        return cls(
            details.get("Provider", "").lower(),
            details.get("Location", ""),
            tuple(partitions),
            "Num Buckets" in details,
        )


@dataclass(frozen=True)
class CatalogTable:
    """A table by its name, on a session; classic or Connect.

    Every method asks the catalog; its refusal becomes a `PublishError`.
    """

    spark: SparkSession
    name: TableName

    def exists(self) -> bool:
        """Whether the catalog has the table."""
        return self.ask(self.spark.catalog.tableExists, self.name.sql)

    def describe(self) -> TableDescription:
        """Return the catalog's description of the table."""
        rows = self.rows(f"DESCRIBE TABLE EXTENDED {self.name.sql}")
        return TableDescription.parse((row[0], row[1] or "") for row in rows)

    def partition_location(self, partition: str) -> str:
        """Return where a partition's files are, given as SQL; empty if it is not there."""
        if not self.rows(f"SHOW PARTITIONS {self.name.sql} {partition}"):
            return ""
        rows = self.rows(f"DESCRIBE TABLE EXTENDED {self.name.sql} {partition}")
        return TableDescription.parse((row[0], row[1] or "") for row in rows).location

    def property(self, key: str) -> str | None:
        """Return a property of the table; None where it does not have it."""
        # Asked for one that is missing, the catalog answers by a sentence.
        rows = self.rows(f"SHOW TBLPROPERTIES {self.name.sql}")
        return next((row["value"] for row in rows if row["key"] == key), None)

    def set_property(self, key: str, text: str) -> None:
        """Give the table a property, or another value of it."""
        stated = f"{sql_text(key)} = {sql_text(text)}"
        self.run(f"ALTER TABLE {self.name.sql} SET TBLPROPERTIES ({stated})")

    def columns(self) -> T.StructType:
        """Return its columns."""
        return self.ask(lambda: self.spark.table(self.name.sql).schema)

    def create(
        self, schema: T.StructType, provider: str, by: Sequence[str], properties: Mapping[str, str]
    ) -> None:
        """Make the table, without rows, partitioned by columns; every column may be null."""
        statement = f"CREATE TABLE {self.name.sql} ({_columns(schema)}) USING {provider}"
        if by:
            statement += f" PARTITIONED BY ({', '.join(map(quoted, by))})"
        if properties:
            stated = (f"{sql_text(key)} = {sql_text(text)}" for key, text in properties.items())
            statement += f" TBLPROPERTIES ({', '.join(stated)})"
        self.run(statement)

    def version(self) -> int | None:
        """Return the version of a Delta table, or the snapshot of an Iceberg table, of this moment.

        None where the table's format keeps no versions, or the catalog does not tell them.
        """
        with suppress(PublishError):
            match self.describe().provider:
                case "delta":
                    rows = self.rows(f"DESCRIBE HISTORY {self.name.sql} LIMIT 1")
                    return next((int(row["version"]) for row in rows), None)
                case "iceberg":
                    return self.branches().get("main")
        return None

    def branches(self) -> dict[str, int]:
        """Return the branches of an Iceberg table: name -> the snapshot that it shows."""
        rows = self.ask(lambda: self.spark.table(f"{self.name.sql}.refs").collect())
        return {row["name"]: int(row["snapshot_id"]) for row in rows if row["type"] == "BRANCH"}

    def add_columns(self, schema: T.StructType) -> None:
        """Add the columns that the table does not have; they are null in its rows."""
        new = self.missing(schema)
        if not new:
            return
        try:
            self.run(f"ALTER TABLE {self.name.sql} ADD COLUMNS ({_columns(new)})")
        except PublishError:
            if self.missing(schema):  # another run has not added them either
                raise

    def missing(self, schema: T.StructType) -> list[T.StructField]:
        """Return the columns that the table does not have."""
        present = {name.casefold() for name in self.columns().names}
        return [each for each in schema if each.name.casefold() not in present]

    def run(self, statement: str) -> None:
        """Run a statement of SQL that has no answer."""
        self.ask(self.spark.sql, statement)

    def rows(self, statement: str) -> list[Row]:
        """Run a statement of SQL, and return the rows of its answer."""
        return self.ask(lambda: self.spark.sql(statement).collect())

    def refresh(self) -> None:
        """Let the session forget what it knows of the table: another thread of it may read it."""
        self.ask(self.spark.catalog.refreshTable, self.name.sql)

    def write(self, job: Callable[[], None]) -> None:
        """Run a job that commits rows to the table; an error of its rows stays as it is.

        Raises
        ------
        ConflictError
            If another writer was faster.
        """
        try:
            job()
        except SPARK_ERRORS as error:
            if is_conflict(error):
                raise self._conflict() from None
            raise

    def _conflict(self) -> ConflictError:
        return ConflictError(
            f"Table '{self.name}' was changed by another writer in the meantime.",
            hint="nothing was published; run the date again.",
        )

    def ask(self, question: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the catalog.

        Raises
        ------
        PublishError
            If it refuses; a `ConflictError` if another writer was faster.
        ConfigError
            If the session has no catalog of that name.
        """
        try:
            return question(*args, **kwargs)
        except SPARK_ERRORS as error:
            if _NO_CATALOG in str(error):
                raise ConfigError(
                    f"Table '{self.name}' cannot be found: the session has no catalog "
                    f"'{self.name.catalog}'.",
                    hint=f"set spark.sql.catalog.{self.name.catalog} (spark-submit --conf), or "
                    "correct the name.",
                ) from None
            if is_conflict(error):
                raise self._conflict() from None
            raise PublishError(
                f"A request to the catalog about table '{self.name}' failed: "
                f"{spark_message(error)}.",
                hint="nothing was published; check the table's name, the catalog and your rights.",
            ) from None


def insist(step: Callable[[], None]) -> None:
    """Take a step again, after a pause, where another writer of the table was faster.

    Runs of other dates write the table as well.

    Raises
    ------
    ConflictError
        If one was faster every time.
    """
    for pause in _PAUSES:
        try:
            step()
        except ConflictError:
            time.sleep(pause)
        else:
            return
    step()


def is_conflict(error: Exception) -> bool:
    """Whether an error of Spark says that another writer has changed the table in the meantime."""
    return _CONFLICT.search(f"{type(error).__name__}: {error}") is not None


def _columns(columns: Iterable[T.StructField]) -> str:
    return ", ".join(f"{quoted(each.name)} {sql_type(each.dataType)}" for each in columns)


def sql_type(kind: T.DataType) -> str:
    """Return a type as SQL writes it; whether a value may be null is no part of it."""
    if isinstance(kind, T.StructType):
        fields = ", ".join(f"{quoted(each.name)}: {sql_type(each.dataType)}" for each in kind)
        return f"STRUCT<{fields}>"
    if isinstance(kind, T.ArrayType):
        return f"ARRAY<{sql_type(kind.elementType)}>"
    if isinstance(kind, T.MapType):
        return f"MAP<{sql_type(kind.keyType)}, {sql_type(kind.valueType)}>"
    return kind.simpleString()


def sql_text(value: str) -> str:
    """Return a text as SQL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
