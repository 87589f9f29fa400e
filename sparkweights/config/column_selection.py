"""Columns by range or by pattern, for tables with more features than anyone would list."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, InputError, did_you_mean, join_names
from sparkweights.spec.settings import ColumnRange, ColumnsMatching

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_PATTERN = 500  # characters
MAX_SECONDS = 4
_MATCH = """
import json, re, sys
pattern, names = json.load(sys.stdin.buffer)
json.dump([name for name in names if re.fullmatch(pattern, name)], sys.stdout)
"""

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
    """Refuse a regular expression that cannot be read, or is a generated program.

    Raises
    ------
    ConfigError
        With what is wrong and where.
    """
    if len(pattern) > MAX_PATTERN:
        raise ConfigError(
            f"columns.numeric: a pattern of {len(pattern):,} characters; at most {MAX_PATTERN} are "
            "allowed.",
            hint="name the columns, or use several patterns.",
        )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
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
    matches = full_matches(selection.matching, table)
    if not matches:
        raise InputError(
            f"columns.numeric: no column of the table matches {selection.matching!r}; it has "
            f"{join_names(table[:8])}{' and more' if len(table) > 8 else ''}.",  # a sample
            hint="the whole name must match the regular expression.",
        )
    return matches


def full_matches(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the names that match a regular expression as a whole.

    Nested repetitions, such as ``(a+)+``, can take time exponential in the length of a name, and
    `re` neither stops nor can be stopped; so it runs in a process of its own.

    Raises
    ------
    ConfigError
        If that takes longer than `MAX_SECONDS`.
    """
    try:
        answer = subprocess.run(  # noqa: S603 (this program; the pattern is its data)
            [sys.executable, "-I", "-S", "-c", _MATCH],
            input=json.dumps([pattern, list(names)]).encode(),
            capture_output=True,
            check=True,
            timeout=MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"columns.numeric: pattern {pattern!r} takes more than {MAX_SECONDS} s to match the "
            "names of the table's columns.",
            hint="repeat no group that holds a repetition itself: 'a+' instead of '(a+)+'.",
        ) from None
    matches: list[str] = json.loads(answer.stdout)
    return matches
