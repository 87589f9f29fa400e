"""The H-measure equals its definition: an integral of the best cut's loss over costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.discrimination import roc_auc
from sparkweights.evaluation.h_measure import (
    SYMMETRIC,
    BetaShape,
    h_measure,
    prior_shape,
    roc_convex_hull,
    threshold_shape,
)
from sparkweights.evaluation.score_table import ScoreTable

QUICK = settings(max_examples=30, deadline=None)
MIDDLES = (np.arange(10_000) + 0.5) / 10_000
ENTRY = st.tuples(
    st.sampled_from([0.0, 1.0, 2.5]) | st.floats(0, 50),
    st.sampled_from([0.0, 1.0, 2.5]) | st.floats(0, 50),
)
SHAPES = st.builds(BetaShape, st.floats(1, 6), st.floats(1, 20))


@st.composite
def tables(draw: st.DrawFn) -> ScoreTable:
    """Draw a table with rows of both classes, in any order of risk, and empty entries."""
    entries = [*draw(st.lists(ENTRY, max_size=12)), (1.0, 0.5)]
    positives, negatives = np.array(draw(st.permutations(entries))).T
    return ScoreTable(np.arange(len(entries)) / len(entries), positives, negatives)


def integrated_h(table: ScoreTable, shape: BetaShape) -> float:
    """Integrate over costs the loss of the cheapest of all cuts, found by trying each."""
    density = beta(*shape).pdf(MIDDLES)
    cuts = [*table.score, np.inf]
    losses = [
        MIDDLES * table.negatives[table.score >= cut].sum()
        + (1 - MIDDLES) * table.positives[table.score < cut].sum()
        for cut in cuts
    ]
    best = np.min(losses, axis=0)
    useless = np.minimum(losses[0], losses[-1])  # decline everyone, or no one
    return float(1 - (density @ best) / (density @ useless))


@QUICK
@given(tables(), SHAPES)
def test_h_measure_equals_the_integral_over_costs(table: ScoreTable, shape: BetaShape) -> None:
    """The closed form is the numerical integral, for any Beta distribution and any ranking."""
    assert h_measure(table, shape) == pytest.approx(integrated_h(table, shape), abs=2e-5)


@QUICK
@given(tables())
def test_h_measure_of_the_named_shapes_equals_the_integral(table: ScoreTable) -> None:
    """Hand's symmetric costs, those around the prior, and those around a Bayes threshold."""
    for shape in (SYMMETRIC, prior_shape(table), threshold_shape(0.1)):
        assert h_measure(table, shape) == pytest.approx(integrated_h(table, shape), abs=2e-5)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        (threshold_shape(0.05), 0.05),
        (threshold_shape(0.7), 0.7),
        (prior_shape(ScoreTable([0.3], [1], [4])), 0.2),
        (SYMMETRIC, 0.5),
    ],
)
def test_shape_has_the_mode_that_names_it(shape: BetaShape, mode: float) -> None:
    """The likeliest relative cost is the threshold, the prior, or equal prices."""
    assert MIDDLES[np.argmax(beta(*shape).pdf(MIDDLES))] == pytest.approx(mode, abs=1e-4)


def test_h_measure_equals_the_published_example() -> None:
    """The figure in the README of the Python port (hmeasure 0.1.6) of the authors' R package.

    Ten labels and scores of numpy's generator 66; the default costs have their mode at the prior.
    """
    score = [0.84901876, 0.10282827, 0.43752488, 0.46004468, 0.90878931]
    score += [0.77719719, 0.5297229, 0.13803906, 0.73166264, 0.22959056]
    table = ScoreTable.from_rows(score, [1, 1, 0, 1, 1, 0, 1, 1, 1, 0])
    assert h_measure(table, threshold_shape(table.prior)) == pytest.approx(0.18889596344769588)


@QUICK
@given(tables(), SHAPES)
def test_h_measure_depends_on_the_order_of_scores_alone(
    table: ScoreTable, shape: BetaShape
) -> None:
    """Another scale of scores or of weights leaves it, and it lies between 0 and 1."""
    moved = ScoreTable(np.exp(table.score), 7 * table.positives, 7 * table.negatives)
    found = h_measure(table, shape)
    assert h_measure(moved, shape) == pytest.approx(found, abs=1e-9)
    assert 0 <= found <= 1


@pytest.mark.parametrize("shape", [SYMMETRIC, BetaShape(2, 20), BetaShape(1.2, 1.8)])
def test_h_measure_is_one_when_perfect_and_zero_when_useless(shape: BetaShape) -> None:
    """All of the class on top is 1; equal shares everywhere, or the wrong way round, 0."""
    assert h_measure(ScoreTable([0.1, 0.9], [0, 2], [7, 0]), shape) == pytest.approx(1)
    assert h_measure(ScoreTable([0.1, 0.9], [1, 2], [3, 6]), shape) == pytest.approx(0, abs=1e-12)
    assert h_measure(ScoreTable([0.1, 0.9], [2, 0], [0, 7]), shape) == pytest.approx(0, abs=1e-12)


def test_h_measure_tells_apart_what_the_area_does_not() -> None:
    """Two scores of equal area: the one that finds some bad rows surely wins where they are dear.

    Hand's point: the area weighs costs by the score's own distribution.
    """
    sure_bad = ScoreTable([0.1, 0.5, 0.9], [0, 5, 5], [0, 10, 0])
    sure_good = ScoreTable([0.1, 0.5, 0.9], [0, 10, 0], [5, 5, 0])
    assert roc_auc(sure_bad) == roc_auc(sure_good) == 0.75
    dear_bad, dear_good = threshold_shape(0.1), BetaShape(10.0, 2.0)
    assert h_measure(sure_good, dear_bad) > h_measure(sure_bad, dear_bad) + 0.1
    assert h_measure(sure_bad, dear_good) > h_measure(sure_good, dear_good) + 0.1


@QUICK
@given(tables())
def test_convex_hull_lies_on_or_above_every_point_and_is_concave(table: ScoreTable) -> None:
    """No cut beats the hull, its corners are cuts of the curve, and its slope falls."""
    hull = roc_convex_hull(table)
    for cut in [*table.score, np.inf]:
        above = table.score >= cut
        outside = table.negatives[above].sum() / table.negatives.sum()
        recall = table.positives[above].sum() / table.positives.sum()
        # A vertical piece has two corners of one rate, of which the higher is meant.
        first = np.searchsorted(hull.false_positive_rate, outside + 1e-12, side="right") - 1
        if first + 1 < len(hull.threshold):
            share = (outside - hull.false_positive_rate[first]) / np.diff(hull.false_positive_rate)[
                first
            ]
            best = hull.recall[first] + share * np.diff(hull.recall)[first]
        else:
            best = hull.recall[first]
        assert recall <= best + 1e-9
        if cut in hull.threshold:
            corner = list(hull.threshold).index(cut)
            assert hull.recall[corner] == pytest.approx(recall)
            assert hull.false_positive_rate[corner] == pytest.approx(outside)
    assert set(hull.threshold) <= {*table.score, np.inf}
    rise, run = np.diff(hull.recall), np.diff(hull.false_positive_rate)
    assert (rise[1:] * run[:-1] <= rise[:-1] * run[1:] + 1e-12).all()


def test_h_measure_of_one_class_is_nan() -> None:
    """There is no loss to compare with where nothing can go wrong."""
    assert np.isnan(h_measure(ScoreTable([0.1, 0.2], [1, 1], [0, 0])))
    assert np.isnan(h_measure(ScoreTable([0.1, 0.2], [0, 0], [1, 1])))
    assert np.isnan(h_measure(ScoreTable([], [], [])))


@pytest.mark.parametrize("shape", [BetaShape(0, 2), BetaShape(2, -1), BetaShape(np.inf, 2)])
def test_shape_that_is_no_distribution_is_refused(shape: BetaShape) -> None:
    """A Beta distribution needs two finite numbers above 0."""
    with pytest.raises(ConfigError, match="finite and > 0"):
        h_measure(ScoreTable([0.1], [1], [1]), shape)


def test_threshold_outside_of_its_range_is_refused() -> None:
    """Costs of nothing or of one mistake alone have no mode inside."""
    with pytest.raises(ConfigError, match="threshold: 1"):
        threshold_shape(1)
