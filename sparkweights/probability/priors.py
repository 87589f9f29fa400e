"""Estimating the class shares of a population from scores alone: arithmetic on histograms.

Label shift: the features of each class are distributed as before, but the class shares changed.
Then a model's scores of the new population are a mixture of the scores per class, and the shares of
the mixture can be estimated without new labels. Whether the scores are such a mixture is tested in
`sparkweights.probability.shift_tests`.

Notation: theta, the unknown shares; p(x), the natural probabilities of a row; pi, the shares they
were calibrated to; n, effective rows (Kish).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls
from scipy.stats import chi2

from sparkweights.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

WORST_CONDITION = 1e3  # with a larger number the shares are mostly noise
LEVEL = 0.95  # of intervals
_EM_STEPS = 10_000
_BISECTIONS = 60  # halvings of [0, 1] until neighbouring doubles
_MIN_SHARE = 1e-9


@dataclass(frozen=True)
class ScoreHistogram:
    """Scores of a table, in few enough cells to compute with.

    Attributes
    ----------
    probabilities
        ``[cell, class]``: mean natural probability within the cell.
    rows
        ``[cell, class]``: sum of the sample weights of the cell's rows by true class; one column
        where that is unknown.
    weight_squares
        The same of the squares of the weights; None where each row counts once.
    """

    probabilities: Array
    rows: Array
    weight_squares: Array | None = None

    @property
    def of_cell(self) -> Array:
        """Rows per cell, whatever their class."""
        return np.asarray(self.rows.sum(axis=1))

    @property
    def effective_rows(self) -> float:
        """Return (sum w)^2 / sum w^2 over all rows (Kish 1965, section 11.7)."""
        squares = self.rows if self.weight_squares is None else self.weight_squares
        return float(self.rows.sum() ** 2 / squares.sum())

    @property
    def effective_rows_by_class(self) -> Array:
        """Return (sum w)^2 / sum w^2 of the rows of each class."""
        squares = self.rows if self.weight_squares is None else self.weight_squares
        return np.asarray(self.rows.sum(axis=0) ** 2 / squares.sum(axis=0))

    @property
    def by_class(self) -> Array:
        """Return ``[cell, class]``: the share of a class's rows that is in a cell."""
        return np.asarray(self.rows / self.rows.sum(axis=0))


@dataclass(frozen=True)
class PriorEstimate:
    """Estimated class shares of a population, with their uncertainty.

    Attributes
    ----------
    method
        ``bbse`` or ``saerens_em``.
    shares, standard_errors
        Per class, in index order.
    condition
        Condition number of the soft confusion matrix (``bbse``), else None.
    likelihood_intervals
        By class, the likelihood interval of its share (``saerens_em``), else None.
    """

    method: str
    shares: tuple[float, ...]
    standard_errors: tuple[float, ...]
    condition: float | None = None
    likelihood_intervals: tuple[tuple[float, float], ...] | None = None

    def interval(self) -> tuple[tuple[float, float], ...]:
        """Return the 95 % interval of each share.

        The likelihood interval where there is one, otherwise the asymptotic one on the log-odds
        scale. Where the plain interval reaches 0 or 1, it is truncated there and used instead:
        the interval on the log-odds scale would span almost all shares.
        """
        if self.likelihood_intervals is not None:
            return self.likelihood_intervals
        z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
        return tuple(
            _wald_interval(share, z * error)
            for share, error in zip(self.shares, self.standard_errors, strict=True)
        )


def _wald_interval(share: float, half_width: float) -> tuple[float, float]:
    if min(share, 1 - share) <= half_width:
        return (max(share - half_width, 0.0), min(share + half_width, 1.0))
    centre, width = math.log(share / (1 - share)), half_width / (share * (1 - share))
    low, high = centre - width, centre + width
    return (1 / (1 + math.exp(-low)), 1 / (1 + math.exp(-high)))


def soft_confusion(source: ScoreHistogram) -> Array:
    """Return ``[predicted, true]``: the mean probability of a class over the rows of another."""
    return np.asarray(source.probabilities.T @ source.by_class)


def bbse(source: ScoreHistogram, target: ScoreHistogram) -> PriorEstimate:
    """Estimate shares by black-box shift estimation (Lipton, Wang & Smola 2018), soft version.

    The mean score of the target is C theta, C being the soft confusion matrix of labelled rows
    that the model was not fitted on; so theta solves that equation, with theta >= 0. Errors by
    the delta method, from the variance of the scores under the estimated mixture and in each
    source class.

    Raises
    ------
    ModelError
        If C is close to singular: the model does not separate the classes.
    """
    confusion = soft_confusion(source)
    condition = float(np.linalg.cond(confusion))
    if not condition < WORST_CONDITION:
        raise ModelError(
            f"The model's scores do not separate the classes well enough to estimate their "
            f"shares: the confusion matrix has condition number {condition:,.0f}, at most "
            f"{WORST_CONDITION:,.0f} is allowed.",
            hint="set decision.target_prior to natural or to shares you know, or train a model "
            "with better features.",
        )
    weights = target.of_cell
    mean = weights @ target.probabilities / weights.sum()
    shares, _ = nnls(confusion, mean)
    shares = shares / shares.sum()
    covariance = mean_covariance(source, source.probabilities, shares, target.effective_rows)
    inverse = np.linalg.inv(confusion)
    errors = np.sqrt(np.diag(inverse @ covariance @ inverse.T))
    return PriorEstimate("bbse", _tuple(shares), _tuple(errors), condition)


def mean_covariance(
    source: ScoreHistogram, values: Array, shares: Sequence[float] | Array, rows: float
) -> Array:
    """Return the covariance of a target's mean minus the source's, were theta the shares.

    The first part is sampling noise of a target with ``rows`` rows, by the covariance of the
    source's mixture and not the target's: a target without a risky row has almost none, and would
    exclude every share. The second part is sampling noise of the source's classes.

    Parameters
    ----------
    values
        ``[cell, dimension]``: what is averaged, per cell of the source.
    shares
        theta.
    rows
        Effective rows of the target.
    """
    theta, by_class = np.asarray(shares), source.by_class
    covariance = _covariance(values, by_class @ theta) / rows
    for c, (share, count) in enumerate(zip(theta, source.effective_rows_by_class, strict=True)):
        covariance = covariance + share**2 * _covariance(values, by_class[:, c]) / count
    return np.asarray(covariance)


def saerens_em(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...]
) -> PriorEstimate:
    """Estimate shares by maximum likelihood (Saerens, Latinne & Decaestecker 2002).

    EM repeats theta_c <- mean over the target of theta_c p_c/pi_c / sum_k theta_k p_k/pi_k; of two
    classes the same maximum is the root of a decreasing function. Errors from the information of
    the target's mixture and, because p was learned from a sample, the variance of the score
    function in each source class.

    Parameters
    ----------
    prior
        pi, the shares that the probabilities were calibrated to.
    """
    theta = _most_likely(target, prior, pseudo_rows=0.0)
    if len(prior) == 2:  # each is the complement of the other
        low, high = _likelihood_interval(source, target, prior, theta, 1)
        intervals: tuple[tuple[float, float], ...] = ((1 - high, 1 - low), (low, high))
    else:
        intervals = tuple(
            _likelihood_interval(source, target, prior, theta, c) for c in range(len(prior))
        )
    errors = _em_errors(source, target, prior, theta)
    return PriorEstimate("saerens_em", _tuple(theta), errors, likelihood_intervals=intervals)


def shrunk_shares(
    target: ScoreHistogram, prior: tuple[float, ...], pseudo_rows: float
) -> tuple[float, ...]:
    """Return the shares of the largest posterior density, under a Dirichlet prior at pi.

    Its parameters are 1 + m pi_c, so that it has the weight of m rows of known class with
    the shares pi; the M step is theta_c = (n mean_posterior_c + m pi_c) / (n + m) (Gelman et al.
    2013, ch. 13).

    Parameters
    ----------
    prior
        pi.
    pseudo_rows
        m, at least 0.
    """
    return _tuple(_most_likely(target, prior, pseudo_rows=pseudo_rows))


def _most_likely(target: ScoreHistogram, prior: tuple[float, ...], *, pseudo_rows: float) -> Array:
    """Maximise n mean log(sum_c theta_c p_c/pi_c) + m sum_c pi_c log theta_c over theta."""
    pi = np.asarray(prior, dtype=np.float64)
    ratios = target.probabilities / pi
    rows = target.effective_rows
    weights = target.of_cell / target.of_cell.sum() * rows
    if len(pi) == 2:  # concave in one share

        def slope(share: float) -> float:
            mixture = ratios[:, 0] + share * (ratios[:, 1] - ratios[:, 0])
            gain = float(weights @ ((ratios[:, 1] - ratios[:, 0]) / mixture))
            return gain + pseudo_rows * (prior[1] / share - prior[0] / (1 - share))

        share = _root(slope, _MIN_SHARE, 1 - _MIN_SHARE)
        return np.array([1 - share, share])
    theta = np.asarray(prior, dtype=np.float64)
    for _ in range(_EM_STEPS):
        posterior = ratios * theta
        posterior /= posterior.sum(axis=1, keepdims=True)
        updated = np.maximum(weights @ posterior + pseudo_rows * pi, _MIN_SHARE * rows)
        updated /= updated.sum()
        moved = float(np.abs(updated - theta).max())
        theta = updated
        if moved < 1e-12:  # far below any standard error
            break
    return theta


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of a decreasing function, or the bound nearest to it."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) > 0 else (low, middle)
    return (low + high) / 2


def _em_errors(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...], theta: Array
) -> tuple[float, ...]:
    """Return standard errors by the sandwich of information and the score's variance."""

    def score(probabilities: Array) -> Array:
        # d log(sum_k theta_k p_k / pi_k) / d theta_c, the last share being 1 - the others.
        ratios = probabilities / np.asarray(prior)
        ratios = ratios / (ratios @ theta)[:, None]
        return np.asarray(ratios[:, :-1] - ratios[:, -1:])

    inverse = np.linalg.pinv(_information(score(target.probabilities), target.of_cell))
    covariance = mean_covariance(source, score(source.probabilities), theta, target.effective_rows)
    free = inverse @ covariance @ inverse.T
    # The last share is 1 minus the others, so its variance is the sum of all their covariances.
    return _tuple(np.sqrt(np.append(np.diag(free), free.sum())))


def _information(score: Array, weights: Array) -> Array:
    return np.asarray((score * weights[:, None]).T @ score / weights.sum())


def _likelihood_interval(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...], theta: Array, c: int
) -> tuple[float, float]:
    """Return the interval of shares of class c by the likelihood ratio to the maximum.

    Other shares follow the tangent of the profile at the maximum (with two classes, the profile
    itself), so the interval stays within 0 and 1 and is one-sided at the edges. The ratio is scaled
    by the information over the score's variance, because p was learned from a sample (Rotnitzky &
    Jewell 1990, section 3); both are those of the source's mixture at the share in question.
    """
    pi, rows = np.asarray(prior), target.effective_rows
    of_target, of_source = target.probabilities / pi, source.probabilities / pi
    weights = target.of_cell / target.of_cell.sum() * rows
    tangent = _tangent(of_target, target.of_cell, theta, c)
    maximum = float(weights @ np.log(of_target @ theta))
    limit = float(chi2.ppf(LEVEL, 1))

    def is_inside(share: float) -> bool:
        shares = np.maximum(theta + (share - theta[c]) * tangent, 0.0)
        shares /= shares.sum()
        ratio = 2 * (maximum - float(weights @ np.log(of_target @ shares)))
        score = (of_source @ tangent / (of_source @ shares))[:, None]
        score_variance = _covariance(score, source.by_class @ shares) / rows
        variance = mean_covariance(source, score, shares, rows)
        return ratio * float(score_variance[0, 0]) <= limit * float(variance[0, 0])

    return (
        _edge(is_inside, theta[c], _MIN_SHARE, 0.0),
        _edge(is_inside, theta[c], 1 - _MIN_SHARE, 1.0),
    )


def _edge(
    is_inside: Callable[[float], bool], inside: float, outside: float, extreme: float
) -> float:
    """Return the bound of an interval, between a share inside and one that may be outside."""
    if is_inside(outside):
        return extreme
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_inside(middle) else (inside, middle)
    return float(inside)


def _tangent(ratios: Array, weights: Array, theta: Array, c: int) -> Array:
    """Return the change of all shares per change of class c that lowers the likelihood least."""
    k = len(theta)
    active = [i for i in range(k) if theta[i] > 1e-6 or i == c]  # others stay at 0
    others = [i for i in active if i != c]
    if not others:
        others = [i for i in range(k) if i != c]
    base, free = others[-1], [c, *others[:-1]]
    relative = ratios / (ratios @ theta)[:, None]
    score = relative[:, free] - relative[:, [base]]
    covariance = np.linalg.pinv(_information(score, weights))
    moves = covariance[:, 0] / covariance[0, 0] if covariance[0, 0] > 0 else np.eye(len(free))[0]
    tangent = np.zeros(k)
    tangent[free], tangent[base] = moves, -moves.sum()
    return tangent


def towards(
    start: Sequence[float], end: Sequence[float], is_allowed: Callable[[Array], bool]
) -> tuple[float, ...]:
    """Return the allowed shares nearest to ``end`` on the line from ``start``."""
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    if is_allowed(last):
        return _tuple(last)
    part = _edge(lambda t: is_allowed(first + t * (last - first)), 0.0, 1.0, 1.0)
    return _tuple(first + part * (last - first))


def odds_ratio(shares: Sequence[float] | Array, prior: Sequence[float]) -> float:
    """Return the largest factor by which a class's odds changed, up or down; at least 1."""
    theta, pi = np.asarray(shares), np.asarray(prior)
    with np.errstate(divide="ignore"):
        moved = np.log(theta / (1 - theta)) - np.log(pi / (1 - pi))
    return float(np.exp(np.abs(moved).max()))


def _covariance(values: Array, weights: Array) -> Array:
    total = weights.sum()
    centred = values - weights @ values / total
    return np.asarray((centred * weights[:, None]).T @ centred / total)


def _tuple(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
