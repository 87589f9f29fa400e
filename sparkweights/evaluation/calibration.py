"""Measures of calibration, from a table of scores.

With distinct scores every metric is exact. With bins, a metric that needs more than the mean of a
bin is exact where the table holds the sums; otherwise its error has a stated bound. Without rows a
metric is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import xlogy

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.evaluation.score_table import CLIP, Array, ratio

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import ScoreTable

Groups = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

ROUNDING = 1e-9  # the mean of many ones comes out just above 1


class BrierDecomposition(NamedTuple):
    """Parts of the Brier score (Murphy 1973; Stephenson, Coelho & Jolliffe 2008, eq. 11).

    ``brier = reliability - resolution + uncertainty + within_variance - within_covariance``,
    exactly; the last two vanish where all scores of a group are equal.
    """

    reliability: float  # mean squared distance of mean score and share of the class, per group
    resolution: float  # variance of the groups' shares
    uncertainty: float  # prior (1 - prior): the Brier score of the prior itself
    within_variance: float  # of the scores within their groups
    within_covariance: float  # twice that of score and class within the groups

    @property
    def brier(self) -> float:
        """The score that the parts add up to."""
        within = self.within_variance - self.within_covariance
        return self.reliability - self.resolution + self.uncertainty + within


class ReliabilityCurve(NamedTuple):
    """The mean prediction and the observed share of groups of rows; without empty groups."""

    weight: Array
    mean_score: Array
    share: Array  # of the weight that is of the class


def equal_weight_groups(table: ScoreTable, groups: int = 10) -> Groups:
    """Return each entry's group, of about equal weight; an entry is never divided.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> equal_weight_groups(ScoreTable([0.1, 0.2, 0.9], [1, 1, 1], [0, 0, 1]), 2).tolist()
    [0, 0, 1]
    """
    _check_groups(groups)
    weight = table.weight
    middle = np.cumsum(weight) - weight / 2
    total = weight.sum() or 1.0
    return np.minimum((middle / total * groups).astype(np.int64), groups - 1)


def equal_width_groups(table: ScoreTable, groups: int = 10) -> Groups:
    """Return each entry's group by its mean, of equal width on [0, 1], with its lower edge.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> equal_width_groups(ScoreTable([0.1, 0.5, 1.0], [1, 1, 1], [0, 0, 1]), 2).tolist()
    [0, 1, 1]
    """
    _check_groups(groups)
    edges = np.arange(1, groups) / groups
    return np.searchsorted(edges, table.mean_score, side="right").astype(np.int64)


def reliability_curve(table: ScoreTable, groups: Groups | None = None) -> ReliabilityCurve:
    """Return the mean score and the share of the class by group.

    Parameters
    ----------
    groups
        Number of each entry's group, as from `equal_weight_groups`; by default each entry is
        its own.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> reliability_curve(ScoreTable([0.2, 0.6], [1, 3], [4, 1])).share.tolist()
    [0.2, 0.75]
    """
    weight, scores, positives = _group_sums(table, groups)
    return ReliabilityCurve(weight, scores / weight, positives / weight)


def expected_calibration_error(table: ScoreTable, groups: Groups | None = None) -> float:
    """Return the weighted mean of ``|mean score - share|`` over groups (Naeini et al. 2015).

    It depends on the groups, and grows with their number on perfectly calibrated scores:
    compare only figures of the same groups and about as many rows. Parameters are those of
    `reliability_curve`; published figures use `equal_width_groups`.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> round(expected_calibration_error(ScoreTable([0.2, 0.6], [1, 3], [4, 1])), 12)  # 4/9 .15
    0.066666666667
    """
    curve = reliability_curve(table, groups)
    gap = np.abs(curve.mean_score - curve.share)
    return ratio(float(curve.weight @ gap), float(curve.weight.sum()))


def brier(table: ScoreTable) -> float:
    """Return the mean of (score - outcome)^2 (Brier 1950), in its form for one class.

    Exact for distinct scores and for bins with ``square_sum``; else within `brier_bound`.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> brier(ScoreTable([0.0, 0.5], [0, 2], [2, 0]))
    0.125
    """
    p = _probabilities(table)
    if table.square_sum is None or table.positive_score_sum is None:
        loss = table.positives @ (1 - p) ** 2 + table.negatives @ p**2
    else:
        loss = (table.square_sum - 2 * table.positive_score_sum + table.positives).sum()
    return ratio(max(float(loss), 0.0), float(table.weight.sum()))


def brier_bound(table: ScoreTable) -> float:
    """Return the largest error of `brier` from binning; 0 where it is exact.

    Within a bin from a to b with mean m, the scores' variance v^2 is at most (b - m)(m - a)
    (Bhatia & Davis 2000), and their covariance with the class at most v sqrt(s (1 - s)), with s
    the share of the class: the bin is off by at most ``v^2 + 2 v sqrt(s (1 - s))``.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> brier_bound(ScoreTable([0.0, 0.5], [0, 2], [2, 0], score_sum=[0.0, 1.5]))  # v = 1/4
    0.03125
    """
    if not table.binned or table.square_sum is not None:
        return 0.0
    low, mean, high = _bin_range(table)
    weight = table.weight
    share = table.positives / np.where(weight > 0, weight, 1)
    standard_deviation = np.sqrt((high - mean) * (mean - low))
    return ratio(
        float(
            weight @ (standard_deviation**2 + 2 * standard_deviation * np.sqrt(share * (1 - share)))
        ),
        float(weight.sum()),
    )


def brier_decomposition(table: ScoreTable, groups: Groups | None = None) -> BrierDecomposition:
    """Return the parts that add up to `brier`.

    Parameters are those of `reliability_curve`. For bins without ``square_sum`` the parts
    within are those between the means of the bins of a group.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> parts = brier_decomposition(ScoreTable([0.0, 0.5], [0, 2], [2, 0]))
    >>> parts.reliability, parts.resolution, parts.uncertainty, parts.brier
    (0.125, 0.25, 0.25, 0.125)
    """
    p = _probabilities(table)
    squares, of_class = table.square_sum, table.positive_score_sum
    squares = table.weight * p**2 if squares is None else squares
    of_class = table.positives * p if of_class is None else of_class
    weight, scores, positives = _group_sums(table, groups)
    total = weight.sum()
    if not total:
        return BrierDecomposition(*[float("nan")] * 5)
    mean, share, prior = scores / weight, positives / weight, positives.sum() / total
    return BrierDecomposition(
        reliability=float(weight @ (mean - share) ** 2 / total),
        resolution=float(weight @ (share - prior) ** 2 / total),
        uncertainty=float(prior * (1 - prior)),
        within_variance=float((squares.sum() - scores @ mean) / total),
        within_covariance=float(2 * (of_class.sum() - scores @ share) / total),
    )


def log_loss(table: ScoreTable) -> float:
    """Return the mean of -log(probability of the outcome), with probabilities clipped by 2^-52.

    The clip is scikit-learn's; with it, a score of 0 or 1 that is wrong has a loss of 36. Exact
    for distinct scores and for bins with ``log_loss_sum``; else within `log_loss_bound`.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> round(log_loss(ScoreTable([0.5], [3], [1])), 6)  # log 2
    0.693147
    """
    p = np.clip(_probabilities(table), CLIP, 1 - CLIP)
    if table.log_loss_sum is None:
        loss = -(xlogy(table.positives, p) + xlogy(table.negatives, 1 - p)).sum()
    else:
        loss = table.log_loss_sum.sum()
    return ratio(float(loss), float(table.weight.sum()))


def log_loss_bound(table: ScoreTable) -> float:
    """Return the largest error of `log_loss` from binning; 0 where it is exact.

    A row of the class in a bin from a to b with mean m is off by at most max(log b/m, log m/a),
    another one by the same of 1 - a, 1 - m and 1 - b. Bins that include 0 or 1 make it large;
    the sum of the loss in the pass makes it 0.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> table = ScoreTable([0.25, 0.75], [1, 0], [0, 0], score_sum=[0.5, 0.0])
    >>> round(log_loss_bound(table), 6)  # log 2
    0.693147
    """
    if not table.binned or table.log_loss_sum is not None:
        return 0.0
    low, mean, high = (np.clip(edge, CLIP, 1 - CLIP) for edge in _bin_range(table))
    yes = np.maximum(np.log(high / mean), np.log(mean / low))
    no = np.maximum(np.log((1 - low) / (1 - mean)), np.log((1 - mean) / (1 - high)))
    return ratio(float(table.positives @ yes + table.negatives @ no), float(table.weight.sum()))


def _bin_range(table: ScoreTable) -> tuple[Array, Array, Array]:
    high = np.r_[table.score[1:], 1.0]
    mean = _probabilities(table)
    return np.minimum(table.score, mean), mean, np.maximum(high, mean)


def _probabilities(table: ScoreTable) -> Array:
    p = table.mean_score
    outside = (p < -ROUNDING) | (p > 1 + ROUNDING)
    if outside.any():
        raise InputError(
            f"Calibration needs probabilities; the table holds {outside.sum()} scores like "
            f"{p[outside][0]}, outside of 0 to 1.",
            hint="calibrate the score, or use the metrics of ranking alone.",
        )
    return np.clip(p, 0.0, 1.0)


def _group_sums(table: ScoreTable, groups: Groups | None) -> tuple[Array, Array, Array]:
    weight, p = table.weight, _probabilities(table)
    group = np.arange(len(weight)) if groups is None else groups
    parts = (weight, weight * p, table.positives)
    sums = [np.bincount(group, weights=part).astype(np.float64) for part in parts]
    occupied = sums[0] > 0
    return sums[0][occupied], sums[1][occupied], sums[2][occupied]


def _check_groups(groups: int) -> None:
    if groups < 1:
        raise ConfigError(f"groups: {groups}; allowed: a whole number >= 1.")
