"""A table of text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sparkweights.report.numbers import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_NUMBER = re.compile(r"^[+\-\u2212]?[\d,]+(\.\d+)?(e[+-]?\d+)?( ?%| s)?$")


@dataclass(frozen=True)
class Table:
    """Rows of text under a caption; the first cell of a row names the row.

    Attributes
    ----------
    caption
        What the table holds.
    header
        One title per column.
    rows
        As many cells each as the header has.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether a column holds only numbers, so that its digits should line up."""
        return tuple(
            i > 0 and bool(self.rows) and all(_is_number(row[i]) for row in self.rows)
            for i in range(len(self.header))
        )


def _is_number(cell: str) -> bool:
    return cell in {"", NOTHING} or _NUMBER.match(cell) is not None


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of any sequences of text."""
    return Table(caption, tuple(header), tuple(tuple(row) for row in rows))


def facts_table(caption: str, facts: Sequence[tuple[str, str]]) -> Table:
    """Return a table of names and values; a value that is empty leaves its row out."""
    return table(caption, ("what", "value"), [fact for fact in facts if fact[1]])


def sample_points(values: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` points, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]
