"""A table of text, and how numbers are written in it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER = re.compile(r"^[+\-\u2212]?[\d,]+(\.\d+)?(e[+-]?\d+)?( ?%| s)?$")
_WHOLE_FROM, _PLAIN_FROM, _PLAIN_TO = 100, 1e-3, 1e6
NOTHING = "\u2013"


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


def money(value: float) -> str:
    """Write an amount: whole from 100 on, else with two digits.

    Examples
    --------
    >>> money(67566800.4), money(-3.14159)
    ('67,566,800', '-3.14')
    """
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:,.2f}"


def span(low: float, high: float) -> str:
    """Write an interval of amounts, both ends alike.

    Examples
    --------
    >>> span(-9.5, 728), span(-9.5, 1)
    ('-10 to 728', '-9.50 to 1.00')
    """
    digits = 0 if max(abs(low), abs(high)) >= _WHOLE_FROM else 2
    return f"{low:,.{digits}f} to {high:,.{digits}f}"


def percent(share: float) -> str:
    """Write a share, with a third digit where two would say 0.

    Examples
    --------
    >>> percent(0.2212), percent(0.00034)
    ('22.1 %', '0.034 %')
    """
    if math.isnan(share):
        return NOTHING
    size = abs(share)
    if size >= _PLAIN_FROM or size == 0:
        return f"{share:.1%}".replace("%", " %")
    return f"{share * 100:.2g} %"


def number(value: float) -> str:
    """Write a number with four digits that count.

    Examples
    --------
    >>> number(1.27249), number(0.5), number(48000)
    ('1.272', '0.5', '48,000')
    """
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size and not _PLAIN_FROM <= size < _PLAIN_TO:
        return f"{value:,.0f}" if size >= _PLAIN_TO else f"{value:.3g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def thinned(values: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most so many points, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]
