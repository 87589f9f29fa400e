"""What publications into tables of a catalog share, whatever the table's format."""

from __future__ import annotations

import re
from abc import abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from pyspark.sql import types as T

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.core.session_settings import effective_setting
from sparkweights.storage.catalog_table import CatalogTable, insist, sql_type
from sparkweights.storage.lock import lock
from sparkweights.storage.names import CATALOG, TableName
from sparkweights.storage.publish.protocol import Publication, require_owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.storage.catalog_table import TableDescription
    from sparkweights.storage.location import Location
    from sparkweights.storage.lock import Lock

DATE = "run_date"
OWNER = "sparkweights.owner"  # a property of the table: the configuration whose rows it holds
_ATTEMPT = re.compile("([0-9]{8}T[0-9]{6}Z)[-_][0-9a-f]{8}", re.IGNORECASE)


def _new_attempt() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


def beginning(attempt: str) -> datetime | None:
    """Return when an attempt began, by its name; None for a name that is not an attempt's.

    Examples
    --------
    >>> str(beginning("20260301T101500Z-0123abcd"))
    '2026-03-01 10:15:00+00:00'
    >>> beginning("20260301_copy")
    """
    name = _ATTEMPT.fullmatch(attempt)
    if name is not None:
        with suppress(ValueError):  # no date has these numbers
            return datetime.strptime(name[1].upper(), "%Y%m%dT%H%M%S%z")
    return None


@dataclass(frozen=True, kw_only=True)
class TablePublication(Publication):
    """One date of a table of a catalog, partitioned by ``run_date``.

    The decision is a column of it, not a partition. A table that does not exist is made, in its
    database's folder.

    Attributes
    ----------
    spark
        The session; classic or Connect.
    name
        The table's name.
    owner
        The configuration whose rows the table holds; a property of the table keeps its name.
    locks
        A folder that all machines share that run this, for the locks of dates.
    attempt
        A name that no other attempt has, this date's neither.
    """

    formats: ClassVar[tuple[str, ...]]

    spark: SparkSession
    name: TableName
    owner: str
    locks: Location
    attempt: str = field(default_factory=_new_attempt)

    @property
    def table(self) -> CatalogTable:
        """The table, to ask its catalog."""
        return CatalogTable(self.spark, self.name)

    @property
    def lock_folder(self) -> Location:
        """The folder of the date's lock."""
        return self.table_locks / f"{DATE}={self.run_date}"

    @property
    def table_locks(self) -> Location:
        """The folder of the locks of the table's dates."""
        return self.locks / "_locks" / self.name.file

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Lock the date for one run, and remove the stages that runs that died have left.

        Raises
        ------
        PublishError
            If another run has locked it.
        """
        with lock(self.lock_folder / "_lock", f"'{self.name}' of {self.run_date}") as held:
            self.recover()
            yield held

    def require_ready(self, schema: T.StructType | None = None) -> None:
        """Refuse a table that is another configuration's, or has other partitions or types.

        Raises
        ------
        ConfigError
            If the session's catalog cannot keep such tables, the table is of another kind, or it
            holds another configuration's rows.
        PublishError
            If a column exists with another type, or the catalog does not answer.
        """
        self._require_catalog()
        if not self.table.exists():
            return
        description = self.table.describe()
        if description.provider not in self.formats or not self.is_suitable(description):
            by = ", ".join(description.partition_columns) or "nothing"
            raise ConfigError(
                f"Table '{self.name}' is {description.provider or 'a view'}, partitioned by {by}; "
                f"a table that is written is {self.requirement}.",
                hint="name a table that is not there yet, and it is made; or make it by CREATE "
                f"TABLE ... USING {self.formats[0]} PARTITIONED BY ({DATE}) with the column "
                f"{DATE} DATE.",
            )
        self.require_own()
        if schema is not None:
            self._require_types(schema)

    def require_own(self) -> str | None:
        """Refuse a table that holds another configuration's rows.

        Returns
        -------
        str or None
            The owner that the table states; None where it states none.

        Raises
        ------
        ConfigError
            Naming the configuration whose rows they are.
        PublishError
            If the catalog does not answer.
        """
        removal = f"ALTER TABLE {self.name.sql} UNSET TBLPROPERTIES ('{OWNER}')"
        owner = self.table.property(OWNER)
        require_owner(str(self.name), owner, self.owner, removal=removal)
        return owner

    @property
    @abstractmethod
    def requirement(self) -> str:
        """What a table must be to be written, in words."""

    @abstractmethod
    def is_suitable(self, description: TableDescription) -> bool:
        """Whether a table of these partitions can be written."""

    def recover(self) -> None:
        """Remove what runs that died have left in the catalog; called once the date is locked."""

    def published_schema(self) -> T.StructType | None:
        """Return the table's columns; None where it is not there yet."""
        return self.table.columns() if self.table.exists() else None

    def properties(self, schema: T.StructType) -> Mapping[str, str]:
        """Return the properties of a table that is made for these columns."""
        return {}

    def write_stage(
        self,
        df: DataFrame,
        *,
        partition_by: Sequence[str] = (),
        few: bool = False,
    ) -> None:
        """Write the rows to the stage, in one Spark job; make the table, or its owner, if need be.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        if not self.table.exists():
            self._make(df.schema)
        self.require_ready(df.schema)
        insist(self._take_ownership)
        super().write_stage(df, few=few)

    def _take_ownership(self) -> None:
        """State the owner of a table that somebody else has made, unless a run just has."""
        if self.require_own() is None:
            self.table.set_property(OWNER, self.owner)

    def _make(self, schema: T.StructType) -> None:
        dated = T.StructType([*schema, T.StructField(DATE, T.DateType())])
        properties = {OWNER: self.owner, **self.properties(schema)}
        try:
            self.table.create(dated, self.format, [DATE], properties)
        except PublishError:
            if not self.table.exists():  # a run of another date has not made it either
                raise

    def accepts(self, existing: T.DataType, written: T.DataType) -> bool:
        """Whether a column of the table takes values of a type."""
        return sql_type(existing) == sql_type(written)

    def _require_catalog(self) -> None:
        if self.name.catalog == CATALOG and (
            effective_setting(self.spark, "spark.sql.catalogImplementation") == "in-memory"
        ):
            raise ConfigError(
                f"Table '{self.name}' is to be written, but this session's catalog forgets its "
                "tables when it ends.",
                hint="run under spark-submit --conf spark.sql.catalogImplementation=hive, or "
                "with the catalog of your platform.",
            )
        database = self.name.database_sql
        if not self.table.ask(self.spark.catalog.databaseExists, database):
            raise ConfigError(
                f"Table '{self.name}' is to be written, but the catalog has no database "
                f"'{self.name.database}'.",
                hint="correct the name, or CREATE DATABASE with the location for its tables.",
            )

    def _require_types(self, schema: T.StructType) -> None:
        present = {column.name.casefold(): column for column in self.table.columns()}
        for column in (*schema, T.StructField(DATE, T.DateType())):
            existing = present.get(column.name.casefold())
            if existing is not None and not self.accepts(existing.dataType, column.dataType):
                raise PublishError(
                    f"Column '{column.name}' of table '{self.name}' is "
                    f"{existing.dataType.simpleString()}; the run writes "
                    f"{column.dataType.simpleString()}.",
                    hint="nothing was published; name a new table, or bring the column back to "
                    "its type.",
                )
