"""Columns by range or by pattern, for tables with more features than anyone would list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, InputError, did_you_mean, join_names
from sparkweights.spec.settings import ColumnRange, ColumnsMatching

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Selection = str | ColumnRange | ColumnsMatching


def select_columns(
    selections: Sequence[Selection], table: Sequence[str], excluded: Collection[str]
) -> tuple[str, ...]:
    """Return the names that a list of names, ranges and patterns stands for, each once.

    Parameters
    ----------
    selections
        As under ``columns.numeric``.
    table
        The table's columns, in its order.
    excluded
        Columns that play another part; ranges and patterns pass over them.

    Raises
    ------
    InputError
        If an end of a range is not in the table, or a pattern matches nothing.
    """
    selected: dict[str, None] = {}
    passed_over = {name.casefold() for name in excluded}
    for selection in selections:
        if isinstance(selection, str):
            selected[selection] = None
            continue
        names = (
            _between(selection, table)
            if isinstance(selection, ColumnRange)
            else _matching(selection, table)
        )
        selected |= dict.fromkeys(name for name in names if name.casefold() not in passed_over)
    return tuple(selected)


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression that cannot be read.

    Raises
    ------
    ConfigError
        With what is wrong and where.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"columns.numeric: pattern {pattern!r} is not a regular expression: {error}.",
            hint="for instance {matching: 'gene_[0-9]+'}; the whole name must match.",
        ) from None


def _between(selection: ColumnRange, table: Sequence[str]) -> Sequence[str]:
    for name in (selection.first, selection.last):
        if name not in table:
            raise InputError(
                f"columns.numeric: the table has no column '{name}', an end of the range from "
                f"'{selection.first}' to '{selection.last}'.",
                hint=did_you_mean(name, table) or "name two columns of the table.",
            )
    first, last = table.index(selection.first), table.index(selection.last)
    if first > last:
        raise InputError(
            f"columns.numeric: the range runs backwards; the table has '{selection.first}' after "
            f"'{selection.last}'.",
            hint="exchange its ends.",
        )
    return table[first : last + 1]


def _matching(selection: ColumnsMatching, table: Sequence[str]) -> Sequence[str]:
    matches = [name for name in table if re.fullmatch(selection.matching, name)]
    if not matches:
        raise InputError(
            f"columns.numeric: no column of the table matches {selection.matching!r}; it has "
            f"{join_names(table[:8])}{' and more' if len(table) > 8 else ''}.",  # a sample
            hint="the whole name must match the regular expression.",
        )
    return matches
