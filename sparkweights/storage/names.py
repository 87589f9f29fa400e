"""Names of tables of the catalog, as one says them and as SQL writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from sparkweights.core.roles import quoted

CATALOG = "spark_catalog"  # the session's own; others keep their tables in ways of their own
_PART = r"(?:[A-Za-z_]\w*|`(?:[^`]|``)+`)"
_NAME = re.compile(rf"(?:`?{CATALOG}`?\.)?({_PART})\.({_PART})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TableName:
    """A table of the session's catalog; names are the same in upper and lower case."""

    database: str
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName | None:
        """Return the table that a text names, or None.

        Examples
        --------
        >>> TableName.parse("spark_catalog.Lending.`scored nightly`")
        TableName(database='lending', table='scored nightly')
        >>> TableName.parse("scored")
        """
        found = _NAME.fullmatch(text)
        return None if found is None else cls(*map(_plain, found.groups()))

    @property
    def sql(self) -> str:
        """The name in backticks."""
        return f"{quoted(self.database)}.{quoted(self.table)}"

    @property
    def file(self) -> str:
        """The name as that of a file."""
        return f"{quote(self.database, safe='')}.{quote(self.table, safe='')}"

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


def _plain(part: str) -> str:
    plain = part[1:-1].replace("``", "`") if part.startswith("`") else part
    return plain.lower()
