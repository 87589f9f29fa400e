"""Score tests of a count of events against the predicted probabilities.

A test with the standard error of the observed share does not reject a model that gives a class a
probability of 1e-7 where ten of its rows are observed: that error is a third of the observed share.
Under the model, ten such rows are practically impossible. So these tests use the error under the
model (a score test): given the probabilities, the variance and the third moment of the sum are
known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc, ndtr, ndtri, stdtr

from sparkweights.evaluation.score_table import ratio

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import Array, ScoreTable

_NORMAL = 1e-4  # a lower skewness changes no digit that reports show


class Tails(NamedTuple):
    """Probability of a sum at or below, and at or above, the observed sum."""

    below: float
    above: float

    @property
    def p_value(self) -> float:
        """The two-sided p-value: twice the smaller tail."""
        return min(1.0, 2 * min(self.below, self.above))

    def of_t(self, degrees: float) -> Tails:
        """Return the tails where the variance is an estimate with so many degrees of freedom."""
        if math.isinf(degrees):
            return self
        return Tails(*(float(stdtr(degrees, ndtri(tail))) for tail in self))


class Dependence(NamedTuple):
    """How much a sum varies because rows of a block depend on each other.

    Attributes
    ----------
    effect
        Its variance over that under independence (the design effect, Kish 1965), at least 1.
    degrees
        Degrees of freedom of this estimate: the effective number of blocks, less 1.
    """

    effect: float = 1.0
    degrees: float = math.inf


INDEPENDENT = Dependence()


def skewed_tails(gap: float, variance: float, third: float, *, step: float = 0.0) -> Tails:
    """Return the tails of a centred sum, by the gamma distribution with its first three moments.

    That is Pearson's type III, with the normal distribution as its limit; of a Poisson variable it
    is the chi-square relation up to the correction for continuity. Few large losses make a sum so
    skewed that the normal tail is off by orders of magnitude. The gamma distribution has a least
    value, which the sum can be below: on the side of the short tail the larger of gamma and normal
    is used, as sums of quantities >= 0 have a lower tail below the normal one (Maurer 2003).

    Parameters
    ----------
    gap
        The sum less its expectation.
    variance, third
        Second and third central moment of the sum.
    step
        Step of the sum where it is a count; half of it corrects for continuity.

    Examples
    --------
    At least 5 events where 1 is expected; of a Poisson variable, .0037:

    >>> round(skewed_tails(4.0, 1.0, 1.0, step=1.0).above, 4)
    0.0049
    """
    if not variance > 0:
        return Tails(float(gap <= 0), float(gap >= 0))
    deviation = math.sqrt(variance)
    low, high = (gap + step / 2) / deviation, (gap - step / 2) / deviation
    skewness = third / deviation**3
    if abs(skewness) < _NORMAL:
        return Tails(float(ndtr(low)), float(ndtr(-high)))
    if skewness < 0:
        mirrored = skewed_tails(-gap, variance, -third, step=step)
        return Tails(mirrored.above, mirrored.below)
    shape = 4 / skewness**2
    at_low, at_high = (max(shape + 2 / skewness * end, 0.0) for end in (low, high))
    below = max(float(gammainc(shape, at_low)), float(ndtr(low)))
    return Tails(below, float(gammaincc(shape, at_high)))


def base_rate_tails(
    table: ScoreTable, per_row: tuple[float, float], *, dependence: Dependence = INDEPENDENT
) -> Tails:
    """Return the tails of the number of rows of the class under its probabilities.

    With a_1 and a_0 the mean weight of a row of the class, and of the others (``sum w^2 / sum w``,
    Kish's), the sum of w (y - p) has the variance ``sum w p (1 - p) ((1 - p) a_1 + p a_0)`` and
    the third moment ``sum w p (1 - p) ((1 - p)^2 a_1^2 - p^2 a_0^2)``. This holds for rows that
    were sampled at different rates by class and are weighted by the inverse rates.

    Parameters
    ----------
    per_row
        (a_1, a_0).
    dependence
        Of the rows.
    """
    p, weight = table.mean_score, table.weight
    of_class, of_others = per_row
    variances = weight * p * (1 - p)
    variance = float(variances @ ((1 - p) * of_class + p * of_others))
    third = float(variances @ (((1 - p) * of_class) ** 2 - (p * of_others) ** 2))
    gap = float(table.positives.sum() - weight @ p)
    effect, degrees = dependence
    tails = skewed_tails(gap, variance * effect, third * effect**2, step=of_class * effect)
    return tails.of_t(degrees)


def stratified_tails(
    table: ScoreTable, effective: tuple[float, float], *, calibration_share: float = 0.0
) -> Tails:
    """Return the tails of mean probability - share where the split fixed the rows of each class.

    Then the share of the class is not random: it is that of the whole table, on which the
    probabilities were calibrated. Only the scores of the rows of each class are random, with the
    variance ``sum_c share_c^2 Var(p | c) / n_c``, on the test rows and, as the probabilities are
    fitted to the share there, on the calibration rows.

    Parameters
    ----------
    effective
        Effective rows of the class and of the others.
    calibration_share
        Test rows over calibration rows; 0 where nothing was calibrated.
    """
    p, total = table.mean_score, float(table.weight.sum())
    variance = 0.0
    for weight, rows in zip((table.positives, table.negatives), effective, strict=True):
        class_weight = float(weight.sum())
        mean = ratio(float(weight @ p), class_weight)
        variance_of_score = ratio(float(weight @ (p - mean) ** 2), class_weight)
        variance += (
            (class_weight / total) ** 2 * ratio(variance_of_score, max(rows - 1, 1))
            if class_weight
            else 0.0
        )
    gap = float(table.positives.sum() - table.weight @ p) / total
    return skewed_tails(gap, variance * (1 + calibration_share), 0.0)


def block_dependence(observed: Array, expected: Array, variance: float) -> Dependence:
    """Return how much the sum over blocks varies beyond independent rows.

    The effect is measured where the observed total is: few events vary less from block to block
    than the many that a wrong model expects. Few blocks, or a few that hold most of the sum,
    estimate it badly, so that a t distribution has the degrees of freedom of the effective number
    of clusters (Carter, Schnepel & Steigerwald 2017), ``(sum e)^2 / sum e^2 - 1``.

    Parameters
    ----------
    observed, expected
        ``[block]``: sums of the blocks that have rows.
    variance
        Of the observed total if all rows were independent and it were expected as expected.
    """
    blocks = len(observed)
    rate = ratio(float(observed.sum()), float(expected.sum()))
    if blocks < 2 or not variance * rate > 0:  # a single block has no variance
        return INDEPENDENT
    residuals = observed - expected * rate  # of sum 0
    effect = float(residuals @ residuals) * blocks / (blocks - 1) / (variance * rate)
    effective = float(expected.sum()) ** 2 / float(expected @ expected)
    return Dependence(max(effect, 1.0), max(effective - 1, 1.0))


def row_weights(weights: Array, squares: Array) -> Array:
    """Return the mean weight ``sum w^2 / sum w`` per class; of all rows for an absent class."""
    every = ratio(float(np.sum(squares)), float(np.sum(weights)))
    return np.where(weights > 0, squares / np.where(weights > 0, weights, 1.0), every)
