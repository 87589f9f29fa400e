"""Names of tables of the catalog, as text, as SQL and as a file name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from sparkweights.core.roles import quoted

CATALOG = "spark_catalog"  # the session's catalog; tables of other catalogs have other formats
_PART = r"(?:[A-Za-z_]\w*|`(?:[^`]|``)+`)"
_NAME = re.compile(rf"(?:`?{CATALOG}`?\.)?({_PART})\.({_PART})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TableName:
    """A table of the session's catalog, whose names are not case-sensitive."""

    database: str
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName | None:
        """Return the table that a text names, or None.

        Examples
        --------
        >>> TableName.parse("spark_catalog.Lending.`scored loans`")
        TableName(database='lending', table='scored loans')
        >>> TableName.parse("scored")
        """
        match = _NAME.fullmatch(text)
        return None if match is None else cls(*map(_plain, match.groups()))

    @property
    def sql(self) -> str:
        """The name in backticks."""
        return f"{quoted(self.database)}.{quoted(self.table)}"

    @property
    def file(self) -> str:
        """The name as a file name."""
        return f"{quote(self.database, safe='')}.{quote(self.table, safe='')}"

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


def _plain(part: str) -> str:
    plain = part[1:-1].replace("``", "`") if part.startswith("`") else part
    return plain.lower()
