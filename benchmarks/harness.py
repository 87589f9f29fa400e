"""What benchmarks share: a session, alternating runs, and a verdict on the last line."""

from __future__ import annotations

import json
import operator
import os
import platform
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from sparkweights.app.session import checkpoint_folder
from sparkweights.models.mllib_trees import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Bar:
    """A promise: a ratio or a quality figure, and the limit that it is held against."""

    name: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """Whether the figure keeps the promise."""
        compare = operator.le if self.at_most else operator.ge
        return bool(compare(self.value, self.limit))

    def to_dict(self) -> dict[str, Any]:
        """Return the promise ready for JSON."""
        limit = f"{'<=' if self.at_most else '>='} {self.limit:g}"
        return {"value": round(self.value, 4), "limit": limit, "holds": self.holds}


def arguments(description: str | None, *, rows: int, repeat: int, quick_rows: int) -> Namespace:
    """Read ``--rows``, ``--repeat`` and ``--quick``, which stands for few rows, once."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=rows, help=f"default {rows:,}")
    parser.add_argument("--repeat", type=int, default=repeat, help=f"default {repeat}")
    parser.add_argument("--quick", action="store_true", help="few rows, once: does it run?")
    given = parser.parse_args()
    if given.quick:
        given.rows, given.repeat = quick_rows, 0
    return given


def session(
    name: str, *, memory: str = "4g", partitions: int = 4, master: str = "local[2]"
) -> SparkSession:
    """Start a quiet session on two cores of this machine."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return (
        SparkSession.builder.master(master)
        .appName(f"benchmark {name}")
        .config("spark.driver.memory", memory)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.shuffle.partitions", str(partitions))
        # As the command line's own session has it; baselines plan the faster, too.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        .config("spark.driver.maxResultSize", "2g")
        .config(CHECKPOINTS, checkpoint_folder())
        .getOrCreate()
    )


def alternate(runs: Mapping[str, Callable[[], Any]], *, repeat: int) -> dict[str, list[float]]:
    """Time each run `repeat` times in turn, after one untimed round; seconds by name.

    0 times the first round instead: enough to see that it runs, and nothing to quote.
    """
    if repeat:
        for run in runs.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(max(repeat, 1)):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def figure(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Return what was measured, ready for JSON."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "unit": unit,
    }


def ratio(seconds: Mapping[str, Sequence[float]], over: str, under: str) -> float:
    """Return the ratio of two medians."""
    return statistics.median(seconds[over]) / statistics.median(seconds[under])


def count_jobs(spark: SparkSession, run: Callable[[], Any]) -> int:
    """Return how many Spark jobs a run starts."""
    group = f"counted-{time.monotonic_ns()}"
    spark.sparkContext.setJobGroup(group, "counted")
    try:
        run()
        return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]


def report(name: str, figures: Mapping[str, Mapping[str, Any]], bars: Sequence[Bar] = ()) -> int:
    """Print figures and verdict as one line of JSON; return 0 where every promise is kept."""
    record = {
        "benchmark": name,
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {package: version(package) for package in ("sparkweights", "pyspark")},
        "figures": figures,
        "bars": {bar.name: bar.to_dict() for bar in bars},
    }
    print(json.dumps(record))
    return 0 if all(bar.holds for bar in bars) else 1
