"""Cells of score histograms, uniform on a scale that resolves rare classes."""

from __future__ import annotations

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CELLS = 2_048  # of a histogram over two classes; keeps the reference in a bundle small
MAX_CELLS = 10_000  # over more classes, most of them empty
SMALLEST = 1e-8  # smallest probability that the cells of two classes resolve


def levels(classes: int) -> int:
    """Return the number of levels for each probability but one.

    Probabilities sum to 1, so only some combinations of levels occur: at most `MAX_CELLS`. A cell
    counts as rows of a single score; wide cells bias estimates towards the prior.
    """
    if classes == 2:  # one probability
        return CELLS
    count = 2
    while _occupied(count + 1, classes) <= MAX_CELLS:
        count += 1
    return count


def _occupied(count: int, classes: int) -> int:
    """Return how many combinations of ``count`` levels have lower bounds that sum to at most 1."""
    lower = np.sin(np.arange(count) / count * np.pi / 2) ** 2
    sums = np.zeros(1)
    for _ in range(classes - 1):
        sums = (sums[:, None] + lower).ravel()
        sums = sums[sums <= 1]
        if len(sums) > MAX_CELLS:
            break
    return len(sums)


def level_of(probabilities: Array, classes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return the level of each probability, from 0 to ``levels(classes) - 1``.

    Levels are uniform in logit p for two classes, so that base rates of 1e-4 and below are resolved
    as well as larger ones, and uniform in asin(sqrt p), the scale of constant variance of a share
    (Anscombe 1948), for more classes, where levels are few.
    """
    count = levels(classes)
    if classes == 2:  # uniform in logit
        inside = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
        end = np.log(SMALLEST / (1 - SMALLEST))
        fraction = (np.log(inside / (1 - inside)) - end) / (-2 * end)
    else:
        fraction = np.arcsin(np.sqrt(np.clip(probabilities, 0, 1))) / (np.pi / 2)
    return np.asarray(np.minimum(np.floor(fraction * count), count - 1), dtype=np.intp)
