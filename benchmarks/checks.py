"""A suite of 42 expectations: Great Expectations' own run, and ours with the same verdicts.

4 million rows of 20 numbers in parquet, with a few nulls and outliers. Two baselines, both the
library's validator on a batch of the table that is not persisted: with its defaults, which collect
samples of unexpected values, and with counts alone, as one who knows it well would schedule it. All
give genuine results of the library; verdicts and counts are compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from sparkweights.quality.compile import run_suite
from sparkweights.quality.library import (
    expectation,
    open_batch,
    quiet_library,
    result_of,
    run_natively,
)
from sparkweights.quality.suite import load_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.quality.suite import CheckResult, Suite

NAMES = [f"x{i}" for i in range(20)]
DEFAULTS, LIBRARY, OURS = "Great Expectations", "Great Expectations, counts alone", "product"


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=4_000_000, repeat=3, quick_rows=20_000)
    spark = session("checks")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        df = spark.read.parquet(_write_table(spark, folder, given.rows))
        (folder / "suite.json").write_text(json.dumps(suite_of_42(NAMES)), encoding="utf-8")
        suite = load_suite(folder / "suite.json")
        found: dict[str, list[CheckResult]] = {}

        def ours() -> None:
            found[OURS] = list(run_suite(df, suite, table="incoming").results)

        def library() -> None:
            found[LIBRARY] = run_library(df, suite, "incoming")

        def defaults() -> None:
            with quiet_library() as gx:
                native = gx.ExpectationSuite(name="incoming")
                native.expectations = [expectation(gx, entry) for entry in suite.expectations]
                open_batch(gx, df, "incoming").validate(native)

        runs = {DEFAULTS: defaults, LIBRARY: library, OURS: ours}
        seconds = alternate(runs, repeat=given.repeat)
        jobs = {name: count_jobs(spark, run) for name, run in runs.items()}
    figures = {name: figure(times, "s") for name, times in seconds.items()}
    figures |= {f"{name}: Spark jobs": figure([n], "jobs") for name, n in jobs.items()}
    different = sum(a != b for a, b in zip(found[OURS], found[LIBRARY], strict=True))
    bars = [
        Bar("times faster", ratio(seconds, DEFAULTS, OURS), 12, at_most=False),
        Bar("times faster than counts alone", ratio(seconds, LIBRARY, OURS), 1, at_most=False),
        Bar("results that differ", different, 0),
        Bar("Spark jobs", jobs[OURS], 3),
    ]
    return report("checks", figures, bars)


def run_library(df: DataFrame, suite: Suite, table: str) -> list[CheckResult]:
    """Run a suite as one who knows the library well would: nothing persisted, counts alone."""
    with quiet_library() as gx:
        natives = [expectation(gx, entry) for entry in suite.expectations]
        outcomes = run_natively(gx, open_batch(gx, df, table), natives, table)
    return sorted(map(result_of, outcomes), key=lambda result: result.id)


def _write_table(spark: SparkSession, folder: Path, rows: int) -> str:
    columns = [
        F.when(F.rand(100 + i) >= 0.001, F.randn(i)).alias(name)  # one in a thousand
        for i, name in enumerate(NAMES)
    ]
    place = str(folder / "table")
    spark.range(rows, numPartitions=8).select("id", *columns).write.parquet(place)
    return place


def suite_of_42(names: Sequence[str]) -> dict[str, Any]:
    """Return 42 expectations on 20 columns: nulls, ranges, the number of rows, and a mean."""
    entries: list[dict[str, Any]] = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {
            "type": "expect_column_mean_to_be_between",
            "kwargs": {"column": names[0], "min_value": -0.1, "max_value": 0.1},
        },
    ]
    for name in names:
        by_kind: dict[str, dict[str, Any]] = {
            "expect_column_values_to_not_be_null": {"mostly": 0.99},
            "expect_column_values_to_be_between": {"min_value": -5, "max_value": 5},
        }
        entries += [{"type": k, "kwargs": {"column": name, **v}} for k, v in by_kind.items()]
    return {"name": "incoming", "expectations": entries}


if __name__ == "__main__":
    sys.exit(main())
