"""Every measure, curve and interval from one pass, beside three numbers from MLlib's evaluators.

8 million scored rows with known outcomes in parquet. The baseline asks MLlib's
`BinaryClassificationEvaluator` for the areas under the ROC and the precision-recall curve, and
`MulticlassClassificationEvaluator` (which is `MulticlassMetrics`) for F1. The product computes all
measures of each class, its curves, what each way to decide and each cut costs from every row's own
costs, and the 95 % intervals.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.sql import functions as F

from benchmarks.harness import (
    Bar,
    alternate,
    arguments,
    count_jobs,
    figure,
    ratio,
    report,
    session,
)
from sparkweights import collect_evaluation
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.policy import DecisionPolicy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MATRIX = CostMatrix.parse(
    {"approve": {"good": 0, "bad": "0.75 * loan"}, "decline": {"good": "0.1 * loan + 5", "bad": 0}},
    ["good", "bad"],
)
BASELINE, PRODUCT = "MLlib: AUC, PR, F1", "product: everything"


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=8_000_000, repeat=3, quick_rows=20_000)
    spark = session("evaluate", partitions=8)
    with tempfile.TemporaryDirectory() as name:
        df = spark.read.parquet(_write_table(spark, Path(name), given.rows))
        runs = {BASELINE: lambda: _mllib(df), PRODUCT: lambda: _product(df)}
        seconds = alternate(runs, repeat=given.repeat)
        jobs = count_jobs(spark, runs[PRODUCT])
        apart = abs(_mllib(df)[0] - _product(df))
    figures = {name: figure(times, "s") for name, times in seconds.items()}
    figures["product: Spark jobs"] = figure([jobs], "jobs")
    bars = [
        Bar("time over MLlib's", ratio(seconds, PRODUCT, BASELINE), 0.5),
        Bar("Spark jobs", jobs, 2),
        Bar("AUC, distance from MLlib's thousand bins", apart, 1e-3),
    ]
    return report("evaluate", figures, bars)


def _write_table(spark: SparkSession, folder: Path, rows: int) -> str:
    p = 1 / (1 + F.exp(2.5 - F.randn(1)))
    scored_df = (
        spark.range(rows, numPartitions=8)
        .withColumn("p_bad", p)
        .withColumn("p_good", 1 - F.col("p_bad"))
        .withColumn("y", (F.rand(2) < F.col("p_bad")).cast("double"))
        .withColumn("loan", F.floor(F.rand(3) * 90) * 10.0)
    )
    decision = DecisionPolicy(MATRIX).decide([F.col("p_good"), F.col("p_bad")])
    decided_df = scored_df.withColumn("decision", decision)
    predicted_df = decided_df.withColumn(
        "prediction", (F.col("decision") == "decline").cast("double")
    )
    place = str(folder / "scored")
    predicted_df.write.parquet(place)
    return place


def _mllib(df: DataFrame) -> list[float]:
    binary = BinaryClassificationEvaluator(rawPredictionCol="p_bad", labelCol="y")
    many = MulticlassClassificationEvaluator(labelCol="y", metricName="f1")
    return [
        binary.setMetricName("areaUnderROC").evaluate(df),
        binary.setMetricName("areaUnderPR").evaluate(df),
        many.evaluate(df),
    ]


def _product(df: DataFrame) -> float:
    found = collect_evaluation(
        df,
        classes={"good": 0, "bad": 1},
        label_col="y",
        probability_cols=["p_good", "p_bad"],
        costs=MATRIX,
        decision_col="decision",
    )
    return found.value.classes["bad"].auc


if __name__ == "__main__":
    sys.exit(main())
