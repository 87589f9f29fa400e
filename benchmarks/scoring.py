"""The nightly job beside a bare copy of the table, and beside MLlib as a good engineer writes it.

Rows of 20 numbers in parquet in, a table partitioned by decision out. Baselines: A reads every
column and writes as many as the product does, with no model; B assembles a vector, asks the model
once per row, cuts its probability, and writes the same columns as the product; C is B with Great
Expectations (nothing persisted, counts alone) on its input and its output. The product is `score`:
the same model with weights undone, decisions by cost, faults told apart, rows counted, the stage
verified, keys proved unique, and the date published; with the same 42 and 10 checks; and, for the
logistic model, with four reasons for each refused row, about a fifth of all.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from benchmarks.checks import run_library, suite_of_42
from benchmarks.harness import Bar, alternate, arguments, figure, ratio, report, session
from sparkweights import Config, Runner
from sparkweights.models.base import FEATURES
from sparkweights.quality.suite import load_suite
from sparkweights.spec.settings import Checks, Reasons
from sparkweights.storage.location import Location

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
FEW: dict[str, dict[str, Any]] = {"boosted_trees": {"maxIter": 2}, "xgboost": {"n_estimators": 2}}
TRAINED_ON = 40_000
COPY = "A: a copy without a model"
DEFAULT = 3  # the cost of accepting a bad row, where declining a good one costs 1
REASONS = {"against": {"decline": "yes"}, "top": 4}
CHECKED = Checks(incoming="incoming.json", scored="scored.json")


def _suite_of_10() -> dict[str, Any]:
    """Return 10 expectations on columns that the product and the baselines write."""
    entries: list[dict[str, Any]] = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "decision", "value_set": ["accept", "decline"]},
        },
    ]
    for name, most in (("probability_yes", 1), ("expected_cost_accept", 5),
                       ("expected_cost_decline", 1)):  # fmt: skip
        kwargs = {"column": name}
        entries += [
            {"type": "expect_column_values_to_not_be_null", "kwargs": kwargs},
            {"type": "expect_column_values_to_be_between",
             "kwargs": {**kwargs, "min_value": 0, "max_value": most}},
        ]  # fmt: skip
    entries += [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}},
        {
            "type": "expect_column_mean_to_be_between",
            "kwargs": {"column": "probability_yes", "min_value": 0, "max_value": 1},
        },
    ]
    return {"name": "scored", "expectations": entries}


SUITES = {"incoming": suite_of_42(NAMES), "scored": _suite_of_10()}


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=4_000_000, repeat=5, quick_rows=20_000)
    spark = session("scoring", partitions=8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(spark, folder, given.rows)
        for stem, suite in SUITES.items():
            (folder / f"{stem}.json").write_text(json.dumps(suite), encoding="utf-8")
        runs: dict[str, Callable[[], Any]] = {COPY: partial(_copy, spark, folder)}
        for kind, params in KINDS.items():
            fewer = FEW.get(kind, {}) if given.quick else {}
            runner = train_runner(spark, folder, kind, {**params, **fewer})
            runs |= _runs_of(spark, folder, kind, runner)
        seconds = alternate(runs, repeat=given.repeat)
    figures = {name: figure(times, "s") for name, times in seconds.items()}
    return report("scoring", figures, _bars(seconds))


def _runs_of(
    spark: SparkSession, folder: Path, kind: str, runner: Runner
) -> dict[str, Callable[[], Any]]:
    runs: dict[str, Callable[[], Any]] = {f"{kind}: product": runner.score}
    if kind == "xgboost":
        return runs
    if kind == "logistic":
        told = runner.config.model_copy(update={"reasons": Reasons(**REASONS)})
        runs[f"{kind}: product, reasons"] = replace(runner, config=told).score
    by_hand = partial(_by_hand, spark, folder, runner)
    checked = replace(runner, config=runner.config.model_copy(update={"checks": CHECKED}))
    return runs | {
        f"{kind}: B, MLlib by hand": by_hand,
        f"{kind}: product, checked": checked.score,
        f"{kind}: C, B and Great Expectations": partial(_checked_by_hand, spark, folder, by_hand),
    }


def _bars(seconds: dict[str, list[float]]) -> list[Bar]:
    def over(kind: str, baseline: str, product: str = "product") -> float:
        return ratio(seconds, f"{kind}: {baseline}", f"{kind}: {product}")

    by_hand, library, checked = (
        "B, MLlib by hand",
        "C, B and Great Expectations",
        "product, checked",
    )
    bars = [
        Bar("logistic over a copy", ratio(seconds, "logistic: product", COPY), 1.4),
        Bar("xgboost over a copy", ratio(seconds, "xgboost: product", COPY), 3.5),
        Bar(
            "logistic, reasons over none",
            ratio(seconds, "logistic: product, reasons", "logistic: product"),
            1.6,
        ),
    ]
    for kind, faster, faster_checked in (("logistic", 1.9, 8), ("boosted_trees", 1.5, 3)):
        own = 1 / over(kind, "product", checked)
        bars += [
            Bar(f"{kind}, times faster than B", over(kind, by_hand), faster, at_most=False),
            Bar(f"{kind}, checks over none", own, 1.3),
            Bar(
                f"{kind}, times faster than C",
                over(kind, library, checked),
                faster_checked,
                at_most=False,
            ),
        ]
    return bars


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


def train_runner(spark: SparkSession, folder: Path, kind: str, params: dict[str, Any]) -> Runner:
    """Train a model of one kind, and return what scores the incoming rows with it."""
    config = Config(
        name="scoring",
        tables={
            role: {"location": f"{kind}/{role}" if role in {"scored", "quarantine"} else role}
            for role in ("labelled", "incoming", "scored", "quarantine")
        },
        artifacts=f"{kind}/models",
        runs=f"{kind}/runs",
        columns={"keys": ["id"], "label": "bad", "classes": {"no": 0, "yes": 1}, "numeric": NAMES},
        costs={"accept": {"no": 0, "yes": DEFAULT}, "decline": {"no": 1, "yes": 0}},
        reasons=REASONS,
        model={"kind": kind, "params": params},
        decision={"calibration": "none", "base_rate_tolerance": 1.0, "cost_tolerance": 1.0},
        folder=Location.of(folder),
    )
    Runner(spark, config, NIGHT).train()
    return Runner(spark, config.model_copy(update={"reasons": None}), NIGHT)


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


def _by_hand(spark: SparkSession, folder: Path, runner: Runner) -> Path:
    from sparkweights.bundle.bundle import load_bundle
    from sparkweights.models.mllib import MLlibModel

    model = load_bundle(runner.config.path(runner.config.artifacts)).model
    assert isinstance(model, MLlibModel)
    native = model.native
    assembler = VectorAssembler(inputCols=NAMES, outputCol=FEATURES)
    df = assembler.transform(spark.read.parquet(str(folder / "incoming")))
    native.setPredictionCol("").setRawPredictionCol("__raw").setProbabilityCol("__probability")
    p = vector_to_array(F.col("__probability")).getItem(1)
    probability_df = native.setFeaturesCol(FEATURES).transform(df).select("id", p.alias("p"))
    accept, decline = F.col("p") * DEFAULT, 1 - F.col("p")
    scored_df = probability_df.select(
        "id",
        (1 - F.col("p")).alias("probability_no"),
        F.col("p").alias("probability_yes"),
        accept.alias("expected_cost_accept"),
        decline.alias("expected_cost_decline"),
        F.least(accept, decline).alias("expected_cost"),
        F.lit("scored").alias("score_status"),
        F.lit("version").alias("model_version"),
        F.lit("run").alias("run_id"),
        F.current_timestamp().alias("scored_at"),
        F.when(F.col("p") > 1 / (1 + DEFAULT), "decline").otherwise("accept").alias("decision"),
    )
    place = folder / "by_hand" / runner.config.model.kind
    _write(scored_df, place)
    return place


def _checked_by_hand(spark: SparkSession, folder: Path, by_hand: Callable[[], Path]) -> None:
    """Check the input, score, and check the output."""
    for name, suite in SUITES.items():
        place = folder / "incoming" if name == "incoming" else by_hand()
        written = load_suite(folder / f"{name}.json")
        results = run_library(spark.read.parquet(str(place)), written, name)
        assert len(results) == len(suite["expectations"])


def _write(df: DataFrame, place: Path) -> None:
    df.write.mode("overwrite").partitionBy("decision").parquet(str(place))


if __name__ == "__main__":
    sys.exit(main())
