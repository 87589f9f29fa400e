"""Estimating the class shares of a population from scores alone: arithmetic on histograms.

Label shift: the classes look as they did, but come in other shares. Then a model's scores of the
new population are a mixture of what they were per class, and the shares of the mixture can be
found without a single new label.

Notation: theta, the unknown shares; p(x), the natural probabilities of a row; pi, the shares they
were calibrated to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.optimize import nnls
from scipy.stats import chi2

from sparkweights.errors import ModelError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

WORST_CONDITION = 1e3  # beyond, a digit of every share is noise multiplied
_EM_STEPS = 10_000
_LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class ScoreHistogram:
    """Scores of a table, in few enough cells to compute with.

    Attributes
    ----------
    probabilities
        ``[cell, class]``: mean natural probability within the cell.
    rows
        ``[cell, class]``: rows of the cell by true class; one column where that is unknown.
    """

    probabilities: Array
    rows: Array

    @property
    def of_cell(self) -> Array:
        """Rows per cell, whatever their class."""
        return np.asarray(self.rows.sum(axis=1))


@dataclass(frozen=True)
class PriorEstimate:
    """Estimated class shares of a population, with what they can be trusted.

    Attributes
    ----------
    method
        ``bbse`` or ``saerens_em``.
    shares, standard_errors
        Per class, in index order.
    condition
        Condition number of the soft confusion matrix (``bbse``), else None.
    """

    method: str
    shares: tuple[float, ...]
    standard_errors: tuple[float, ...]
    condition: float | None = None

    def interval(self, level: float = 0.95) -> tuple[tuple[float, float], ...]:
        """Return the asymptotic interval of each share, on the log-odds scale.

        A share that is not told apart from 0 or 1 has its plain interval, cut off there: log
        odds near the edge would span everything and say nothing.
        """
        z = NormalDist().inv_cdf(0.5 + level / 2)
        return tuple(
            _interval(share, z * error)
            for share, error in zip(self.shares, self.standard_errors, strict=True)
        )


def _interval(share: float, reach: float) -> tuple[float, float]:
    if min(share, 1 - share) <= reach:
        return (max(share - reach, 0.0), min(share + reach, 1.0))
    centre, width = math.log(share / (1 - share)), reach / (share * (1 - share))
    low, high = centre - width, centre + width
    return (1 / (1 + math.exp(-low)), 1 / (1 + math.exp(-high)))


def soft_confusion(source: ScoreHistogram) -> Array:
    """Return ``[predicted, true]``: the mean probability of a class over the rows of another."""
    return np.asarray(source.probabilities.T @ source.rows / source.rows.sum(axis=0))


def bbse(source: ScoreHistogram, target: ScoreHistogram) -> PriorEstimate:
    """Estimate shares by black-box shift estimation (Lipton, Wang & Smola 2018), soft version.

    The mean score of the target is C theta, C being the soft confusion matrix of labelled rows
    that the model was not fitted on; so theta solves that equation, with theta >= 0. Errors by
    the delta method, from the variance of the scores in the target and in each source class.

    Raises
    ------
    ModelError
        If C is close to singular: the model does not tell the classes apart.
    """
    confusion = soft_confusion(source)
    condition = float(np.linalg.cond(confusion))
    if not condition < WORST_CONDITION:
        raise ModelError(
            f"The model's scores do not tell the classes apart well enough to estimate their "
            f"shares: the confusion matrix has condition number {condition:,.0f}, at most "
            f"{WORST_CONDITION:,.0f} is allowed.",
            hint="set decision.target_prior to natural or to shares you know, or train a model "
            "with better features.",
        )
    weights = target.of_cell
    mean = weights @ target.probabilities / weights.sum()
    shares, _ = nnls(confusion, mean)
    shares = shares / shares.sum()
    spread = _covariance(target.probabilities, weights) / weights.sum()
    for c, share in enumerate(shares):
        own = source.rows[:, c]
        spread = spread + share**2 * _covariance(source.probabilities, own) / own.sum()
    inverse = np.linalg.inv(confusion)
    errors = np.sqrt(np.diag(inverse @ spread @ inverse.T))
    return PriorEstimate("bbse", _tuple(shares), _tuple(errors), condition)


def saerens_em(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...]
) -> PriorEstimate:
    """Estimate shares by maximum likelihood (Saerens, Latinne & Decaestecker 2002).

    EM repeats theta_c <- mean over the target of theta_c p_c/pi_c / sum_k theta_k p_k/pi_k. Errors
    from the information of the target's mixture and, because p was learned from a sample, the
    variance of the score function in each source class.

    Parameters
    ----------
    prior
        pi, the shares that the probabilities were calibrated to.
    """
    ratios = target.probabilities / np.asarray(prior)
    weights = target.of_cell / target.of_cell.sum()
    theta = np.asarray(prior, dtype=np.float64)
    for _ in range(_EM_STEPS):
        posterior = ratios * theta
        posterior /= posterior.sum(axis=1, keepdims=True)
        updated = np.maximum(weights @ posterior, _LEAST_SHARE)
        updated /= updated.sum()
        moved = float(np.abs(updated - theta).max())
        theta = updated
        if moved < 1e-12:  # noqa: PLR2004 (far below any standard error)
            break
    return PriorEstimate("saerens_em", _tuple(theta), _em_errors(source, target, prior, theta))


def _em_errors(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...], theta: Array
) -> tuple[float, ...]:
    """Return standard errors by the sandwich of information and the score's variance."""

    def score(probabilities: Array) -> Array:
        # d log(sum_k theta_k p_k / pi_k) / d theta_c, the last share being 1 - the others.
        ratios = probabilities / np.asarray(prior)
        ratios = ratios / (ratios @ theta)[:, None]
        return np.asarray(ratios[:, :-1] - ratios[:, -1:])

    of_target, of_source = score(target.probabilities), score(source.probabilities)
    weights = target.of_cell
    information = (of_target * weights[:, None]).T @ of_target / weights.sum()
    spread = _covariance(of_target, weights) / weights.sum()
    for c, share in enumerate(theta):
        own = source.rows[:, c]
        spread = spread + share**2 * _covariance(of_source, own) / own.sum()
    inverse = np.linalg.pinv(information)
    free = inverse @ spread @ inverse.T
    # The last share is 1 minus the others, so its variance is the sum of all their covariances.
    return _tuple(np.sqrt(np.append(np.diag(free), free.sum())))


def no_shift_p_value(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...]
) -> float:
    """Return the p-value of "the target has the source's shares", by Wald's test of mean scores.

    Scores average to the same in both where nothing shifted; the difference, in units of its
    covariance, is chi-squared with K - 1 degrees of freedom.
    """
    weights, before = target.of_cell, source.rows / source.rows.sum(axis=0) * np.asarray(prior)
    difference = weights @ target.probabilities / weights.sum() - (
        before.sum(axis=1) @ source.probabilities
    )
    spread = _covariance(target.probabilities, weights) / weights.sum()
    for c, share in enumerate(prior):
        own = source.rows[:, c]
        spread = spread + share**2 * _covariance(source.probabilities, own) / own.sum()
    reduced, covariance = difference[:-1], spread[:-1, :-1]
    statistic = float(reduced @ np.linalg.pinv(covariance) @ reduced)
    return float(chi2.sf(statistic, len(reduced)))


def _covariance(values: Array, weights: Array) -> Array:
    total = weights.sum()
    centred = values - weights @ values / total
    return np.asarray((centred * weights[:, None]).T @ centred / total)


def _tuple(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
