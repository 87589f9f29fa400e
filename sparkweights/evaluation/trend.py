"""The trend of a figure over periods: a weighted linear regression on a few values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.evaluation.intervals import Interval

LEVEL = 0.95


@dataclass(frozen=True)
class Trend:
    """The slope of a figure over equally spaced periods.

    Attributes
    ----------
    slope
        Change from one period to the next, in the figure's unit.
    standard_error, interval
        Of the slope; the interval is of 95 %.
    """

    slope: float
    standard_error: float
    interval: Interval

    @property
    def shown(self) -> bool:
        """Whether the slope differs significantly from 0."""
        low, high = self.interval
        return low > 0 or high < 0


def weighted_trend(values: Sequence[float], standard_errors: Sequence[float]) -> Trend | None:
    """Fit a line by least squares, each value with the weight 1 / its variance.

    Where the values scatter about the line more than their errors allow, the slope's error is
    larger by the Birge ratio sqrt(chi^2 / (n - 2)) (Birge 1932), with Student's t of n - 2.

    Returns
    -------
    Trend or None
        None for fewer than three values, or without an error for each.

    Examples
    --------
    >>> trend = weighted_trend([1.0, 2.0, 3.0], [0.1, 0.1, 0.1])
    >>> round(trend.slope, 9), round(trend.standard_error, 6)
    (1.0, 0.070711)
    """
    y, errors = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    usable = np.isfinite(y).all() and np.isfinite(errors).all() and bool((errors > 0).all())
    if len(y) < 3 or not usable:  # two points are always on a line
        return None
    x, weight = np.arange(len(y), dtype=float), errors**-2
    centred = x - weight @ x / weight.sum()
    centred_squares = float(weight @ centred**2)
    slope = float(weight @ (centred * y)) / centred_squares
    residual = y - weight @ y / weight.sum() - slope * centred
    degrees = len(y) - 2
    birge = math.sqrt(float(weight @ residual**2) / degrees)
    # Scatter within the errors is consistent with them, so the quantile is the normal one.
    quantile = stats.norm.ppf(0.5 + LEVEL / 2)
    if birge > 1:
        quantile = stats.t.ppf(0.5 + LEVEL / 2, degrees)
    error = max(birge, 1.0) / math.sqrt(centred_squares)
    half_width = float(quantile) * error
    return Trend(slope, error, (slope - half_width, slope + half_width))
