"""XGBoost on Spark: a faster alternative to MLlib's trees, if its library is installed.

Training is XGBoost's own Spark estimator; the model is kept as XGBoost's JSON, and the
booster scores a batch of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.column_math import binary, softmax
from sparkweights.models.attributions import TreeContrast, TreeExplainer
from sparkweights.models.base import (
    FEATURES,
    LABEL,
    MARGIN,
    STAGES,
    WEIGHT,
    Learner,
    StagedModel,
)
from sparkweights.models.xgboost_library import XGBoostTrees

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array, ExplainerSettings, FitSettings
    from sparkweights.storage.location import Location

MODEL_FILE = "model.json"


@dataclass(frozen=True, eq=False)
class XGBoostModel(StagedModel):
    """A fitted booster.

    Attributes
    ----------
    trees
        What travels to the workers.
    """

    trees: XGBoostTrees

    def append_margin(self, df: DataFrame) -> DataFrame:
        """Evaluate the booster once per Arrow batch."""
        margin = self.trees.margin_column(vector_to_array(F.col(FEATURES), "float32"))
        return df.withColumn(MARGIN, margin).drop(FEATURES)

    def margin(self, plan: FeaturePlan, _folder: Location | None, /) -> Column | None:
        """Evaluate the booster once per Arrow batch, in the precision that it computes in."""
        return self.trees.margin_column(plan.array().cast("array<float>"))

    def scores(self, margin: Column) -> list[Column]:
        """Return the probabilities: XGBoost's binary margin is the log odds."""
        return binary(margin.getItem(0)) if self.is_binary else softmax(margin, self.classes)

    def importances(self) -> Array:
        """Return the total gain of each feature."""
        booster = self.trees.booster
        gains = np.zeros(booster.num_features())
        for name, gain in booster.get_score(importance_type="total_gain").items():
            gains[int(name.removeprefix("f"))] = gain
        return gains

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return Shapley values of the margin: the log odds, or a contrast of the softmax's."""
        if not self.is_binary:
            return TreeContrast((TreeExplainer(self.trees.json),))
        return TreeExplainer(self.trees.json, sign=1.0 if settings.against else -1.0)

    def append_stages(self, df: DataFrame, _workspace: Location, /) -> DataFrame:
        """Evaluate each stage of the booster on a batch of rows."""
        stages = self.trees.stages_column(vector_to_array(F.col(FEATURES)))
        return df.withColumn(STAGES, stages).drop(FEATURES)

    def first_stages(self, stages: int, _workspace: Location, /) -> XGBoostModel:
        """Return the model of the booster's first stages."""
        return XGBoostModel(self.declaration, self.classes, self.trees.first(stages))

    def save(self, folder: Location) -> None:
        """Write XGBoost's JSON."""
        (folder / MODEL_FILE).write_bytes(self.trees.json)


class XGBoost(Learner):
    """XGBoost's trees; parameters have XGBoost's own names."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> XGBoostModel:
        """Fit XGBoost's Spark estimator; NaN positions are missing values, which it splits on."""
        from xgboost.spark import SparkXGBClassifier  # noqa: PLC0415 (optional)

        constraints = settings.constraints
        estimator = SparkXGBClassifier(
            features_col=FEATURES,
            label_col=LABEL,
            weight_col=WEIGHT,
            random_state=settings.seed,
            verbosity=0,
            verbose=False,  # else the workers print the loss of every round
            force_repartition=True,  # its barrier stage refuses rows that were coalesced
            **settings.params,
            **({} if constraints is None else constraints.params()),
        )
        booster = estimator.fit(fit_df).get_booster()
        trees = XGBoostTrees(bytes(booster.save_raw("json")))
        if constraints is not None:
            constraints.require_kept(trees.json)
        return XGBoostModel(self.declaration, settings.classes, trees)

    def load(self, folder: Location, classes: int) -> XGBoostModel:
        """Read XGBoost's JSON."""
        trees = XGBoostTrees((folder / MODEL_FILE).read_bytes())
        return XGBoostModel(self.declaration, classes, trees)
