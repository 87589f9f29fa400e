"""An exact walk through MLlib's boosted trees in Arrow batches, by XGBoost's predictor.

XGBoost adds float32 numbers, so a leaf's value goes in as a vector of limbs: whole numbers so small
that the sum over all trees is exact. Put together again in float64, limbs give MLlib's own margin
to the last digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.functions import arrow_udf

from sparkweights.models.booster import open_booster

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from sparkweights.models.features import FeaturePlan
    from sparkweights.trees import AdditiveTrees

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class TreeWalk:
    """A sum of trees that is asked for a batch of rows at a time."""

    trees: AdditiveTrees

    @cached_property
    def booster(self) -> Any:  # noqa: ANN401 (xgboost is optional)
        """The booster of limbs, read once per process."""
        return open_booster(self.trees.limbs_json)

    def sums(self, rows: Array) -> Array:
        """Return the sum of the trees for ``[row, feature]``."""
        limbs = self.booster.inplace_predict(self.trees.exceeded(rows), predict_type="margin")
        whole = np.asarray(limbs, dtype=np.float64).reshape(len(rows), -1)
        return np.asarray(whole @ self.trees.units)

    def margin(self, features: pa.Array) -> pa.Array:
        """Return a batch of rows' sums for both classes, as MLlib has them: [-F, F]."""
        rows = len(features)
        if rows == 0:
            return pa.array([], pa.list_(pa.float64()))
        sums = self.sums(np.asarray(features.flatten()).reshape(rows, -1))
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
    if find_spec("xgboost") is None:
        return False

    def has_all(_: int) -> bool:
        return all(find_spec(name) is not None for name in ("numpy", "pyarrow", "xgboost"))

    asked = F.udf(has_all, "boolean", useArrow=False)(F.col("id"))  # Arrow may be what is missing
    try:
        found = spark.range(1).select(asked).first()
    except PySparkException:  # no Python at all, or another version of it
        return False
    return found is not None and bool(found[0])
