"""The block bootstrap has the spread that drawing rows one by one has."""

from __future__ import annotations

import numpy as np
import pytest

from sparkweights.evaluate.paired import BLOCKS, PairedCosts, bootstrap_interval


def test_bootstrap_interval_equals_the_rows_own_spread() -> None:
    """20,000 rows dealt into blocks: the half width is 1.96 standard errors of the mean."""
    rng = np.random.default_rng(4)
    rows = rng.lognormal(0, 1, 20_000) * rng.choice([-1, 0, 0, 0, 2], 20_000)
    block = rng.integers(0, BLOCKS, len(rows))
    sums = np.bincount(block, weights=rows, minlength=BLOCKS)
    counts = np.bincount(block, minlength=BLOCKS).astype(float)
    low, high = bootstrap_interval(sums, counts)
    error = rows.std(ddof=1) / np.sqrt(len(rows))
    assert (low + high) / 2 == pytest.approx(rows.mean(), abs=error / 4)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    """In 300 draws of a skewed cost, the 95 % interval holds the true mean in 92 to 98 %."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        rows = rng.gamma(0.5, 2.0, 4_000)
        block = rng.integers(0, BLOCKS, len(rows))
        counts = np.bincount(block, minlength=BLOCKS).astype(float)
        low, high = bootstrap_interval(
            np.bincount(block, weights=rows, minlength=BLOCKS)[counts > 0], counts[counts > 0]
        )
        held += low <= 1.0 <= high
    assert 0.92 <= held / 300 <= 0.98


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-2.0, -1.0), "better"), ((1.0, 2.0), "worse"), ((-1.0, 1.0), "not told apart")],
)
def test_verdict_needs_the_whole_interval(interval: tuple[float, float], verdict: str) -> None:
    """A change is told apart only where the interval leaves 0 out."""
    assert PairedCosts(9, 5.0, 5.0, interval).verdict == verdict
