"""Trees of two classes without merged leaves, on releases of Spark before 4.3.

Those releases merge sibling leaves that predict the same class, and with them their probabilities.
A regression tree of the labels 0 and 1 merges leaves of the same mean alone, which loses nothing,
and it is the same tree: if the second class has the share p in a node, the variance of the labels
is p (1 - p), half the Gini impurity. Each split has half the gain, and the mean of a leaf is its
share. The files of the fitted tree are rewritten as those of a classifier.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.ml.classification import (
    DecisionTreeClassificationModel,
    DecisionTreeClassifier,
    RandomForestClassificationModel,
)
from pyspark.ml.regression import DecisionTreeRegressor, RandomForestRegressor
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.models.mllib import COLUMNS, RAW
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.models.declaration import ParamValue
    from sparkweights.storage.location import Location

Model = TypeVar("Model", DecisionTreeClassificationModel, RandomForestClassificationModel)

_NODE = (
    *("id", "prediction", "impurity", "impurityStats", "rawCount"),
    *("gain", "leftChild", "rightChild", "split"),
)


def can_keep_leaves() -> bool:
    """Whether this release of Spark can grow classification trees without merging leaves."""
    return hasattr(DecisionTreeClassifier, "setPruneTree")


def fit_tree(
    fit_df: DataFrame, params: Mapping[str, ParamValue], seed: int, workspace: Location
) -> DecisionTreeClassificationModel:
    """Fit a decision tree of two classes by variance; as `fit_forest`."""
    make: Callable[..., DecisionTreeRegressor] = DecisionTreeRegressor
    grown = make(**COLUMNS, seed=seed, **_by_variance(params)).fit(fit_df)
    grown.write().save(str(workspace / "grown"))
    return _read(DecisionTreeClassificationModel, workspace)


def fit_forest(
    fit_df: DataFrame, params: Mapping[str, ParamValue], seed: int, workspace: Location
) -> RandomForestClassificationModel:
    """Fit a random forest of two classes by variance.

    Parameters
    ----------
    params
        Those of MLlib's classifier.
    workspace
        A folder that driver and executors share.

    Raises
    ------
    ConfigError
        If the impurity is the entropy, which is no multiple of the variance.
    """
    make: Callable[..., RandomForestRegressor] = RandomForestRegressor
    own = _by_variance(params)
    # A regression draws more features for a split than a classification, unless told otherwise.
    if own.get("featureSubsetStrategy", "auto") == "auto":
        own["featureSubsetStrategy"] = "all" if own.get("numTrees") == 1 else "sqrt"
    grown = make(**COLUMNS, seed=seed, **own).fit(fit_df)
    grown.write().save(str(workspace / "grown"))
    return _read(RandomForestClassificationModel, workspace)


def _by_variance(params: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    if params.get("impurity", "gini") != "gini":
        raise ConfigError(
            f"model.params: impurity '{params['impurity']}' needs Spark 4.3 or newer; older "
            "releases allow gini.",
            hint="leave impurity out, or choose a newer Spark.",
        )
    own = {name: value for name, value in params.items() if name != "impurity"}
    if "minInfoGain" in own:
        own["minInfoGain"] = float(own["minInfoGain"]) / 2
    return own


def _read(kind: type[Model], workspace: Location) -> Model:
    """Return the grown regression model as a model of two classes."""
    spark = SparkSession.active()
    grown, rewritten = workspace / "grown", workspace / "rewritten"
    # The metadata of a model, and those of its trees, are a few lines of text.
    (line,) = spark.read.text(literal_path(grown / "metadata")).collect()
    text_df = spark.createDataFrame([(_as_classifier(line["value"]),)], "value string")
    text_df.coalesce(1).write.text(str(rewritten / "metadata"))
    if (grown / "treesMetadata").exists():
        trees_df = spark.read.parquet(literal_path(grown / "treesMetadata"))
        trees = [(row[0], _as_classifier(row[1]), row[2]) for row in trees_df.collect()]
        written_df = spark.createDataFrame(trees, trees_df.schema)
        written_df.coalesce(1).write.parquet(str(rewritten / "treesMetadata"))
    nodes_df = spark.read.parquet(literal_path(grown / "data"))
    if "nodeData" in nodes_df.columns:
        nodes_df = nodes_df.withColumn("nodeData", F.struct(*_of_classes("nodeData.")))
    else:
        nodes_df = nodes_df.select(*_of_classes(""))
    nodes_df.coalesce(1).write.parquet(str(rewritten / "data"))
    return kind.load(literal_path(rewritten))


def _as_classifier(metadata: str) -> str:
    """Return the metadata of a regression tree, or of a forest, as those of a classifier."""
    stated: dict[str, Any] = json.loads(metadata)
    stated["class"] = stated["class"].replace("regression", "classification")
    stated["class"] = stated["class"].replace("Regression", "Classification")
    for params in (stated["paramMap"], stated["defaultParamMap"]):
        params.pop("varianceCol", None)
        if "impurity" in params:
            params["impurity"] = "gini"
    stated["paramMap"]["rawPredictionCol"] = RAW
    stated["numClasses"] = 2
    return json.dumps(stated)


def _of_classes(prefix: str) -> list[Column]:
    """Return the columns of a node; regression keeps the sums of w, w y and w y^2."""
    column = {name: F.col(prefix + name) for name in _NODE}
    second = column["impurityStats"].getItem(1)
    first = column["impurityStats"].getItem(0) - second
    replaced = {
        "prediction": F.when(second > first, 1.0).otherwise(0.0),
        "impurity": 2 * column["impurity"],
        "impurityStats": F.array(first, second),
        "gain": F.when(column["leftChild"] < 0, column["gain"]).otherwise(2 * column["gain"]),
    }
    return [(column | replaced)[name].alias(name) for name in _NODE]
