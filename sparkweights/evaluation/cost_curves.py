"""Cost curves: the cost of mistakes by cost proportion, by threshold and by share declined.

With unknown costs, cost curves show every ratio of the costs of both mistakes. With known costs of
each row, the sums of a table give the realised cost of every threshold without another pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.evaluation.confusion import confusion
from sparkweights.evaluation.discrimination import proportions
from sparkweights.evaluation.h_measure import roc_convex_hull

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sparkweights.evaluation.score_table import Array, ScoreTable


class CostCurve(NamedTuple):
    """The corners of a piecewise linear cost curve, and the best threshold of each piece."""

    probability_cost: Array  # [corner], from 0 to 1
    cost: Array  # [corner]
    threshold: Array  # [corner - 1]

    @property
    def area(self) -> float:
        """Mean cost for a uniform distribution of the probability-cost function.

        0 for a perfect ranking, 1/4 for a random one.
        """
        return float(np.diff(self.probability_cost) @ (self.cost[1:] + self.cost[:-1]) / 2)


class Operation(NamedTuple):
    """The result of declining at or above a threshold."""

    threshold: float  # infinite where no row is declined
    share: float  # of the weight that is declined
    cost: float
    savings: float


class CostProfile(NamedTuple):
    """The cost of declining at or above each threshold, in descending order from infinity.

    The first threshold approves every row, the last declines every row: the constant decisions.
    """

    threshold: Array  # the first is infinite
    share: Array  # of the weight that is declined
    cost: Array  # in the currency of the table

    @property
    def reference(self) -> float:
        """Cost of the cheaper constant decision."""
        return float(min(self.cost[0], self.cost[-1]))

    @property
    def profit(self) -> Array:
        """Cost saved over the cheaper constant decision, at each threshold."""
        return self.reference - self.cost

    @property
    def savings(self) -> Array:
        """1 - cost / (cost of the cheaper constant decision), per threshold (Bahnsen et al. 2015).

        NaN where the cost of that decision is <= 0.
        """
        reference = self.reference
        if reference <= 0:
            return np.full(self.cost.shape, np.nan)
        with np.errstate(over="ignore"):  # the reference may be tiny
            return 1 - self.cost / reference

    def cost_at_shares(self, shares: ArrayLike) -> Array:
        """Return the cost of declining given shares of the weight, highest scores first.

        Where a share ends within an entry, the cost is the mean over random parts of the entry.

        Parameters
        ----------
        shares
            Each in [0, 1].

        Examples
        --------
        >>> profile = CostProfile(*np.array([[np.inf, 0.6, 0.2], [0, 0.5, 1], [8, 2, 4]]))
        >>> profile.cost_at_shares([0.25, 0.5, 1.0]).tolist()
        [5.0, 2.0, 4.0]
        """
        return np.interp(proportions("shares", shares), self.share, self.cost)

    def best(self) -> Operation:
        """Return the threshold of least cost; of equal ones the highest, which declines least.

        Examples
        --------
        >>> CostProfile(*np.array([[np.inf, 0.6, 0.2], [0, 0.5, 1], [8, 2, 4]])).best()
        Operation(threshold=0.6, share=0.5, cost=2.0, savings=0.5)
        """
        k = int(np.argmin(self.cost))
        values = (self.threshold[k], self.share[k], self.cost[k], self.savings[k])
        return Operation(*(float(value) for value in values))


def cost_profile(table: ScoreTable, *, prior: float | None = None) -> CostProfile:
    """Return the realised cost at every threshold, from the costs of the rows.

    Parameters
    ----------
    prior
        Share of the class that the rows are reweighted to, with the same total weight; None keeps
        the share of the rows.

    Raises
    ------
    InputError
        If the table holds no costs or no rows, or a prior is given and all rows are of one class.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> table = ScoreTable([0.2, 0.6], [1, 3], [4, 2],
    ...                    cost_positive=[[5, 15], [0, 0]], cost_negative=[[0, 0], [4, 2]])
    >>> cost_profile(table).cost.tolist()  # approve all; decline from 0.6; decline all
    [20.0, 7.0, 6.0]
    """
    if table.cost_positive is None or table.cost_negative is None:
        raise InputError(
            "A cost profile needs the rows' costs; this score table holds none.",
            hint="sum cost_positive and cost_negative where the table is made.",
        )
    occupied = np.flatnonzero(table.weight > 0)[::-1]
    if not len(occupied):
        raise InputError("A cost profile needs rows; this score table has none.")
    yes, no = (1.0, 1.0) if prior is None else _class_factors(table, prior)
    approve, decline = (
        yes * table.cost_positive[:, occupied] + no * table.cost_negative[:, occupied]
    )
    weight = yes * table.positives[occupied] + no * table.negatives[occupied]
    # Separate sums, so that the cost of a constant decision has no rounding error of the other.
    above = np.r_[0.0, np.cumsum(decline)]
    below = np.r_[np.cumsum(approve[::-1])[::-1], 0.0]
    declined = np.r_[0.0, np.cumsum(weight)]
    return CostProfile(np.r_[np.inf, table.score[occupied]], declined / declined[-1], above + below)


def normalised_expected_cost(
    table: ScoreTable, threshold: float, probability_cost: ArrayLike
) -> Array:
    """Return a threshold's cost line: ``FNR PC + FPR (1 - PC)`` (Drummond & Holte 2006, eq. 4).

    The unit is the cost if every row were decided wrong. NaN with one class.

    Parameters
    ----------
    probability_cost
        PC(+) = p C_FN / (p C_FN + (1 - p) C_FP) with p the share of the class that is expected;
        each in [0, 1].

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> table = ScoreTable([0.2, 0.6], [1, 3], [4, 4])
    >>> normalised_expected_cost(table, 0.6, [0.0, 0.5, 1.0]).tolist()
    [0.5, 0.375, 0.25]
    """
    proportion = proportions("probability_cost", probability_cost)
    decided = confusion(table, threshold)
    return (1 - decided.recall) * proportion + (1 - decided.specificity) * (1 - proportion)


def lower_envelope(table: ScoreTable) -> CostCurve:
    """Return the cost curve of the best threshold at each cost proportion: the lower envelope.

    Its lines are the corners of the ROC curve's convex hull (Drummond & Holte 2006, sec. 3).

    Raises
    ------
    InputError
        If the rows are all of one class.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> curve = lower_envelope(ScoreTable([0.2, 0.6], [1, 3], [3, 1]))
    >>> curve.probability_cost.tolist(), curve.cost.tolist(), curve.threshold.tolist()
    ([0.0, 0.25, 0.75, 1.0], [0.0, 0.25, 0.25, 0.0], [inf, 0.6, 0.2])
    """
    hull = roc_convex_hull(table)
    outside, missed = hull.false_positive_rate, 1 - hull.recall
    if np.isnan(outside).any() or np.isnan(missed).any():
        raise InputError(
            f"A cost curve needs rows of both classes; here are {table.positives.sum():g} "
            f"positive and {table.negatives.sum():g} other ones by weight.",
            hint="evaluate on rows that hold both.",
        )
    rise, gain = np.diff(outside), -np.diff(missed)
    turn = rise / (rise + gain)  # where the lines of neighbouring corners cross
    cost = missed[:-1] * turn + outside[:-1] * (1 - turn)
    return CostCurve(np.r_[0.0, turn, 1.0], np.r_[0.0, cost, 0.0], hull.threshold)


def brier_curve(table: ScoreTable, cost_proportion: ArrayLike) -> Array:
    """Return the loss of declining where the score is at or above the cost proportion.

    ``2 (c FP(c) + (1 - c) FN(c)) / W`` with c = C_FP / (C_FP + C_FN): the threshold of the
    probability is c. The area over c in [0, 1] is the Brier score (Hernandez-Orallo, Flach & Ferri
    2011, theorem 1); the difference to the loss of the best threshold at c is due to calibration.

    Parameters
    ----------
    cost_proportion
        Each in [0, 1]. The curve is straight between scores and jumps at them; for bins it is
        exact at their edges.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> brier_curve(ScoreTable([0.2, 0.6], [1, 3], [4, 2]), [0.0, 0.5, 1.0]).tolist()
    [0.0, 0.3, 0.0]
    """
    proportion = proportions("cost_proportion", cost_proportion)
    _, positives, negatives = table.at_or_above()
    total = positives[-1] + negatives[-1]
    if not total:
        return np.full(proportion.shape, np.nan)
    scores = table.score[table.weight > 0]
    reached = len(scores) - np.searchsorted(scores, proportion, side="left")
    missed = positives[-1] - positives[reached]
    loss: Array = 2 * (proportion * negatives[reached] + (1 - proportion) * missed) / total
    return loss


def _class_factors(table: ScoreTable, prior: float) -> tuple[float, float]:
    if not 0 <= prior <= 1:
        raise ConfigError(f"prior: {prior}; allowed: a share from 0 to 1.")
    table_prior = table.prior
    if not 0 < table_prior < 1:
        raise InputError(
            f"prior: rows of one class (share {table_prior:g}) cannot be reweighted to {prior}."
        )
    return prior / table_prior, (1 - prior) / (1 - table_prior)
