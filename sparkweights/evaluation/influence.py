"""Intervals of measures of a score, from the influence that each row has on them.

A measure M of rows changes by about ``sum_i U_i`` when the rows are drawn anew, where U_i is the
derivative of M by the weight of row i (the infinitesimal jackknife: Jaeckel 1972; Efron 1982,
ch. 6). Of the area under the ROC curve this is the variance of DeLong, DeLong & Clarke-Pearson
(1988). Rows that depend on each other enter as the sum of their block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import stdtrit

from sparkweights.evaluation.calibration import brier
from sparkweights.evaluation.discrimination import average_precision, roc_auc
from sparkweights.evaluation.score_table import BINS, bin_numbers, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.evaluation.calibration import Groups
    from sparkweights.evaluation.score_table import Array, ScoreTable

Interval = tuple[float, float]
Effective = tuple[float, float]

COARSE = 64  # bins of a score per bin of the tables by block
COARSE_BINS = BINS // COARSE
LEVEL = 0.95


class Influence(NamedTuple):
    """A measure and its derivatives by the weight of a row, per entry of the table."""

    value: float
    positives: Array
    negatives: Array


@dataclass(frozen=True, eq=False)
class BlockTable:
    """Scores by block of rows, in `COARSE_BINS` bins.

    Attributes
    ----------
    positives, negatives
        ``[block, bin]``: weight of the rows of the class, and of the others.
    loss, score_sum
        ``[block]``: weighted sums of (score - outcome)^2 and of the scores.
    """

    positives: Array
    negatives: Array
    loss: Array
    score_sum: Array

    @property
    def weight(self) -> Array:
        """``[block]``: weight of the rows."""
        return np.asarray(self.positives.sum(axis=1) + self.negatives.sum(axis=1))

    def complement(self) -> BlockTable:
        """Return the table of the other class, of two."""
        return BlockTable(
            self.negatives[:, ::-1],
            self.positives[:, ::-1],
            self.loss,
            self.weight - self.score_sum,
        )

    @property
    def blocks(self) -> int:
        """Blocks that hold rows."""
        return int((self.weight > 0).sum())


def auc_influence(table: ScoreTable) -> Influence:
    """Return the area under the ROC curve and its derivatives.

    By a row of the class: (share of the others below it - AUC) / P; by one of the others: (share
    of the class above it - AUC) / N.
    """
    positives, negatives = table.positives, table.negatives
    of_class, of_others = positives.sum(), negatives.sum()
    area = roc_auc(table)
    below = (np.cumsum(negatives) - negatives / 2) / of_others
    above = (of_class - np.cumsum(positives) + positives / 2) / of_class
    return Influence(area, (below - area) / of_class, (above - area) / of_others)


def average_precision_influence(table: ScoreTable) -> Influence:
    """Return the average precision and its derivatives.

    With precision T_k / n_k at entry k, AP = sum_k positives_k T_k / (P n_k), in which a row at
    entry j counts in T and n of every entry at or below it.
    """
    positives, weight = table.positives, table.weight
    of_class = positives.sum()
    caught = np.cumsum(positives[::-1])[::-1]
    taken = np.cumsum(weight[::-1])[::-1]
    taken = np.where(taken > 0, taken, 1)
    precision, area = caught / taken, average_precision(table)
    gained = np.cumsum(positives * (taken - caught) / taken**2)
    lost = np.cumsum(positives * caught / taken**2)
    return Influence(area, (precision + gained - area) / of_class, -lost / of_class)


def brier_influence(table: ScoreTable) -> Influence:
    """Return the Brier score and its derivatives, those of a mean."""
    p, score, weight = table.mean_score, brier(table), table.weight.sum()
    return Influence(score, ((1 - p) ** 2 - score) / weight, (p**2 - score) / weight)


def _logit(value: float) -> tuple[float, float]:
    return float(np.log(value / (1 - value))), 1 / (value * (1 - value))


def _from_logit(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def _angle(value: float) -> tuple[float, float]:
    return float(np.arcsin(np.sqrt(value))), 1 / (2 * float(np.sqrt(value * (1 - value))))


def _from_angle(value: float) -> float:
    return float(np.sin(np.clip(value, 0, np.pi / 2)) ** 2)


# A scale on which the measure is nearly normal: its value and slope, and the inverse.
_Scale = tuple["Callable[[float], tuple[float, float]]", "Callable[[float], float]"]
_LOGIT: _Scale = (_logit, _from_logit)
_ANGLE: _Scale = (_angle, _from_angle)
MEASURES = {
    "auc": (auc_influence, _LOGIT),
    "average_precision": (average_precision_influence, _ANGLE),
    "brier": (brier_influence, _LOGIT),
}


def measure_interval(
    table: ScoreTable, measure: str, effective: Effective, blocks: BlockTable | None = None
) -> Interval:
    """Return the 95 % interval of a measure of the score, by Student's t on the measure's scale.

    The area and the Brier score are nearly normal in their log odds, the average precision in
    asin(sqrt) of it; the degrees of freedom are the effective rows of the scarcer class, or the
    blocks where they are fewer, less 1.

    Parameters
    ----------
    measure
        A key of `MEASURES`.
    effective
        Effective rows (Kish) of the class and of the others.
    blocks
        The same rows by block, where rows of a block depend on each other; else rows are taken
        to be independent.

    Returns
    -------
    tuple
        NaN where a side has less than two rows; of width 0 where the measure is 0 or 1.
    """
    influence, (forwards, backwards) = MEASURES[measure]
    nothing = (float("nan"), float("nan"))
    freedom = float(np.min(effective)) - 1  # NaN where a class is absent
    if blocks is not None:
        freedom = min(freedom, blocks.blocks - 1)
    if not freedom > 0:
        return nothing
    derivatives = influence(table)
    variance = (
        _row_variance(table, derivatives, effective)
        if blocks is None
        else _block_variance(table, derivatives, blocks, measure)
    )
    if not np.isfinite(derivatives.value) or not np.isfinite(variance):
        return nothing
    if not 0 < derivatives.value < 1 or variance <= 0:
        return (derivatives.value, derivatives.value)
    centre, slope = forwards(derivatives.value)
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * slope * float(np.sqrt(variance))
    return backwards(centre - half), backwards(centre + half)


def _row_variance(table: ScoreTable, derivatives: Influence, effective: Effective) -> float:
    total = 0.0
    sides = ((table.positives, derivatives.positives), (table.negatives, derivatives.negatives))
    for (weight, values), rows in zip(sides, effective, strict=True):
        per_row = ratio(float(weight.sum()), rows)  # sum w^2 / sum w, Kish's
        total += per_row * float(weight @ values**2) * rows / (rows - 1)
    return total


def _block_variance(
    table: ScoreTable, derivatives: Influence, blocks: BlockTable, measure: str
) -> float:
    weight = blocks.weight
    if measure == "brier":  # its sums by block are exact
        moved = (blocks.loss - derivatives.value * weight) / weight.sum()
    else:
        coarse = (bin_numbers(table.mean_score) // COARSE).astype(np.int64)
        of_class = _coarsen(coarse, table.positives, derivatives.positives)
        of_others = _coarsen(coarse, table.negatives, derivatives.negatives)
        moved = np.dot(blocks.positives, of_class) + np.dot(blocks.negatives, of_others)
    residuals = moved[weight > 0]
    residuals = residuals - residuals.mean()
    return float(residuals @ residuals) * ratio(len(residuals), len(residuals) - 1)


def _coarsen(coarse: Groups, weight: Array, values: Array) -> Array:
    """Return the mean of values in each coarse bin, interpolated for bins without rows."""
    total = np.bincount(coarse, weights=weight, minlength=COARSE_BINS)
    summed = np.bincount(coarse, weights=weight * values, minlength=COARSE_BINS)
    occupied = np.flatnonzero(total > 0)
    return np.interp(np.arange(COARSE_BINS), occupied, summed[occupied] / total[occupied])
