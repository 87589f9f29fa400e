"""What MLlib's fitted classifiers share: a raw prediction per row, and files of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from pyspark.ml.classification import (
    DecisionTreeClassificationModel,
    GBTClassificationModel,
    LogisticRegressionModel,
    RandomForestClassificationModel,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.models.base import FEATURES, LABEL, MARGIN, WEIGHT, FittedModel

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.models.base import Array
    from sparkweights.storage.location import Location

COLUMNS = {"featuresCol": FEATURES, "labelCol": LABEL, "weightCol": WEIGHT}
RAW = "__raw"

Native = TypeVar(
    "Native",
    LogisticRegressionModel,
    DecisionTreeClassificationModel,
    RandomForestClassificationModel,
    GBTClassificationModel,
)
Tree = TypeVar("Tree", DecisionTreeClassificationModel, GBTClassificationModel)


@dataclass(frozen=True, eq=False)
class MLlibModel(FittedModel, Generic[Native]):
    """A fitted model of MLlib's.

    Attributes
    ----------
    native
        MLlib's model.
    """

    native: Native

    def append_margin(self, df: DataFrame) -> DataFrame:
        """Evaluate the model once per row."""
        raw_df = append_raw(self.native, df, RAW)
        return raw_df.withColumn(MARGIN, vector_to_array(F.col(RAW))).drop(FEATURES, RAW)

    def save(self, folder: Location) -> None:
        """Write MLlib's native format."""
        self.native.write().save(str(folder))


def append_raw(native: Native, df: DataFrame, name: str) -> DataFrame:
    """Append a model's raw prediction alone."""
    # Empty names switch off the outputs that nobody reads.
    native.setPredictionCol("").setProbabilityCol("")
    return native.setFeaturesCol(FEATURES).setRawPredictionCol(name).transform(df)


def append_leaves(native: Tree, df: DataFrame, name: str) -> DataFrame:
    """Append the number of the row's leaf (of one tree), or a vector of them (of many), alone."""
    native.setPredictionCol("").setProbabilityCol("").setRawPredictionCol("")
    leaf_df = native.setFeaturesCol(FEATURES).setLeafCol(name).transform(df)
    native.setLeafCol("")
    return leaf_df


def impurity_decreases(
    native: DecisionTreeClassificationModel
    | RandomForestClassificationModel
    | GBTClassificationModel,
) -> Array:
    """Return the total weighted impurity decrease of each feature, as MLlib has it."""
    return np.asarray(native.featureImportances.toArray())
