"""The one-pass evaluation equals scikit-learn and hand-computed money."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F  # noqa: N812
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from sparkweights.costs import CostMatrix, cost_columns
from sparkweights.decision import cheapest_decision, expected_costs, realised_cost
from sparkweights.errors import QualityGateError
from sparkweights.evaluate import Evaluation, collect_evaluation
from sparkweights.evaluate.passes import ClassEvaluation
from sparkweights.quality import gate_base_rate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MATRIX = CostMatrix.parse(
    {"approve": {"good": 0, "bad": "0.75 * loan"}, "decline": {"good": "0.1 * loan + 5", "bad": 0}},
    ["good", "bad"],
)


def _scored(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    p = np.round(rng.beta(1, 4, rows), 3)
    return pd.DataFrame({
        "p_bad": p,
        "p_good": 1 - p,
        "y": (rng.random(rows) < p).astype(float),
        "loan": rng.integers(1, 90, rows) * 10.0,
    })  # fmt: skip


def _evaluate(spark: SparkSession, scored: pd.DataFrame) -> Evaluation:
    costs = cost_columns(MATRIX)
    expected = expected_costs([F.col("p_good"), F.col("p_bad")], costs)
    df = spark.createDataFrame(scored)
    df = df.withColumn("d", cheapest_decision(expected, MATRIX.decisions))
    return collect_evaluation(
        df,
        probability_cols={"good": "p_good", "bad": "p_bad"},
        class_col="y",
        decision_col="d",
        right_decisions={"good": "approve", "bad": "decline"},
        constant_costs={
            name: realised_cost(F.lit(name), F.col("y"), MATRIX.decisions, costs)
            for name in MATRIX.decisions
        },
        policy_costs={"ours": realised_cost(F.col("d"), F.col("y"), MATRIX.decisions, costs)},
    )


def test_collect_evaluation_equals_scikit_learn_and_pandas(spark: SparkSession) -> None:
    """Areas, Brier score, recall, and money agree with the row-by-row computation."""
    scored = _scored()
    found = _evaluate(spark, scored)
    bad = found.classes["bad"]
    # Scores are multiples of 1/1000, so no two of them share one of the 8,192 bins.
    assert bad.auc == pytest.approx(roc_auc_score(scored["y"], scored["p_bad"]), abs=1e-12)
    assert bad.average_precision == pytest.approx(
        average_precision_score(scored["y"], scored["p_bad"]), abs=1e-12
    )
    assert bad.brier == pytest.approx(brier_score_loss(scored["y"], scored["p_bad"]))
    assert found.classes["good"].auc == pytest.approx(bad.auc, abs=1e-12)
    miss, lost = 0.75 * scored["loan"], 0.1 * scored["loan"] + 5
    decline = scored["p_bad"] * miss > scored["p_good"] * lost
    ours = np.where(decline, (1 - scored["y"]) * lost, scored["y"] * miss).sum()
    always = {"approve": (scored["y"] * miss).sum(), "decline": ((1 - scored["y"]) * lost).sum()}
    assert found.constant_costs == pytest.approx(always)
    assert found.savings("ours") == pytest.approx(1 - ours / min(always.values()))
    assert bad.recall == pytest.approx(decline[scored["y"] == 1].mean())
    assert found.decisions["decline"]["bad"] == int((decline & (scored["y"] == 1)).sum())


def test_cheapest_decision_tie_goes_to_the_first_declared(spark: SparkSession) -> None:
    """A tie is decided by the configuration's order, and a null price decides nothing."""
    df = spark.createDataFrame([(1.0, 1.0), (2.0, 1.0), (None, 1.0)], "a double, b double")
    chosen = cheapest_decision([F.col("a"), F.col("b")], ["first", "second"])
    assert [row[0] for row in df.select(chosen).collect()] == ["first", "second", None]


def test_gate_base_rate_shifted_probabilities_stop_the_run() -> None:
    """A mean of 0.25 against a share of 0.20 on 10,000 rows is no accident."""

    def evaluation(mean: float) -> Evaluation:
        bad = ClassEvaluation(0.2, mean, 0.8, 0.5, 0.1, 0.5)
        return Evaluation(10_000, {"bad": bad}, {}, {}, {})

    gate_base_rate(evaluation(0.21), 0.1)
    with pytest.raises(QualityGateError, match=r"bad: mean probability 0.2500, share 0.2000"):
        gate_base_rate(evaluation(0.25), 0.1)
