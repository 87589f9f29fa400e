"""Areas under curves, from a histogram of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReliabilityBin(NamedTuple):
    """Rows of similar probability: what was predicted for them, and what happened."""

    weight: float  # of the rows
    mean_probability: float
    share: float  # of the weight that is of the class


def reliability(
    probability_sums: Sequence[float],
    positives: Sequence[float],
    negatives: Sequence[float],
    *,
    groups: int = 10,
) -> tuple[ReliabilityBin, ...]:
    """Return the reliability table of a histogram, in groups of about equal weight.

    Parameters
    ----------
    probability_sums
        Per bin, in order of the probability: the weighted sum of it over the bin's rows.
    positives, negatives
        Weight of the rows of the class, and of the others, in each bin.
    groups
        At most; a bin is never divided, so many equal probabilities make fewer.

    Examples
    --------
    >>> reliability([1.0, 3.0], [1, 3], [9, 1], groups=2)[1]
    ReliabilityBin(weight=4.0, mean_probability=0.75, share=0.75)
    """
    sums = np.column_stack([probability_sums, positives, negatives]).astype(float)
    weight = sums[:, 1] + sums[:, 2]
    middle = np.cumsum(weight) - weight / 2
    group = np.minimum((middle / weight.sum() * groups).astype(int), groups - 1)
    found = []
    for own in np.unique(group):
        p, yes, no = sums[group == own].sum(axis=0)
        if yes + no > 0:
            found.append(
                ReliabilityBin(float(yes + no), float(p / (yes + no)), float(yes / (yes + no)))
            )
    return tuple(found)


def area_under_roc(
    scores: Sequence[float], positives: Sequence[float], negatives: Sequence[float]
) -> float:
    """Return the area under the ROC curve of a histogram.

    Parameters
    ----------
    scores
        One value per bin; a higher score means the class is likelier.
    positives, negatives
        Weight of the rows of the class, and of the others, in each bin.

    Returns
    -------
    float
        In [0, 1]. Rows of one bin count as ties, so the area is within half of
        ``sum positives * negatives / (P N)`` of the area over distinct scores.

    Examples
    --------
    >>> area_under_roc([0.1, 0.9], [0, 2], [3, 0])
    1.0
    """
    truth, score, weight = _as_samples(scores, positives, negatives)
    return float(roc_auc_score(truth, score, sample_weight=weight))


def average_precision(
    scores: Sequence[float], positives: Sequence[float], negatives: Sequence[float]
) -> float:
    """Return the average precision, ``sum_n (R_n - R_{n-1}) P_n``, of a histogram.

    Parameters are those of `area_under_roc`.
    """
    truth, score, weight = _as_samples(scores, positives, negatives)
    return float(average_precision_score(truth, score, sample_weight=weight))


def _as_samples(
    scores: Sequence[float], positives: Sequence[float], negatives: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write each bin as one weighted sample of the class and one of the others."""
    truth = np.repeat([1, 0], len(scores))
    weight = np.concatenate([np.asarray(positives, float), np.asarray(negatives, float)])
    return truth, np.tile(np.asarray(scores, float), 2), weight
