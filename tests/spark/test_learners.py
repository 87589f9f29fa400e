"""Every learner: weights count as rows do, probabilities sum to 1, and files bring it back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.local.models import SavedModel, open_model
from sparkweights.models.base import (
    FEATURES,
    LABEL,
    MARGIN,
    STAGES,
    WEIGHT,
    FittedModel,
    StagedModel,
    learner,
)
from sparkweights.models.losses import one_hot, softmax_loss
from sparkweights.models.registry import BUILT_IN, check_params, declaration
from sparkweights.models.unmerged_trees import can_keep_leaves
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

SMALL: dict[str, dict[str, Any]] = {
    "logistic": {"tol": 1e-10},
    "boosted_trees": {"maxIter": 4, "maxDepth": 3},
    "tree": {"maxDepth": 4},
    "forest": {"numTrees": 5, "maxDepth": 4, "bootstrap": False},
    "xgboost": {
        "n_estimators": 6,
        "num_parallel_tree": 2,
        "max_depth": 3,
        "min_child_weight": 0.0,
        "learning_rate": 0.3,
        "colsample_bytree": 1.0,
        "subsample": 1.0,  # a row that is repeated is drawn anew each time
        "tree_method": "hist",
    },
    "mini_batch": {
        "batch_rows": 0,
        "rounds": 4,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "schedule": "constant",
        "focal_gamma": 1.0,
    },
}
needs_leaves = pytest.mark.skipif(
    not can_keep_leaves(), reason="before Spark 4.3 a tree of three classes merges its leaves"
)
each_learner = pytest.mark.parametrize("kind", list(BUILT_IN))


def _frame(classes: int, rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(classes)
    x = rng.integers(0, 12, (rows, 3)).astype(float)  # few values: bins are the values
    score = np.column_stack([c * (x[:, 0] - 6) / 4 + (x[:, c % 3] > 8) for c in range(classes)])
    y = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(
        y=y.astype(float), w=rng.integers(1, 4, rows).astype(float), id=np.arange(rows)
    )


def _vectors(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(frame).select(
        "id",
        array_to_vector(F.array("a", "b", "c")).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.col("w").alias(WEIGHT),
    )


def _fit(df: DataFrame, kind: str, classes: int) -> FittedModel:
    params = SMALL[kind]
    check_params(kind, params)
    return learner(kind).fit(df.drop("id"), params, seed=1, classes=classes)


def _scores(model: FittedModel, df: DataFrame) -> np.ndarray:
    scored_df = model.append_margin(df)
    assert FEATURES not in scored_df.columns
    columns = [s.alias(f"q{c}") for c, s in enumerate(model.scores(F.col(MARGIN)))]
    frame = scored_df.select("id", *columns).toPandas().sort_values("id")
    return frame.drop(columns="id").to_numpy()


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        # A third class is one more number in the leaves of a tree; others fit in another way.
        pytest.param(classes, kind, marks=[pytest.mark.slow, needs_leaves] if likewise else [])
        for classes in (2, 3)
        for kind in BUILT_IN
        for likewise in [classes == 3 and kind in {"tree", "forest"}]
    ],
)
def test_learner_probabilities_sum_to_one_and_survive_files(
    spark: SparkSession, tmp_path: Path, kind: str, classes: int
) -> None:
    """Two classes and three; saved and loaded; every class keeps a chance that tells rows apart.

    The files give the same probabilities without Spark; MLlib's are computed in float64.
    """
    frame = _frame(classes)
    df = _vectors(spark, frame)
    model = _fit(df, kind, classes)
    found = _scores(model, df)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-9)
    assert (found.std(axis=0) > 0.01).all()
    model.save(Location.of(tmp_path) / "model")
    again = learner(kind).load(Location.of(tmp_path) / "model", classes)
    assert (again.kind, again.classes) == (kind, classes)
    assert (_scores(again, df) == found).all()
    assert not [p for p in tmp_path.rglob("*") if p.suffix in {".pkl", ".pickle"}]
    files = {
        str(file.relative_to(tmp_path / "model")): file.read_bytes()
        for file in (tmp_path / "model").rglob("*")
        if file.is_file()
    }
    local = open_model(kind, SavedModel(files, classes))
    probabilities = local.probabilities(frame[["a", "b", "c"]].to_numpy())
    assert probabilities == pytest.approx(found, rel=1e-6 if kind == "xgboost" else 1e-12)
    assert local.probabilities(np.empty((0, 3))).shape == (0, classes)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] if kind != "logistic" else []) for kind in SMALL],
)
def test_learner_scores_in_a_session_that_has_observed_a_query(
    spark: SparkSession, kind: str
) -> None:
    """As after a scoring run; before Spark 4.3 no task can be sent such a session."""
    observation = Observation()
    spark.range(3).observe(observation, F.count(F.lit(1)).alias("rows")).collect()
    assert observation.get == {"rows": 3}
    df = _vectors(spark, _frame(2))
    assert _scores(_fit(df, kind, 2), df).shape == (600, 2)


@each_learner
def test_learner_weight_two_is_the_row_twice(spark: SparkSession, kind: str) -> None:
    """Fitted on weights of 1 to 3, and on rows repeated as often: one model.

    A penalty would part the two for logistic: MLlib's weighted spread, by which it scales the
    penalty, counts a weight as reliability and not as repetition.
    """
    frame = _frame(2)
    repeated = frame.loc[frame.index.repeat(frame["w"].astype(int))].assign(w=1.0)
    # One partition: MLlib's trees draw their bins from a sample of each.
    by_weight = _fit(_vectors(spark, frame).coalesce(1), kind, 2)
    by_row = _fit(_vectors(spark, repeated).coalesce(1), kind, 2)
    df = _vectors(spark, frame)
    ours, theirs = (_scores(model, df)[:, 1] for model in (by_weight, by_row))
    if kind == "xgboost":  # sums of 32-bit gradients
        assert ours == pytest.approx(theirs, abs=1e-4)
    else:
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("kind", ["tree", "forest"])
def test_tree_leaves_of_one_class_are_not_merged(spark: SparkSession, kind: str) -> None:
    """At 3 % events no leaf's likeliest class is the event, yet the leaves tell rows apart."""
    rng = np.random.default_rng(1)
    a = rng.integers(0, 12, 4_000).astype(float)
    y = (rng.random(4_000) < 0.005 * (1 + a)).astype(float)
    frame = pd.DataFrame({"a": a, "b": 0.0, "c": 0.0, "y": y, "w": 1.0, "id": np.arange(4_000)})
    df = _vectors(spark, frame)
    found = _scores(_fit(df, kind, 2), df)[:, 1]
    assert found.max() < 0.5
    assert np.corrcoef(found, a)[0, 1] > 0.8
    assert found.mean() == pytest.approx(y.mean(), rel=0.01)


def test_check_params_names_what_is_allowed() -> None:
    """Unknown and out-of-range parameters, by the library's own names."""
    with pytest.raises(ConfigError, match=r"forest has no Param 'numTree'.*Did you mean|numTrees"):
        check_params("forest", {"numTree": 5})
    with pytest.raises(ConfigError, match=r"model.params.device: 'tpu'; allowed: one of cpu, cuda"):
        check_params("xgboost", {"device": "tpu"})
    with pytest.raises(
        ConfigError, match="'scale_pos_weight' is set by sparkweights, from weights"
    ):
        check_params("xgboost", {"scale_pos_weight": 20})


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_optimum_has_no_weighted_gradient(spark: SparkSession, classes: int) -> None:
    """At MLlib's fitted coefficients our weighted softmax gradient vanishes."""
    frame = _frame(classes)
    model: Any = _fit(_vectors(spark, frame), "logistic", classes)
    native = model.native
    assert (model.coefficients() is None) == (classes != 2)
    coefficients = np.column_stack([
        native.coefficientMatrix.toArray(), native.interceptVector.toArray()
    ])  # fmt: skip
    x, w = frame[["a", "b", "c"]].to_numpy(), frame["w"].to_numpy()
    targets = one_hot(frame["y"].to_numpy(), classes)
    assert np.linalg.norm(softmax_loss(coefficients, x, targets, w).gradient) < 1e-4
    worse = softmax_loss(coefficients * 1.1, x, targets, w)
    assert np.linalg.norm(worse.gradient) > 1e-2


@each_learner
def test_learner_defaults_are_within_their_bounds_and_give_way(kind: str) -> None:
    """A default is one that a user might have set; what a user sets replaces it alone."""
    own = declaration(kind)
    check_params(kind, own.defaults)
    assert own.typed({}) == own.resolve({}) == dict(own.defaults)


def test_focal_loss_of_xgboost_is_refused_with_its_reason() -> None:
    """Its Spark estimator takes an objective by name; ours has one, under the same key."""
    with pytest.raises(ConfigError, match=r"xgboost cannot have .*takes an objective by name"):
        check_params("xgboost", {"focal_gamma": 2.0})
    check_params("mini_batch", {"focal_gamma": 2.0})


def test_xgboost_defaults_are_for_noisy_tables() -> None:
    """Shallow trees and a slow rate; a depth that is set leaves the rate as it is."""
    typed = declaration("xgboost").typed({"max_depth": 6})
    assert (typed["max_depth"], typed["learning_rate"], typed["n_estimators"]) == (6, 0.05, 200)


@pytest.mark.parametrize(
    ("kind", "trees", "folder", "told"),
    [
        ("boosted_trees", 200, "", True),
        ("boosted_trees", 200, "/shared", False),
        ("boosted_trees", 100, "", False),
        ("xgboost", 200, "", False),
    ],
)
def test_long_boosting_without_checkpoints_is_told_of(
    kind: str, trees: int, folder: str, *, told: bool
) -> None:
    """MLlib's boosting alone carries its history, and only where there is no place to cut it."""

    class Conf:
        def get(self, name: str, default: str) -> str:
            return folder if name == "spark.checkpoint.dir" and folder else default

    engine: Any = SimpleNamespace(conf=Conf())
    concern = learner(kind).concern({"maxIter": trees, "n_estimators": trees}, engine)
    assert (concern is not None) == told
    if concern is not None:
        assert "spark.checkpoint.dir" in concern


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        pytest.param("boosted_trees", 2, marks=pytest.mark.slow),
        pytest.param("xgboost", 2, marks=pytest.mark.slow),
        ("xgboost", 3),
        pytest.param("mini_batch", 2, marks=pytest.mark.slow),
        pytest.param("mini_batch", 3, marks=pytest.mark.slow),
    ],
)
def test_staged_learner_first_stages_are_a_model_of_their_own(
    spark: SparkSession, tmp_path: Path, kind: str, classes: int
) -> None:
    """The margin after k stages is that of the model of the first k; after all, the model's own."""
    df = _vectors(spark, _frame(classes))
    model = _fit(df, kind, classes)
    assert isinstance(model, StagedModel)
    staged_df = model.append_stages(df, Location.of(tmp_path))
    assert FEATURES not in staged_df.columns
    stages = np.array([row[0] for row in staged_df.orderBy("id").select(STAGES).collect()])

    def margins(of: FittedModel) -> np.ndarray:
        rows = of.append_margin(df).orderBy("id").select(MARGIN).collect()
        return np.array([row[0] for row in rows])

    last = stages.shape[1]
    assert stages[:, -1] == pytest.approx(margins(model), abs=1e-6)
    few = model.first_stages(last - 2, Location.of(tmp_path))
    assert stages[:, last - 3] == pytest.approx(margins(few), abs=1e-6)
    few.save(Location.of(tmp_path) / "few")
    again = learner(kind).load(Location.of(tmp_path) / "few", classes)
    assert (margins(again) == margins(few)).all()
