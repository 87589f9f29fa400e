"""The cost matrix says what decisions cost."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.core.errors import ConfigError
from sparkweights.costs.expression import render
from sparkweights.costs.matrix import CostMatrix

GOOD_BAD = ["good", "bad"]


def _two(fp: float | str, fn: float | str) -> CostMatrix:
    return CostMatrix.parse(
        {"approve": {"good": 0, "bad": fn}, "decline": {"good": fp, "bad": 0}}, GOOD_BAD
    )


def test_zero_one_matrix_has_the_cut_at_one_half() -> None:
    """Without costs every mistake is equal and the likelier class wins."""
    assert CostMatrix.zero_one(GOOD_BAD).bayes_threshold() == 0.5


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.floats(1.01, 10))
def test_bayes_threshold_dearer_miss_lowers_the_cut(fp: float, fn: float, factor: float) -> None:
    """The cut is monotone in the cost ratio, and at it both decisions cost the same."""
    cut = _two(fp, fn).bayes_threshold()
    dearer = _two(fp, fn * factor).bayes_threshold()
    assert cut is not None
    assert dearer is not None
    assert dearer < cut
    assert cut * fn == pytest.approx((1 - cut) * fp)


@pytest.mark.parametrize("cost", [-1, math.nan, math.inf, "-5", "1 / 0", "0 - 2"])
def test_parse_impossible_constant_cost_is_refused(cost: float | str) -> None:
    """A price is a finite number that is not negative."""
    with pytest.raises(ConfigError, match=r"costs\.approve\.bad.*finite number >= 0"):
        _two(1, cost)


def test_parse_missing_and_unknown_class_are_refused_by_name() -> None:
    """Every class has a price under every decision."""
    with pytest.raises(ConfigError, match=r"costs\.approve: no cost for class bad"):
        CostMatrix.parse({"approve": {"good": 0}, "decline": {"good": 1, "bad": 0}}, GOOD_BAD)
    with pytest.raises(ConfigError, match=r"unknown class 'bed'.*Did you mean 'bad'"):
        CostMatrix.parse({"a": {"good": 0, "bed": 1}, "b": {"good": 1, "bad": 0}}, GOOD_BAD)


def test_always_best_dominating_decision_is_found() -> None:
    """A decision that never loses makes the model idle; ties count as not losing."""
    lazy = CostMatrix.parse(
        {"approve": {"good": 0, "bad": 5}, "decline": {"good": 1, "bad": 5}}, GOOD_BAD
    )
    assert lazy.always_best() == "approve"
    assert _two(1, 5).always_best() is None


def test_to_dict_round_trips_through_parse() -> None:
    """What the manifest says can be parsed into an equal matrix."""
    matrix = _two("0.18 * credit_limit + 2000", "0.75 * credit_limit")
    assert CostMatrix.parse(matrix.to_dict(), GOOD_BAD).to_dict() == matrix.to_dict()
    assert matrix.columns == ("credit_limit",)


def test_least_is_the_cost_of_the_right_decision_per_class() -> None:
    """Numbers are compared once; what reads a column is the least of its row."""
    costs = {"a": {"x": 3, "y": "amount"}, "b": {"x": 2, "y": 50}}
    numbers, by_row = CostMatrix.parse(costs, ["x", "y"]).least
    assert render(numbers) == "2"
    assert render(by_row) == "min(amount, 50)"
