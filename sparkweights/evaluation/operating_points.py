"""Operating points of a binary score: thresholds from costs, odds or constraints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.costs.matrix import CostMatrix

THRESHOLD, REVERSED, ALWAYS, NEVER = "threshold", "reversed", "always", "never"


@dataclass(frozen=True)
class BinaryRule:
    """When to take the second decision, given the probability p of the second class.

    Attributes
    ----------
    kind
        ``threshold``: where p >= threshold; ``reversed``: where p <= threshold; ``always``;
        ``never``.
    threshold
        The threshold, or None for ``always`` and ``never``.
    """

    kind: str
    threshold: float | None = None

    def decides(self, probability: float) -> bool:
        """Whether a row gets the second decision."""
        if self.threshold is None:
            return self.kind == ALWAYS
        if self.kind == REVERSED:
            return probability <= self.threshold
        return probability >= self.threshold


def binary_rule(c00: float, c01: float, c10: float, c11: float) -> BinaryRule:
    """Return the Bayes decision of four costs, c[decision][class].

    With a = c10 - c00 (the regret of the second decision on the first class) and b = c01 - c11
    (of the first decision on the second class), the second decision costs less where
    p b >= (1 - p) a:

    - a > 0, b > 0: the threshold is a / (a + b) (Elkan 2001, eq. 2).
    - a <= 0 <= b: always. a >= 0 >= b: never (never where both are 0: ties go to the first).
    - a < 0, b < 0: the decisions are reversed, so it costs less where p <= a / (a + b).

    Raises
    ------
    ConfigError
        If a cost is NaN or infinite.

    Examples
    --------
    >>> binary_rule(0, 20, 1, 0).threshold
    0.047619047619047616
    >>> binary_rule(1, 0, 0, 5).kind
    'reversed'
    """
    if not all(math.isfinite(cost) for cost in (c00, c01, c10, c11)):
        raise ConfigError(
            f"costs: {c00}, {c01}, {c10}, {c11}; each of the four is a finite number.",
        )
    a, b = c10 - c00, c01 - c11
    if a > 0 and b > 0:
        return BinaryRule(THRESHOLD, a / (a + b))
    if a < 0 and b < 0:
        return BinaryRule(REVERSED, a / (a + b))
    return BinaryRule(ALWAYS if a <= 0 <= b and a != b else NEVER)


def likelihood_ratio_threshold(threshold: float, prior: float) -> float:
    """Return the threshold of the likelihood ratio that equals a threshold of the probability.

    p >= t is the same as f(x | 1) / f(x | 0) >= t / (1 - t) * (1 - pi) / pi: a threshold that does
    not depend on the class shares of the scored rows.

    Parameters
    ----------
    threshold, prior
        t and pi, the share of the second class, each in (0, 1).

    Examples
    --------
    >>> round(likelihood_ratio_threshold(0.2, 0.2), 12)
    1.0
    """
    for name, value in (("threshold", threshold), ("prior", prior)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}: {value}; allowed: a number between 0 and 1, excluded.")
    return threshold / (1 - threshold) * (1 - prior) / prior


def mllib_thresholds(matrix: CostMatrix) -> list[float]:
    """Return MLlib's ``thresholds`` for a cost matrix, where they make the same decisions.

    MLlib predicts argmax p_c / t_c. That is the Bayes decision if and only if there is one
    decision per class, in the same order, and every wrong decision about a class has the same
    regret: then t_c is proportional to 1 / regret_c.

    Raises
    ------
    ConfigError
        If the costs read columns, or cannot be written as thresholds.
    """
    rows = matrix.numbers()
    advice = "decide with CostDecider, which takes any costs."
    if rows is None:
        raise ConfigError(
            "thresholds: these costs differ from row to row; MLlib's thresholds are fixed.",
            hint=advice,
        )
    count = len(matrix.classes)
    if len(rows) != count:
        raise ConfigError(
            f"thresholds: {len(rows)} decisions for {count} classes; MLlib decides for a class.",
            hint=advice,
        )
    regrets = []
    for c, name in enumerate(matrix.classes):
        wrong = [rows[d][c] - rows[c][c] for d in range(count) if d != c]
        if min(wrong) <= 0 or max(wrong) - min(wrong) > 1e-12 * max(wrong):
            raise ConfigError(
                f"thresholds: being wrong about class '{name}' costs {min(wrong):g} to "
                f"{max(wrong):g}, depending on the decision; MLlib's thresholds need one price "
                "> 0 per class.",
                hint=advice,
            )
        regrets.append(wrong[0])
    inverse = [1 / regret for regret in regrets]
    return [value / sum(inverse) for value in inverse]


@dataclass(frozen=True)
class RocPoint:
    """Rows with a score >= threshold get the second decision.

    Attributes
    ----------
    threshold
        Infinite for the point where no row gets it.
    recall
        Share of the second class at or above the threshold (true positive rate).
    false_positive_rate
        Share of the first class at or above the threshold.
    """

    threshold: float
    recall: float
    false_positive_rate: float

    def declined(self, prior: float) -> float:
        """Return the share of all rows at or above the threshold."""
        return prior * self.recall + (1 - prior) * self.false_positive_rate

    def precision(self, prior: float) -> float:
        """Return the share of the second class at or above the threshold; 1 where no row is."""
        above = self.declined(prior)
        return prior * self.recall / above if above > 0 else 1.0

    def cost(self, prior: float, false_positive: float, false_negative: float) -> float:
        """Return the expected cost per row."""
        missed = prior * (1 - self.recall) * false_negative
        return missed + (1 - prior) * self.false_positive_rate * false_positive


def roc_points(
    thresholds: Sequence[float], positives: Sequence[float], negatives: Sequence[float]
) -> list[RocPoint]:
    """Return every point of a ROC curve, from (0, 0) to (1, 1): one per distinct threshold.

    Parameters
    ----------
    thresholds
        The least score of each bin.
    positives, negatives
        Weight of the rows of the second and of the first class in each bin.

    Raises
    ------
    InputError
        If one of the classes has no rows.
    """
    scores, bins = np.unique(np.asarray(thresholds, dtype=float), return_inverse=True)
    # From the highest score down; bins of equal scores share a threshold.
    recalled, falsely = (
        np.cumsum(np.bincount(bins, np.asarray(counts, dtype=float), len(scores))[::-1])
        for counts in (positives, negatives)
    )
    if not len(scores) or recalled[-1] <= 0 or falsely[-1] <= 0:
        raise InputError(
            "A ROC curve needs rows of both classes.",
            hint="check the labels of the evaluated rows.",
        )
    rates = zip(scores[::-1], recalled / recalled[-1], falsely / falsely[-1], strict=True)
    return [
        RocPoint(math.inf, 0.0, 0.0),
        *(RocPoint(float(score), float(recall), float(rate)) for score, recall, rate in rates),
    ]


def roc_hull(
    thresholds: Sequence[float], positives: Sequence[float], negatives: Sequence[float]
) -> list[RocPoint]:
    """Return the upper convex hull of a ROC curve, from (0, 0) to (1, 1).

    Points below the hull do not have the least cost for any costs and shares (Provost & Fawcett
    2001), except under constraints: see `constrained_point`. Parameters and errors are those of
    `roc_points`.
    """
    points = roc_points(thresholds, positives, negatives)
    hull = points[:1]
    for point in points[1:]:
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _is_below(a: RocPoint, b: RocPoint, c: RocPoint) -> bool:
    """Whether b is on or under the line from a to c."""
    rise = (b.recall - a.recall) * (c.false_positive_rate - a.false_positive_rate)
    return rise <= (c.recall - a.recall) * (b.false_positive_rate - a.false_positive_rate)


def iso_cost_point(
    hull: Sequence[RocPoint], prior: float, false_positive: float, false_negative: float
) -> RocPoint:
    """Return the hull's point of least cost, which touches the iso-cost line.

    The line has the slope (1 - pi) C_FP / (pi C_FN).
    """
    return min(hull, key=lambda point: point.cost(prior, false_positive, false_negative))


def constrained_point(
    points: Sequence[RocPoint],
    prior: float,
    *,
    recall: float | None = None,
    precision: float | None = None,
    declined: float | None = None,
    costs: tuple[float, float] = (1.0, 1.0),
) -> RocPoint:
    """Return the cheapest threshold that meets every constraint.

    Parameters
    ----------
    points
        All points of the curve (`roc_points`), not its hull alone: a threshold that meets the
        constraints may lie below the hull.
    recall, precision
        At least this much.
    declined
        At most this share of all rows.
    costs
        (C_FP, C_FN), which choose among the points that are left.

    Raises
    ------
    ConfigError
        If no point meets them.
    """
    able = [
        point
        for point in points
        if (recall is None or point.recall >= recall)
        and (precision is None or point.precision(prior) >= precision)
        and (declined is None or point.declined(prior) <= declined)
    ]
    if not able:
        best = max(point.precision(prior) for point in points if point.recall > 0)
        bounds = {"recall >=": recall, "precision >=": precision, "declined <=": declined}
        requested = ", ".join(f"{w} {value:g}" for w, value in bounds.items() if value is not None)
        raise ConfigError(
            f"No threshold of this score meets {requested} together; its precision reaches "
            f"{best:.3f}, and recall grows with the share declined.",
            hint="relax one of the constraints.",
        )
    return min(able, key=lambda point: point.cost(prior, *costs))
