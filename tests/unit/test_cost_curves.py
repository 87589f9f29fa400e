"""Curves of cost equal brute force over rows and over cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.evaluation.cost_curves import (
    CostProfile,
    brier_curve,
    cost_profile,
    lower_envelope,
    normalised_expected_cost,
)
from sparkweights.evaluation.score_table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = settings(max_examples=60, deadline=None)
GRID = np.linspace(0, 1, 41)
ONE_ROW = st.tuples(
    st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]) | st.floats(0, 1),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 2.5]) | st.floats(0.01, 50),
    st.floats(0, 1_000),
    st.floats(0, 1_000),
)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def costly_rows(draw: st.DrawFn) -> Rows:
    """Draw scores, classes, weights and what each of two decisions costs on each row."""
    rows = draw(st.lists(ONE_ROW, max_size=25))
    rows += [(draw(ONE_ROW)[0], y, 1.5, draw(ONE_ROW)[3], 90.0) for y in (True, False)]
    score, positive, weight, approve, decline = np.array(rows, dtype=float).T
    return score, positive, weight, np.array([approve, decline])


def rates(rows: Rows, cut: float) -> tuple[float, float]:
    """Count the false negative and false positive rates of a cut over the rows."""
    p, y, w, _ = rows
    missed = w[(p < cut) & (y == 1)].sum() / w[y == 1].sum()
    return missed, w[(p >= cut) & (y == 0)].sum() / w[y == 0].sum()


@QUICK
@given(costly_rows())
def test_cost_lines_and_their_envelope_equal_brute_force(rows: Rows) -> None:
    """At each price a cut costs FNR PC + FPR (1 - PC), and the envelope the least of all cuts."""
    p, y, w, _ = rows
    table = ScoreTable.from_rows(p, y, w)
    lines = []
    for cut in [*p, np.inf]:
        missed, outside = rates(rows, cut)
        lines.append(missed * GRID + outside * (1 - GRID))
        assert normalised_expected_cost(table, cut, GRID) == pytest.approx(lines[-1], abs=1e-9)
    curve = lower_envelope(table)
    found = np.interp(GRID, curve.probability_cost, curve.cost)
    assert found == pytest.approx(np.min(lines, axis=0), abs=1e-9)


@QUICK
@given(costly_rows())
def test_envelope_names_the_cut_of_each_piece(rows: Rows) -> None:
    """In the middle of each piece, its own cut costs what the envelope says."""
    table = ScoreTable.from_rows(*rows[:3])
    curve = lower_envelope(table)
    middles = (curve.probability_cost[1:] + curve.probability_cost[:-1]) / 2
    assert (np.diff(curve.probability_cost) >= -1e-12).all()
    for middle, cut in zip(middles, curve.threshold, strict=True):
        expected = np.interp(middle, curve.probability_cost, curve.cost)
        found = normalised_expected_cost(table, cut, middle)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [([0, 2], [3, 0], 0.0), ([1, 1], [2, 2], 0.25), ([1, 3], [3, 1], 0.1875)],
)
def test_envelope_area_is_as_computed_by_hand(
    positives: list[float], negatives: list[float], area: float
) -> None:
    """Perfect 0; useless 1/4; corners at (1/4, 1/4) and (3/4, 1/4) are 1/32 + 1/8 + 1/32."""
    table = ScoreTable([0.2, 0.7], positives, negatives)
    assert lower_envelope(table).area == pytest.approx(area, abs=1e-12)


@QUICK
@given(costly_rows(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_brier_curve_equals_brute_force_over_rows(rows: Rows, asked: list[float]) -> None:
    """At each price, rows with a score at or above it are declined; scores count as prices too."""
    p, y, w, _ = rows
    prices = np.array([*asked, *p])
    expected = [
        2 * (c * w[(p >= c) & (y == 0)].sum() + (1 - c) * w[(p < c) & (y == 1)].sum()) / w.sum()
        for c in prices
    ]
    found = brier_curve(ScoreTable.from_rows(p, y, w), prices)
    assert found == pytest.approx(expected, abs=1e-9)


@QUICK
@given(costly_rows())
def test_area_under_the_brier_curve_is_the_brier_score(rows: Rows) -> None:
    """Hernandez-Orallo, Flach & Ferri 2011, theorem 1; straight pieces integrate exactly."""
    p, y, w, _ = rows
    knots = np.unique([0.0, 1.0, *p])
    middles = (knots[1:] + knots[:-1]) / 2
    area = np.diff(knots) @ brier_curve(ScoreTable.from_rows(p, y, w), middles)
    assert area == pytest.approx(brier_score_loss(y, p, sample_weight=w), abs=1e-9)


@QUICK
@given(costly_rows())
def test_brier_curve_never_beats_the_best_cut(rows: Rows) -> None:
    """At each price, the cut that takes the score at its word costs at least the envelope."""
    p, y, w, _ = rows
    table, prior = ScoreTable.from_rows(p, y, w), np.average(y, weights=w)
    curve = lower_envelope(table)
    scale = prior * (1 - GRID) + (1 - prior) * GRID  # 2 of these is the worst loss at the price
    probability_cost = prior * (1 - GRID) / scale
    best = 2 * scale * np.interp(probability_cost, curve.probability_cost, curve.cost)
    assert (brier_curve(table, GRID) >= best - 1e-9).all()


@QUICK
@given(costly_rows(), st.sampled_from([None, np.array([0.0, 0.1, 0.25, 0.3, 0.5, 0.9])]))
def test_profile_equals_brute_force_over_rows_at_every_cut(
    rows: Rows, edges: np.ndarray | None
) -> None:
    """Cost, share, savings and profit are those of the rows cut there; of bins at their edges."""
    p, y, w, costs = rows
    profile = cost_profile(ScoreTable.from_rows(p, y, w, edges=edges, costs=costs))
    constant = [w @ costs[0], w @ costs[1]]
    names = p if edges is None else edges[np.searchsorted(edges, p, side="right") - 1]
    assert list(profile.threshold) == [np.inf, *np.unique(names[w > 0])[::-1]]
    for k, cut in enumerate(profile.threshold):
        declined = p >= cut
        cost = w @ np.where(declined, costs[1], costs[0])
        assert profile.cost[k] == pytest.approx(cost, rel=1e-9, abs=1e-9)
        assert profile.share[k] == pytest.approx(w[declined].sum() / w.sum(), abs=1e-9)
        assert profile.profit[k] == pytest.approx(min(constant) - cost, abs=1e-6)
        if min(constant) > 1e-3:
            assert profile.savings[k] == pytest.approx(1 - cost / min(constant), rel=1e-9, abs=1e-9)


@QUICK
@given(costly_rows())
def test_best_is_the_cheapest_of_all_cuts(rows: Rows) -> None:
    """No cut over the rows is cheaper, and the cut that is named costs that."""
    p, y, w, costs = rows
    best = cost_profile(ScoreTable.from_rows(p, y, w, costs=costs)).best()
    spent = [w @ np.where(p >= cut, costs[1], costs[0]) for cut in [*p, np.inf]]
    assert best.cost == pytest.approx(min(spent), rel=1e-9, abs=1e-9)
    declined = p >= best.threshold
    assert w @ np.where(declined, costs[1], costs[0]) == pytest.approx(best.cost, abs=1e-6)
    assert best.share == pytest.approx(w[declined].sum() / w.sum(), abs=1e-9)


@QUICK
@given(costly_rows(), st.floats(0, 1))
def test_profile_at_another_prior_is_that_of_reweighted_rows(rows: Rows, prior: float) -> None:
    """Classes weighed to a share, with the same total weight, need no pass over the rows."""
    p, y, w, costs = rows
    own = np.average(y, weights=w)
    moved = w * np.where(y == 1, prior / own, (1 - prior) / (1 - own))
    table = ScoreTable.from_rows(p, y, w, costs=costs)
    profile = cost_profile(table, prior=prior)
    for k, cut in enumerate(profile.threshold):
        expected = moved @ np.where(p >= cut, costs[1], costs[0])
        assert profile.cost[k] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        share = moved[p >= cut].sum() / moved.sum()
        assert profile.share[k] == pytest.approx(share, abs=1e-9)


@QUICK
@given(costly_rows(), st.data())
def test_cost_at_a_share_is_the_mean_over_orders_of_the_ties(
    rows: Rows, data: st.DataObject
) -> None:
    """With the top k of n rows declined, those of the tie that k divides are drawn at random."""
    p, y, _, costs = rows
    k = data.draw(st.integers(1, len(p)))
    last = np.sort(p)[::-1][k - 1]
    chance = np.where(p > last, 1.0, 0.0)
    chance[p == last] = (k - (p > last).sum()) / (p == last).sum()
    expected = chance @ costs[1] + (1 - chance) @ costs[0]
    profile = cost_profile(ScoreTable.from_rows(p, y, costs=costs))
    assert profile.cost_at_shares([k / len(p)])[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert profile.cost_at_shares([0.0, 1.0]) == pytest.approx(costs.sum(axis=1), abs=1e-6)


def test_best_of_equally_cheap_cuts_declines_least() -> None:
    """Ties go to the earlier decision, as in the cost matrix."""
    profile = CostProfile(np.array([np.inf, 0.7, 0.2]), np.array([0, 0.5, 1]), np.array([3, 2, 2]))
    assert profile.best().threshold == 0.7


def test_savings_where_doing_nothing_is_free_are_nan() -> None:
    """There is nothing to save, and no share of it; the profit says what is lost."""
    table = ScoreTable.from_rows([0.2, 0.8], [0, 0], costs=[[0, 0], [5, 5]])
    profile = cost_profile(table)
    assert np.isnan(profile.savings).all()
    assert profile.profit.tolist() == [0, -5, -10]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: cost_profile(ScoreTable([0.1], [1], [1])), "this score table holds none"),
        (lambda: cost_profile(ScoreTable.from_rows([], [], costs=[[], []])), "needs rows"),
        (lambda: lower_envelope(ScoreTable([0.1], [1], [0])), "rows of both classes"),
        (
            lambda: cost_profile(ScoreTable.from_rows([0.1], [1], costs=[[1], [0]]), prior=0.1),
            "rows of one class",
        ),
    ],
)
def test_table_that_cannot_answer_is_refused(ask: Callable[[], object], said: str) -> None:
    """What a table lacks is said in a sentence."""
    with pytest.raises(InputError, match=said):
        ask()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: brier_curve(t, [1.5]), "cost_proportion: 1.5"),
        (lambda t: normalised_expected_cost(t, 0.5, [-0.1]), "probability_cost: -0.1"),
        (lambda t: cost_profile(t, prior=2), "prior: 2"),
        (lambda t: cost_profile(t).cost_at_shares([np.nan]), "shares: nan"),
    ],
)
def test_argument_out_of_range_is_refused(ask: Callable[[ScoreTable], object], said: str) -> None:
    """The sentence names the argument and the value."""
    with pytest.raises(ConfigError, match=said):
        ask(ScoreTable.from_rows([0.1, 0.6], [0, 1], costs=[[0, 5], [1, 0]]))
