"""Conditions of the configuration and of suites: one language, and no other interpreter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.core.errors import ConfigError
from sparkweights.costs.condition import (
    MAX_COMPARISONS,
    Comparison,
    condition_names,
    holds,
    negate,
    parse_condition,
)
from sparkweights.costs.expression import Name, Number
from sparkweights.quality.conditions import row_condition, unexpected_rows

if TYPE_CHECKING:
    from sparkweights.costs.condition import Value

ROW: dict[str, Value] = {
    "a": 2.0, "b": None, "c": "it's", "d": "2024-01-31", "e": True, "n": math.nan, "a.b": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 2", True),
        ("a <> 2", False),
        ("2 * (a + 1) >= 6", True),
        ("(a) > 1 and ((a < 1) or c = 'it''s')", True),
        ('c = "it\'s"', True),
        ("a = 3 or a = 4 and a = 2", False),
        ("not a = 3 and not (a = 3 or a > 4)", True),
        ("not not a = 2", True),
        ("a BETWEEN 1 AND 2", True),
        ("a not between 1 and 2", False),
        ("a in (1, 2)", True),
        ("a not in (1, -2)", True),
        ("c in ('x', 'it''s')", True),
        ("d >= '2024-01-01' and d < '2024-02-01'", True),
        ("e = true", True),
        ("`a.b` = 0", True),
        ("b is null", True),
        ("a is not null", True),
        ("b = 1", False),
        ("b != 1", False),
        ("not b = 1", False),
        ("b in (1)", False),
        ("b not in (1)", False),
        ("a / b > 0 or a / 0 > 0", False),
        ("n is null", True),
        ("n > 1 or n <= 1", False),
        ("isnan(n)", True),
        ("not isnan(a)", True),
    ],
)
def test_holds_follows_sql_with_nan_as_missing(text: str, *, expected: bool) -> None:
    """Each condition on one row, decided by hand."""
    assert holds(parse_condition(text), ROW) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "the end at line 1, column 2; expected a comparison"),
        ("a > 1 or", "the end at line 1, column 9"),
        ("a ! 3", "'!' at line 1, column 3"),
        ("java_method('a', 'b') = 'c'", "'java_method' at line 1, column 1"),
        ("a in (select b from t)", "'select' at line 1, column 7"),
        ("a in (b)", "'b' at line 1, column 7"),
        ("a = 'x\\'", "' at line 1, column 5"),
        ("a = 1; drop table t", "';' at line 1, column 6"),
        ("a > 1 -- and", "'and' at line 1, column 10"),
        ("not " * 60 + "a = 1", "at most 50 levels"),
        (" or ".join(["a = 1"] * (MAX_COMPARISONS + 1)), "at most 100 are allowed"),
        ("a > " + " + ".join(["a"] * 101), "at most 100 numbers and columns together"),
        ("a = 1 or " * 300, "at most 2000 are allowed"),
    ],
)
def test_parse_condition_refuses_what_is_not_the_language(text: str, words: str) -> None:
    """A sentence names the first word that is not part of the language; nothing is run."""
    with pytest.raises(ConfigError) as refused:
        parse_condition(text)
    assert words in refused.value.message


def test_condition_names_are_listed_once_in_order() -> None:
    """Every column that a condition reads."""
    tree = parse_condition("b > 1 and (a is null or b in (2)) and isnan(`c.d`) and b + e < 3")
    assert [name.name for name in condition_names(tree)] == ["b", "a", "c.d", "e"]


values = st.sampled_from([None, math.nan, -1.0, 0.0, 1.0])
leaves = st.tuples(
    st.sampled_from("xy"), st.sampled_from(["=", "!=", "<", ">="]), st.integers(-1, 1)
)
trees = st.recursive(
    leaves.map(lambda leaf: f"{leaf[0]} {leaf[1]} {leaf[2]}"),
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(
            lambda both: f"({both[0]}) {both[1]} ({both[2]})"
        ),
        part.map(lambda one: f"not ({one})"),
    ),
    max_leaves=8,
)


@given(text=trees, x=values, y=values)
def test_negate_holds_where_the_condition_does_not_unless_a_value_is_missing(
    text: str, x: float | None, y: float | None
) -> None:
    """De Morgan's laws, and SQL's: with a missing operand neither holds by that operand."""
    tree, row = parse_condition(text), {"x": x, "y": y}
    read = [row[name.name] for name in condition_names(tree)]
    if all(value is not None and not math.isnan(value) for value in read):
        assert holds(negate(tree), row) is not holds(tree, row)
    else:
        assert not (holds(negate(tree), row) and holds(tree, row))


NUMBER = Comparison(">", Name("a", 1), Number(2.0))


@pytest.mark.parametrize(
    ("value", "parser", "text"),
    [
        ("a > 2 and c = 'x'", "spark", "a > 2 and c = 'x'"),
        ("a > 2", None, "a > 2"),
        ('col("a") > 2', "great_expectations", "a > 2"),
        ('col("a") != "x"', "great_expectations__experimental__", "a != 'x'"),
        ("col(\"a\") == date('2024-01-31')", "great_expectations", "a = '2024-01-31'"),
        ('col("a").notNull()', "great_expectations", "a is not null"),
        ('col("a b").notnull()', "great_expectations", "`a b` is not null"),
        ({"type": "nullity", "column": {"name": "a"}, "is_null": True}, None, "a is null"),
        (
            {"type": "comparison", "column": {"name": "a"}, "operator": "NOT_IN",
             "parameter": [1, 2]},
            None,
            "a not in (1, 2)",
        ),
        (
            {"type": "or", "conditions": [
                {"type": "comparison", "column": {"name": "a"}, "operator": "<=", "parameter": 2},
                {"type": "pass_through", "pass_through_filter": "e = true"}]},
            None,
            "a <= 2 or e = true",
        ),
    ],
)  # fmt: skip
def test_row_condition_of_every_form_is_one_language(value: Any, parser: Any, text: str) -> None:
    """The library's objects and its own text are the conditions that they look like."""
    names = {name.name for name in condition_names(row_condition(value, parser))}
    assert names == {name.name for name in condition_names(parse_condition(text))}
    is_text = text in {"a != 'x'", "a = '2024-01-31'"}
    examples = (None, "x", "2024-01-31") if is_text else (None, 1.0, 2.0, 3.0)
    for a in examples:
        row: dict[str, Value] = {"a": a, "c": "x", "e": True, "a b": a}
        assert holds(row_condition(value, parser), row) == holds(parse_condition(text), row)


@pytest.mark.parametrize(
    ("value", "parser"),
    [
        ("java_method('java.lang.System', 'getenv', 'HOME') = 'x'", "spark"),
        ("a > 2", "pandas"),
        ('col("a") > 2 and col("b") > 3', "great_expectations"),
        ({"type": "pass_through", "pass_through_filter": "reflect('a', 'b') = 1"}, None),
        ({"type": "comparison", "column": {"name": "a"}, "operator": "OR 1=1",
          "parameter": 1}, None),
        ({"type": "comparison", "column": {}, "operator": "==", "parameter": 1}, None),
        ({"type": "comparison", "column": {"name": "a"}, "operator": "==", "parameter": {}}, None),
        ({"type": "comparison", "column": {"name": "a"}, "operator": "IN", "parameter": []}, None),
        ({"type": "and", "conditions": []}, None),
        ({"type": "or", "conditions": [{"type": "nullity", "column": {"name": "a"},
                                        "is_null": True}] * 101}, None),
        (7, None),
    ],
)  # fmt: skip
def test_row_condition_refuses_what_it_cannot_read(value: Any, parser: Any) -> None:
    """No form reaches the SQL parser, and none is ignored."""
    with pytest.raises(ConfigError):
        row_condition(value, parser)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM {batch} WHERE a > 2",
        "select a, `c.d` from {batch} as t\n where a > 2 ;",
        "SELECT * FROM {batch} b WHERE (a > 2)",
    ],
)
def test_unexpected_rows_are_a_condition(query: str) -> None:
    """A query that only filters the batch is its condition."""
    tree = unexpected_rows(query)
    assert [holds(tree, {"a": a}) for a in (None, 2.0, 3.0)] == [False, False, True]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a, count(*) FROM {batch} GROUP BY a",
        "SELECT * FROM {batch} WHERE a > (SELECT max(a) FROM other)",
        "SELECT * FROM {batch} JOIN t ON a = b WHERE a > 2",
        "SELECT * FROM {batch.__class__} WHERE a > 2",
        "SELECT * FROM parquet.`/etc` WHERE a > 2",
        "SELECT * FROM {batch} WHERE a > 2 UNION SELECT * FROM t",
        "SELECT java_method('java.lang.System', 'exit', 1) FROM {batch} WHERE a > 2",
        "SELECT * FROM {batch}",
        None,
    ],
)
def test_unexpected_rows_refuse_all_other_sql(query: str | None) -> None:
    """SQL of a suite is not run; the hint says what to write instead."""
    with pytest.raises(ConfigError) as refused:
        unexpected_rows(query)
    assert refused.value.hint
