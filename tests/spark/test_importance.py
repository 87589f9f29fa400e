"""Permutation importance in money, against a brute force over every donor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from sparkweights.config.load import load_config
from sparkweights.config.resolve import training_spec
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import Name, Number
from sparkweights.evaluation.ranking import compare_areas
from sparkweights.explain.compare import PERMUTATION_ORDER, SAMPLE_ORDER, _importance
from sparkweights.explain.importance import (
    before_and_after,
    collect_importance,
    collect_standard_deviations,
    ranks,
)
from sparkweights.features.fit import learn_features
from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.probability.corrections import Ledger
from sparkweights.scoring.scorer import Scorer
from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule
from sparkweights.weights.spark import training_weight

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.features.plan import FeaturePlan

ROWS = 800
ROLES = ColumnRoles(("id",), "y", {"no": 0, "yes": 1}, ("strong", "weak", "noise"), ("kind",))
MISS, ALARM = 5.0, 1.0


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Rows whose class depends on two numbers and a category; the third number is noise."""
    rng = np.random.default_rng(12)
    strong, weak, noise = rng.normal(size=(3, ROWS))
    strong[rng.random(ROWS) < 0.1] = np.nan
    kind = rng.choice(["a", "b", "c"], ROWS)
    logit = -1 + 2 * np.nan_to_num(strong, nan=1.0) + 0.4 * weak + 1.5 * (kind == "b")
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int)
    return pd.DataFrame({
        "id": np.arange(ROWS), "y": y, "strong": strong, "weak": weak, "noise": noise, "kind": kind
    })  # fmt: skip


@pytest.fixture(scope="module")
def featured(spark: SparkSession, frame: pd.DataFrame) -> tuple[DataFrame, FeaturePlan]:
    """Vectors, and the plan that made them."""
    df = spark.createDataFrame(frame).repartition(3, "id")
    plan = learn_features(df, ROLES)
    return df.select(
        "id",
        plan.vector().alias(FEATURES),
        F.col("y").cast("double").alias(LABEL),
        F.lit(1.0).alias(WEIGHT),
        (F.xxhash64("id").cast("double") / 2.0**64 + 0.5).alias("choosing"),
        (F.xxhash64("id", F.lit(1)).cast("double") / 2.0**64 + 0.5).alias("dealing"),
    ).cache(), plan


def _append_cost(model: Any, df: DataFrame, name: str) -> DataFrame:
    p = model.scores(F.col("__margin"))[1]
    alarm = p * MISS > (1 - p) * ALARM
    cost = F.when(alarm, (1 - F.col(LABEL)) * ALARM).otherwise(F.col(LABEL) * MISS)
    return model.append_margin(df).withColumn(name, cost).drop("__margin")


@pytest.mark.parametrize(
    "kind",
    [
        "logistic",
        pytest.param("boosted_trees", marks=pytest.mark.slow),
        pytest.param("xgboost", marks=pytest.mark.slow),
    ],
)
def test_importance_equals_the_mean_over_all_donors(
    featured: tuple[DataFrame, FeaturePlan], kind: str
) -> None:
    """Each row has one donor of 800; the brute force lets every row donate to every other."""
    df, plan = featured
    params = {
        "logistic": {},
        "boosted_trees": {"maxIter": 8},
        "xgboost": {"n_estimators": 10, "learning_rate": 0.3, "subsample": 1.0},
    }
    fit_df = df.select(FEATURES, LABEL, WEIGHT)
    model = learner(kind).fit(fit_df, params[kind], seed=1, classes=2)
    shares = model.importances()
    if kind == "logistic":
        shares = shares * collect_standard_deviations(df, len(plan.names))
    found = collect_importance(
        df,
        before_and_after(partial(_append_cost, model)),
        plan.sources,
        shares,
        rows=ROWS,
        orders=(F.col("choosing"), F.col("dealing")),
        weight=F.lit(1.0),
    )
    assert [one.name for one in found] == ["strong", "weak", "noise", "kind"]
    by_name = {one.name: one for one in found}
    assert by_name["strong"].cost > by_name["kind"].cost > by_name["noise"].cost
    assert abs(by_name["noise"].cost) < 4 * by_name["noise"].standard_error + 0.02
    assert sum(one.share for one in found) == pytest.approx(1)
    assert by_name["strong"].share == max(one.share for one in found)
    if kind == "logistic":
        _equals_brute_force(df, plan, model, by_name)


def _equals_brute_force(df: DataFrame, plan: FeaturePlan, model: Any, found: dict) -> None:
    rows = df.select(FEATURES, LABEL).toPandas()
    values = np.stack([np.asarray(vector) for vector in rows[FEATURES]])
    labels = rows[LABEL].to_numpy()
    intercept, *slopes = model.coefficients()

    def costs(matrix: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-(matrix @ slopes + intercept)))
        alarm = p * MISS > (1 - p) * ALARM
        return np.where(alarm, (1 - labels) * ALARM, labels * MISS)

    base = costs(values)
    for name, one in found.items():
        own = [i for i, source in enumerate(plan.sources) if source == name]
        total = 0.0
        for donor in values:
            changed = values.copy()
            changed[:, own] = donor[own]
            total += (costs(changed) - base).mean()
        assert one.cost == pytest.approx(total / len(values), abs=4 * one.standard_error)


def test_importance_standard_error_holds_the_donors(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 5,000 rows and 100 donors: as large as the spread over drawn tables and donors (numpy)."""
    monkeypatch.setattr("sparkweights.explain.importance.MAX_DONORS", 100)
    rng = np.random.default_rng(4)

    def draw() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        x = rng.normal(size=(5_000, 2))
        y = (rng.random(5_000) < 1 / (1 + np.exp(1 - 2 * x[:, 0] - 0.4 * x[:, 1]))).astype(float)
        return x, y, rng.random(5_000), rng.random(5_000)

    def costs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(2 * x[:, 0] + 0.4 * x[:, 1] - 1 > np.log(ALARM / MISS), (1 - y), MISS * y)

    drawn = []
    for _ in range(400):
        x, y, choosing, dealing = draw()
        donors = x[choosing < 100 / 5_000]
        moved = x.copy()
        moved[:, 0] = donors[(dealing * len(donors)).astype(int), 0]
        drawn.append((costs(moved, y) - costs(x, y)).mean())
    x, y, choosing, dealing = draw()
    frame = pd.DataFrame({
        "a": x[:, 0], "b": x[:, 1], LABEL: y, "choosing": choosing, "dealing": dealing
    })  # fmt: skip

    def append(df: DataFrame, name: str) -> DataFrame:
        value = F.element_at(vector_to_array(FEATURES), 1) * 2
        alarm = value + F.element_at(vector_to_array(FEATURES), 2) * 0.4 - 1 > np.log(ALARM / MISS)
        return df.withColumn(name, F.when(alarm, 1 - F.col(LABEL)).otherwise(MISS * F.col(LABEL)))

    df = spark.createDataFrame(frame).withColumn(FEATURES, array_to_vector(F.array("a", "b")))
    orders = F.col("choosing"), F.col("dealing")
    given = {"rows": 5_000, "orders": orders, "weight": F.lit(1.0)}
    found = collect_importance(df, before_and_after(append), ("a", "b"), np.ones(2), **given)[0]
    assert found.standard_error == pytest.approx(np.std(drawn), rel=0.25)
    assert found.cost == pytest.approx(np.mean(drawn), abs=4 * found.standard_error)
    assert found.cost != pytest.approx(np.mean(drawn), abs=1e-12)  # the draws are others


WEIGHTED = """
name: loans
columns:
  {keys: [id], label: y, classes: {good: 0, bad: 1}, numeric: [x, amount], categorical: [branch]}
costs: {approve: {good: 0, bad: amount}, decline: {good: 0.2 * amount, bad: 0}}
"""
CLASSES = ("good", "bad")
BY_ROW = WeightRule("cost_by_row", CLASSES, (Number(60.0), Name("amount", 1)), scale=1 / 60)
BY_GROUP = WeightRule(
    "balanced",
    CLASSES,
    (Number(1.0), Number(1.0)),
    groups=GroupFactors(
        Grouping(("branch",)), {'["a"]': (1.0, 1.0), '["b"]': (1.0, 30.0)}, (1.0, 5.0)
    ),
)


@pytest.mark.parametrize(
    ("rule", "name"), [(BY_ROW, "amount"), pytest.param(BY_GROUP, "branch", marks=pytest.mark.slow)]
)
def test_importance_of_a_column_without_a_part_in_the_risk_is_nothing(
    spark: SparkSession, tmp_path: Path, rule: WeightRule, name: str
) -> None:
    """Weights are told from the column, the model has learned them, and they are undone."""
    (tmp_path / "loans.yaml").write_text(WEIGHTED, encoding="utf-8")
    config = load_config(tmp_path / "loans.yaml")
    rng = np.random.default_rng(8)
    rows = 6_000
    x = rng.normal(size=rows)
    frame = pd.DataFrame({
        "id": np.arange(rows), "x": x, "y": rng.random(rows) < 1 / (1 + np.exp(2 - 2 * x)),
        "amount": rng.choice([60.0, 3_000.0], rows), "branch": rng.choice(["a", "b"], rows),
        SAMPLE_ORDER: rng.random(rows), PERMUTATION_ORDER: rng.random(rows),
    }).astype({"y": int})  # fmt: skip
    df = spark.createDataFrame(frame)
    plan = learn_features(df, config.roles)
    df = df.select(
        *(SAMPLE_ORDER, PERMUTATION_ORDER, "amount", "branch"),
        plan.vector().alias(FEATURES),
        F.col("y").cast("double").alias(LABEL),
        training_weight(rule, config.roles).alias(WEIGHT),
    ).cache()
    model = learner("logistic").fit(df, {}, seed=1, classes=2)
    ledger = (
        Ledger({"good": 0.85, "bad": 0.15})
        .with_reweighting("weights", rule)
        .with_weights_inverted()
    )
    scorer = Scorer(model, plan, CLASSES, ledger)
    found = {
        one.name: one for one in _importance(df, training_spec(config, frame.columns), scorer, rows)
    }
    assert found["x"].cost > 5 * found["x"].standard_error
    assert abs(found[name].cost) < 4 * found[name].standard_error + 0.02 * found["x"].cost


def test_importance_takes_few_jobs(
    spark: SparkSession, featured: tuple[DataFrame, FeaturePlan]
) -> None:
    """The donors and one pass, however many columns there are."""
    df, plan = featured
    fit_df = df.select(FEATURES, LABEL, WEIGHT)
    model = learner("logistic").fit(fit_df, {}, seed=1, classes=2)
    df.count()
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("importance", "importance")
    collect_importance(
        df,
        before_and_after(partial(_append_cost, model)),
        plan.sources,
        np.ones(len(plan.names)),
        rows=ROWS,
        orders=(F.col("choosing"), F.col("dealing")),
        weight=F.lit(1.0),
    )
    jobs = len(tracker.getJobIdsForGroup("importance"))
    spark.sparkContext.setJobGroup("other", "other")
    # Adaptive execution runs each shuffle as a job of its own: donors 2 to 3, the pass 2.
    assert jobs <= 5


def test_spread_equals_numpy(featured: tuple[DataFrame, FeaturePlan]) -> None:
    """Per position, over all rows."""
    df, plan = featured
    values = np.stack([np.asarray(row[0]) for row in df.select(FEATURES).collect()])
    assert collect_standard_deviations(df, len(plan.names)) == pytest.approx(
        values.std(axis=0, ddof=1)
    )


def test_ranks_share_the_better_place() -> None:
    """Two columns that are worth the same are both second."""
    assert ranks([3.0, 1.0, 3.0, 0.0, 9.0]) == (2, 4, 2, 5, 1)


def test_compare_areas_of_rare_events_equal_scikit_learn(spark: SparkSession) -> None:
    """Where nearly all probabilities are below 2 %, they still do not tie."""
    rng = np.random.default_rng(2)
    score = rng.normal(-7.5, 0.9, 60_000)
    y = rng.random(60_000) < 1 / (1 + np.exp(-score - 1))
    other = score + rng.normal(0, 0.8, 60_000)
    frame = pd.DataFrame({
        "a": 1 / (1 + np.exp(-score)), "b": 1 / (1 + np.exp(-other)), "y": y
    })  # fmt: skip
    found = compare_areas(spark.createDataFrame(frame), F.col("a"), F.col("b"), F.col("y"))
    assert found.before == pytest.approx(roc_auc_score(y, frame["a"]), abs=0.002)
    assert found.after == pytest.approx(roc_auc_score(y, frame["b"]), abs=0.002)
