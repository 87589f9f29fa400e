"""The class shares that a batch is decided for: from the outcomes of the window, then its scores.

Notation: p(x), the probabilities that the model gives, natural to its own shares pi; r_c, the
factor by which the odds of class c have moved since. A batch is decided by
p'_c proportional to p_c r_c, which is the shift to the target shares proportional to pi_c r_c.

1. Outcomes. r is the factor at which the probabilities of the window's rows sum to the classes
   observed: the maximum likelihood estimate of an intercept per class, the slopes being as they
   are. Under label shift it is the ratio of the shares. Under a covariate shift that the model
   follows it is 1, whatever the shares.
2. Scores. Rows are decided before their outcome is known, so the shares may have moved once more
   since the window. `sparkweights.probability.label_shift` compares the latest scores with the
   window's, tests, shrinks and limits the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.probability.label_shift import PSEUDO_ROWS, estimate_shift
from sparkweights.probability.priors import ScoreHistogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.probability.score_cells import Array
    from sparkweights.stream.window import Bucket

_STEPS = 100  # of Newton's method; a handful is usual
MIN_WINDOW = 100.0  # rows with outcome; with fewer, the model's own shares are kept


@dataclass(frozen=True)
class CurrentPrior:
    """The shares that a batch is decided for, and why.

    Attributes
    ----------
    model
        Class name -> share that the model's probabilities are natural to.
    outcomes
        The shares moved so that the probabilities agree with the window's outcomes.
    shift
        The estimate from scores alone; None where rows are too few.
    target
        The shares that the batch is decided for.
    """

    model: Mapping[str, float]
    outcomes: Mapping[str, float]
    shift: LabelShift | None
    target: Mapping[str, float]

    @property
    def rare_share(self) -> float:
        """The target share of the class that is the rarest one in the model."""
        return self.target[min(self.model, key=lambda name: self.model[name])]


def estimate_prior(
    model: Mapping[str, float],
    window: Bucket | None,
    recent: ScoreHistogram | None,
    max_shift: float,
    reference: ScoreHistogram | None = None,
) -> CurrentPrior:
    """Estimate the shares that the next batch is decided for.

    Parameters
    ----------
    model
        pi.
    window
        The sums over the rows with outcome; None without any.
    recent
        The latest scores, whether their outcome is known or not; None without any.
    max_shift
        By which factor scores alone may move the odds of a class.
    reference
        Scores by class that the latest ones are compared with while the window has few rows: those
        of the model's test rows; None where the model's scores are others by now.
    """
    classes, pi = tuple(model), np.array(list(model.values()))
    if window is None or window.rows < MIN_WINDOW:
        if reference is None or recent is None:
            return CurrentPrior(model, model, None, model)
        shift = estimate_shift(reference, recent, model, max_shift=max_shift)
        return CurrentPrior(model, model, shift, shift.target_prior() or model)
    factors = outcome_factors(model, window)
    outcomes = _named(classes, pi * factors)
    observed = window.scores.rows.sum(axis=0)
    if recent is None or (observed == 0).any():  # a class without rows has no scores to compare
        return CurrentPrior(model, outcomes, None, outcomes)
    source, target = _reweighted(window.scores, factors), _reweighted(recent, factors)
    shares = _named(classes, observed)
    shift = estimate_shift(source, target, shares, max_shift=max_shift)
    moved = shift.target_prior()
    if moved is None:
        return CurrentPrior(model, outcomes, shift, outcomes)
    ratio = np.array([moved[name] / shares[name] for name in classes])
    return CurrentPrior(model, outcomes, shift, _named(classes, pi * factors * ratio))


def outcome_factors(model: Mapping[str, float], window: Bucket) -> Array:
    """Return r of the window's outcomes; 1 for each class where there are too few."""
    pi = np.array(list(model.values()))
    if window.rows < MIN_WINDOW:
        return np.ones(len(pi))
    return match_outcomes(window.scores, pi)


def smoothed_shares(weights: Array, prior: Array) -> Array:
    """Return class shares as if `PSEUDO_ROWS` more rows had the shares of the prior."""
    total = weights + PSEUDO_ROWS * prior
    return np.asarray(total / total.sum())


def match_outcomes(scores: ScoreHistogram, prior: Array) -> Array:
    """Return r, of mean log 0: the factors at which probabilities sum to the classes observed.

    The likelihood is that of the rows and of `PSEUDO_ROWS` rows at the prior, so that a class
    without rows keeps a share; it is concave in log r, and Newton's method finds its maximum.

    Parameters
    ----------
    scores
        Rows by class.
    prior
        pi, shares per class.

    Examples
    --------
    Probabilities of 0.1 for rows of which half are events have the odds 1 to 9, and the factor 9:

    >>> rows = ScoreHistogram(np.array([[0.9, 0.1]]), np.array([[5e6, 5e6]]))
    >>> r = match_outcomes(rows, np.array([0.9, 0.1]))
    >>> round(float(r[1] / r[0]), 3)
    9.0
    """
    probabilities = np.concatenate([scores.probabilities, prior[None]])
    rows = np.append(scores.of_cell, PSEUDO_ROWS)
    observed = scores.rows.sum(axis=0) + PSEUDO_ROWS * prior
    logs = np.zeros(len(prior))
    objective = -np.inf
    step = np.zeros(len(prior))
    for _ in range(_STEPS):
        moved = probabilities * np.exp(logs + step)
        sums = moved.sum(axis=1)
        value = float(observed @ (logs + step) - rows @ np.log(sums))
        if value < objective:  # too long a step
            step = step / 2
            continue
        logs, objective = logs + step, value
        moved /= sums[:, None]
        gradient = observed - rows @ moved
        if np.abs(gradient).max() < 1e-9 * rows.sum():
            break
        weighted = moved * rows[:, None]
        curvature = np.diag(weighted.sum(axis=0)) - weighted.T @ moved
        # The sum of all directions is flat; the pseudo-inverse leaves it out.
        step = np.linalg.pinv(curvature, rcond=1e-12) @ gradient
    return np.asarray(np.exp(logs - logs.mean()))


def _reweighted(scores: ScoreHistogram, factors: Array) -> ScoreHistogram:
    moved = scores.probabilities * factors
    return ScoreHistogram(
        moved / moved.sum(axis=1, keepdims=True), scores.rows, scores.weight_squares
    )


def _named(classes: tuple[str, ...], values: Array) -> dict[str, float]:
    return dict(zip(classes, (values / values.sum()).tolist(), strict=True))
