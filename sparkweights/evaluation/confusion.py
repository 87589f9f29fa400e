"""The confusion of decisions at a threshold, from a table of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.score_table import ratio

if TYPE_CHECKING:
    from sparkweights.evaluation.score_table import ScoreTable


@dataclass(frozen=True)
class Confusion:
    """Weights of correct and wrong decisions; a ratio of 0 to 0 is NaN.

    Attributes
    ----------
    true_positives, false_positives
        Weight at or above the threshold, of the class and of the others.
    false_negatives, true_negatives
        Weight below the threshold.

    Examples
    --------
    >>> confusion = Confusion(3, 1, 1, 5)
    >>> confusion.precision, confusion.recall, confusion.accuracy
    (0.75, 0.75, 0.8)
    """

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float

    @property
    def precision(self) -> float:
        """Share of the class at or above the threshold; NaN where no row is."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the class's rows that are at or above the threshold (sensitivity)."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """Share of the others' rows that are below the threshold (recall of the negative class)."""
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def accuracy(self) -> float:
        """Share of the weight with correct decisions."""
        wrong = self.false_positives + self.false_negatives
        correct = self.true_positives + self.true_negatives
        return ratio(correct, correct + wrong)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of recall and specificity (Brodersen et al. 2010)."""
        return (self.recall + self.specificity) / 2

    @property
    def geometric_mean(self) -> float:
        """Root of recall times specificity (Kubat & Matwin 1997)."""
        return math.sqrt(self.recall * self.specificity)

    @property
    def matthews_correlation(self) -> float:
        """Correlation of decision and class (Matthews 1975).

        0 where the decision or the class is constant. NaN without rows.

        Examples
        --------
        >>> Confusion(2, 0, 0, 2).matthews_correlation, Confusion(0, 0, 1, 1).matthews_correlation
        (1.0, 0.0)
        """
        cells = (
            self.true_positives,
            self.false_positives,
            self.false_negatives,
            self.true_negatives,
        )
        total = sum(cells)
        if not total:
            return float("nan")
        tp, fp, fn, tn = (cell / total for cell in cells)  # so that products cannot overflow
        variance_product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return (tp * tn - fp * fn) / math.sqrt(variance_product) if variance_product > 0 else 0.0

    def f_beta(self, beta: float = 1.0) -> float:
        """Return the weighted harmonic mean of precision and recall (van Rijsbergen 1979).

        ``(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)``, in which recall counts b times as much
        as precision; 0 where no decision for the class was right.

        Parameters
        ----------
        beta
            Finite, >= 0.

        Examples
        --------
        >>> Confusion(3, 1, 2, 4).f_beta(2)  # 15 / (15 + 8 + 1)
        0.625
        """
        if not 0 <= beta < math.inf:
            raise ConfigError(f"beta: {beta}; allowed: a finite number >= 0.")
        square = beta * beta
        weighted_hits = (1 + square) * self.true_positives
        return ratio(
            weighted_hits, weighted_hits + square * self.false_negatives + self.false_positives
        )


def confusion(table: ScoreTable, threshold: float) -> Confusion:
    """Return the confusion of deciding for the class at or above a threshold, by weight.

    Parameters
    ----------
    threshold
        Infinity decides for no row. A threshold within a bin has the effect of the next bin's edge,
        because bins are not divided.

    Raises
    ------
    ConfigError
        If the threshold is NaN.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> confusion(ScoreTable([0.2, 0.6], [1, 3], [4, 2]), 0.6)
    Confusion(true_positives=3.0, false_positives=2.0, false_negatives=1.0, true_negatives=4.0)
    """
    if math.isnan(threshold):
        raise ConfigError("threshold: NaN; allowed: a number, or infinity for no row.")
    above = table.score >= threshold
    return Confusion(
        float(table.positives[above].sum()),
        float(table.negatives[above].sum()),
        float(table.positives[~above].sum()),
        float(table.negatives[~above].sum()),
    )
