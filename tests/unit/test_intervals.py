"""Intervals have the spread that drawing rows one by one has, and hold the truth as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from sparkweights.evaluation.influence import (
    COARSE,
    COARSE_BINS,
    MEASURES,
    BlockTable,
    measure_interval,
)
from sparkweights.evaluation.intervals import BLOCKS, percentile_interval, ratio_interval
from sparkweights.evaluation.score_table import ScoreTable, bin_numbers

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _mean_interval(rows: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Deal rows into blocks, and return the interval of their mean."""
    block = rng.integers(0, BLOCKS, len(rows))
    sums = np.bincount(block, weights=rows, minlength=BLOCKS)
    counts = np.bincount(block, minlength=BLOCKS).astype(float)
    return ratio_interval(sums, counts)


def _percentile_of_blocks(sums: Array, counts: Array) -> tuple[float, float]:
    """Return the plain percentile interval, of which the other is to be better."""
    drawn = np.random.default_rng(0).integers(0, len(sums), (1_000, len(sums)))
    return percentile_interval(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))


def test_ratio_interval_has_the_rows_own_spread() -> None:
    """20,000 rows dealt into blocks: the half width is 1.96 standard errors of the mean."""
    rng = np.random.default_rng(4)
    rows = rng.lognormal(0, 1, 20_000) * rng.choice([-1, 0, 0, 0, 2], 20_000)
    low, high = _mean_interval(rows, rng)
    error = rows.std(ddof=1) / np.sqrt(len(rows))
    assert (low + high) / 2 == pytest.approx(rows.mean(), abs=error / 4)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_block_interval_covers_the_truth_as_often_as_it_says() -> None:
    """In 300 draws of a skewed cost, the 95 % interval holds the true mean in 92 to 98 %."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        low, high = _mean_interval(rng.gamma(0.5, 2.0, 4_000), rng)
        held += low <= 1.0 <= high
    assert 0.92 <= held / 300 <= 0.98


@pytest.mark.parametrize(("events", "least"), [(10, 0.86), (40, 0.925)])
def test_ratio_interval_covers_rare_heavy_losses(events: int, least: float) -> None:
    """1 % of the rows lose a lognormal amount: percentile intervals cover 82 and 88 %."""
    rng, true, held, older = np.random.default_rng(7), 0.01 * np.exp(4 + 0.72), 0, 0
    rows, draws = events * 100, 400
    for _ in range(draws):
        lost = (rng.random(rows) < 0.01) * rng.lognormal(4, 1.2, rows)
        block = rng.integers(0, 400, rows)
        sums = np.bincount(block, weights=lost, minlength=400)
        counts = np.bincount(block, minlength=400).astype(float)
        low, high = ratio_interval(sums, counts)
        held += low <= true <= high
        low, high = _percentile_of_blocks(sums, counts)
        older += low <= true <= high
    assert least <= held / draws <= 0.985
    assert older < held - 0.03 * draws


def test_ratio_interval_without_spread_or_whole() -> None:
    """Blocks that agree leave no doubt; one block, or nothing to divide by, leaves nothing."""
    assert ratio_interval(np.array([0.0, 0.0]), np.array([1.0, 2.0])) == (0.0, 0.0)
    assert np.isnan(ratio_interval(np.array([1.0]), np.array([1.0]))).all()
    assert np.isnan(ratio_interval(np.array([1.0, 2.0]), np.zeros(2))).all()


def _table(rng: np.random.Generator, rows: float) -> tuple[ScoreTable, tuple[float, float]]:
    """Draw calibrated scores of base 1 % by their grid; their means are the law's."""
    grid = np.linspace(-4, 4, 401)
    share = np.exp(-(grid**2) / 2) / np.exp(-(grid**2) / 2).sum()
    p = 1 / (1 + np.exp(-(1.3 * grid - 5.3)))
    draw = (lambda mean: mean) if rows > 1e8 else lambda mean: rng.poisson(mean).astype(float)
    table = ScoreTable(p, draw(rows * share * p), draw(rows * share * (1 - p)))
    return table, (float(table.positives.sum()), float(table.negatives.sum()))


@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize("events", [10, 100])
def test_measure_interval_covers_the_truth_with_few_events(measure: str, events: int) -> None:
    """A law known on a grid: the 95 % interval of the measure holds its true value."""
    rng, draws, held = np.random.default_rng(events), 400, 0
    whole, (of_class, _) = _table(rng, 1e9)
    true = MEASURES[measure][0](whole).value
    for _ in range(draws):
        table, rows = _table(rng, 1e9 / of_class * events)
        low, high = measure_interval(table, measure, rows)
        held += low <= true <= high
    assert (0.90 if events == 10 else 0.92) <= held / draws <= 0.99


@pytest.mark.parametrize("measure", list(MEASURES))
def test_influence_is_the_change_by_a_little_weight(measure: str) -> None:
    """Each derivative equals the difference quotient of the measure itself."""
    positives, negatives = np.array([1.0, 0, 3, 2]), np.array([4.0, 2, 2, 1])
    score = np.array([0.1, 0.3, 0.5, 0.8])
    of = MEASURES[measure][0]
    found, step = of(ScoreTable(score, positives, negatives)), 1e-6
    for k in range(4):
        more = np.eye(4)[k] * step
        by_class = of(ScoreTable(score, positives + more, negatives)).value
        by_others = of(ScoreTable(score, positives, negatives + more)).value
        assert found.positives[k] == pytest.approx((by_class - found.value) / step, abs=1e-5)
        assert found.negatives[k] == pytest.approx((by_others - found.value) / step, abs=1e-5)


def test_measure_interval_of_a_thinned_class_knows_how_many_rows_it_has() -> None:
    """999 of 1,000 good rows left out, the rest weighing for them: an area as of 2,000 rows."""
    rng = np.random.default_rng(5)
    positive = np.arange(2_000) < 1_000
    score = 1 / (1 + np.exp(-rng.normal(positive.astype(float))))
    plain = ScoreTable.from_rows(score, positive)
    weighted = ScoreTable.from_rows(score, positive, np.where(positive, 1.0, 999.0))
    ends = [measure_interval(table, "auc", (1e3, 1e3)) for table in (plain, weighted)]
    assert ends[1] == pytest.approx(ends[0], abs=1e-9)


@pytest.mark.parametrize("measure", ["auc", "brier"])
def test_measure_interval_by_block_covers_where_rows_of_a_customer_are_alike(measure: str) -> None:
    """50 customers of 20 rows who share what the score does not know."""
    rng = np.random.default_rng(11)

    def draw(customers: int) -> tuple[Array, Array, Array]:
        whose = np.repeat(np.arange(customers), 20)
        log_odds = rng.normal(0, 1, customers)[whose] - 1.5
        hidden = rng.normal(0, 1.2, customers)[whose]
        return whose, expit(log_odds), rng.random(len(whose)) < expit(log_odds + hidden)

    true = MEASURES[measure][0](ScoreTable.from_rows(*draw(20_000)[1:])).value
    held, alone, draws = 0, 0, 300
    for _ in range(draws):
        whose, p, y = draw(50)
        table = ScoreTable.from_rows(p, y)
        sides = [np.zeros((50, COARSE_BINS)), np.zeros((50, COARSE_BINS))]
        for own, weight in zip(sides, (y, ~y), strict=True):
            np.add.at(own, (whose, (bin_numbers(p) // COARSE).astype(int)), weight)
        loss, total = (np.bincount(whose, weights=part) for part in ((p - y) ** 2, p))
        rows = float(y.sum()), float((~y).sum())
        low, high = measure_interval(table, measure, rows, BlockTable(*sides, loss, total))
        held += low <= true <= high
        low, high = measure_interval(table, measure, rows)
        alone += low <= true <= high
    assert 0.91 <= held / draws <= 0.985
    assert alone / draws < 0.8


def test_percentile_interval_of_what_the_rows_do_not_determine_is_nan() -> None:
    """One replicate without a value leaves no interval to tell."""
    assert np.isnan(percentile_interval(np.array([1.0, np.nan]))).all()
