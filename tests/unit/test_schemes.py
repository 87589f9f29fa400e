"""Weighting schemes against scikit-learn, hand-computed rows and their own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from sparkweights.costs import CostMatrix, render
from sparkweights.errors import ConfigError, InputError
from sparkweights.weights.diagnostics import diagnose
from sparkweights.weights.schemes import (
    ClassFrequency,
    WeightRule,
    capped,
    fixed_rule,
    regret_cells,
)

COUNTS = st.lists(st.integers(1, 10_000), min_size=2, max_size=6)


def _frequencies(counts: list[int]) -> list[ClassFrequency]:
    return [ClassFrequency(f"c{i}", n, float(n), float(n)) for i, n in enumerate(counts)]


def _constants(rule: WeightRule) -> tuple[float, ...]:
    assert rule.constants is not None
    return rule.constants


@given(COUNTS)
def test_balanced_any_counts_equal_scikit_learn(counts: list[int]) -> None:
    """Balanced weights are compute_class_weight("balanced")."""
    labels = np.repeat(np.arange(len(counts)), counts)
    oracle = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    found = _constants(fixed_rule("balanced", _frequencies(counts)))
    assert found == pytest.approx(oracle)


@given(COUNTS)
def test_balanced_any_counts_share_the_risk_equally(counts: list[int]) -> None:
    """Under balanced weights each class carries the same share of the risk."""
    weights = _constants(fixed_rule("balanced", _frequencies(counts)))
    shares = [w * n for w, n in zip(weights, counts, strict=True)]
    assert shares == pytest.approx([shares[0]] * len(shares))


@given(COUNTS, st.lists(st.floats(0.001, 1000), min_size=6, max_size=6), st.floats(1, 60))
def test_capped_any_weights_keep_mean_one_below_the_cap(
    counts: list[int], raw: list[float], cap: float
) -> None:
    """Whatever the cap, the mean weight is 1 and no weight exceeds it."""
    values = capped(raw[: len(counts)], counts, cap)
    mean = sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)
    assert mean == pytest.approx(1)
    assert max(values) <= cap * (1 + 1e-12)


def test_manual_weights_are_scaled_ratios() -> None:
    """20 : 1 over 90 and 10 rows has mean (90 + 200) / 100 = 2.9."""
    rule = fixed_rule("manual", _frequencies([90, 10]), manual={"c0": 1, "c1": 20})
    assert _constants(rule) == pytest.approx((1 / 2.9, 20 / 2.9))


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_manual_impossible_weight_is_refused(weight: float) -> None:
    """A class weight is a finite number above 0."""
    with pytest.raises(ConfigError, match=r"weights\.manual\.c1"):
        fixed_rule("manual", _frequencies([5, 5]), manual={"c0": 1, "c1": weight})


def test_fixed_rule_class_without_rows_is_refused() -> None:
    """One class only cannot be weighted against another."""
    with pytest.raises(InputError, match="No rows of class c1"):
        fixed_rule("balanced", _frequencies([5, 0]))


def test_capped_cap_below_the_mean_is_refused() -> None:
    """No set of weights has mean 1 with all of them below 1."""
    with pytest.raises(ConfigError, match=r"weights\.cap"):
        capped([1, 2], [1, 1], 0.5)


def test_regret_cells_of_per_row_costs_are_the_price_of_the_mistake() -> None:
    """With a free right decision the regret is the wrong one's cost."""
    matrix = CostMatrix.parse(
        {
            "approve": {"repay": 0, "default": "0.75 * limit"},
            "decline": {"repay": "0.18 * limit + 2000", "default": 0},
        },
        ["repay", "default"],
    )
    assert [render(cell) for cell in regret_cells(matrix)] == [
        "0.18 * limit + 2000",
        "0.75 * limit",
    ]


def test_regret_cells_of_three_decisions_average_the_wrong_ones() -> None:
    """Class a: costs 1, 3, 8, best 1: mean of 2 and 7; class b: 5, 0, 1: mean of 5 and 1."""
    matrix = CostMatrix.parse(
        {"x": {"a": 1, "b": 5}, "y": {"a": 3, "b": 0}, "z": {"a": 8, "b": 1}}, ["a", "b"]
    )
    assert [render(cell) for cell in regret_cells(matrix)] == ["4.5", "3"]


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 9)), min_size=2, max_size=5),
)
def test_kish_ess_integer_weights_equal_repeated_rows(classes: list[tuple[int, int]]) -> None:
    """ESS <= n, with equality for equal weights only; a weight is what repeating a row does."""
    frequencies = _frequencies([n for n, _ in classes])
    sums = [(float(n * w), float(n * w * w)) for n, w in classes]
    found = diagnose(frequencies, sums, (1, 9))
    rows = sum(n for n, _ in classes)
    assert found.kish_ess <= rows * (1 + 1e-12)
    assert (found.kish_ess == pytest.approx(rows)) == (len({w for _, w in classes}) == 1)
    repeated = sum(n * w for n, w in classes)
    assert found.share_after == pytest.approx([n * w / repeated for n, w in classes])


def test_weight_rule_round_trips_through_json() -> None:
    """A ledger read back weighs rows as the one written."""
    rule = WeightRule("cost", ("a", "b"), regret_cells(CostMatrix.zero_one(["a", "b"])), 2, 0.1, 9)
    assert WeightRule.from_dict(rule.to_dict()) == rule
    free = WeightRule("none", ("a", "b"), rule.cells)
    assert math.isinf(WeightRule.from_dict(free.to_dict()).cap)
