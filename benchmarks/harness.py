"""What benchmarks share: a session, alternating runs, and a verdict on the last line."""

from __future__ import annotations

import json
import operator
import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Bar:
    """A promise: a figure, and the limit that it is held against."""

    what: str
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
        sign = "at_most" if self.at_most else "at_least"
        return {
            "what": self.what,
            "value": round(self.value, 4),
            sign: self.limit,
            "holds": self.holds,
        }


def session(name: str, *, memory: str = "4g", partitions: int = 4) -> SparkSession:
    """Start a quiet local session on two cores."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return (
        SparkSession.builder.master("local[2]")
        .appName(f"benchmark {name}")
        .config("spark.driver.memory", memory)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.shuffle.partitions", str(partitions))
        .config("spark.driver.maxResultSize", "2g")
        .getOrCreate()
    )


def alternate(runs: Mapping[str, Callable[[], Any]], *, repeat: int) -> dict[str, list[float]]:
    """Time each run `repeat` times in turn, after one untimed round; seconds by name."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each run's seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def count_jobs(spark: SparkSession, run: Callable[[], Any]) -> int:
    """Return how many Spark jobs a run starts."""
    group = f"counted-{time.monotonic_ns()}"
    spark.sparkContext.setJobGroup(group, "counted")
    try:
        run()
        return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]


def report(name: str, bars: Sequence[Bar], **figures: object) -> int:
    """Print the verdict as one line of JSON; return 0 where every promise is kept."""
    held = all(bar.holds for bar in bars)
    record = {"benchmark": name, "holds": held, "bars": [bar.to_dict() for bar in bars], **figures}
    print(json.dumps(record))
    return 0 if held else 1
