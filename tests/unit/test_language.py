"""The cost arithmetic parses what it says, and nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.core.errors import ConfigError
from sparkweights.costs.expression import (
    Call,
    Expression,
    Name,
    Number,
    Operation,
    check_names,
    evaluate,
    names,
    parse,
    render,
    substitute,
)

ROW = {"a": 2.0, "b": -3.0, "z": 0.0, "n": None, "x": math.nan, "loan.amount": 10.0, "c d": 7.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("16 / 4 / 2", 2.0),
        ("-a * -b", -6.0),
        ("2 - -3", 5.0),
        ("1e3 + .5", 1000.5),
        ("a / z", None),
        ("0 / z", None),
        ("n + 1", None),
        ("x + 1", None),
        ("n * 0", None),
        ("coalesce(n, x, a)", 2.0),
        ("coalesce(n, n)", None),
        ("coalesce(a / z, 9)", 9.0),
        ("min(a, b, z)", -3.0),
        ("max(a, b, z)", 2.0),
        ("max(a, n)", None),
        ("`loan.amount` * `c d`", 70.0),
        ("0.75\n  * a", 1.5),
    ],
)
def test_evaluate_each_rule_gives_hand_computed_value(text: str, value: float | None) -> None:
    """Precedence, signs, nulls, NaN, zero divisors and quoting mean what is documented."""
    assert evaluate(parse(text), ROW) == value


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("1 +", "column 4", "the end"),
        ("1 + * 2", "column 5", "'*'"),
        ("reflect('a')", "column 9", '"\'"'),
        ("reflect(a)", "column 1", "'reflect'"),
        ("(select 1)", "column 9", "'1'"),
        ("a b", "column 3", "'b'"),
        ("a; drop table x", "column 2", "';'"),
        ("1\n+ 2 +\n ]", "line 3, column 2", "']'"),
        ("min(a)", "column 6", "')'"),
        ("1e999", "column 1", "'1e999'"),
        ("", "column 1", "the end"),
    ],
)
def test_parse_foreign_text_is_refused_with_its_place(text: str, place: str, word: str) -> None:
    """SQL, unknown functions and broken arithmetic are refused where they begin."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert place in str(caught.value)
    assert word.strip('"') in str(caught.value)


@pytest.mark.parametrize("text", ["(" * 60 + "1" + ")" * 60, "-" * 60 + "a", "1+" * 2000 + "1"])
def test_parse_oversized_expression_is_refused(text: str) -> None:
    """Generated programs stop at the parser, not at a recursion limit."""
    with pytest.raises(ConfigError):
        parse(text)


def _trees() -> st.SearchStrategy[Expression]:
    leaves = st.one_of(
        st.floats(-1e6, 1e6).map(Number),
        st.sampled_from(sorted(ROW)).map(lambda name: Name(name, 1)),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(Operation, st.sampled_from("+-*/"), inner, inner),
            st.builds(
                Call,
                st.sampled_from(["min", "max", "coalesce"]),
                st.lists(inner, min_size=2, max_size=3).map(tuple),
            ),
        ),
        max_leaves=12,
    )


@given(_trees())
def test_render_any_tree_parses_back_to_the_same_value(tree: Expression) -> None:
    """The canonical text loses nothing: manifests can be read back exactly."""
    value = evaluate(tree, ROW)
    again = evaluate(parse(render(tree)), ROW)
    assert again == value or (value != value and again != again)  # noqa: PLR0124 (NaN)


@given(_trees())
def test_substitute_any_tree_keeps_its_value(tree: Expression) -> None:
    """With a column's own value in its place, an expression is worth what it was."""
    changed = substitute(tree, {"a": ROW["a"]})
    assert "a" not in {name.name for name in names(changed)}
    value, again = evaluate(tree, ROW), evaluate(changed, ROW)
    assert again == value or (value != value and again != again)  # noqa: PLR0124 (NaN)


def test_names_repeated_columns_are_listed_once() -> None:
    """Each column is read once, in order of appearance."""
    assert [name.name for name in names(parse("b + a * b"))] == ["b", "a"]


def test_check_names_unknown_and_text_columns_are_refused_with_position() -> None:
    """A misspelt column is named with its position and the nearest one there is."""
    kinds = {"credit_limit": "number", "card": "text"}
    with pytest.raises(
        ConfigError, match=r"'credit_limt' at column 8.*Did you mean 'credit_limit'"
    ):
        check_names(parse("0.75 * credit_limt"), kinds, where="costs.approve.default")
    with pytest.raises(ConfigError, match=r"'card' at column 1.*is text"):
        check_names(parse("card"), kinds, where="costs.approve.default")
