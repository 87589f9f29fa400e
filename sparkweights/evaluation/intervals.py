"""Intervals of costs from compact sums, without another pass over the rows.

Costs differ from row to row, so they are resampled by blocks: rows are assigned to blocks at
random, or by cluster (such as a customer), and blocks are drawn with replacement. A few large
losses make such sums skewed. A percentile interval is then too low (it covers 76 to 93 % instead of
95 %); the bootstrap-t interval corrects for the skewness to second order (Hall 1988; Efron &
Tibshirani 1993, ch. 12), and in simulation covers more than BCa at every number of events: see
`benchmarks.rightness.intervals`. Intervals of measures that depend on the scores alone are in
`sparkweights.evaluation.influence`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import Array

Interval = tuple[float, float]

BLOCKS = 1_000
EVALUATION_BLOCKS = 400  # fewer, because sums are by block and stake
BLOCK_REPLICATES = 1_000
LEVEL = 0.95
FEW_EVENTS = 50  # of the scarcest class: with fewer, intervals cover less than their level


def percentile_interval(replicates: Array, level: float = LEVEL) -> Interval:
    """Return the percentile interval (Efron & Tibshirani 1993, ch. 13); NaN where some are."""
    if np.isnan(replicates).any():
        return (float("nan"), float("nan"))
    # The expected rank of a quantile; others are too narrow when replicates are few.
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(replicates, ends, method="weibull")
    return float(low), float(high)


def ratio_interval(part: Array, whole: Array, level: float = LEVEL) -> Interval:
    """Return the bootstrap-t interval of ``sum(part) / sum(whole)`` over blocks.

    With R the ratio, its standard error is ``sqrt(B / (B - 1) sum (part - R whole)^2) / sum whole``
    over the B blocks (Cochran 1977, eq. 2.39); every replicate is studentised by its own.
    Replicates in which no block differs have no error, and are left out. Both sums are of
    quantities >= 0, so the interval does not go below 0.

    Parameters
    ----------
    part, whole
        ``[block]``, >= 0; blocks with neither are left out.

    Returns
    -------
    tuple
        NaN where the whole is 0, or there are fewer than two blocks.

    Examples
    --------
    >>> ratio_interval(np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0]))
    (2.0, 2.0)
    """
    occupied = (part != 0) | (whole != 0)
    part, whole = part[occupied], whole[occupied]
    blocks, total = len(part), float(whole.sum())
    if blocks < 2 or total <= 0:  # a single block has no standard error
        return (float("nan"), float("nan"))
    estimate = float(part.sum()) / total
    scale = blocks / (blocks - 1)
    error = float(np.sqrt(scale * ((part - estimate * whole) ** 2).sum())) / total
    if error <= estimate * np.finfo(float).eps * blocks:
        return (estimate, estimate)
    sums = _draws(blocks) @ np.stack([part, whole, part**2, part * whole, whole**2], axis=1)
    parts, wholes, squares, products, whole_squares = sums.T
    usable = wholes > 0
    ratios = np.divide(parts, wholes, out=np.zeros_like(parts), where=usable)
    variances = squares - 2 * ratios * products + ratios**2 * whole_squares
    usable &= variances > np.finfo(float).eps * squares
    if not usable.any():
        return (float("nan"), float("nan"))
    errors = np.sqrt(scale * variances[usable]) / wholes[usable]
    low, high = percentile_interval((ratios[usable] - estimate) / errors, level)
    return max(estimate - high * error, 0.0), estimate - low * error


@lru_cache(maxsize=16)
def _draws(blocks: int) -> Array:
    """Return how often each block is drawn, ``[replicate, block]``; the seed is the number."""
    generator = np.random.default_rng(blocks)
    counts = generator.multinomial(blocks, np.full(blocks, 1 / blocks), BLOCK_REPLICATES)
    return counts.astype(np.float64)
