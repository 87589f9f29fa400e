"""Reasons add up to the margin, come weightiest first, and never name what must stay unsaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import ColumnRoles
from sparkweights.explain import ReasonRule, append_reasons, collect_reference
from sparkweights.models import FeaturePlan, learn_features, learner
from sparkweights.models.encoders import NumericBlock
from sparkweights.models.explainers import LinearExplainer
from sparkweights.models.learner import FEATURES, LABEL, MARGIN, POSITIONS, WEIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

KINDS: dict[str, dict[str, Any]] = {
    "logistic": {"regParam": 0.01},
    "boosted_trees": {"maxIter": 4, "maxDepth": 3},
    "tree": {"maxDepth": 4},
    "forest": {"numTrees": 6, "maxDepth": 4},
    "xgboost": {"n_estimators": 8, "num_parallel_tree": 2, "max_depth": 3, "subsample": 0.7},
}
ROLES = ColumnRoles(("id",), "y", {"a": 0, "b": 1, "c": 2}, ("x1", "x2", "x3"), ("branch",))


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Three classes that depend on numbers with gaps and on a category."""
    rng = np.random.default_rng(3)
    rows = 1_500
    x = rng.normal(size=(rows, 3))
    branch = rng.choice(["north", "south", "west"], rows)
    risk = x[:, 0] - x[:, 1] + (branch == "south") + rng.normal(size=rows)
    frame = pd.DataFrame(x, columns=["x1", "x2", "x3"])
    frame["x2"] = frame["x2"].where(rng.random(rows) > 0.1, None)
    frame = frame.assign(id=range(rows), branch=branch, y=np.digitize(risk, [0.5, 2.0]))
    return spark.createDataFrame(frame).repartition(2).cache()


def _margin_of(kind: str, row: Any, against: int, classes: int) -> float:
    """Return what contributions must add up to, from the learner's own `MARGIN`."""
    margin = list(row[MARGIN])
    if kind in {"tree", "forest"}:
        return float(margin[against] / sum(margin))
    if kind == "xgboost" and classes == 2:
        return float(margin[0] if against else -margin[0])
    return float(margin[against])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", list(KINDS))
def test_contributions_add_up_to_the_margin(
    table: DataFrame, tmp_path: Path, kind: str, classes: int
) -> None:
    """For each learner, class and row, within 1e-6; a row that is not asked about gets null."""
    own = learner(kind)
    plan = learn_features(table, ROLES)
    label = F.least(F.col("y"), F.lit(classes - 1)).cast("double")
    fit_df = table.select(
        plan.vector().alias(FEATURES), label.alias(LABEL), (1.0 + 3 * F.col("y")).alias(WEIGHT)
    )
    model = own.fit(fit_df, KINDS[kind], seed=1, classes=classes)
    own.save(model, tmp_path / "model")
    reference = (0.1,) * len(plan.names)
    scored_df = own.append_margin(model, table.withColumn(FEATURES, plan.vector()))
    asked, sides = F.col("id") % 3 != 0, (0, classes - 1)
    explainers = [
        own.explainer(model, tmp_path / "model", against=side, classes=classes, reference=reference)
        for side in sides
    ]
    found = [
        explainer.contributions(plan.array(), asked).alias(f"found {side}")
        for explainer, side in zip(explainers, sides, strict=True)
    ]
    for row in scored_df.select("id", MARGIN, *found).collect():
        for against in sides:
            parts = row[f"found {against}"]
            if row["id"] % 3 == 0:
                assert parts is None
                continue
            assert len(parts) == len(plan.names) + 1
            margin = _margin_of(kind, row, against, classes)
            assert sum(parts) == pytest.approx(margin, abs=1e-6)


PLAN_COLUMNS = ("late", "income", "age")


def _linear_plan() -> FeaturePlan:
    return FeaturePlan((NumericBlock(PLAN_COLUMNS, (0.0, 0.0, 0.0), ("income",)),))


@pytest.mark.parametrize("written", [64, 0])
def test_append_reasons_weightiest_first_in_words(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Contributions by hand: coefficient x (value - mean of the approved), flags with theirs."""
    monkeypatch.setattr("sparkweights.explain.reasons.MOST_WRITTEN", written)
    plan = _linear_plan()
    explainer = LinearExplainer(-1.0, (2.0, -0.5, 5.0, 3.0), (1.0, 4.0, 0.0, 0.0))
    texts = {"late": "Recent late payments"}
    rule = ReasonRule({"decline": explainer}, 2, texts, frozenset({"age"}))
    df = spark.createDataFrame(
        [
            (1, 3.0, 2.0, 9.0, "decline"),  # late +4, income +1, age +45 must stay unsaid
            (2, 3.0, None, 0.0, "decline"),  # late +4, income -0.5 (0 - 4) + 3 = +5
            (3, 0.0, 9.0, 0.0, "decline"),  # late -2, income -2.5: no reason but age's mean
            (4, 9.0, 0.0, 0.0, "approve"),
            (5, 9.0, 0.0, 0.0, None),
        ],
        "id int, late double, income double, age double, decision string",
    ).withColumn(POSITIONS, plan.array())
    found = append_reasons(df, rule, plan.sources, F.col("decision")).orderBy("id").collect()
    assert [(row["reason_1"], row["reason_2"]) for row in found] == [
        ("Recent late payments", "income"),
        ("income", "Recent late payments"),
        (None, None),
        (None, None),
        (None, None),
    ]
    told_df = append_reasons(
        df, ReasonRule({"decline": explainer}, 2), plan.sources, F.col("decision")
    )
    assert told_df.filter("id = 1").first()["reason_1"] == "age"


def test_collect_reference_is_the_weighted_mean_of_the_approved(spark: SparkSession) -> None:
    """Two approved rows of weights 1 and 3; without any, the mean of all."""
    plan = _linear_plan()
    df = spark.createDataFrame(
        [(1.0, 2.0, 4.0, 1.0, True), (5.0, 6.0, 8.0, 3.0, True), (9.0, 9.0, 9.0, 4.0, None)],
        "late double, income double, age double, w double, approved boolean",
    ).withColumn(FEATURES, plan.vector())
    given = (F.col(FEATURES), len(plan.names))
    found = collect_reference(df, *given, F.col("approved"), F.col("w"))
    assert found == pytest.approx((4.0, 5.0, 7.0, 0.0))
    nobody = collect_reference(df, *given, F.lit(col=False), F.col("w"))
    assert nobody == pytest.approx((6.5, 7.0, 8.0, 0.0))
