"""Encodings that look at outcomes, codes, and blocks of many columns."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.roles import ColumnRoles
from sparkweights.features.encoders import BinnedFeature, NumericBlock, TargetFeature
from sparkweights.features.fit import FOLDS, SHRINKAGE, WIDE, learn_features, log_odds
from sparkweights.features.plan import FeaturePlan

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ROLES = ColumnRoles(("id",), "y", {"no": 0, "yes": 1}, (), ("town",))


def _order() -> Column:
    return F.pmod(F.xxhash64("id"), F.lit(10_000)) / 10_000


def _vectors(df: DataFrame, vector: Column) -> np.ndarray:
    rows = df.select("id", vector.alias("v")).orderBy("id").collect()
    return np.stack([np.asarray(row["v"]) for row in rows])


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_log_odds_shrink_to_the_prior_by_hand() -> None:
    """Of 100 rows 20 are yes; a level with 8 of 10, one without rows."""
    counts = np.array([[2.0, 8.0], [78.0, 12.0], [0.0, 0.0]])
    first, _, empty = log_odds(counts)
    assert first[0] == pytest.approx(_logit((8 + SHRINKAGE * 0.2) / (10 + SHRINKAGE)))
    assert empty[0] == pytest.approx(_logit(0.2))


def test_target_null_and_unseen_are_kept_apart(spark: SparkSession) -> None:
    """Null has what happened on null, an unseen value the prior."""
    rows = [(i, "a" if i < 40 else "b" if i < 70 else None, i % 10 < 3) for i in range(100)]
    rows = [(i, town, int(y or (town is None and i % 2))) for i, town, y in rows]
    df = spark.createDataFrame(rows, "id int, town string, y int")
    plan = learn_features(df, ROLES, categorical="target", order=_order())
    frame = pd.DataFrame(rows, columns=["id", "town", "y"])
    prior = frame["y"].mean()
    shown = spark.createDataFrame([(0, "a"), (1, None), (2, "zz")], "id int, town string")
    found = _vectors(shown, plan.vector())[:, 0]
    of_a, of_null = frame[frame["town"] == "a"]["y"], frame[frame["town"].isna()]["y"]
    for value, own in ((found[0], of_a), (found[1], of_null)):
        share = (own.sum() + SHRINKAGE * prior) / (len(own) + SHRINKAGE)
        assert value == pytest.approx(_logit(share))
    assert found[2] == pytest.approx(_logit(prior))
    assert plan.names == ("town: log odds of yes",)
    assert FeaturePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_target_training_rows_do_not_see_their_own_outcome(spark: SparkSession) -> None:
    """A category of pure noise with two rows a level: naive encoding betrays the outcome."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({
        "id": np.arange(600), "town": [f"t{i // 2}" for i in range(600)],
        "y": rng.integers(0, 2, 600),
    })  # fmt: skip
    df = spark.createDataFrame(frame)
    plan = learn_features(df, ROLES, categorical="target", order=_order())
    assert len(plan.folds) == FOLDS
    naive = _vectors(df, plan.vector())[:, 0]
    honest = _vectors(df, plan.training_vector(F.lit(col=True), _order()))[:, 0]
    assert np.corrcoef(naive, frame["y"])[0, 1] > 0.5
    assert np.corrcoef(honest, frame["y"])[0, 1] < 0.05
    # Rows that nothing was learned from are encoded as new ones will be.
    held = _vectors(df, plan.training_vector(F.lit(col=False), _order()))[:, 0]
    assert (held == naive).all()


def test_target_training_vector_is_learned_from_the_other_folds(spark: SparkSession) -> None:
    """Each fold's rows, against a table counted by hand without them."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({
        "id": np.arange(500), "town": rng.choice(["a", "b", "c"], 500),
        "y": rng.integers(0, 2, 500),
    })  # fmt: skip
    df = spark.createDataFrame(frame)
    frame["fold"] = [row["f"] for row in df.select(F.floor(_order() * FOLDS).alias("f")).collect()]
    plan = learn_features(df, ROLES, categorical="target", order=_order())
    honest = _vectors(df, plan.training_vector(F.lit(col=True), _order()))[:, 0]
    for row in range(0, 500, 37):
        fold, town = frame.loc[row, "fold"], frame.loc[row, "town"]
        others = frame[frame["fold"] != fold]
        own = others[others["town"] == town]["y"]
        share = (own.sum() + SHRINKAGE * others["y"].mean()) / (len(own) + SHRINKAGE)
        assert honest[row] == pytest.approx(_logit(share))


def test_binned_is_the_log_odds_of_the_range(spark: SparkSession) -> None:
    """Ranges against numpy; missing is a level of its own; three classes give two positions."""
    rng = np.random.default_rng(9)
    x = rng.exponential(size=3_000)
    y = (rng.random(3_000) < np.clip(x / 4, 0, 0.9)).astype(int) + (x > 2)
    missing = rng.random(3_000) < 0.05
    frame = pd.DataFrame({"id": np.arange(3_000), "x": np.where(missing, np.nan, x), "y": y})
    roles = ColumnRoles(("id",), "y", {"a": 0, "b": 1, "c": 2}, ("x",), ())
    df = spark.createDataFrame(frame)
    plan = learn_features(df, roles, "binned", order=_order())
    (encoder,) = plan.encoders
    assert isinstance(encoder, BinnedFeature)
    assert len(encoder.edges) == 15
    level = np.where(
        missing, len(encoder.edges) + 1, np.searchsorted(encoder.edges, x, side="left")
    )
    counts = np.zeros((encoder.size, 3))
    np.add.at(counts, (level, y), 1.0)
    expected = np.array(log_odds(counts))[level]
    assert _vectors(df, plan.vector()) == pytest.approx(expected)
    assert plan.names == ("x: log odds of b", "x: log odds of c")
    infinite = spark.createDataFrame([(0, math.inf), (1, 1.0)], "id int, x double")
    assert [row[0] for row in infinite.select(plan.unusable()).collect()] == ["x", None]


@pytest.mark.slow
def test_binned_makes_a_bent_relation_linear(spark: SparkSession) -> None:
    """A U-shaped risk: a plain logistic model sees nothing, a binned one nearly everything."""
    from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner

    rng = np.random.default_rng(2)
    x = rng.normal(size=4_000)
    y = (rng.random(4_000) < 1 / (1 + np.exp(-(2 * x * x - 2)))).astype(int)
    df = spark.createDataFrame(pd.DataFrame({"id": np.arange(4_000), "x": x, "y": y})).cache()
    roles = ColumnRoles(("id",), "y", {"no": 0, "yes": 1}, ("x",), ())
    areas = []
    for encoding in ("plain", "binned"):
        plan = learn_features(df, roles, encoding, order=_order())
        vector = plan.training_vector(F.lit(col=True), _order())
        fit_df = df.select(
            vector.alias(FEATURES), F.col("y").cast("double").alias(LABEL), F.lit(1.0).alias(WEIGHT)
        )
        model = learner("logistic").fit(fit_df, {}, seed=1, classes=2)
        areas.append(model.native.evaluate(fit_df).areaUnderROC)
    assert areas[0] < 0.6
    assert areas[1] > 0.83


def test_ordered_codes_follow_the_alphabet(spark: SparkSession) -> None:
    """Levels from 0, then any other value, then null."""
    df = spark.createDataFrame([(0, "b"), (1, "a"), (2, "c"), (3, None)], "id int, town string")
    plan = learn_features(df, ROLES, categorical="ordered")
    shown = spark.createDataFrame(
        [(0, "a"), (1, "b"), (2, "c"), (3, "unseen"), (4, None)], "id int, town string"
    )
    assert _vectors(shown, plan.vector())[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert plan.names == plan.sources == ("town",)


WIDE_NAMES = tuple(f"gene.{i}" for i in range(WIDE + 50))
WIDE_ROLES = ColumnRoles(("id",), "y", {"no": 0, "yes": 1}, WIDE_NAMES, ("town",))


@pytest.fixture(scope="module")
def wide(spark: SparkSession) -> tuple[pd.DataFrame, DataFrame, FeaturePlan]:
    """250 columns with dots in their names, some with missing values."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(41, len(WIDE_NAMES)))
    values[rng.random(values.shape) < 0.01] = np.nan
    frame = pd.DataFrame(values, columns=list(WIDE_NAMES))
    frame.insert(0, "id", np.arange(41))
    frame["town"] = rng.choice(["a", "b"], 41)
    df = spark.createDataFrame(frame).cache()
    return frame, df, learn_features(df, WIDE_ROLES)


def test_block_equals_pandas(wide: tuple[pd.DataFrame, DataFrame, FeaturePlan]) -> None:
    """Medians fill, flags tell, categories follow, as column by column."""
    frame, df, plan = wide
    numbers = frame[list(WIDE_NAMES)]
    medians = numbers.quantile(0.5, interpolation="lower")
    flagged = [name for name in WIDE_NAMES if numbers[name].isna().any()]
    expected = np.hstack([
        numbers.fillna(medians).to_numpy(),
        numbers[flagged].isna().to_numpy(dtype=float),
        np.stack([frame["town"] == "a", frame["town"] == "b"], axis=1).astype(float),
        np.zeros((41, 2)),
    ])  # fmt: skip
    assert isinstance(plan.encoders[0], NumericBlock)
    assert _vectors(df, plan.vector()) == pytest.approx(expected)
    assert len(plan.names) == len(plan.sources) == expected.shape[1]
    assert plan.names[len(WIDE_NAMES)] == f"{flagged[0]} is missing"
    assert FeaturePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_block_names_the_infinite_column(
    wide: tuple[pd.DataFrame, DataFrame, FeaturePlan],
) -> None:
    """Like every other encoder; and learning refuses it."""
    _, df, plan = wide
    spoilt_df = df.withColumn("gene.7", F.when(F.col("id") == 3, math.inf).otherwise(0.5))
    found = spoilt_df.select("id", plan.unusable().alias("u")).filter("u is not null").collect()
    assert [(row["id"], row["u"]) for row in found] == [(3, "gene.7")]
    with pytest.raises(InputError, match=r"'gene\.7' is infinite on 1 of 41"):
        learn_features(spoilt_df, WIDE_ROLES)


def test_many_columns_are_refused_for_scores_and_bins(
    wide: tuple[pd.DataFrame, DataFrame, FeaturePlan],
) -> None:
    """Asking for what is not done must not be answered by silence."""
    with pytest.raises(ConfigError, match="more than 200 are learned plain"):
        learn_features(wide[1], WIDE_ROLES, "binned")


def test_target_feature_is_what_the_plan_says(spark: SparkSession) -> None:
    """The record's kind decides which class reads it."""
    df = spark.createDataFrame([(i, "a", i % 2) for i in range(20)], "id int, town string, y int")
    plan = learn_features(df, ROLES, categorical="target", order=_order())
    assert isinstance(plan.encoders[0], TargetFeature)
    assert plan.to_dict()["encoders"][0]["kind"] == "target"


@pytest.mark.parametrize(
    "categorical",
    ["onehot", *[pytest.param(name, marks=pytest.mark.slow) for name in ("ordered", "target")]],
)
def test_codes_are_the_same_categories_as_whatever_number(
    spark: SparkSession, categorical: str
) -> None:
    """A column of codes that became double for want of one value, or decimal, keeps its levels."""
    rows = [(i, [3, 12, 10_000_000, -4][i % 4], i % 3 % 2) for i in range(80)]
    df = spark.createDataFrame(rows, "id int, town int, y int")
    plan = learn_features(df, ROLES, categorical=categorical, order=_order())
    expected = _vectors(df, plan.vector())
    assert len(np.unique(expected, axis=0)) > 1
    for kind in ("bigint", "double", "float", "decimal(12, 2)"):
        again = df.withColumn("town", F.col("town").cast(kind))
        assert (_vectors(again, plan.vector()) == expected).all(), kind
    nothing = df.withColumn("town", F.lit(None).cast("double"))
    nan = df.withColumn("town", F.lit(float("nan")))
    assert (_vectors(nan, plan.vector()) == _vectors(nothing, plan.vector())).all()
    half = df.withColumn("town", F.lit(3.5))
    assert not (_vectors(half, plan.vector())[0] == expected[0]).all()
