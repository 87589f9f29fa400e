"""The nightly job beside a bare copy of the table, and beside MLlib as a good engineer writes it.

Rows of 20 numbers in parquet in, a table partitioned by decision out. Baselines: A reads every
column and writes as many as the product does, with no model; B assembles a vector, asks the model
once per row, cuts its probability, and writes key, probability, expected costs and decision. The
product is `score`: the same model with weights undone, decisions by cost, faults told apart, rows
counted, the stage verified, keys proved unique, and the date published.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from benchmarks.harness import Bar, alternate, arguments, figure, ratio, report, session
from sparkweights import Config, Runner
from sparkweights.models.learner import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

NIGHT = date(2026, 3, 1)
NAMES = [f"x{i}" for i in range(20)]
KINDS: dict[str, dict[str, Any]] = {
    "logistic": {"regParam": 0.001},
    "boosted_trees": {"maxIter": 100, "maxDepth": 5},
    "xgboost": {"n_estimators": 100, "max_depth": 5, "learning_rate": 0.1},
}
FEW: dict[str, dict[str, Any]] = {"boosted_trees": {"maxIter": 3}, "xgboost": {"n_estimators": 3}}
TRAINED_ON = 40_000
COPY = "A: a copy without a model"


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=4_000_000, repeat=5, quick_rows=20_000)
    spark = session("scoring", partitions=8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(spark, folder, given.rows)
        runs: dict[str, Callable[[], Any]] = {COPY: partial(_copy, spark, folder)}
        for kind, params in KINDS.items():
            fewer = FEW.get(kind, {}) if given.quick else {}
            runner = _trained(spark, folder, kind, {**params, **fewer})
            runs[f"{kind}: product"] = runner.score
            if kind != "xgboost":
                runs[f"{kind}: B, MLlib by hand"] = partial(_by_hand, spark, folder, runner)
        seconds = alternate(runs, repeat=given.repeat)
    figures = {name: figure(times, "s") for name, times in seconds.items()}
    return report("scoring", figures, _bars(seconds))


def _bars(seconds: dict[str, list[float]]) -> list[Bar]:
    def times_faster(kind: str) -> float:
        return ratio(seconds, f"{kind}: B, MLlib by hand", f"{kind}: product")

    return [
        Bar("logistic over a copy", ratio(seconds, "logistic: product", COPY), 1.4),
        Bar("logistic, times faster than B", times_faster("logistic"), 1.9, at_most=False),
        Bar(
            "boosted_trees, times faster than B", times_faster("boosted_trees"), 1.5, at_most=False
        ),
        Bar("xgboost over a copy", ratio(seconds, "xgboost: product", COPY), 3.5),
    ]


def write_tables(spark: SparkSession, folder: Path, rows: int) -> None:
    """Write incoming rows, and a labelled sample drawn from a known model."""
    columns = [F.randn(seed).alias(name) for seed, name in enumerate(NAMES)]
    spark.range(rows, numPartitions=8).select("id", *columns).write.parquet(
        str(folder / "incoming")
    )
    margin = F.col("x0") + 0.5 * F.col("x1") * F.col("x2") - 2
    labelled_df = spark.range(TRAINED_ON, numPartitions=2).select("id", *columns)
    label = (F.rand(99) < 1 / (1 + F.exp(-margin))).cast("int")
    labelled_df.withColumn("bad", label).write.parquet(str(folder / "labelled"))


def _trained(spark: SparkSession, folder: Path, kind: str, params: dict[str, Any]) -> Runner:
    config = Config(
        name="scoring",
        tables={
            role: {"location": f"{kind}/{role}" if role in {"scored", "quarantine"} else role}
            for role in ("labelled", "incoming", "scored", "quarantine")
        },
        artifacts=f"{kind}/models",
        runs=f"{kind}/runs",
        columns={"keys": ["id"], "label": "bad", "classes": {"no": 0, "yes": 1}, "numeric": NAMES},
        costs={"accept": {"no": 0, "yes": 5}, "decline": {"no": 1, "yes": 0}},
        model={"kind": kind, "params": params},
        decision={"calibration": "none", "base_rate_tolerance": 1.0},
        folder=folder,
    )
    config.check()
    runner = Runner(spark, config, NIGHT)
    runner.train()
    return runner


def _copy(spark: SparkSession, folder: Path) -> None:
    """Read every column and write what has the size of the scored table."""
    df = spark.read.parquet(str(folder / "incoming"))
    seen = F.lit(0.0)
    for name in NAMES[5:]:
        seen = F.greatest(seen, F.col(name))
    copied_df = df.select(
        "id",
        *NAMES[:5],
        seen.alias("seen"),
        F.lit("scored").alias("status"),
        F.lit("version").alias("version"),
        F.lit("run").alias("run"),
        F.current_timestamp().alias("at"),
        F.when(F.col("x0") > 1, "decline").otherwise("accept").alias("decision"),
    )
    _write(copied_df, folder / "copy")


def _by_hand(spark: SparkSession, folder: Path, runner: Runner) -> None:
    from sparkweights.storage import load_bundle  # noqa: PLC0415

    model = load_bundle(runner.config.path(runner.config.artifacts)).model
    assembler = VectorAssembler(inputCols=NAMES, outputCol=FEATURES)
    df = assembler.transform(spark.read.parquet(str(folder / "incoming")))
    model.setPredictionCol("").setRawPredictionCol("__raw").setProbabilityCol("__probability")
    p = vector_to_array(F.col("__probability")).getItem(1)
    scored_df = (
        model.setFeaturesCol(FEATURES)
        .transform(df)
        .select("id", p.alias("p"))
        .withColumn("accept", F.col("p") * 5)
        .withColumn("decline", 1 - F.col("p"))
        .withColumn("decision", F.when(F.col("p") > 1 / 6, "decline").otherwise("accept"))
    )
    _write(scored_df, folder / "by_hand" / runner.config.model.kind)


def _write(df: DataFrame, place: Path) -> None:
    df.write.mode("overwrite").partitionBy("decision").parquet(str(place))


if __name__ == "__main__":
    sys.exit(main())
