"""Hand's H-measure: a score's loss, averaged over costs that do not depend on the score.

The area under the ROC curve averages over a distribution of costs that depends on the score
(Hand 2009); the H-measure uses the same Beta distribution for all scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import betainc

from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.discrimination import RocCurve, roc_curve

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import Array, ScoreTable


class BetaShape(NamedTuple):
    """Beta distribution of c = C_FP / (C_FP + C_FN), with the regrets C_FP and C_FN."""

    alpha: float
    beta: float


SYMMETRIC = BetaShape(2.0, 2.0)  # Hand 2009: most weight where both mistakes cost the same


def prior_shape(table: ScoreTable) -> BetaShape:
    """Return Beta(1 + prior, 2 - prior), whose mode is the prior (Hand & Anagnostopoulos 2014).

    That is Beta(pi1 + 1, pi0 + 1): mistakes on the rarer class are more expensive, in proportion.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> prior_shape(ScoreTable([0.2], [1], [3]))
    BetaShape(alpha=1.25, beta=1.75)
    """
    return BetaShape(1 + table.prior, 2 - table.prior)


def threshold_shape(threshold: float) -> BetaShape:
    """Return Beta(2, 1 / threshold), whose mode is a Bayes threshold.

    The R package ``hmeasure`` has it for a severity ratio of C_FP / C_FN, and by default for the
    prior.

    Parameters
    ----------
    threshold
        C_FP / (C_FP + C_FN), in (0, 1).

    Examples
    --------
    >>> threshold_shape(0.05)
    BetaShape(alpha=2.0, beta=20.0)
    """
    if not 0 < threshold < 1:
        raise ConfigError(f"threshold: {threshold}; allowed: a number between 0 and 1, excluded.")
    return BetaShape(2.0, 1 / threshold)


def known_threshold(table: ScoreTable) -> float | None:
    """Return C_FP / (C_FP + C_FN) of the table's costs, or None where it has no such mistakes.

    C_FP is the mean regret of declining over the rows of the others, C_FN that of approving over
    the rows of the class: where costs are the same for all rows, this is the Bayes threshold.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> known_threshold(ScoreTable([0.2], [2], [4], cost_positive=[[18], [0]],
    ...                            cost_negative=[[0], [4]]))
    0.1
    """
    if table.cost_positive is None or table.cost_negative is None:
        return None
    of_class, of_others = table.positives.sum(), table.negatives.sum()
    if not of_class or not of_others:
        return None
    approve, decline = table.cost_positive.sum(axis=1)
    missed = (approve - decline) / of_class
    approve, decline = table.cost_negative.sum(axis=1)
    alarm = (decline - approve) / of_others
    return float(alarm / (alarm + missed)) if alarm > 0 and missed > 0 else None


def cost_shape(table: ScoreTable) -> BetaShape:
    """Return the shape whose mode is `known_threshold`, or `prior_shape` where there is none.

    A threshold above 1/2 gets the mirror image of `threshold_shape`, so that both of two classes
    have the same H-measure.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> cost_shape(ScoreTable([0.2], [2], [4], cost_positive=[[18], [0]],
    ...                       cost_negative=[[0], [4]]))
    BetaShape(alpha=2.0, beta=10.0)
    """
    threshold = known_threshold(table)
    if threshold is None:
        return prior_shape(table)
    if threshold <= 0.5:  # the middle of costs
        return threshold_shape(threshold)
    alpha, beta = threshold_shape(1 - threshold)
    return BetaShape(beta, alpha)


def h_measure(table: ScoreTable, shape: BetaShape = SYMMETRIC) -> float:
    """Return 1 - (mean loss at the best threshold of each cost) / (that of a random score).

    At cost c the best threshold declines the rows whose share of the class, on the hull of the
    ROC curve, exceeds c. A row in a part of the hull with share q thus costs c for c < q if it
    is negative, and 1 - c for c > q if it is positive; with I the regularised incomplete beta
    function and m = alpha / (alpha + beta), its mean loss is ``m I(q; alpha + 1, beta)`` or
    ``(1 - m)(1 - I(q; alpha, beta + 1))``. A random score has q = prior throughout.

    Parameters
    ----------
    shape
        Both numbers > 0.

    Returns
    -------
    float
        1 for a perfect ranking; 0 for a random ranking and for one worse than random, which adds
        nothing to the convex hull; NaN with one class.

    References
    ----------
    Hand 2009, Machine Learning 77, 103-123, eq. 9 to 14; Hand & Anagnostopoulos 2014, Pattern
    Recognition Letters 40, 41-46.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> table = ScoreTable([0.1, 0.35, 0.4, 0.8], [0, 1, 0, 1], [1, 0, 1, 0])
    >>> round(h_measure(table), 12)  # shares on the hull: 0, 1/2, 1/2, 1
    0.5
    """
    if min(shape) <= 0 or not np.isfinite(shape).all():
        raise ConfigError(
            f"shape: {tuple(shape)}; both numbers of a Beta distribution are finite and > 0."
        )
    occupied = table.weight > 0
    positives, negatives = table.positives[occupied], table.negatives[occupied]
    if not positives.any() or not negatives.any():
        return float("nan")
    total = positives.sum() + negatives.sum()
    constant = np.full(len(positives), positives.sum() / total)
    best = _loss(hull_shares(table), positives / total, negatives / total, shape)
    measure = 1 - best / _loss(constant, positives / total, negatives / total, shape)
    return max(measure, 0.0)  # a random score can round to just below 0


def hull_shares(table: ScoreTable) -> Array:
    """Return the class's share on the ROC curve's convex hull, per entry that is not empty.

    It is the isotonic regression of the class on the score: pooling adjacent violators computes
    the hull (Fawcett & Niculescu-Mizil 2007).

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> hull_shares(ScoreTable([0.1, 0.4, 0.8], [0, 2, 1], [2, 0, 1])).tolist()
    [0.0, 0.75, 0.75]
    """
    occupied = table.weight > 0
    if not occupied.any():
        return np.zeros(0)
    weight = table.weight[occupied]
    hull = isotonic_regression(table.positives[occupied] / weight, weights=weight).x
    return np.clip(np.asarray(hull, dtype=np.float64), 0, 1)


def roc_convex_hull(table: ScoreTable) -> RocCurve:
    """Return the corners of the least concave curve above the ROC curve (Provost & Fawcett 2001).

    Its thresholds are those that are best at some costs; NaN rates where a class is absent.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> roc_convex_hull(ScoreTable([0.1, 0.4, 0.8], [0, 2, 1], [2, 0, 1])).threshold.tolist()
    [inf, 0.4, 0.1]
    """
    curve, shares = roc_curve(table), hull_shares(table)[::-1]
    corner = np.r_[True, shares[1:] < shares[:-1], True][: len(shares) + 1]
    return RocCurve(*(part[corner] for part in curve))


def _loss(share: Array, positives: Array, negatives: Array, shape: BetaShape) -> float:
    alpha, beta = shape
    mean = alpha / (alpha + beta)
    declined = mean * betainc(alpha + 1, beta, share)
    approved = (1 - mean) * (1 - betainc(alpha, beta + 1, share))
    return float(negatives @ declined + positives @ approved)
