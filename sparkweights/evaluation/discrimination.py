"""Measures of the ranking of a class above the others by a score, from a table of scores.

A metric that the rows do not determine, such as an area with rows of one class alone, is NaN.
A threshold includes equal scores. Entries of equal score are ties, each pair counting one half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.score_table import Array, ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sparkweights.evaluation.score_table import ScoreTable


class RocCurve(NamedTuple):
    """The receiver operating characteristic, by descending threshold from infinity."""

    threshold: Array  # the first is infinite
    false_positive_rate: Array
    recall: Array


class PrecisionRecallCurve(NamedTuple):
    """Precision against recall, by descending threshold from infinity."""

    threshold: Array  # the first is infinite
    precision: Array  # 1 at the infinite threshold, as scikit-learn has it
    recall: Array


class KolmogorovSmirnov(NamedTuple):
    """The largest difference between the two classes' distribution functions of the score."""

    statistic: float
    threshold: float


def roc_curve(table: ScoreTable) -> RocCurve:
    """Return every point of the ROC curve (Fawcett 2006); the rate of an absent class is NaN.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> curve = roc_curve(ScoreTable([0.2, 0.6], [1, 3], [4, 4]))
    >>> curve.false_positive_rate.tolist(), curve.recall.tolist()
    ([0.0, 0.5, 1.0], [0.0, 0.75, 1.0])
    """
    threshold, positives, negatives = table.at_or_above()
    return RocCurve(threshold, _shares(negatives), _shares(positives))


def roc_auc(table: ScoreTable) -> float:
    """Return the area under the ROC curve: P(score of a positive > of a negative) + half the ties.

    ``sum_k negatives_k (positives above k + positives_k / 2) / (P N)`` (Hanley & McNeil 1982).

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> roc_auc(ScoreTable([0.2, 0.6], [1, 3], [4, 4]))  # 1/2 3/8 + 1/2 7/8
    0.625
    """
    _, outside, recall = roc_curve(table)
    return float(np.diff(outside) @ (recall[1:] + recall[:-1]) / 2) if len(recall) > 1 else np.nan


def gini(table: ScoreTable) -> float:
    """Return the Gini coefficient of the ROC curve, 2 AUC - 1 (accuracy ratio, Somers' D).

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> gini(ScoreTable([0.2, 0.6], [1, 3], [4, 4]))
    0.25
    """
    return 2 * roc_auc(table) - 1


def kolmogorov_smirnov(table: ScoreTable) -> KolmogorovSmirnov:
    """Return max |recall - false positive rate| over the thresholds, and its highest threshold.

    Both signs count, as in the two-sided two-sample test: a score and its negative have the same
    statistic.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> kolmogorov_smirnov(ScoreTable([0.2, 0.6], [1, 3], [4, 4]))
    KolmogorovSmirnov(statistic=0.25, threshold=0.6)
    """
    curve = roc_curve(table)
    gap = np.abs(curve.recall - curve.false_positive_rate)
    if np.isnan(gap).any():
        return KolmogorovSmirnov(float("nan"), float("nan"))
    best = int(np.argmax(gap))
    return KolmogorovSmirnov(float(gap[best]), float(curve.threshold[best]))


def precision_recall_curve(table: ScoreTable) -> PrecisionRecallCurve:
    """Return every point of the precision-recall curve (Davis & Goadrich 2006).

    The order is that of the ROC curve, the reverse of scikit-learn's. Recall is NaN without
    positive rows.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> precision_recall_curve(ScoreTable([0.2, 0.6], [1, 3], [3, 1])).precision.tolist()
    [1.0, 0.75, 0.5]
    """
    threshold, positives, negatives = table.at_or_above()
    precision = positives[1:] / (positives[1:] + negatives[1:])
    return PrecisionRecallCurve(threshold, np.r_[1.0, precision], _shares(positives))


def average_precision(table: ScoreTable) -> float:
    """Return ``sum_n (R_n - R_{n-1}) P_n``: scikit-learn's definition, without interpolation.

    NaN without positive rows. A random score has the prior.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> average_precision(ScoreTable([0.2, 0.6], [1, 3], [3, 1]))  # 3/4 3/4 + 1/4 1/2
    0.6875
    """
    _, precision, recall = precision_recall_curve(table)
    return float(np.diff(recall) @ precision[1:]) if len(recall) > 1 else float("nan")


def gains(table: ScoreTable, shares: ArrayLike) -> Array:
    """Return the share of the class among the riskiest rows: the cumulative gains curve.

    Parameters
    ----------
    shares
        Shares of the total weight, highest scores first, each in [0, 1]. Where a share ends
        within an entry, the curve is linear: the mean over random parts of the entry.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> gains(ScoreTable([0.2, 0.6], [1, 3], [4, 2]), [0.25, 0.5, 1.0]).tolist()
    [0.375, 0.75, 1.0]
    """
    declined = proportions("shares", shares)
    _, positives, negatives = table.at_or_above()
    recall = _shares(positives)
    if np.isnan(recall).any():
        return np.full(declined.shape, np.nan)
    return np.interp(declined, _shares(positives + negatives), recall)


def lift(table: ScoreTable, share: float) -> float:
    """Return the class's share among the riskiest rows over its prior.

    Parameters
    ----------
    share
        Of the total weight, in (0, 1]; 0.1 is the top decile.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> lift(ScoreTable([0.2, 0.6], [1, 3], [4, 2]), 0.5)
    1.5
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share: {share}; allowed: above 0, up to 1.")
    return ratio(float(gains(table, np.array([share]))[0]), share)


def proportions(name: str, values: ArrayLike) -> Array:
    """Return an argument as an array, each of its numbers from 0 to 1.

    Raises
    ------
    ConfigError
        If one is not.
    """
    numbers = np.asarray(values, dtype=np.float64)
    bad = ~((numbers >= 0) & (numbers <= 1))
    if bad.any():
        raise ConfigError(f"{name}: {numbers[bad][0]}; allowed: numbers from 0 to 1.")
    return numbers


def _shares(cumulative: Array) -> Array:
    """Divide running sums by their last; NaN where that is 0."""
    total = cumulative[-1]
    return cumulative / total if total else np.full(cumulative.shape, np.nan)
