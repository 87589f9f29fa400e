"""Areas under curves, from a histogram of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

if TYPE_CHECKING:
    from collections.abc import Sequence


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
