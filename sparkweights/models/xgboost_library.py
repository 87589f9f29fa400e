"""XGBoost's trees as they travel to the workers: its JSON, and the booster that is read from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sparkweights.core.arrow_batches import per_batch
from sparkweights.trees.xgboost_json import open_booster

if TYPE_CHECKING:
    from pyspark.sql import Column
    from xgboost import Booster

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class XGBoostTrees:
    """A fitted booster as XGBoost's own JSON."""

    json: bytes

    @cached_property
    def booster(self) -> Booster:
        """The booster, read once per process."""
        return open_booster(self.json)

    def margin_column(self, features: Column) -> Column:
        """Return the margin of a row's features, an array of float32; evaluated by batch."""

        def margin(batch: pa.Array) -> pa.Array:
            return self.margin(batch)

        return per_batch(margin, "array<double>")(features)

    def stages_column(self, features: Column) -> Column:
        """Return the margins of a row's features after each stage; evaluated by batch."""

        def stages(batch: pa.Array) -> pa.Array:
            return self.stages(batch)

        return per_batch(stages, "array<array<double>>")(features)

    def margin(self, features: pa.Array) -> pa.Array:
        """Return the margin of a batch of rows, as a list per row."""
        rows = len(features)
        if rows == 0:
            return pa.array([], pa.list_(pa.float64()))
        matrix = np.asarray(features.flatten()).reshape(rows, -1)
        margins = self.booster.inplace_predict(matrix, predict_type="margin")
        wide = np.asarray(margins, dtype=np.float64).reshape(rows, -1)
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * wide.shape[1])
        return pa.ListArray.from_arrays(offsets, pa.array(wide.ravel()))

    def stages(self, features: pa.Array) -> pa.Array:
        """Return the margin of a batch of rows after each stage: a list of lists per row."""
        rows, trees = len(features), self.booster.num_boosted_rounds()
        if rows == 0:
            return pa.array([], pa.list_(pa.list_(pa.float64())))
        matrix = np.asarray(features.flatten()).reshape(rows, -1)
        by_stage = [self._margin(matrix, stage, stage + 1) for stage in range(trees)]
        # Every stage alone comes with the model's start value; all together hold it once.
        start = (sum(by_stage) - self._margin(matrix, 0, trees)) / max(trees - 1, 1)
        passed = np.arange(trees)[None, :, None]
        sums = np.cumsum(np.stack(by_stage, axis=1), axis=1) - passed * start[:, None, :]
        width = sums.shape[2]
        inner = np.arange(rows * trees + 1, dtype=np.int32) * width
        outer = np.arange(rows + 1, dtype=np.int32) * trees
        lists = pa.ListArray.from_arrays(pa.array(inner), pa.array(sums.ravel()))
        return pa.ListArray.from_arrays(pa.array(outer), lists)

    def _margin(self, matrix: Array, first: int, last: int) -> Array:
        margins = self.booster.inplace_predict(
            matrix, iteration_range=(first, last), predict_type="margin"
        )
        return np.asarray(margins, dtype=np.float64).reshape(len(matrix), -1)

    def first(self, stages: int) -> XGBoostTrees:
        """Return the trees of the first stages."""
        return XGBoostTrees(bytes(self.booster[:stages].save_raw("json")))
