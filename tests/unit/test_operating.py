"""Cuts from costs, odds and constraints against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.costs.matrix import CostMatrix
from sparkweights.evaluation.operating_points import (
    ALWAYS,
    NEVER,
    REVERSED,
    THRESHOLD,
    RocPoint,
    binary_rule,
    constrained_point,
    iso_cost_point,
    likelihood_ratio_threshold,
    mllib_thresholds,
    roc_hull,
    roc_points,
)

COST = st.integers(0, 20).map(float)
PROBABILITY = st.floats(0.001, 0.999)


@given(COST, COST, COST, COST, PROBABILITY)
def test_binary_rule_any_costs_decide_as_brute_force(
    c00: float, c01: float, c10: float, c11: float, p: float
) -> None:
    """In every sign case the rule takes the decision of least expected cost."""
    first, second = (1 - p) * c00 + p * c01, (1 - p) * c10 + p * c11
    if abs(first - second) > 1e-9:
        assert binary_rule(c00, c01, c10, c11).decides(p) == (second < first)


@pytest.mark.parametrize(
    ("costs", "kind"),
    [
        ((0, 20, 1, 0), THRESHOLD),
        ((1, 0, 0, 5), REVERSED),
        ((1, 5, 0, 0), ALWAYS),
        ((0, 0, 1, 5), NEVER),
        ((0, 5, 0, 0), ALWAYS),
        ((2, 3, 2, 3), NEVER),
    ],
)
def test_binary_rule_degenerate_signs_have_names(costs: tuple[float, ...], kind: str) -> None:
    """Costs the wrong way round, one decision always best, and none better."""
    assert binary_rule(*costs).kind == kind


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(1.01, 10))
def test_binary_rule_threshold_falls_with_the_cost_ratio(a: float, b: float, factor: float) -> None:
    """The dearer a missed event, the lower the cut; only the ratio matters."""
    cut = binary_rule(0, b, a, 0).threshold
    dearer = binary_rule(0, b * factor, a, 0).threshold
    assert cut is not None
    assert dearer is not None
    assert dearer < cut
    assert binary_rule(0, 3 * b, 3 * a, 0).threshold == pytest.approx(cut)


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_binary_rule_undefined_cost_is_refused(cost: float) -> None:
    """Four finite numbers, or no rule."""
    with pytest.raises(ConfigError, match="finite"):
        binary_rule(0, cost, 1, 0)


@given(PROBABILITY, PROBABILITY, PROBABILITY)
def test_likelihood_ratio_threshold_decides_alike(t: float, prior: float, p: float) -> None:
    """P >= t exactly where the likelihood ratio exceeds its threshold."""
    ratio = p / (1 - p) * (1 - prior) / prior
    if abs(p - t) > 1e-9:
        assert (ratio >= likelihood_ratio_threshold(t, prior)) == (p >= t)


@pytest.mark.parametrize(("threshold", "prior"), [(0, 0.5), (1, 0.5), (0.5, 0), (0.5, math.nan)])
def test_likelihood_ratio_threshold_out_of_range_is_refused(threshold: float, prior: float) -> None:
    """Odds of 0 and 1 are not numbers."""
    with pytest.raises(ConfigError, match="between 0 and 1"):
        likelihood_ratio_threshold(threshold, prior)


@given(
    st.lists(st.floats(0.5, 20), min_size=2, max_size=6),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
)
def test_mllib_thresholds_predict_the_bayes_decision(prices: list[float], raw: list[float]) -> None:
    """Where they exist, argmax p / t is argmin expected cost."""
    names = [f"c{i}" for i in range(len(prices))]
    matrix = CostMatrix.parse(
        {d: {c: 0 if c == d else prices[i] for i, c in enumerate(names)} for d in names}, names
    )
    p = np.array(raw[: len(prices)]) / sum(raw[: len(prices)])
    rows = np.array(matrix.numbers())
    expected = rows @ p
    ordered = np.sort(expected)
    if ordered[1] - ordered[0] > 1e-9:
        assert np.argmax(p / np.array(mllib_thresholds(matrix))) == np.argmin(expected)


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ({"a": {"a": 0, "b": "x"}, "b": {"a": 1, "b": 0}}, "differ from row to row"),
        ({"a": {"a": 0, "b": 1}, "b": {"a": 1, "b": 0}, "r": {"a": 0.2, "b": 0.2}}, "3 decisions"),
        ({"a": {"a": 1, "b": 1}, "b": {"a": 1, "b": 0}}, "class 'a'"),
    ],
)
def test_mllib_thresholds_that_cannot_be_exact_are_refused(
    costs: dict[str, dict[str, float | str]], words: str
) -> None:
    """An approximation of a cost matrix would be a silent change of decisions."""
    with pytest.raises(ConfigError, match=words):
        mllib_thresholds(CostMatrix.parse(costs, ["a", "b"]))


def test_mllib_thresholds_costs_of_three_classes_that_differ_by_decision_are_refused() -> None:
    """Confusing a with b and a with c at different prices is beyond argmax p / t."""
    costs = {"a": {"a": 0, "b": 1, "c": 1}, "b": {"a": 2, "b": 0, "c": 1},
             "c": {"a": 3, "b": 1, "c": 0}}  # fmt: skip
    with pytest.raises(ConfigError, match="class 'a' costs 2 to 3"):
        mllib_thresholds(CostMatrix.parse(costs, ["a", "b", "c"]))


@st.composite
def _bins(draw: st.DrawFn) -> tuple[list[float], list[float], list[float]]:
    size = draw(st.integers(2, 15))
    counts = st.lists(st.integers(0, 30).map(float), min_size=size, max_size=size)
    positives, negatives = draw(counts), draw(counts)
    positives[0], negatives[-1] = positives[0] + 1, negatives[-1] + 1
    return [i / size for i in range(size)], positives, negatives


@given(_bins(), PROBABILITY, st.floats(0.1, 20), st.floats(0.1, 20))
def test_iso_cost_point_is_the_cheapest_of_all_cuts(
    bins: tuple[list[float], list[float], list[float]], prior: float, fp: float, fn: float
) -> None:
    """No cut of the score is cheaper than the hull's tangent point."""
    scores, positives, negatives = map(np.asarray, bins)
    hull = roc_hull(*bins)
    best = iso_cost_point(hull, prior, fp, fn).cost(prior, fp, fn)
    costs = [
        prior * fn * positives[scores < cut].sum() / positives.sum()
        + (1 - prior) * fp * negatives[scores >= cut].sum() / negatives.sum()
        for cut in [*scores, math.inf]
    ]
    assert best == pytest.approx(min(costs))


@given(_bins())
def test_roc_hull_equals_scipys_convex_hull(
    bins: tuple[list[float], list[float], list[float]],
) -> None:
    """The hull with the point (1, 0) closes to the convex hull's area."""
    hull = roc_hull(*bins)
    x, y = [p.false_positive_rate for p in hull], [p.recall for p in hull]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    positives, negatives = (np.cumsum(np.asarray(v)[::-1]) for v in bins[1:])
    points = np.column_stack([negatives / negatives[-1], positives / positives[-1]])
    oracle = ConvexHull(np.vstack([[0, 0], [1, 0], points])).volume
    assert float(np.trapezoid(y, x)) == pytest.approx(oracle)


def test_constrained_point_meets_each_constraint_at_least_cost() -> None:
    """Recall, precision and share declined bound the choice; costs make it."""
    scores = [0.1, 0.3, 0.5, 0.7, 0.9]
    points = roc_points(scores, [1, 2, 3, 6, 8], [40, 20, 10, 5, 2])
    prior = 20 / 97
    assert constrained_point(points, prior, recall=0.9).recall >= 0.9
    few = constrained_point(points, prior, declined=0.15)
    assert few.declined(prior) <= 0.15
    assert few.recall == pytest.approx(0.4)
    sure = constrained_point(points, prior, precision=0.6, costs=(0.001, 1))
    assert sure.precision(prior) >= 0.6
    assert sure.recall == pytest.approx(14 / 20)
    with pytest.raises(ConfigError, match=r"recall >= 0.95.*precision reaches 0\.8"):
        constrained_point(points, prior, recall=0.95, precision=0.7)


def test_constrained_point_below_the_hull_is_found() -> None:
    """Recall .5 with at most 70 % declined: of the diagonal only a point below the hull does it."""
    bins = [0.2, 0.5, 0.8], [4, 5, 1], [4, 5, 1]  # the curve is the diagonal
    found = constrained_point(roc_points(*bins), 0.5, recall=0.5, declined=0.7)
    assert found == RocPoint(0.5, 0.6, 0.6)
    assert found not in roc_hull(*bins)


@given(_bins(), PROBABILITY, PROBABILITY, PROBABILITY, st.floats(0.1, 20))
def test_constrained_point_equals_the_search_over_all_cuts(
    bins: tuple[list[float], list[float], list[float]],
    prior: float,
    recall: float,
    declined: float,
    fn: float,
) -> None:
    """The cheapest of every cut that meets both; refused only where no cut meets them."""
    scores, positives, negatives = map(np.asarray, bins)
    meeting = []
    for cut in [*scores, math.inf]:
        found = positives[scores >= cut].sum() / positives.sum()
        wrong = negatives[scores >= cut].sum() / negatives.sum()
        share = prior * found + (1 - prior) * wrong
        # Rates that are equal but for the last digit may fall on either side of a limit.
        assume(abs(found - recall) > 1e-9 and abs(share - declined) > 1e-9)
        if found >= recall and share <= declined:
            meeting.append(prior * fn * (1 - found) + (1 - prior) * wrong)
    points = roc_points(*bins)
    wanted = {"recall": recall, "declined": declined, "costs": (1.0, fn)}
    if not meeting:
        with pytest.raises(ConfigError, match="No threshold of this score"):
            constrained_point(points, prior, **wanted)
        return
    best = constrained_point(points, prior, **wanted)
    assert best.cost(prior, 1.0, fn) == pytest.approx(min(meeting))


def test_roc_hull_of_one_class_is_refused() -> None:
    """A curve of two rates needs both classes."""
    with pytest.raises(InputError, match="both classes"):
        roc_hull([0.1, 0.2], [0, 0], [1, 2])
