"""A tree of MLlib goes through plain nodes unharmed, and comes back pruned as a native model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.classification import DecisionTreeClassificationModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.storage.location import Location
from sparkweights.trees.pruning import prune, pruning_path

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")


@pytest.fixture(scope="module")
def people(spark: SparkSession) -> DataFrame:
    """Rows whose events depend on two of three features, and a weight for events."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(3_000, 3))
    y = (rng.random(3_000) < 1 / (1 + np.exp(3 - x[:, 0] - (x[:, 1] > 0)))).astype(float)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y, w=1 + 4 * y, id=range(3_000))
    return spark.createDataFrame(frame).select(
        "id",
        array_to_vector(F.array("a", "b", "c")).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.col("w").alias(WEIGHT),
    )


def _scores(model: DecisionTreeClassificationModel, df: DataFrame) -> np.ndarray:
    scored_df = model.setRawPredictionCol("rawPrediction").transform(df)
    scored_df = scored_df.select("id", vector_to_array("rawPrediction").alias("raw"))
    return np.array(scored_df.toPandas().sort_values("id")["raw"].tolist())


def test_tree_survives_the_way_through_plain_nodes(people: DataFrame, tmp_path: Path) -> None:
    """Read and written back, it scores every row as before, bit for bit."""
    model = learner("tree").fit(people.drop("id"), {"maxDepth": 6}, seed=1, classes=2)
    tree = model.read_tree(Location.of(tmp_path))
    again = model.with_tree(tree, Location.of(tmp_path)).native
    before = _scores(model.native, people)
    assert (_scores(again, people) == before).all()
    assert tree.counts[0] == pytest.approx(
        [people.filter(f"{LABEL} = 0").count(), 5 * people.filter(f"{LABEL} = 1").count()]
    )


def test_pruned_tree_saves_loads_and_scores(people: DataFrame, tmp_path: Path) -> None:
    """A pruned tree is a native model whose leaves hold what its branches held."""
    model = learner("tree").fit(people.drop("id"), {"maxDepth": 10}, seed=1, classes=2)
    tree = model.read_tree(Location.of(tmp_path))
    path = pruning_path(tree, tree.risks("gini"))
    small = prune(tree, path, path[3 * len(path) // 4].ccp_alpha)
    assert 1 < small.leaves < tree.leaves / 2
    native = model.with_tree(small, Location.of(tmp_path)).native
    assert native.numNodes == len(small.nodes)
    before = _scores(native, people)
    native.write().save(str(tmp_path / "kept"))
    loaded = DecisionTreeClassificationModel.load(str(tmp_path / "kept"))
    assert (_scores(loaded, people) == before).all()
    # Each row's leaf holds the weight of the rows that share it.
    leaves = {tuple(node.counts) for node in small.nodes if node.is_leaf}
    assert {tuple(row) for row in before} == leaves
