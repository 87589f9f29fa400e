"""An exact walk through MLlib's boosted trees in Arrow batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.functions import arrow_udf

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from sparkweights.models.features import FeaturePlan
    from sparkweights.trees import BitwiseTrees


@dataclass(frozen=True)
class TreeWalk:
    """A sum of trees that is asked for a batch of rows at a time."""

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

    def column(self, plan: FeaturePlan) -> Column:
        """Return the margin of a row, from its columns."""

        def margin(features: pa.Array) -> pa.Array:
            return self.margin(features)

        as_udf: Any = arrow_udf  # its stubs know iterators only
        found: Column = as_udf(margin, "array<double>")(plan.array())
        return found


@cache
def workers_can_walk(spark: SparkSession) -> bool:
    """Return whether the executors' Python finds what a walk needs; one small job per session."""

    def has_all(_: int) -> bool:
        return all(find_spec(name) is not None for name in ("numpy", "pyarrow"))

    asked = F.udf(has_all, "boolean", useArrow=False)(F.col("id"))  # Arrow may be what is missing
    try:
        found = spark.range(1).select(asked).first()
    except PySparkException:  # no Python at all, or another version of it
        return False
    return found is not None and bool(found[0])
