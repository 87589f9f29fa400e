"""Batches of rows for stochastic gradients, with the weights that keep the gradient unbiased.

A batch of m rows, of which each is row i with probability pi_i, estimates the mean gradient
``sum_i g_i / n`` by ``sum over the batch of g_i / (n pi_i m)``, whatever the pi_i > 0. Its variance
is least where pi_i is proportional to the size of g_i (Zhao & Zhang 2015, "Stochastic optimization
with importance sampling", eq. 8): rare, badly predicted rows are drawn often and count little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkweights.models.losses import Array

# Of every draw: no row counts more than 1 / FLOOR times, and a row whose loss is 0 is still drawn.
FLOOR = 0.1

Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class Batch(NamedTuple):
    """Rows of a batch.

    Attributes
    ----------
    rows
        Their positions.
    shares
        1 / (n pi_i m) of each; the sum over the batch of ``shares`` times gradients is an unbiased
        estimate of the mean gradient of all rows.
    """

    rows: Rows
    shares: Array


def class_balanced(labels: Array) -> Array:
    """Return pi_i with the same sum for each class that has rows.

    Examples
    --------
    >>> class_balanced(np.array([0, 0, 0, 1])).tolist()
    [0.16666666666666666, 0.16666666666666666, 0.16666666666666666, 0.5]
    """
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(counts) * counts[index]))


def proportional(sizes: Array) -> Array:
    """Return pi_i proportional to sizes >= 0, mixed with the share `FLOOR` of a uniform draw."""
    total = sizes.sum()
    if total <= 0:
        return np.full(len(sizes), 1 / len(sizes))
    return np.asarray((1 - FLOOR) * sizes / total + FLOOR / len(sizes))


def permuted(
    rows: int, steps: int, random: np.random.Generator, *, passes: int = 1
) -> Iterator[Batch]:
    """Yield ``steps`` batches that hold each row once in a pass, in random order."""
    for _ in range(passes):
        for part in np.array_split(random.permutation(rows), steps // passes):
            if len(part):
                yield Batch(part, np.full(len(part), 1 / len(part)))


def drawn(
    probabilities: Array, size: int, steps: int, random: np.random.Generator
) -> Iterator[Batch]:
    """Yield ``steps`` batches of ``size`` rows that are drawn with the given probabilities.

    All batches together are one systematic sample: each row is drawn as often as is expected,
    rounded up or down. Single batches have the variance of independent draws; the sum of many has
    less.
    """
    bounds = np.cumsum(probabilities)
    draws = steps * size
    points = (np.arange(draws) + random.random()) / draws * bounds[-1]
    rows = np.minimum(np.searchsorted(bounds, points, side="right"), len(bounds) - 1)
    for part in random.permutation(rows).reshape(steps, size):
        yield Batch(part, 1 / (len(probabilities) * probabilities[part] * size))
