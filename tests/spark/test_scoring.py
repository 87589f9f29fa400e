"""Probabilities with the weights undone are the true ones, and the model is asked once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.core.roles import ColumnRoles
from sparkweights.features.fit import learn_features
from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.probability.corrections import WEIGHTS, Ledger
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.location import Location
from sparkweights.trees.arrow_scoring import ArrowTrees, executors_can_score
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spark import class_weight_columns

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")

ROWS = 60_000
ROLES = ColumnRoles(("id",), "y", {"repay": 0, "default": 1}, ("x1", "x2"), ())


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """Rows drawn from a known logistic model, with their true probabilities."""
    rng = np.random.default_rng(5)
    x1, x2 = rng.normal(size=ROWS), rng.normal(size=ROWS)
    p = 1 / (1 + np.exp(-(-2.2 + 0.9 * x1 - 0.6 * x2)))
    y = (rng.random(ROWS) < p).astype(int)
    return pd.DataFrame({"id": np.arange(ROWS), "x1": x1, "x2": x2, "y": y, "p": p})


def _fitted(df: DataFrame, rule: WeightRule, kind: str, **params: object) -> Scorer:
    plan = learn_features(df, ROLES)
    weight = F.element_at(F.array(*class_weight_columns(rule)), F.col("y").cast("int") + 1)
    fit_df = df.select(
        plan.vector().alias(FEATURES), F.col("y").cast("double").alias(LABEL), weight.alias(WEIGHT)
    )
    model = learner(kind).fit(fit_df, params, seed=1, classes=2)
    ledger = Ledger({"repay": 0.5, "default": 0.5}).with_reweighting(WEIGHTS, rule)
    return Scorer(model, plan, ROLES.class_names, ledger)


@pytest.fixture(scope="module")
def weighted(spark: SparkSession, truth: pd.DataFrame) -> pd.DataFrame:
    """Score the same rows by a logistic model that was trained with 20-fold weights."""
    df = spark.createDataFrame(truth).repartition(2).cache()
    rule = WeightRule.fixed("manual", {"repay": 1, "default": 20})
    scored = _fitted(df, rule, "logistic", tol=1e-10).score(df).toPandas()
    df.unpersist()
    return scored


def test_score_weights_of_twenty_are_undone_to_the_true_probabilities(
    weighted: pd.DataFrame,
) -> None:
    """Trained with w_default = 20 w_repay, undone probabilities are those of the population."""
    assert weighted["probability_default"].mean() == pytest.approx(weighted["y"].mean(), rel=0.02)
    logit = np.log(weighted["probability_default"] / weighted["probability_repay"])
    true_logit = np.log(weighted["p"] / (1 - weighted["p"]))
    # Weighting inflates a coefficient's standard error (about 0.02 here) by the root of the
    # design effect; four of them bound the error at two standard deviations of the features.
    design = 20 * 0.1 / (0.1 * 20 + 0.9) * (1 + 0.9 / 2)
    assert np.abs(logit - true_logit).mean() < 4 * 0.02 * np.sqrt(max(design, 1))
    bins = pd.qcut(weighted["p"], 10, labels=False)
    for _, part in weighted.groupby(bins):
        error = np.sqrt((part["p"] * (1 - part["p"])).sum()) / len(part)
        assert abs(part["probability_default"].mean() - part["p"].mean()) < 4 * error


def test_score_without_undoing_is_far_from_the_truth(weighted: pd.DataFrame) -> None:
    """The test above can fail: the weighted probabilities miss the base rate threefold."""
    assert weighted["__weighted_default"].mean() > 3 * weighted["y"].mean()


@pytest.mark.parametrize("kind", ["logistic", "boosted_trees"])
def test_score_scores_equal_mllibs_own_probability(
    spark: SparkSession, truth: pd.DataFrame, kind: str
) -> None:
    """The raw prediction becomes the probability that MLlib itself would give."""
    df = spark.createDataFrame(truth.head(2000))
    even = WeightRule.fixed("none", {"repay": 1, "default": 1})
    scorer = _fitted(df, even, kind, maxIter=5)
    ours = scorer.score(df).select("id", "probability_default").toPandas().set_index("id")
    native = scorer.model.native.copy()
    native = native.setPredictionCol("prediction").setProbabilityCol("probability")
    featured = df.withColumn(FEATURES, scorer.plan.vector())
    rows = native.setFeaturesCol(FEATURES).transform(featured).select("id", "probability").collect()
    for row in rows:
        assert ours.loc[row["id"], "probability_default"] == pytest.approx(
            row["probability"][1], abs=1e-12
        )


def test_score_asks_the_model_once_per_row(spark: SparkSession, truth: pd.DataFrame) -> None:
    """The optimizer must not copy the model's call into every column that reads its result."""
    # The repartition keeps the optimizer from evaluating the few local rows beforehand.
    df = spark.createDataFrame(truth.head(500)).repartition(2)
    rule = WeightRule.fixed("manual", {"repay": 1, "default": 20})
    scorer = _fitted(df, rule, "boosted_trees", maxIter=2)
    scored_df = scorer.score(df).select(*scorer.probability_cols, *scorer.weighted_cols)
    plan = scored_df._jdf.queryExecution().optimizedPlan().toString()  # type: ignore[operator]
    # array -> vector -> raw prediction -> array: three calls, nested in one expression.
    assert plan.count("UDF(") == 3, plan
    assert plan.count("UDF(UDF(UDF(") == 1, plan


@pytest.mark.parametrize("classes", [2, 3])
def test_score_logistic_as_columns_equals_its_vectors(spark: SparkSession, classes: int) -> None:
    """Sums of Columns and MLlib's own dot products, with knots, categories, null, NaN, unseen."""
    rng = np.random.default_rng(classes)
    rows = 700
    frame = pd.DataFrame({
        "id": np.arange(rows), "x1": rng.lognormal(0, 2, rows), "x2": rng.normal(size=rows),
        "kind": rng.choice(["a", "b", "c"], rows), "y": rng.integers(0, classes, rows),
    })  # fmt: skip
    frame.loc[::9, "x1"] = np.nan
    names = ["repay", "late", "default"][-classes:]
    roles = ColumnRoles(
        ("id",), "y", {name: i for i, name in enumerate(names)}, ("x1", "x2"), ("kind",)
    )
    df = spark.createDataFrame(frame)
    plan = learn_features(df, roles, "auto")
    fit_df = df.select(
        plan.vector().alias(FEATURES),
        F.col("y").cast("double").alias(LABEL),
        F.lit(1.0).alias(WEIGHT),
    )
    model = learner("logistic").fit(fit_df, {"regParam": 0.01}, seed=1, classes=classes)
    even = WeightRule.fixed("none", dict.fromkeys(names, 1.0))
    ledger = Ledger(dict.fromkeys(names, 1 / classes)).with_reweighting(WEIGHTS, even)
    scorer = Scorer(model, plan, tuple(names), ledger)
    frame.loc[3, "kind"], frame.loc[4, "kind"] = None, "unseen"
    shown = spark.createDataFrame(frame)
    direct = scorer.score(shown).orderBy("id").select(*scorer.probability_cols).toPandas()
    by_vector = scorer.score(shown.withColumn(FEATURES, plan.vector())).orderBy("id")
    assert direct.to_numpy() == pytest.approx(
        by_vector.select(*scorer.probability_cols).toPandas().to_numpy(), abs=1e-12
    )
    plan_text = scorer.score(shown)._jdf.queryExecution().optimizedPlan().toString()  # type: ignore[operator]
    assert "UDF(" not in plan_text


def test_executors_can_score_evaluates_a_tree(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executors without a library, or without this package, leave the trees to MLlib."""
    ask = executors_can_score.__wrapped__
    assert ask(spark)
    missing = F.raise_error(F.lit("No module named 'sparkweights'"))
    monkeypatch.setattr(ArrowTrees, "column", lambda *_: missing)
    assert not ask(spark)


@pytest.mark.slow
def test_score_many_rows_gives_mllibs_own_probabilities(
    spark: SparkSession, truth: pd.DataFrame, tmp_path: Path
) -> None:
    """Scores of Arrow batches and of MLlib's transform agree to 1e-12 on every row."""
    df = spark.createDataFrame(truth.head(5_000))
    rule = WeightRule.fixed("manual", {"repay": 1, "default": 5})
    scorer = _fitted(df, rule, "boosted_trees", maxIter=12, maxDepth=4)
    scorer.model.save(Location.of(tmp_path) / "model")
    plain = scorer.score(df).orderBy("id").toPandas()
    assert executors_can_score(spark)
    by_batch = replace(scorer, folder=Location.of(tmp_path) / "model").score(df)
    physical = by_batch._jdf.queryExecution().executedPlan().toString()  # type: ignore[operator]
    assert physical.count("ArrowEvalPython") == 1
    assert "UDF(" not in by_batch._jdf.queryExecution().optimizedPlan().toString()  # type: ignore[operator]
    batched = by_batch.orderBy("id").toPandas()
    assert batched["probability_default"].to_numpy() == pytest.approx(
        plain["probability_default"].to_numpy(), abs=1e-12
    )
