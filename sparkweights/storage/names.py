"""Names of tables of a catalog or of PostgreSQL, as text, as SQL and as a file name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from sparkweights.core.roles import quoted

CATALOG = "spark_catalog"  # of every session; its names are not case-sensitive
_PART = r"(?:[A-Za-z_]\w*|`(?:[^`]|``)+`)"
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})\.({_PART})", re.ASCII)
_POSTGRES_PART = r'(?:[A-Za-z_][\w$]*|"(?:[^"]|"")+")'
_POSTGRES_NAME = re.compile(rf"({_POSTGRES_PART})\.({_POSTGRES_PART})", re.ASCII)
POSTGRES_BYTES = 63  # of a name; of a longer one PostgreSQL drops the rest


@dataclass(frozen=True)
class TableName:
    """A table of a catalog that the session has, for instance Hive's, Unity's or Iceberg's."""

    database: str
    table: str
    catalog: str = CATALOG

    @classmethod
    def parse(cls, text: str, current: str = CATALOG) -> TableName | None:
        """Return the table that a text names, or None.

        Parameters
        ----------
        current
            The session's current catalog, which names of two parts belong to.

        Examples
        --------
        >>> TableName.parse("spark_catalog.Lending.`scored loans`")
        TableName(database='lending', table='scored loans', catalog='spark_catalog')
        >>> TableName.parse("lake.Lending.scored").sql
        '`lake`.`Lending`.`scored`'
        >>> TableName.parse("scored")
        """
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        catalog, database, table = (part and _plain(part) for part in match.groups())
        catalog = catalog or current
        if catalog.lower() == CATALOG:
            return cls(database.lower(), table.lower())
        return cls(database, table, catalog)

    @property
    def sql(self) -> str:
        """The name in backticks."""
        return f"{self.database_sql}.{quoted(self.table)}"

    @property
    def database_sql(self) -> str:
        """The name of its database in backticks."""
        return f"{quoted(self.catalog)}.{quoted(self.database)}"

    @property
    def file(self) -> str:
        """The name as a file name, the same for every spelling that a catalog may take for it.

        Most catalogs ignore case. Where one does not, two tables share a file, and so a lock.
        """
        return ".".join(quote(part.casefold(), safe="") for part in self._parts)

    @property
    def _parts(self) -> tuple[str, ...]:
        own = (self.database, self.table)
        return own if self.catalog == CATALOG else (self.catalog, *own)

    def __str__(self) -> str:
        return ".".join(self._parts)


def _plain(part: str) -> str:
    return part[1:-1].replace("``", "`") if part.startswith("`") else part


@dataclass(frozen=True)
class PostgresName:
    """A table of a PostgreSQL database."""

    schema: str
    table: str

    @classmethod
    def parse(cls, text: str) -> PostgresName | None:
        """Return the table that a text names, or None.

        Examples
        --------
        >>> PostgresName.parse('Lending."Scored loans"')
        PostgresName(schema='lending', table='Scored loans')
        >>> PostgresName.parse("scored")
        """
        match = _POSTGRES_NAME.fullmatch(text)
        if match is None:
            return None
        parts = [_plain_postgres(part) for part in match.groups()]
        if any(len(part.encode()) > POSTGRES_BYTES for part in parts):
            return None
        return cls(*parts)

    @property
    def sql(self) -> str:
        """The name in double quotes."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.table))

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


def _plain_postgres(part: str) -> str:
    """Return a part as PostgreSQL stores it: in lower case, unless it is in quotes."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()
