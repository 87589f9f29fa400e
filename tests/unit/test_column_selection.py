"""Columns by range and by pattern."""

from __future__ import annotations

import pytest

from sparkweights.config.column_selection import check_pattern, select_columns
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.spec.settings import ColumnRange, ColumnsMatching

TABLE = ["id", "g.1", "g.2", "age", "g.3", "label"]


def _between(first: str, last: str) -> ColumnRange:
    return ColumnRange.model_validate({"from": first, "to": last})


def test_select_columns_in_the_tables_order_without_the_taken() -> None:
    """A range passes over what plays another part; a name listed twice counts once."""
    found = select_columns([_between("g.1", "g.3"), "g.2"], TABLE, {"age", "label"})
    assert found == ("g.1", "g.2", "g.3")
    assert select_columns(["g.3", ColumnsMatching(matching=r"g\..")], TABLE, set()) == (
        "g.3",
        "g.1",
        "g.2",
    )


def test_select_columns_matches_whole_names() -> None:
    """`a` alone does not match `age`."""
    with pytest.raises(InputError, match="no column of the table matches 'a'"):
        select_columns([ColumnsMatching(matching="a")], TABLE, set())


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (_between("g.1", "g.9"), "no column 'g.9'"),
        (_between("g.3", "g.1"), "runs backwards"),
    ],
)
def test_select_columns_refuses_a_bad_range(wanted: ColumnRange, text: str) -> None:
    """With the end that is wrong."""
    with pytest.raises(InputError, match=text):
        select_columns([wanted], TABLE, set())


def test_check_pattern_says_what_is_wrong() -> None:
    """Before any table is read."""
    with pytest.raises(ConfigError, match="'g\\[' is not a regular expression"):
        check_pattern("g[")
