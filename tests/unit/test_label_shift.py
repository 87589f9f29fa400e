"""Label shift: false alarms, other rows, limits, weights, and scores of rare classes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rightness.label_shift import histogram
from sparkweights.core.errors import ModelError
from sparkweights.evaluation.drift import score_stability
from sparkweights.probability.label_shift import (
    MIN_ROWS,
    NO_SHIFT,
    NOT_LABEL_SHIFT,
    SHIFTED,
    TOO_FAR,
    TOO_FEW_ROWS,
    estimate_shift,
    histogram_from_dict,
    histogram_to_dict,
)
from sparkweights.probability.priors import (
    ScoreHistogram,
    odds_ratio,
    saerens_em,
    shrunk_shares,
    towards,
)
from sparkweights.probability.score_cells import level_of, levels
from sparkweights.probability.shift_tests import label_shift_p_value, no_shift_p_value

Array = np.ndarray
SLOPE = 1.05
INTERCEPTS = {0.0001: -9.7613, 0.01: -5.1274, 0.05: -3.4127, 0.2: -1.6736}


def _prior(base: float) -> dict[str, float]:
    return {"good": 1 - base, "bad": base}


def _draw(
    rng: np.random.Generator, rows: int, base: float, added: float = 0.0
) -> tuple[Array, Array]:
    """Draw true probabilities, normal in logit, and outcomes."""
    p = 1 / (1 + np.exp(-(INTERCEPTS[base] + SLOPE * rng.normal(size=rows) + added)))
    return p, rng.random(rows) < p


@pytest.mark.parametrize(("base", "rows"), [(0.01, 100), (0.05, 150), (0.2, 100)])
def test_estimate_shift_few_rows_without_a_shift_stay(base: float, rows: int) -> None:
    """Of 50 tables at most 2 move (1 % nominal), none to a share outside its interval."""
    rng, moved = np.random.default_rng(1), 0
    source = histogram(*_draw(rng, 10_000, base))
    for _ in range(50):
        shift = estimate_shift(source, histogram(_draw(rng, rows, base)[0]), _prior(base))
        moved += shift.shifted
        if shift.shifted:
            low, high = shift.estimates[0].interval()[1]
            assert low <= shift.target_prior()["bad"] <= high  # type: ignore[index]
    assert moved <= 2


def test_no_shift_rows_of_little_risk_are_not_taken_for_a_shift() -> None:
    """50 rows at p = .004 where 5 % of rows have .5: by chance in 1 of 13 tables, not 3e-10."""
    source = ScoreHistogram(
        np.array([[0.996, 0.004], [0.5, 0.5]]), np.array([[9_462.0, 250.0], [38.0, 250.0]])
    )
    target = ScoreHistogram(np.array([[0.996, 0.004]]), np.array([[50.0]]))
    assert no_shift_p_value(source, target, (0.95, 0.05)) > 0.01


def test_estimate_shift_below_the_least_rows_estimates_nothing() -> None:
    """A table of fewer effective rows keeps the natural prior, and the sentence says why."""
    rng = np.random.default_rng(2)
    source = histogram(*_draw(rng, 5_000, 0.05))
    few = histogram(_draw(rng, MIN_ROWS - 1, 0.05, added=3.0)[0])
    # 300 rows of which one weighs as much as 60: (299 + 60)^2 / (299 + 3600) = 33 effective rows.
    p, _ = _draw(rng, 300, 0.05, added=3.0)
    uneven = histogram(p, w=np.r_[60.0, np.ones(299)])
    for target in (few, uneven):
        shift = estimate_shift(source, target, _prior(0.05))
        assert shift.verdict == TOO_FEW_ROWS
        assert shift.target_prior() is None
        assert shift.estimates == ()
        assert "too few" in shift.sentence
        assert "natural prior is kept" in shift.sentence
    assert shift.effective_rows == pytest.approx(33.06, abs=0.01)


def test_estimate_shift_of_riskier_rows_is_refused_by_the_fit() -> None:
    """Logit + .2 with p(y|x) unchanged: refused in most draws, else the odds at most double."""
    rng, refused = np.random.default_rng(3), 0
    for _ in range(20):
        source = histogram(*_draw(rng, 10_000, 0.05))
        p, _ = _draw(rng, 10_000, 0.05, added=0.2)
        shift = estimate_shift(source, histogram(p), _prior(0.05))
        assert shift.estimates[0].shares[1] > 0.15  # where 6 % are bad
        refused += shift.verdict == NOT_LABEL_SHIFT
        share = (shift.target_prior() or _prior(0.05))["bad"]
        assert share / (1 - share) <= 2.001 * 0.05 / 0.95
        if shift.verdict == NOT_LABEL_SHIFT:
            assert shift.target_prior() is None
            assert "other rows" in shift.sentence
    assert refused >= 13


def test_label_shift_p_value_of_a_true_mixture_is_uniform() -> None:
    """At level 5 % about one true shift from 5 to 15 % in twenty is refused."""
    rng, p_values = np.random.default_rng(4), []
    for _ in range(200):
        source = histogram(*_draw(rng, 5_000, 0.05))
        p, y = _draw(rng, 24_000, 0.05)
        mixed = np.r_[p[y][:450], p[~y][:2_550]]
        target = histogram(mixed)
        p_value = label_shift_p_value(source, target, (0.85, 0.15))
        assert p_value is not None
        p_values.append(p_value)
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.11
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_label_shift_p_value_of_two_scores_is_none() -> None:
    """Two distinct scores fit every share, so there is nothing to test."""
    source = ScoreHistogram(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[90, 10.0], [40, 60]]))
    target = ScoreHistogram(source.probabilities, np.array([[50.0], [150.0]]))
    assert label_shift_p_value(source, target, (0.5, 0.5)) is None


def test_estimate_shift_stops_at_the_limit_if_that_is_within_the_interval() -> None:
    """From 5 to 40 %: kept where the limit excludes the interval, else moved as far as it lets."""
    rng = np.random.default_rng(5)
    source = histogram(*_draw(rng, 10_000, 0.05))
    p, y = _draw(rng, 40_000, 0.05)
    target = histogram(np.r_[p[y][:800], p[~y][:1_200]])
    kept = estimate_shift(source, target, _prior(0.05), max_shift=3)
    assert (kept.verdict, kept.shifted, kept.target_prior()) == (TOO_FAR, False, None)
    assert kept.is_label_shift
    assert "decision.max_shift" in kept.sentence
    assert kept.to_dict()["max_shift"] == 3
    free = estimate_shift(source, target, _prior(0.05), max_shift=100)
    assert not free.capped
    assert free.target_prior()["bad"] == pytest.approx(0.4, abs=0.06)  # type: ignore[index]
    low, _ = free.estimates[0].interval()[1]
    limit = (low + 0.001) / (1 - low - 0.001) / (0.05 / 0.95)
    near = estimate_shift(source, target, _prior(0.05), max_shift=limit)
    assert (near.verdict, near.capped) == (SHIFTED, True)
    assert near.target_prior()["bad"] == pytest.approx(low + 0.001)  # type: ignore[index]


def test_shrunk_shares_are_those_of_labelled_pseudo_rows() -> None:
    """Scores that tell the classes apart fully: (n theta + m pi) / (n + m), by hand."""
    sure = np.array([[1 - 1e-12, 1e-12], [1e-12, 1 - 1e-12]])
    target = ScoreHistogram(sure, np.array([[60.0], [40.0]]))
    by_hand = (40 + 25 * 0.2) / 125
    assert shrunk_shares(target, (0.8, 0.2), 25)[1] == pytest.approx(by_hand)
    three = ScoreHistogram(
        np.array([[1.0, 1e-15, 1e-15], [1e-15, 1.0, 1e-15], [1e-15, 1e-15, 1.0]]),
        np.array([[50.0], [30.0], [20.0]]),
    )
    found = shrunk_shares(three, (0.2, 0.2, 0.6), 100)
    assert found == pytest.approx((0.35, 0.25, 0.4))


def test_estimated_share_is_shrunk_by_twenty_rows_of_the_prior() -> None:
    """The scores of 150 rows leave no doubt that 45 are bad; decisions use (45 + 20 * .2) / 170."""
    sure = np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]])
    source = ScoreHistogram(sure, np.array([[8_000.0, 0.0], [0.0, 2_000.0]]))
    target = ScoreHistogram(sure, np.array([[105.0], [45.0]]))
    found = estimate_shift(source, target, _prior(0.2))
    assert found.estimates[0].shares[1] == pytest.approx(0.3, abs=1e-3)
    assert found.shrunk is not None
    assert found.shrunk[1] == pytest.approx(49 / 170, abs=1e-3)


def test_likelihood_interval_of_a_share_of_zero_is_one_sided_and_covers() -> None:
    """At a true share of 0 the lower end is 0, and the upper end is above 0 and below 1."""
    rng = np.random.default_rng(6)
    source = histogram(*_draw(rng, 10_000, 0.05))
    p, y = _draw(rng, 4_000, 0.05)
    covered = 0
    for part in np.array_split(p[~y][:3_600], 12):
        low, high = saerens_em(source, histogram(part), (0.95, 0.05)).interval()[1]
        covered += low == 0
        assert low < high < 0.3
    assert covered >= 10


@pytest.mark.slow
def test_likelihood_intervals_of_three_classes_cover_their_shares() -> None:
    """Over 40 draws the intervals of every class hold its share about 19 times in 20."""
    rng = np.random.default_rng(7)
    prior, truth = np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.49, 0.01])

    def draw(shares: Array, rows: int) -> tuple[Array, Array]:
        y = rng.choice(3, rows, p=shares)
        x = rng.normal(size=(rows, 2)) + 1.5 * np.array([[0, 0], [1, 0], [0, 1]])[y]
        density = [
            np.exp(-0.5 * ((x - 1.5 * np.array(c)) ** 2).sum(axis=1))
            for c in ([0, 0], [1, 0], [0, 1])
        ]
        joint = np.column_stack(density) * prior
        return y, joint / joint.sum(axis=1, keepdims=True)

    covered = np.zeros(3)
    for _ in range(40):
        y, p = draw(prior, 2_000)
        source = ScoreHistogram(p, np.eye(3)[y])
        target = ScoreHistogram(draw(truth, 600)[1], np.ones((600, 1)))
        for c, (low, high) in enumerate(saerens_em(source, target, tuple(prior)).interval()):
            assert 0 <= low <= high <= 1
            covered[c] += low <= truth[c] <= high
    assert covered.min() >= 35


def test_no_shift_test_counts_effective_rows_by_class() -> None:
    """Good rows thinned to a weight of 20: at level 1 % no more than 4 of 120 are refused."""
    rng, refused = np.random.default_rng(8), 0
    for _ in range(120):
        p, y = _draw(rng, 20_000, 0.05)
        kept = y | (rng.random(len(y)) < 1 / 20)
        source = histogram(p[kept], y[kept], np.where(y[kept], 1.0, 20.0))
        target = histogram(_draw(rng, 20_000, 0.05)[0])
        refused += no_shift_p_value(source, target, (0.95, 0.05)) < 0.01
    assert refused <= 4


def test_effective_rows_of_equal_weights_are_rows() -> None:
    """Weight 7 for each of 40 rows is 40 effective rows, in all and by class."""
    p = np.linspace(0.01, 0.9, 40)
    found = histogram(p, np.arange(40) % 4 == 0, np.full(40, 7.0))
    assert found.effective_rows == pytest.approx(40)
    assert found.effective_rows_by_class == pytest.approx([30, 10])


def test_scores_of_a_base_rate_of_a_ten_thousandth_are_told_apart() -> None:
    """Cells even on [0, 1] see one score; now a threefold risk has the PSI that its ranks give."""
    rng = np.random.default_rng(9)
    before, after = (_draw(rng, 20_000, 0.0001, added)[0] for added in (0.0, np.log(3)))
    source, target = histogram(before), histogram(after)
    found = score_stability(
        source.of_cell, target.of_cell, (source.probabilities[:, 1], target.probabilities[:, 1])
    )
    by_rank = np.searchsorted(np.quantile(before, np.arange(1, 10) / 10), after)
    shares = np.bincount(by_rank, minlength=10) / len(after)
    exact = float(((shares - 0.1) * np.log(shares / 0.1)).sum())
    assert exact > 0.25
    assert found.index == pytest.approx(exact, rel=0.03)
    assert found.p_value < 1e-9


def test_levels_are_no_more_cells_than_promised_and_of_one_scale() -> None:
    """Levels rise with p from the first to the last, for two classes and for more."""
    for classes in (2, 3, 5):
        found = level_of(np.r_[0.0, 1e-9, np.linspace(0.001, 0.999, 500), 1.0], classes)
        assert (np.diff(found) >= 0).all()
        assert (found[0], found[-1]) == (0, levels(classes) - 1)
    assert level_of(np.array([1e-4, 1.1e-4]), 2).tolist() != [1024, 1024]


def test_towards_stops_at_the_last_allowed_point() -> None:
    """On the line from (.9, .1) to (.5, .5), odds of at most 4.5 times end at 1/3."""
    shares = towards((0.9, 0.1), (0.5, 0.5), lambda theta: odds_ratio(theta, (0.9, 0.1)) <= 4.5)
    assert shares == pytest.approx((2 / 3, 1 / 3))


def test_histogram_survives_its_record_and_an_old_one_asks_to_train_again() -> None:
    """Weights' squares are kept; cells of an earlier version are refused."""
    rng = np.random.default_rng(10)
    p, y = _draw(rng, 500, 0.2)
    found = histogram(p, y, rng.integers(1, 5, 500).astype(float))
    back = histogram_from_dict(histogram_to_dict(found))
    assert back.effective_rows == found.effective_rows
    assert back.probabilities.tolist() == found.probabilities.tolist()
    old = {"probabilities": [[0.9, 0.1]], "rows": [[9.0, 1.0]]}
    with pytest.raises(ModelError, match="scale None") as caught:
        histogram_from_dict(old)
    assert "train again" in str(caught.value.hint)


def test_estimate_shift_of_a_true_shift_is_found_and_lowers_the_cost() -> None:
    """From 5 to 15 % with 2,000 rows: half of the excess cost over the right prior is saved."""
    rng, natural, adapted = np.random.default_rng(11), 0.0, 0.0
    right = (0.15 / 0.85) / (0.05 / 0.95)
    for _ in range(8):
        source = histogram(*_draw(rng, 10_000, 0.05))
        p, y = _draw(rng, 20_000, 0.05)
        seen = np.r_[p[y][:300], p[~y][:1_700]]
        shift = estimate_shift(source, histogram(seen), _prior(0.05), max_shift=4)
        assert shift.verdict != NO_SHIFT
        share = (shift.target_prior() or _prior(0.05))["bad"]
        used = (share / (1 - share)) / (0.05 / 0.95)
        true = seen * right / (1 - seen + seen * right)
        costs = [
            np.where(seen * f / (1 - seen + seen * f) * 21 > 1, 1 - true, 20 * true).mean()
            for f in (1.0, used, right)
        ]
        natural += costs[0] - costs[2]
        adapted += costs[1] - costs[2]
    assert adapted < natural / 2
