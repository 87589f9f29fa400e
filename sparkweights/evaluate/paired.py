"""Is one set of decisions cheaper than another on the same rows? A paired bootstrap in one pass.

Rows are dealt into blocks by a hash of their keys; only each block's sums leave the executors.
Blocks are drawn with replacement instead of rows: the dealing is random, so that the spread of a
mean is the same, whatever the number of rows, and rows that share their keys stay together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.evaluate.intervals import BLOCKS, block_replicates, percentile_interval

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

BETTER, WORSE, ALIKE = "better", "worse", "not told apart"


@dataclass(frozen=True)
class PairedCosts:
    """What two sets of decisions cost on the same rows.

    Attributes
    ----------
    rows
        How many.
    before, after
        Mean cost of a row, in the money of the table.
    interval
        Of ``after - before``: 95 %, percentile bootstrap (Efron & Tibshirani 1993, ch. 13).
    """

    rows: int
    before: float
    after: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """What the interval says of the second set: better, worse, or not told apart."""
        low, high = self.interval
        return BETTER if high < 0 else WORSE if low > 0 else ALIKE

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def collect_paired_costs(
    df: DataFrame, before: Column, after: Column, *, order: Column, weight: Column | None = None
) -> PairedCosts:
    """Compare the costs of two sets of decisions in one Spark job.

    Parameters
    ----------
    before, after
        What each set of decisions cost on the row; rows without one of the two are left out.
    order
        A number in [0, 1) that deals rows into blocks and depends on neither cost.
    weight
        Sample weight of the row.
    """
    own = F.lit(1.0) if weight is None else weight
    # Not a filter: Spark would work both costs out for it, and once more for the sums.
    both = F.col("before").isNotNull() & F.col("after").isNotNull()
    sums = [F.sum(F.when(both, F.col(name))).alias(name) for name in ("weight", "before", "after")]
    blocks = (
        df.select(
            F.floor(order * BLOCKS).alias("block"),
            own.alias("weight"),
            (own * before).alias("before"),
            (own * after).alias("after"),
        )
        .groupBy("block")
        .agg(F.count_if(both).alias("rows"), *sums)
        .collect()
    )
    found = sorted(block for block in blocks if block["rows"])
    if not found:
        return PairedCosts(0, 0.0, 0.0, (0.0, 0.0))
    rows, weight_sum, first, second = np.array([row[1:] for row in found], dtype=float).T
    changes, drawn = block_replicates([second - first, weight_sum])
    return PairedCosts(
        int(rows.sum()),
        float(first.sum() / weight_sum.sum()),
        float(second.sum() / weight_sum.sum()),
        percentile_interval(changes / np.maximum(drawn, np.finfo(float).tiny)),
    )
