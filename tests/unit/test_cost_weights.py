"""Weights by mean regret: hand-computed rows, groups, and probabilities against a known truth."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost
from sklearn.isotonic import IsotonicRegression

from sparkweights.core.errors import InputError
from sparkweights.costs.matrix import CostMatrix
from sparkweights.weights.choose import mean_regrets, weigh_classes
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.frequencies import Cell, ClassSummary
from sparkweights.weights.rule import Grouping
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _summary(
    costs: Sequence[Array], label: Array, *, weight: Array | None = None, group: Array | None = None
) -> ClassSummary:
    """Return what a pass finds, from cost[class][row, decision] and the class of each row."""
    u = np.ones(len(label)) if weight is None else weight
    groups = np.zeros(len(label)) if group is None else group
    frequencies, cells = [], []
    for c, of_class in enumerate(costs):
        own = label == c
        frequencies.append(
            ClassFrequency(f"c{c}", int(own.sum()), u[own].sum(), (u[own] ** 2).sum())
        )
        least = of_class == of_class.min(axis=1, keepdims=True)
        for g in np.unique(groups[own]):
            here = own & (groups == g)
            sums = [(u[here, np.newaxis] * what[here]).sum(axis=0) for what in (of_class, least)]
            rows, mass = int(here.sum()), (u[here].sum(), (u[here] ** 2).sum())
            key = None if group is None else json.dumps([str(g)], separators=(",", ":"))
            cells.append(Cell(key, c, rows, *mass, *(tuple(own.tolist()) for own in sums)))
    return ClassSummary(tuple(frequencies), tuple(cells))


def _matrix(classes: int, decisions: int) -> CostMatrix:
    """Return a matrix of the right shape; the summary holds the costs."""
    names = [f"c{c}" for c in range(classes)]
    return CostMatrix.parse({f"d{d}": dict.fromkeys(names, 1) for d in range(decisions)}, names)


def test_cost_two_amounts_weigh_by_their_mean() -> None:
    """Frauds of 100 and 300 cost their amount, a declined good row 10: 200 to 10, mean 1.

    Of 8 good and 2 bad rows the mean of 10 and 200 is 48.
    """
    label = np.array([0] * 8 + [1] * 2)
    amount = np.array([50.0] * 8 + [100, 300])
    costs = [np.tile([0.0, 10], (10, 1)), np.stack([amount, 0 * amount], axis=1)]
    summary = _summary(costs, label)
    assert mean_regrets(summary) == (10, 200)
    rule = weigh_classes(_matrix(2, 2), summary, WeightSpec("cost")).rule
    assert rule.constants == pytest.approx((10 / 48, 200 / 48))
    balanced = weigh_classes(_matrix(2, 2), summary, WeightSpec("cost_balanced")).rule
    assert balanced.constants == pytest.approx((10 / 0.8 / 210, 200 / 0.2 / 210))
    assert balanced.columns == ()


def test_cost_sample_weight_two_is_the_row_twice() -> None:
    """The mean regret weighs rows by their sample weight: frauds of 100 (twice) and 400."""
    amount = np.array([50.0, 100, 400])
    costs = [np.tile([0.0, 10], (3, 1)), np.stack([amount, 0 * amount], axis=1)]
    label = np.array([0, 1, 1])
    weighted = _summary(costs, label, weight=np.array([1.0, 2, 1]))
    again = np.array([0, 1, 1, 2])
    copied = _summary([own[again] for own in costs], label[again])
    assert mean_regrets(weighted) == mean_regrets(copied) == (10, 200)
    for scheme in ("cost", "cost_balanced"):
        rules = [
            weigh_classes(_matrix(2, 2), summary, WeightSpec(scheme)).rule
            for summary in (weighted, copied)
        ]
        assert rules[0] == rules[1]


def test_cost_three_decisions_average_the_wrong_ones() -> None:
    """Class 0 costs 1, 3, 8 (mean of 2 and 7); class 1 costs 5, 0, and 1 or 3 (mean of 5 and 2)."""
    label = np.array([0, 1, 1])
    costs = [
        np.tile([1.0, 3, 8], (3, 1)),
        np.array([[5.0, 0, 1], [5, 0, 1], [5, 0, 3]]),
    ]
    assert mean_regrets(_summary(costs, label)) == (4.5, 3.5)


def test_cost_sign_that_changes_enters_the_mean() -> None:
    """Approving costs a good row 300; declining costs 200, 400 or 600: -100, 100 and 300."""
    decline = np.array([200.0, 400, 600, 0])
    costs = [
        np.stack([np.full(4, 300.0), decline], axis=1),
        np.tile([900.0, 0], (4, 1)),
    ]
    label = np.array([0, 0, 0, 1])
    assert mean_regrets(_summary(costs, label)) == pytest.approx((100, 900))


def test_cost_rows_of_no_amount_do_not_turn_the_right_decision() -> None:
    """Where two of three frauds are of amount 0 and decisions tie, fraud is still to decline."""
    amount = np.array([50.0, 0, 0, 300])
    costs = [np.tile([0.0, 10], (4, 1)), np.stack([amount, 0 * amount], axis=1)]
    assert mean_regrets(_summary(costs, np.array([0, 1, 1, 1]))) == (10, 100)


def test_cost_negative_mean_regret_is_refused_with_a_sentence() -> None:
    """Approval is right on nine good rows of ten, and loses 100 on the tenth: -9.1 on average."""
    gain = np.array([[0.0, 1]] * 9 + [[100, 0]] + [[0, 1]])
    summary = _summary([gain, np.tile([50.0, 0], (11, 1))], np.array([0] * 10 + [1]))
    with pytest.raises(InputError) as caught:
        weigh_classes(_matrix(2, 2), summary, WeightSpec("cost"))
    for words in (
        "class 'c0' is -9.1",
        "'d0' is the cheapest on most rows",
        "scheme cost",
        "balanced",
    ):
        assert words in str(caught.value)


def test_cost_class_without_regret_weighs_the_floor() -> None:
    """Declining a good row is free: its class weighs a thousandth of the mean, which is undone."""
    label = np.array([0] * 5 + [1] * 5)
    summary = _summary([np.zeros((10, 2)), np.tile([7.0, 0], (10, 1))], label)
    rule = weigh_classes(_matrix(2, 2), summary, WeightSpec("cost")).rule
    assert rule.constants == pytest.approx((0.001, 1.999))


def test_cost_balanced_by_group_uses_each_groups_regrets_and_shares() -> None:
    """Group a: 10 and 100 at shares 3/4, 1/4; group b: 10 and 20 at 1/2; c lacks the bad class.

    In a the raw weights are 10 / .75 and 100 / .25, of mean 110; in b 20 and 40, of mean 30. The
    third group weighs as all rows do: mean regrets 10 and 60 at shares 5/7 and 2/7, of mean 70.
    """
    group = np.array(["a"] * 4 + ["b"] * 2 + ["c"])
    label = np.array([0, 0, 0, 1, 0, 1, 0])
    amount = np.array([1.0, 1, 1, 100, 1, 20, 1])
    costs = [np.tile([0.0, 10], (7, 1)), np.stack([amount, 0 * amount], axis=1)]
    summary = _summary(costs, label, group=group)
    spec = WeightSpec("cost_balanced", grouping=Grouping(("region",)))
    weighting = weigh_classes(_matrix(2, 2), summary, spec)
    groups = weighting.rule.groups
    assert groups is not None
    assert set(groups.factors) == {'["a"]', '["b"]'}
    assert groups.factors['["a"]'] == pytest.approx((10 / 0.75 / 110, 100 / 0.25 / 110))
    assert groups.factors['["b"]'] == pytest.approx((20 / 30, 40 / 30))
    assert groups.otherwise == pytest.approx((10 / (5 / 7) / 70, 60 / (2 / 7) / 70))
    assert weighting.inverse_rule.columns == ("region",)


def test_cost_group_without_a_regret_weighs_as_all_rows_do() -> None:
    """Where a group's frauds are of amount 0, its own regrets say nothing about a ratio."""
    group = np.array(["a", "a", "b", "b"])
    amount = np.array([0.0, 0, 0, 30])
    costs = [np.tile([0.0, 10], (4, 1)), np.stack([amount, 0 * amount], axis=1)]
    summary = _summary(costs, np.array([0, 1, 0, 1]), group=group)
    spec = WeightSpec("cost_balanced", grouping=Grouping(("region",)))
    groups = weigh_classes(_matrix(2, 2), summary, spec).rule.groups
    assert groups is not None
    assert set(groups.factors) == {'["b"]'}


def test_cost_weights_with_heavy_amounts_leave_the_probabilities_true() -> None:
    """Of trees on lognormal amounts, weighted, undone and calibrated, p is true from end to end.

    Weighted by the row's own amount and undone by it, the same trees are off where amounts are
    small and large, because they have not learned log(w1(x) / w0(x)).
    """
    found = np.array([_p_over_truth(seed) for seed in range(3)])
    (lowest, top), (lowest_by_row, top_by_row) = found.mean(axis=0)
    assert 0.85 <= lowest <= 1.15
    assert 0.8 <= top <= 1.25
    assert lowest_by_row > 1.2
    assert top_by_row < 0.7


def _p_over_truth(seed: int) -> list[list[float]]:
    """Return mean p over true p in the lowest tenth and the top 1 %, by class and by row."""
    rng = np.random.default_rng(seed)
    rows, fit, calibrate = 60_000, slice(0, 24_000), slice(24_000, 32_000)
    x, amount = rng.standard_normal((rows, 2)), rng.lognormal(4, 1.2, rows)
    truth = 1 / (1 + np.exp(3.6 - 1.5 * x[:, 0] - x[:, 1]))
    label = (rng.random(rows) < truth).astype(int)
    costs = [np.tile([0.0, 10], (rows, 1)), np.stack([amount, 0 * amount], axis=1)]
    summary = _summary([own[fit] for own in costs], label[fit])
    weights = weigh_classes(_matrix(2, 2), summary, WeightSpec("cost", cap=50)).rule.constants or ()
    assert math.isclose(weights[1] / weights[0], amount[fit][label[fit] == 1].mean() / 10)
    features = np.column_stack([amount, x])
    new = np.arange(rows) >= calibrate.stop
    quantiles = np.quantile(amount[new], [0.1, 0.99])
    ends = [new & (amount <= quantiles[0]), new & (amount > quantiles[1])]
    found = []
    for w0, w1 in [(np.full(rows, w) for w in weights), (np.full(rows, 10.0), amount)]:
        own = np.where(label == 1, w1, w0)[fit]
        data = xgboost.DMatrix(features[fit], label[fit], weight=own / own.mean())
        settings = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "nthread": 1}
        q = xgboost.train(settings, data, 100).predict(xgboost.DMatrix(features)).astype(float)
        odds = q / (1 - q) * w0 / w1
        p = odds / (1 + odds)
        p = IsotonicRegression(out_of_bounds="clip").fit(p[calibrate], label[calibrate]).predict(p)
        found.append([float(p[end].sum() / truth[end].sum()) for end in ends])
    return found
