"""Trees and forests of two classes grown by variance are those grown by Gini impurity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.models import mllib_trees
from sparkweights.models.base import FEATURES, LABEL, MARGIN, WEIGHT, learner
from sparkweights.models.unmerged_trees import can_keep_leaves, fit_tree
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.models.base import FittedModel


@pytest.fixture(scope="module")
def loans_df(spark: SparkSession) -> DataFrame:
    """Rows of which 3 % are events, so that nearly every leaf predicts the other class."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4_000, 4))
    risk = 1 / (1 + np.exp(4.5 - x[:, 0] - 1.5 * (x[:, 1] > 1)))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(
        y=(rng.random(4_000) < risk).astype(float), w=rng.integers(1, 4, 4_000) / 2, id=range(4_000)
    )
    return spark.createDataFrame(frame).select(
        "id",
        array_to_vector(F.array(*"abcd")).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.col("w").alias(WEIGHT),
    )


def _shares(model: FittedModel, df: DataFrame) -> np.ndarray:
    margin_df = model.append_margin(df)
    share = model.scores(F.col(MARGIN))[1]
    return margin_df.select("id", share.alias("p")).toPandas().sort_values("id")["p"].to_numpy()


@pytest.mark.skipif(
    not can_keep_leaves(), reason="before Spark 4.3 there is no newer way to compare with"
)
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("tree", {"maxDepth": 6}),
        ("tree", {"maxDepth": 8, "minInstancesPerNode": 30, "minInfoGain": 0.0005}),
        ("forest", {"numTrees": 5, "maxDepth": 5}),
        ("forest", {"numTrees": 4, "maxDepth": 5, "featureSubsetStrategy": "all"}),
        ("forest", {"numTrees": 1, "maxDepth": 5, "bootstrap": False}),
    ],
)
def test_older_way_gives_the_same_probabilities(
    loans_df: DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    params: dict[str, Any],
) -> None:
    """Of each row, also from files; rare classes keep theirs."""
    own, fit_df = learner(kind), loans_df.drop("id")
    newer = _shares(own.fit(fit_df, params, seed=5, classes=2), loans_df)
    monkeypatch.setattr(mllib_trees, "can_keep_leaves", lambda: False)
    older = own.fit(fit_df, params, seed=5, classes=2, scratch=Location.of(tmp_path / "scratch"))
    assert len(set(newer)) > 5
    np.testing.assert_allclose(_shares(older, loans_df), newer, atol=1e-12)
    older.save(Location.of(tmp_path / "saved"))
    again = own.load(Location.of(tmp_path / "saved"), 2)
    np.testing.assert_array_equal(_shares(again, loans_df), _shares(older, loans_df))


def test_older_tree_keeps_the_classes_of_its_leaves(loans_df: DataFrame, tmp_path: Path) -> None:
    """Its nodes hold the weights of both classes, as summed from the rows."""
    grown = fit_tree(loans_df.drop("id"), {"maxDepth": 4}, 5, Location.of(tmp_path))
    rows_df = grown.transform(loans_df)
    raw = vector_to_array(F.col(grown.getRawPredictionCol()))
    leaves = rows_df.select(raw.alias("raw"), LABEL, WEIGHT).groupBy("raw").agg(
        F.sum(F.when(F.col(LABEL) == 0, F.col(WEIGHT)).otherwise(0.0)).alias("first"),
        F.sum(F.when(F.col(LABEL) == 1, F.col(WEIGHT)).otherwise(0.0)).alias("second"),
    ).collect()  # fmt: skip
    assert 1 < len(leaves) <= 16
    for leaf in leaves:
        np.testing.assert_allclose(leaf["raw"], [leaf["first"], leaf["second"]], atol=1e-9)
    assert grown.numClasses == 2
    assert grown.getImpurity() == "gini"


def test_older_way_has_no_entropy(loans_df: DataFrame, tmp_path: Path) -> None:
    """Which is no multiple of the variance."""
    with pytest.raises(ConfigError, match="impurity 'entropy' needs Spark"):
        fit_tree(loans_df, {"impurity": "entropy"}, 1, Location.of(tmp_path))
