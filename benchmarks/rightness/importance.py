"""Permutation importance: its standard error, and a column that only the weights know.

The stated standard error is compared with the spread of the same estimate over drawn tables and
donors (numpy, which must first reproduce Spark's own estimate from the same numbers). Then a model
is trained with weights by each row's own amount, which has no part in the risk: once the weights
are undone, other rows' amounts may not change what the decisions cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from benchmarks.harness import Bar, figure
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import Name, Number
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.explain.importance import MAX_DONORS, before_and_after, collect_importance
from sparkweights.features.fit import learn_features
from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.probability.corrections import Ledger
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spark import training_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

MISS, ALARM = 5.0, 1.0
SLOPES, START = np.array([2.0, 0.4]), -1.0
ORDERS = "choosing", "dealing"


def run(open_session: Callable[[], Any], *, quick: bool) -> tuple[dict[str, Any], list[Bar]]:
    """Return stated over true standard error, and the worth of a column without a part."""
    spark = open_session()
    ratio, gap = _standard_error(spark, quick=quick)
    worth, signal, rank = _without_a_part(spark, quick=quick)
    figures = {
        "importance_stated_over_true_error": figure(ratio, "ratio"),
        "importance_worth_of_a_column_without_a_part": figure([worth], "share of the cost"),
        "importance_worth_of_the_risk": figure([signal], "share of the cost"),
    }
    wide = 0.35 if quick else 0.15
    return figures, [
        Bar("importance: error stated too small", float(np.mean(ratio)), 1 - wide, at_most=False),
        Bar("importance: error stated too large", float(np.mean(ratio)), 1 + wide),
        Bar("importance: Spark's estimate differs from numpy's", gap, 1e-9),
        Bar("importance: a column without a part, share of the cost", abs(worth), 0.03),
        Bar("importance: rank of the risk", rank, 1),
    ]


def _costs(x: Array, y: Array) -> Array:
    alarm = x @ SLOPES + START > np.log(ALARM / MISS)
    return np.where(alarm, (1 - y) * ALARM, y * MISS)


def _draw(rng: np.random.Generator, rows: int) -> tuple[Array, Array, Array, Array]:
    x = rng.normal(size=(rows, 2))
    y = (rng.random(rows) < 1 / (1 + np.exp(-(x @ SLOPES + START)))).astype(float)
    return x, y, rng.random(rows), rng.random(rows)


def _estimate(x: Array, y: Array, choosing: Array, dealing: Array) -> float:
    """Return the importance of the first column, as `collect_importance` estimates it."""
    order = np.argsort(choosing)
    donors = x[order][choosing[order] < MAX_DONORS / len(x)]
    moved = x.copy()
    moved[:, 0] = donors[(dealing * len(donors)).astype(int), 0]
    return float((_costs(moved, y) - _costs(x, y)).mean())


def _standard_error(spark: SparkSession, *, quick: bool) -> tuple[list[float], float]:
    rng = np.random.default_rng(20)
    rows, tables, draws = (20_000, 2, 100) if quick else (100_000, 8, 1_000)
    truth = float(np.std([_estimate(*_draw(rng, rows)) for _ in range(draws)]))
    stated, gap = [], 0.0
    for _ in range(tables):
        x, y, choosing, dealing = _draw(rng, rows)
        found = _by_spark(spark, x, y, choosing, dealing)
        stated.append(found[1] / truth)
        gap = max(gap, abs(found[0] - _estimate(x, y, choosing, dealing)))
    return stated, gap


def _by_spark(
    spark: SparkSession, x: Array, y: Array, choosing: Array, dealing: Array
) -> tuple[float, float]:
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], LABEL: y})
    frame = frame.assign(choosing=choosing, dealing=dealing)
    df = spark.createDataFrame(frame).withColumn(FEATURES, array_to_vector(F.array("a", "b")))

    def append(own_df: DataFrame, name: str) -> DataFrame:
        values = vector_to_array(F.col(FEATURES))
        margin = F.get(values, 0) * SLOPES[0].item() + F.get(values, 1) * SLOPES[1].item() + START
        alarm = margin > float(np.log(ALARM / MISS))
        cost = F.when(alarm, (1 - F.col(LABEL)) * ALARM).otherwise(F.col(LABEL) * MISS)
        return own_df.withColumn(name, cost)

    orders = F.col("choosing"), F.col("dealing")
    found = collect_importance(
        df,
        before_and_after(append),
        ("a", "b"),
        np.ones(2),
        rows=len(x),
        orders=orders,
        weight=F.lit(1.0),
    )
    return found[0].cost, found[0].standard_error


def _without_a_part(spark: SparkSession, *, quick: bool) -> tuple[float, float, int]:
    """Return what `amount` and `x` are worth in shares of the cost, and the rank of `x`."""
    rng = np.random.default_rng(21)
    rows = 8_000 if quick else 24_000
    x = rng.normal(size=2 * rows)
    frame = pd.DataFrame({
        "id": np.arange(2 * rows), "x": x, "amount": rng.lognormal(4, 1.2, 2 * rows),
        "y": (rng.random(2 * rows) < 1 / (1 + np.exp(3 - x))).astype(int),
        "choosing": rng.random(2 * rows), "dealing": rng.random(2 * rows),
    })  # fmt: skip
    roles = ColumnRoles(("id",), "y", {"good": 0, "bad": 1}, ("x", "amount"), ())
    costs: dict[str, dict[str, str | float]] = {
        "approve": {"good": 0, "bad": "amount"},
        "decline": {"good": 10, "bad": 0},
    }
    matrix = CostMatrix.parse(costs, roles.class_names)
    cells = (Number(10.0), Name("amount", 1))
    rule = WeightRule("cost_by_row", roles.class_names, cells, scale=0.1, cap=50.0)
    df = spark.createDataFrame(frame)
    plan = learn_features(df, roles)
    prices = F.array(*[F.array(*row) for row in DecisionPolicy(matrix).costs()])
    featured_df = df.select(
        *("id", "amount", *ORDERS),
        plan.vector().alias(FEATURES),
        F.col("y").cast("double").alias(LABEL),
        training_weight(rule, roles).alias(WEIGHT),
        prices.alias("prices"),
    ).cache()
    fit_df, test_df = (
        featured_df.filter(F.col("id") < rows),
        featured_df.filter(F.col("id") >= rows),
    )
    params = {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.3, "num_workers": 1}
    model = learner("xgboost").fit(fit_df, params, seed=1, classes=2)
    ledger = (
        Ledger({"good": 0.93, "bad": 0.07})
        .with_reweighting("weights", rule)
        .with_weights_inverted()
    )
    scorer = Scorer(model, plan, roles.class_names, ledger)
    policy = DecisionPolicy(matrix, costs_col="prices")

    def append(own_df: DataFrame, name: str) -> DataFrame:
        index = F.col(LABEL).cast("int")
        cost = policy.realised_cost_of(natural_probabilities(scorer), index)
        costed_df = scorer.score(own_df).withColumn(name, cost)
        return costed_df.drop(*scorer.weighted_cols, *scorer.probability_cols)

    found = collect_importance(
        test_df,
        before_and_after(append),
        plan.sources,
        np.ones(len(plan.sources)),
        rows=rows,
        orders=(F.col("choosing"), F.col("dealing")),
        weight=F.lit(1.0),
        correction_cols=scorer.ledger.columns,
    )
    row = append(test_df, "cost").agg(F.avg("cost")).first()
    assert row is not None
    by_name = {one.name: one.cost / row[0] for one in found}
    rank = 1 + sum(share > by_name["x"] for share in by_name.values())
    return by_name["amount"], by_name["x"], rank
