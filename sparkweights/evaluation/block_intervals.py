"""Intervals of mean differences that depend on few rows: the bootstrap-t over blocks.

A difference of two costs is 0 on most rows, a small gain on some, and a large loss on a few. A
percentile interval of such sums is too short on the side of the losses: where few are observed,
both the mean and its error are small. The bootstrap-t resamples the studentised mean and corrects
that (Efron & Tibshirani 1993, sec. 12.5). No resample contains a loss above the largest observed
loss, so each end also allows for one further block as large as the largest on its side.

Coverage by simulation, for equal sets of decisions of which one is laxer (rows decided differently:
2 % losses of 49 gains each, amounts lognormal with sigma 0, 0.8 or 1.2, 10 to 300 losses expected
and at least 10 observed): the upper end is below the truth in 0 to 2.8 % of 600 draws, of nominal
2.5 %. In 400 draws, with the plain bootstrap-t it does in up to 8 %, with BCa in up to 9 %, with
percentiles in up to 14 %. See `benchmarks.rightness.comparisons`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import Array

REPLICATES = 2_000
LEVEL = 0.95
_EXTREME = 1e6  # a studentised mean whose error is 0


@dataclass(frozen=True)
class StudentisedMeans:
    """Means over blocks, their errors, and the studentised deviations of resampled means.

    Attributes
    ----------
    means, errors
        ``[k]``: sum of values over sum of weights, and its standard error (delta method).
    replicates
        ``[replicate, k]``: (resampled mean - mean) / resampled error; all ``k`` are resampled
        together, so that the largest of a replicate is the maximum of a row.
    """

    means: Array
    errors: Array
    replicates: Array


def studentised_means(values: Array, weights: Array, *, seed: int = 0) -> StudentisedMeans:
    """Return means of block sums with their bootstrap-t replicates.

    Parameters
    ----------
    values
        ``[k, block]``: sums over the rows of a block.
    weights
        ``[block]``: the sum of the weights of a block's rows, at least two blocks above 0.
    """
    draws = _draws(weights.size, seed)
    correction = weights.size / (weights.size - 1)
    means, errors = means_with_errors(values, weights)
    # One product, so that the large matrix of draws is read once.
    parts = np.concatenate([values, values**2, values * weights, [weights, weights**2]]).T
    products = draws @ parts
    sums, squared, mixed = np.split(products[:, :-2], 3, axis=1)
    totals = np.maximum(products[:, -2:-1], np.finfo(float).tiny)
    resampled = sums / totals
    squares = squared - 2 * resampled * mixed + resampled**2 * products[:, -1:]
    resampled_errors = np.sqrt(correction * np.maximum(squares, 0.0)) / totals
    away = resampled - means
    far = np.where(np.abs(away) > 1e-12 * np.abs(means), np.sign(away) * _EXTREME, 0.0)
    replicates = np.divide(away, resampled_errors, out=far, where=resampled_errors > 1e-9 * errors)
    return StudentisedMeans(means, errors, replicates)


def means_with_errors(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return the ``means`` and ``errors`` of `StudentisedMeans`, without resampling."""
    means: Array = values.sum(axis=1) / weights.sum()
    rest = ((values - np.outer(means, weights)) ** 2).sum(axis=1)
    correction = weights.size / (weights.size - 1)
    return means, np.sqrt(correction * rest) / weights.sum()


def mean_interval(
    values: Array, weights: Array, *, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of a mean difference, from the sums of its blocks.

    Parameters
    ----------
    values, weights
        ``[block]``: sum of the weighted differences, and of the weights, of the block's rows.

    Examples
    --------
    >>> gains, losses = np.full(90, -1.0), np.full(10, 9.0)
    >>> low, high = mean_interval(np.concatenate([gains, losses]), np.ones(100))
    >>> low < 0 < high, high > -low
    (True, True)
    """
    tail = (1 - level) / 2
    low = with_one_more(values[None, :], weights, np.minimum, seed=seed)
    high = with_one_more(values[None, :], weights, np.maximum, seed=seed)
    # The expected rank of a quantile; others are too narrow when replicates are few.
    above = np.quantile(low.replicates[:, 0], 1 - tail, method="weibull")
    below = np.quantile(high.replicates[:, 0], tail, method="weibull")
    return (
        float(low.means[0] - above * low.errors[0]),
        float(high.means[0] - below * high.errors[0]),
    )


def with_one_more(
    values: Array, weights: Array, largest: np.ufunc, *, seed: int = 0
) -> StudentisedMeans:
    """Return the means with one further block, as extreme as the most extreme on one side.

    Parameters
    ----------
    largest
        ``np.maximum`` for an upper end, ``np.minimum`` for a lower one.
    """
    extreme = largest(largest.reduce(values, axis=1), 0.0)
    further = np.append(values, extreme[:, None], axis=1)
    return studentised_means(further, np.append(weights, weights.mean()), seed=seed)


@lru_cache(maxsize=4)
def _draws(blocks: int, seed: int) -> Array:
    """Return how often each block is drawn: ``[replicate, block]``."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(blocks, np.full(blocks, 1 / blocks), REPLICATES).astype(float)
