"""Into which cells scores are counted: even on a scale that resolves rare classes as well."""

from __future__ import annotations

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CELLS = 2_048  # of a histogram over two classes; keeps the reference in a bundle small
MAX_CELLS = 10_000  # over more classes, most of them empty
SMALLEST = 1e-8  # probability that two classes' cells still tell from 0


def levels(classes: int) -> int:
    """Return into how many levels each probability but one is divided.

    Probabilities sum to 1, so that of K of them at L levels only some combinations occur: at most
    `MAX_CELLS`. A cell is taken for rows of one score, which pulls estimates towards the prior
    where it is wide.
    """
    if classes == 2:  # one probability
        return CELLS
    count = 2
    while _occupied(count + 1, classes) <= MAX_CELLS:
        count += 1
    return count


def _occupied(count: int, classes: int) -> int:
    """Return how many combinations of so many levels have lower ends that sum to 1 at most."""
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

    Levels are even in logit p for two classes, so that base rates of 1e-4 and below are resolved
    as well as larger ones, and even in asin(sqrt p), the scale of constant variance of a share
    (Anscombe 1948), for more classes, where levels are few.
    """
    count = levels(classes)
    if classes == 2:  # even in logit
        inside = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
        end = np.log(SMALLEST / (1 - SMALLEST))
        place = (np.log(inside / (1 - inside)) - end) / (-2 * end)
    else:
        place = np.arcsin(np.sqrt(np.clip(probabilities, 0, 1))) / (np.pi / 2)
    return np.asarray(np.minimum(np.floor(place * count), count - 1), dtype=np.intp)
