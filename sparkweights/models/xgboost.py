"""XGBoost on Spark: the fast engine beside MLlib's, where its library is installed.

Training is XGBoost's own Spark estimator; the model is kept as XGBoost's JSON, and scoring asks
the booster for a batch of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkAttributeError
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.arrow_batches import per_batch
from sparkweights.core.bounds import Bound
from sparkweights.core.column_math import binary, softmax
from sparkweights.core.errors import ConfigError
from sparkweights.models.attributions import TreeContrast, TreeExplainer
from sparkweights.models.base import (
    COUNT,
    FEATURES,
    LABEL,
    MARGIN,
    POSITIVE,
    STAGES,
    WEIGHT,
    StagedLearner,
)
from sparkweights.models.xgboost_library import open_booster, require_xgboost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array
    from sparkweights.models.constraints import Constraints
    from sparkweights.storage.location import Location

MODEL_FILE = "model.json"


@dataclass(frozen=True)
class XGBoostModel:
    """A fitted booster as XGBoost's own JSON, which travels to the workers as it is."""

    json: bytes

    @cached_property
    def booster(self) -> Any:  # noqa: ANN401 (xgboost is optional)
        """The booster, read once per process."""
        return open_booster(self.json)

    def margin(self, features: pa.Array) -> pa.Array:
        """Return the margin of a batch of rows, as a list per row."""
        rows = len(features)
        if rows == 0:
            return pa.array([], pa.list_(pa.float64()))
        matrix = np.asarray(features.flatten()).reshape(rows, -1)
        found = self.booster.inplace_predict(matrix, predict_type="margin")
        wide = np.asarray(found, dtype=np.float64).reshape(rows, -1)
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * wide.shape[1])
        return pa.ListArray.from_arrays(offsets, pa.array(wide.ravel()))

    def stages(self, features: pa.Array) -> pa.Array:
        """Return the margin of a batch of rows after each stage: a list of lists per row."""
        rows, trees = len(features), self.booster.num_boosted_rounds()
        if rows == 0:
            return pa.array([], pa.list_(pa.list_(pa.float64())))
        matrix = np.asarray(features.flatten()).reshape(rows, -1)
        own = [self._margin(matrix, stage, stage + 1) for stage in range(trees)]
        # Every stage alone comes with the model's start value; all together hold it once.
        start = (sum(own) - self._margin(matrix, 0, trees)) / max(trees - 1, 1)
        passed = np.arange(trees)[None, :, None]
        sums = np.cumsum(np.stack(own, axis=1), axis=1) - passed * start[:, None, :]
        width = sums.shape[2]
        inner = np.arange(rows * trees + 1, dtype=np.int32) * width
        outer = np.arange(rows + 1, dtype=np.int32) * trees
        lists = pa.ListArray.from_arrays(pa.array(inner), pa.array(sums.ravel()))
        return pa.ListArray.from_arrays(pa.array(outer), lists)

    def _margin(self, matrix: Array, first: int, last: int) -> Array:
        found = self.booster.inplace_predict(
            matrix, iteration_range=(first, last), predict_type="margin"
        )
        return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1)

    def first(self, kept: int) -> XGBoostModel:
        """Return the model of the first stages."""
        return XGBoostModel(bytes(self.booster[:kept].save_raw("json")))


class XGBoost(StagedLearner):
    """XGBoost's trees; parameters have XGBoost's own names."""

    kind = "xgboost"
    native_missing = True
    constrainable = True
    params: ClassVar[Mapping[str, Bound]] = {
        "n_estimators": COUNT,
        "num_parallel_tree": COUNT,
        "max_depth": Bound(int, 0, 50),
        "max_leaves": Bound(int, 0),
        "grow_policy": Bound(str, choices=("depthwise", "lossguide")),
        "learning_rate": Bound(float, 1e-6, 1),
        "subsample": Bound(float, 1e-6, 1),
        "colsample_bytree": Bound(float, 1e-6, 1),
        "colsample_bylevel": Bound(float, 1e-6, 1),
        "colsample_bynode": Bound(float, 1e-6, 1),
        "min_child_weight": POSITIVE,
        "reg_lambda": POSITIVE,
        "reg_alpha": POSITIVE,
        "gamma": POSITIVE,
        "max_bin": Bound(int, 2, 100_000),
        "max_delta_step": POSITIVE,
        "tree_method": Bound(str, choices=("auto", "exact", "approx", "hist")),
        "device": Bound(str, choices=("cpu", "cuda")),
        "num_workers": Bound(int, 1),
    }
    # XGBoost's own (100 trees of depth 6, rate .3, no sampling) fit the noise of small tables: on
    # six of seven tables of 1,000 to 15,000 rows, 200 shallow, sampled trees of rate .05 have the
    # smaller held-out log loss, with penalties of 1 as with penalties of 5.
    defaults: ClassVar[Mapping[str, bool | float | str]] = {
        "n_estimators": 200,
        "max_depth": 3,
        "learning_rate": 0.05,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "min_child_weight": 2.0,
        "reg_lambda": 2.0,
    }

    def fit(
        self,
        fit_df: DataFrame,
        params: Mapping[str, Any],
        *,
        seed: int,
        classes: int,  # noqa: ARG002 (XGBoost counts the classes itself)
        constraints: Constraints | None = None,
    ) -> Any:  # noqa: ANN401 (XGBoostModel)
        """Fit XGBoost's Spark estimator; NaN positions are missing values, which it splits on.

        Raises
        ------
        ConfigError
            If xgboost is not installed, or the session is one of Spark Connect.
        """
        require_xgboost()
        from xgboost.spark import SparkXGBClassifier  # noqa: PLC0415 (optional)

        estimator = SparkXGBClassifier(
            features_col=FEATURES,
            label_col=LABEL,
            weight_col=WEIGHT,
            random_state=seed,
            verbosity=0,
            verbose=False,  # else the workers print the loss of every round
            force_repartition=True,  # its barrier stage refuses rows that were coalesced
            **self.typed(params),
            **({} if constraints is None else constraints.params()),
        )
        try:
            booster = estimator.fit(fit_df).get_booster()
        except PySparkAttributeError:  # it asks a session for what a connected one has not
            raise ConfigError(
                "model.kind: 'xgboost' cannot be trained over Spark Connect.",
                hint="train in a job under spark-submit; its models score over Spark Connect too.",
            ) from None
        return XGBoostModel(bytes(booster.save_raw("json")))

    def require_kept(self, model: Any, constraints: Constraints | None) -> None:  # noqa: ANN401 (XGBoostModel)
        """Walk the trees that were fitted."""
        if constraints is not None:
            constraints.require_kept(model.json)

    def append_margin(self, model: Any, df: DataFrame) -> DataFrame:  # noqa: ANN401 (XGBoostModel)
        """Ask the booster once per Arrow batch."""
        margin = _ask(model, vector_to_array(F.col(FEATURES), "float32"))
        return df.withColumn(MARGIN, margin).drop(FEATURES)

    def margin(self, model: Any, plan: FeaturePlan, folder: Location | None) -> Column | None:  # noqa: ANN401, ARG002 (as above)
        """Ask the booster once per Arrow batch, in the precision that it computes in."""
        return _ask(model, plan.array().cast("array<float>"))

    def append_stages(self, model: Any, df: DataFrame, workspace: Location) -> DataFrame:  # noqa: ANN401, ARG002 (as above)
        """Ask the booster for each stage of a batch of rows."""

        def stages(features: pa.Array) -> pa.Array:
            return model.stages(features)

        ask = per_batch(stages, "array<array<double>>")
        return df.withColumn(STAGES, ask(vector_to_array(F.col(FEATURES)))).drop(FEATURES)

    def first_stages(self, model: Any, kept: int, workspace: Location) -> Any:  # noqa: ANN401, ARG002 (as above)
        """Return the booster's first stages."""
        return model.first(kept)

    def scores(self, margin: Column, classes: int) -> list[Column]:
        """Return the probabilities: XGBoost's binary margin is the log odds."""
        return binary(margin.getItem(0)) if classes == 2 else softmax(margin, classes)  # noqa: PLR2004 (one log odds)

    def importances(self, model: Any, size: int, spread: Array | None) -> Array:  # noqa: ANN401, ARG002 (as above)
        """Return the total gain of each feature."""
        found = np.zeros(size)
        for name, gain in model.booster.get_score(importance_type="total_gain").items():
            found[int(name.removeprefix("f"))] = gain
        return found

    def explainer(
        self,
        model: Any,  # noqa: ANN401 (XGBoostModel)
        folder: Location,  # noqa: ARG002 (the model is its JSON)
        *,
        against: int,
        classes: int,
        reference: Sequence[float],  # noqa: ARG002 (a tree's is in its nodes)
    ) -> Explainer:
        """Return Shapley values of the margin: the log odds, or a contrast of the softmax's."""
        if classes > 2:  # noqa: PLR2004 (one log odds)
            return TreeContrast((TreeExplainer(model.json),))
        return TreeExplainer(model.json, sign=1.0 if against else -1.0)

    def save(self, model: Any, folder: Location) -> None:  # noqa: ANN401 (XGBoostModel)
        """Write XGBoost's JSON."""
        (folder / MODEL_FILE).write_bytes(model.json)

    def load(self, folder: Location, classes: int) -> Any:  # noqa: ANN401, ARG002 (the file knows)
        """Read XGBoost's JSON."""
        require_xgboost()
        return XGBoostModel((folder / MODEL_FILE).read_bytes())


def _ask(model: XGBoostModel, features: Column) -> Column:
    """Return the margin of a row's features, an array of float32."""
    require_xgboost()

    def margin(batch: pa.Array) -> pa.Array:
        return model.margin(batch)

    return per_batch(margin, "array<double>")(features)
