"""Compare expected with realised costs of decisions: as a whole, and by tenth of the stakes.

Decisions minimise expected costs. Probabilities can have the right mean and rank well, and still
be too low where amounts are high: then decisions cost more than expected, and no measure of the
probabilities alone shows it. The expected cost of a calibrated model is .91 to 1.01 of the realised
cost, because the minimum of several noisy estimates is a little too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.evaluation.intervals import Interval, ratio_interval
from sparkweights.evaluation.score_test import INDEPENDENT, block_dependence, skewed_tails

if TYPE_CHECKING:
    from sparkweights.evaluation.calibration import Groups as Numbers
    from sparkweights.evaluation.score_table import Array
    from sparkweights.evaluation.score_test import Dependence

GROUPS = 10
OFF = 0.01  # level of the test over all groups: probability of rejecting a calibrated model
STOPPING_SHARE = 0.1  # of the cost; a group with less does not stop a run


@dataclass(frozen=True, eq=False)
class StakeSums:
    """Expected and realised costs of the decisions taken, by block of rows and by stake.

    A row's stake is the largest difference between the costs of two decisions, over the classes.

    Attributes
    ----------
    stake
        ``[level]``, ascending: the least stake of the level, in the currency of the table.
    weight, expected, realised
        ``[block, level]``: sample weight, and weighted sums of both costs.
    second, third
        ``[class, level]``: weighted sums of ``p_c (C_c - e)^2`` and ``p_c (C_c - e)^3``, with C_c
        the cost of the decision taken for a row of class c and e its expected cost.
    """

    stake: Array
    weight: Array
    expected: Array
    realised: Array
    second: Array
    third: Array


@dataclass(frozen=True)
class CostGroup:
    """Rows of similar stakes.

    Attributes
    ----------
    stakes
        The least of them, and the least of the next group (of the last: infinity).
    weight, expected, realised
        Sample weight; expected and realised cost of the decisions.
    interval
        95 %, of expected / realised, by bootstrap-t; infinity where the realised cost may be 0.
    p_value
        Probability of a difference at least as large if the probabilities are right.
    """

    stakes: tuple[float, float]
    weight: float
    expected: float
    realised: float
    interval: Interval
    p_value: float

    @property
    def ratio(self) -> float:
        """Expected over realised cost; infinite where the realised cost is 0."""
        if self.realised > 0:
            return self.expected / self.realised
        return math.inf if self.expected > 0 else float("nan")

    def is_off(self, tolerance: float, level: float) -> bool:
        """Whether the ratio differs from 1 by more than ``tolerance``, and significantly."""
        return abs(self.ratio - 1) > tolerance and self.p_value < level

    def to_dict(self) -> dict[str, object]:
        """Return the group ready for JSON; infinite values are None."""
        return {
            "stakes": [_finite(value) for value in self.stakes],
            "weight": self.weight,
            "expected": self.expected,
            "realised": self.realised,
            "ratio": _finite(self.ratio),
            "interval": [_finite(value) for value in self.interval],
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class CostCalibration:
    """Expected against realised cost of a model's decisions.

    Attributes
    ----------
    total
        All rows.
    groups
        About a tenth of the rows each, by ascending stake; one where every stake is the same.
    """

    total: CostGroup
    groups: tuple[CostGroup, ...]

    @property
    def tests(self) -> int:
        """The number of ratios that are tested."""
        return 1 + (len(self.groups) if len(self.groups) > 1 else 0)

    def off(self, tolerance: float) -> tuple[CostGroup, ...]:
        """Return the groups that are off by more than the tolerance, the total first."""
        return self._off(tolerance)

    def far_off(self, tolerance: float) -> tuple[CostGroup, ...]:
        """Return the groups off by more than twice the tolerance with a tenth of the cost."""
        least = STOPPING_SHARE * max(self.total.realised, self.total.expected)
        return tuple(
            group
            for group in self._off(2 * tolerance)
            if max(group.realised, group.expected) >= least
        )

    def _off(self, tolerance: float) -> tuple[CostGroup, ...]:
        groups = self.groups if len(self.groups) > 1 else ()
        group_level = OFF / self.tests  # Bonferroni
        return tuple(
            group for group in (self.total, *groups) if group.is_off(tolerance, group_level)
        )

    def warnings(self, tolerance: float) -> list[str]:
        """Return a sentence for each ratio that is off."""
        return [self.describe(group) for group in self.off(tolerance)]

    def describe(self, group: CostGroup) -> str:
        """Return a sentence about the ratio of a group."""
        low, high = group.stakes
        where = ""
        if group is not self.total:
            upper = "" if math.isinf(high) else f" to {high:,.4g}"
            where = f", on rows with a stake of {low:,.4g}{upper}{'' if upper else ' and more'}"
        return (
            f"expected cost is {group.ratio:.2f} of the realised cost{where} "
            f"({group.expected:,.0f} expected, {group.realised:,.0f} realised; p = "
            f"{group.p_value:.1g})"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the comparison, ready for JSON."""
        return {
            "total": self.total.to_dict(),
            "groups": [group.to_dict() for group in self.groups],
        }


def cost_calibration(
    sums: StakeSums, per_row: Array, *, clustered: bool = False
) -> CostCalibration:
    """Compare expected and realised cost as a whole and by tenth of the rows' stakes.

    Parameters
    ----------
    per_row
        ``[class]``: mean weight of a row of the class; see `score_test.row_weights`.
    clustered
        Whether the rows of a block depend on each other: then the variance under the model is
        multiplied by the blocks' design effect, of `score_test.block_dependence`.
    """
    total = np.arange(len(sums.stake), dtype=np.int64)
    dependence = INDEPENDENT
    if clustered:
        occupied = sums.weight.sum(axis=1) > 0
        dependence = block_dependence(
            sums.realised.sum(axis=1)[occupied],
            sums.expected.sum(axis=1)[occupied],
            float(per_row @ sums.second.sum(axis=1)),
        )
    return CostCalibration(
        _group(sums, total, per_row, dependence),
        tuple(_group(sums, levels, per_row, dependence) for levels in _tenths(sums)),
    )


def _tenths(sums: StakeSums) -> list[Numbers]:
    """Return the levels of each tenth; a level is never divided."""
    weight = sums.weight.sum(axis=0)
    middle = (np.cumsum(weight) - weight / 2) / (weight.sum() or 1.0)
    tenth = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    return [np.flatnonzero(tenth == number).astype(np.int64) for number in np.unique(tenth)]


def _group(sums: StakeSums, levels: Numbers, per_row: Array, dependence: Dependence) -> CostGroup:
    effect, degrees = dependence
    expected, realised = (part[:, levels].sum(axis=1) for part in (sums.expected, sums.realised))
    variance = float(per_row @ sums.second[:, levels].sum(axis=1)) * effect
    third = float(per_row**2 @ sums.third[:, levels].sum(axis=1)) * effect**2
    gap = float(realised.sum() - expected.sum())
    low, high = ratio_interval(realised, expected)
    behind = int(levels[-1]) + 1
    upper = float(sums.stake[behind]) if behind < len(sums.stake) else math.inf
    return CostGroup(
        stakes=(float(sums.stake[levels[0]]), upper),
        weight=float(sums.weight[:, levels].sum()),
        expected=float(expected.sum()),
        realised=float(realised.sum()),
        interval=(_inverse(high), _inverse(low)),
        p_value=skewed_tails(gap, variance, third).of_t(degrees).p_value,
    )


def _inverse(value: float) -> float:
    return 1 / value if value else math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
