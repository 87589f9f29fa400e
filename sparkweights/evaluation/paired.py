"""Compare the costs of two sets of decisions on the same rows: a paired bootstrap in one pass.

Rows are assigned to blocks by a hash; only each block's sums leave the executors. Blocks are drawn
with replacement instead of rows: the assignment is random, so the standard error of a mean is the
same for any number of rows, and rows with the same hashed values stay together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyspark.sql import functions as F

from sparkweights.evaluation.block_intervals import mean_interval
from sparkweights.evaluation.intervals import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

BETTER, WORSE, ALIKE = "better", "worse", "no difference shown"
MIN_CHANGED = 10  # of each class; with fewer, the cost of its mistakes is not measured


class Decided(NamedTuple):
    """A set of decisions: the decision of a row, and its realised cost."""

    decision: Column
    cost: Column


@dataclass(frozen=True)
class PairedCosts:
    """The costs of two sets of decisions on the same rows.

    Attributes
    ----------
    rows
        How many.
    before, after
        Mean cost of a row, in the currency of the table.
    interval
        Of ``after - before``: 95 %; see `sparkweights.evaluation.block_intervals`.
    changed
        Class name -> rows of the class that the two sets decide differently, as an effective
        number (Kish 1965): (sum w)^2 / sum w^2.
    """

    rows: int
    before: float
    after: float
    interval: tuple[float, float]
    changed: Mapping[str, float]

    @property
    def scarce(self) -> tuple[str, ...]:
        """The classes of which fewer than `MIN_CHANGED` rows are decided differently.

        Where the rows contain no rare and expensive mistake, the set of decisions with the higher
        risk of such mistakes has the lower cost, and no interval of these rows can show otherwise.
        """
        return tuple(name for name, rows in self.changed.items() if rows < MIN_CHANGED)

    @property
    def verdict(self) -> str:
        """The result for the second set: better, worse, or no difference shown."""
        low, high = self.interval
        if self.scarce:
            return ALIKE
        return BETTER if high < 0 else WORSE if low > 0 else ALIKE

    def to_dict(self) -> dict[str, object]:
        """Return the comparison, ready for JSON."""
        record = {**asdict(self), "changed": dict(self.changed), "needed": MIN_CHANGED}
        return {**record, "scarce": list(self.scarce), "verdict": self.verdict}


def collect_paired_costs(
    df: DataFrame,
    before: Decided,
    after: Decided,
    *,
    index: Column,
    classes: Sequence[str],
    order: Column,
    weight: Column | None = None,
) -> PairedCosts:
    """Compare the costs of two sets of decisions in one Spark job.

    Parameters
    ----------
    before, after
        The two sets; rows without a cost under one of them are left out.
    index, classes
        The row's class as a position in ``classes``.
    order
        A number in [0, 1) that assigns rows to blocks and does not depend on the costs. A hash of
        a customer's columns keeps the customer's rows together.
    weight
        Sample weight of the row.
    """
    row_weight = F.lit(1.0) if weight is None else weight
    # Not a filter: Spark would compute both costs for the filter, and again for the sums.
    both = F.col("before").isNotNull() & F.col("after").isNotNull()
    sums = [F.sum(F.when(both, F.col(name))).alias(name) for name in ("weight", "before", "after")]
    for c in range(len(classes)):
        changed = F.when(both & F.col("differs") & (F.col("index") == c), F.col("weight"))
        sums += [F.sum(changed).alias(f"sum_{c}"), F.sum(changed**2).alias(f"square_{c}")]
    blocks = (
        df.select(
            F.floor(order * BLOCKS).alias("block"),
            row_weight.alias("weight"),
            (row_weight * before.cost).alias("before"),
            (row_weight * after.cost).alias("after"),
            (before.decision != after.decision).alias("differs"),
            index.alias("index"),
        )
        .groupBy("block")
        .agg(F.count_if(both).alias("rows"), *sums)
        .collect()
    )
    return _compare([row[1:] for row in sorted(blocks) if row["rows"]], classes)


def _compare(blocks: Sequence[Sequence[float | None]], classes: Sequence[str]) -> PairedCosts:
    """Return the comparison from the sums of each block."""
    if not blocks:
        return PairedCosts(0, 0.0, 0.0, (0.0, 0.0), dict.fromkeys(classes, 0.0))
    table = np.array([[value or 0.0 for value in row] for row in blocks], dtype=float)
    rows, weight_sum, first, second, *squares = table.T
    rows_changed = [
        float(weights.sum() ** 2 / square.sum()) if square.sum() else 0.0
        for weights, square in zip(squares[::2], squares[1::2], strict=True)
    ]
    several = len(blocks) > 1  # a single block has no standard error
    return PairedCosts(
        int(rows.sum()),
        float(first.sum() / weight_sum.sum()),
        float(second.sum() / weight_sum.sum()),
        mean_interval(second - first, weight_sum) if several else (float("nan"),) * 2,
        dict(zip(classes, rows_changed, strict=True)),
    )
