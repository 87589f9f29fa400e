"""Class frequencies, weights and diagnostics against a bare count per label.

The baseline is what one would write without the product: ``groupBy(label).count()``, brought to
the driver the quickest way that Spark has. Both read the same parquet files.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

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
from sparkweights import ClassWeigher

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MANY = 100_000


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=8_000_000, repeat=9, quick_rows=200_000)
    spark = session("frequencies")
    with tempfile.TemporaryDirectory() as folder:
        table = _write_table(spark, Path(folder) / "table", given.rows)
        df = spark.read.parquet(table)
        few, few_jobs = _compare(spark, df, "label", given.repeat)
        many, many_jobs = _compare(spark, df, "fine_label", given.repeat)
    figures = {
        f"{size}: {run}": figure(seconds, "s")
        for size, found in (("2 classes", few), ("100,000 classes", many))
        for run, seconds in found.items()
    }
    bars = [
        Bar("2 classes, time over a bare count", ratio(few, "product", "bare"), 1.15),
        Bar("100,000 classes, time over a bare count", ratio(many, "product", "bare"), 1.3),
        Bar("Spark jobs beyond the bare count's", max(few_jobs, many_jobs), 0),
    ]
    return report("frequencies", figures, bars)


def _compare(
    spark: SparkSession, df: DataFrame, label: str, repeat: int
) -> tuple[dict[str, list[float]], int]:
    def bare() -> None:
        df.groupBy(label).count().toArrow()

    def product() -> None:
        ClassWeigher(labelCol=label).fit(df).weight_diagnostics()

    found = alternate({"bare": bare, "product": product}, repeat=repeat)
    return found, count_jobs(spark, product) - count_jobs(spark, bare)


def _write_table(spark: SparkSession, path: Path, rows: int) -> str:
    """Write a table of 12 columns: two labels and ten measurements."""
    df = spark.range(rows).select(
        (F.rand(1) < 0.05).cast("int").alias("label"),  # one in twenty
        F.floor(F.rand(2) ** 2 * MANY).cast("int").alias("fine_label"),
        *[F.rand(3 + i).alias(f"x{i}") for i in range(10)],
    )
    df.write.parquet(str(path))
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
