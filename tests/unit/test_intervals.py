"""Intervals have the spread that drawing rows one by one has, and hold the truth as they say."""

from __future__ import annotations

import numpy as np
import pytest

from sparkweights.evaluate.discrimination import roc_auc
from sparkweights.evaluate.intervals import (
    BLOCKS,
    block_replicates,
    percentile_interval,
    table_replicates,
)
from sparkweights.evaluate.table import ScoreTable

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _mean_interval(rows: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Deal rows into blocks, and return the interval of their mean."""
    block = rng.integers(0, BLOCKS, len(rows))
    sums = np.bincount(block, weights=rows, minlength=BLOCKS)
    counts = np.bincount(block, minlength=BLOCKS).astype(float)
    drawn, weights = block_replicates([sums, counts])
    return percentile_interval(drawn / weights)


def test_block_replicates_have_the_rows_own_spread() -> None:
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


def test_table_interval_covers_the_true_area_as_often_as_it_says() -> None:
    """Normal scores a standard deviation apart: the true area is Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(3)
    held = 0
    for seed in range(300):
        positive = rng.random(600) < 0.3
        score = np.round(rng.normal(positive.astype(float)), 2)
        table = ScoreTable.from_rows(score, positive)
        drawn = table_replicates(table, positive.sum(), (~positive).sum(), seed=seed)
        low, high = percentile_interval(np.array([roc_auc(one) for one in drawn]))
        held += low <= 0.7602 <= high
    assert 0.92 <= held / 300 <= 0.98


def test_table_replicates_of_a_thinned_class_know_how_many_rows_it_has() -> None:
    """999 of 1,000 good rows left out, the rest weighing for them: an area as of 2,000 rows."""
    rng = np.random.default_rng(5)
    positive = np.arange(2_000) < 1_000
    score = rng.normal(positive.astype(float))
    plain = ScoreTable.from_rows(score, positive)
    weighted = ScoreTable.from_rows(score, positive, np.where(positive, 1.0, 999.0))
    ends = [
        percentile_interval(np.array([roc_auc(one) for one in table_replicates(table, 1e3, 1e3)]))
        for table in (plain, weighted)
    ]
    assert ends[1] == pytest.approx(ends[0], abs=1e-9)
    shares = [one.prior for one in table_replicates(weighted, 1e3, 1e3)]
    assert np.mean(shares) == pytest.approx(0.001, rel=0.02)
    error = 0.001 * 0.999 * np.sqrt(2 / 1e3)
    assert np.std(shares) == pytest.approx(error, rel=0.15)


def test_percentile_interval_of_what_the_rows_do_not_determine_is_nan() -> None:
    """One replicate without a value leaves no interval to tell."""
    assert np.isnan(percentile_interval(np.array([1.0, np.nan]))).all()
