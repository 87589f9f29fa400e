"""MLlib's boosted trees summed in Arrow batches, with MLlib's own result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from sparkweights.core.arrow_batches import per_batch
from sparkweights.trees.bitwise import BitwiseTrees

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession


@dataclass(frozen=True)
class ArrowTrees:
    """A sum of trees that is evaluated for a batch of rows at a time."""

    trees: BitwiseTrees

    def margin(self, features: pa.Array) -> pa.Array:
        """Return a batch of rows' sums for both classes, as MLlib has them: [-F, F]."""
        rows = len(features)
        if rows == 0:
            return pa.array([], pa.list_(pa.float64()))
        sums = self.trees.sums(np.asarray(features.flatten()).reshape(rows, -1))
        both = np.stack([-sums, sums], axis=1).ravel()
        return pa.ListArray.from_arrays(
            pa.array(np.arange(rows + 1, dtype=np.int32) * 2), pa.array(both)
        )

    def column(self, features: Column) -> Column:
        """Return the margin of a row, from its positions."""

        def margin(batch: pa.Array) -> pa.Array:
            return self.margin(batch)

        return per_batch(margin, "array<double>")(features)


@cache
def executors_can_score(spark: SparkSession) -> bool:
    """Return whether the executors' Python has what `ArrowTrees` needs.

    One small job per session evaluates a tree of a single leaf.
    """
    leaf = BitwiseTrees((), np.zeros((1, 0), dtype=np.int64), np.zeros((1, 1)))
    margin = ArrowTrees(leaf).column(F.array(F.col("id").cast("double")))
    try:
        return spark.range(1).select(margin).first() is not None
    except PySparkException:  # no Python at all, another version, no library, or not this package
        return False
