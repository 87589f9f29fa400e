"""Compare the rankings of two scores of the same rows, by their areas under the ROC curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

BINS = 1024  # per score; rows that share one count as ties


@dataclass(frozen=True)
class AreaShift:
    """The difference of the areas under the ROC curve of two scores of the same rows.

    Attributes
    ----------
    before, after
        The areas.
    standard_error
        Of their difference (DeLong, DeLong & Clarke-Pearson 1988).
    """

    before: float
    after: float
    standard_error: float

    @property
    def shift(self) -> float:
        """The difference, after - before."""
        return self.after - self.before

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the asymptotic interval of the difference."""
        half_width = NormalDist().inv_cdf(0.5 + level / 2) * self.standard_error
        return (self.shift - half_width, self.shift + half_width)


def compare_areas(
    df: DataFrame, before: Column, after: Column, positive: Column, weight: Column | None = None
) -> AreaShift:
    """Compare the ranking of two scores in one Spark job.

    Parameters
    ----------
    before, after
        Probabilities of the positive class by two models, for instance without and with weights.
    positive
        Whether the row is of that class.
    weight
        How often a row counts, or None where each counts once.

    Raises
    ------
    InputError
        If the rows are all of one class.
    """
    times = F.lit(1.0) if weight is None else weight
    sums = [
        F.sum(F.when(side, value).otherwise(0.0))
        for value in (times, times * times)
        for side in (positive, ~positive)
    ]
    bin_rows = (
        df.groupBy(_bin(before).alias("before"), _bin(after).alias("after"))
        .agg(*[total.alias(f"sum_{i}") for i, total in enumerate(sums)])
        .collect()
    )
    cells = np.array([[*row] for row in bin_rows], dtype=float).reshape(-1, 6)
    positives, negatives, *squares = cells[:, 2:].T
    if positives.sum() == 0 or negatives.sum() == 0:
        raise InputError(
            f"An area under the ROC curve needs rows of both classes; here are "
            f"{positives.sum():.0f} positive and {negatives.sum():.0f} other rows.",
            hint="compare on rows that hold both.",
        )
    return delong(cells[:, :2], positives, negatives, squares)


def delong(
    scores: Array, positives: Array, negatives: Array, squares: Sequence[Array]
) -> AreaShift:
    """Return both areas and the standard error of their difference.

    Parameters
    ----------
    scores
        ``[cell, 2]``.
    positives, negatives
        Weight of the rows per cell.
    squares
        The sums of its square, of both; the effective rows are (sum w)^2 / sum w^2 (Kish 1965).
    """
    placements = [_placements(scores[:, j], positives, negatives) for j in (0, 1)]
    areas = [float(of_positive @ positives / positives.sum()) for of_positive, _ in placements]
    variance = 0.0
    for which, rows in ((0, positives), (1, negatives)):
        difference = placements[1][which] - placements[0][which]
        total = rows.sum()
        mean = rows @ difference / total
        effective = total**2 / squares[which].sum()
        # A class of one row has no variance.
        variance += float(rows @ (difference - mean) ** 2 / total / max(effective - 1, 1))
    return AreaShift(areas[0], areas[1], math.sqrt(variance))


def _placements(score: Array, positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Return, per cell, the share of the other class that a row of each class outranks."""
    levels, level = np.unique(score, return_inverse=True)
    own_positive = np.bincount(level, weights=positives, minlength=len(levels))
    own_negative = np.bincount(level, weights=negatives, minlength=len(levels))
    below = np.cumsum(own_negative) - own_negative / 2
    above = positives.sum() - np.cumsum(own_positive) + own_positive / 2
    return (below / negatives.sum())[level], (above / positives.sum())[level]


def _bin(score: Column) -> Column:
    """Return the bin of a probability; near 0 and 1, where rare events lie, bins are narrower."""
    # The arcsine stabilises the variance of a share, which is smaller near 0 and 1.
    angle = F.asin(F.sqrt(F.least(score, F.lit(1.0))))
    return F.floor(angle * (2 / math.pi * BINS))
