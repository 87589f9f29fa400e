"""Splits are stratified, repeatable, and keep a client's rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import ColumnRoles
from sparkweights.costs import CostMatrix
from sparkweights.errors import InputError
from sparkweights.split import (
    Split,
    hash_order,
    part,
    require_fold_rows,
    require_rows,
    summarise_time_split,
    time_order,
)
from sparkweights.weights import summarise_classes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROLES = ColumnRoles(("id",), "y", {"common": 0, "rare": 1}, ("x",), ())
MATRIX = CostMatrix.zero_one(["common", "rare"])


def _rows(spark: SparkSession) -> DataFrame:
    df = spark.range(0, 20_000, numPartitions=3)
    return df.withColumn("y", (F.col("id") % 50 == 0).cast("int")).withColumn("x", F.col("id"))


def _parts(df: DataFrame, seed: int) -> dict[int, str]:
    order = hash_order(ROLES, seed)
    summary = summarise_classes(df, ROLES, MATRIX, order=order, cuts=(0.6, 0.8))
    split = Split(None, {name: (cuts[0], cuts[1]) for name, cuts in summary.cuts.items()})
    return {
        row["id"]: row["p"]
        for row in df.select("id", part(split, ROLES, order).alias("p")).collect()
    }


def test_split_every_class_has_its_share_in_every_part(spark: SparkSession) -> None:
    """20 % of the 400 rare rows calibrate and 20 % test; by luck alone the spread would be 8."""
    parts = _parts(_rows(spark), 7)
    rare = [which for identity, which in parts.items() if identity % 50 == 0]
    assert abs(rare.count("calibrate") - 80) <= 4
    assert abs(rare.count("test") - 80) <= 4
    common = [which for identity, which in parts.items() if identity % 50]
    assert common.count("test") / len(common) == pytest.approx(0.2, abs=0.002)


def test_split_same_seed_gives_same_rows_under_any_partitioning(spark: SparkSession) -> None:
    """A rerun tests on the same rows; another seed on others."""
    df = _rows(spark)
    first, again, other = _parts(df, 7), _parts(df.repartition(9), 7), _parts(df, 8)
    assert first == again
    assert sum(first[i] != other[i] for i in first) > 5_000


def test_summarise_time_split_test_rows_are_the_latest(spark: SparkSession) -> None:
    """Forward in time: every calibration row is later than every fit row, and so on."""
    day = (F.col("id") % 100).cast("int")
    df = _rows(spark).withColumn("month", F.date_add(F.lit("2020-01-01").cast("date"), day))
    split = summarise_time_split(df, ROLES, "month", (0.6, 0.8))
    found = df.withColumn("p", part(split, ROLES, time_order(df, "month")))
    span = [F.min("month").alias("a"), F.max("month").alias("b"), F.count("*").alias("n")]
    spans = {row["p"]: row for row in found.groupBy("p").agg(*span).collect()}
    assert spans["fit"]["b"] < spans["calibrate"]["a"]
    assert spans["calibrate"]["b"] < spans["test"]["a"]
    assert spans["test"]["n"] == pytest.approx(4_000, abs=400)


def test_time_order_text_column_is_refused(spark: SparkSession) -> None:
    """Text has no order in time."""
    df = spark.createDataFrame([("May",)], "month string")
    with pytest.raises(InputError, match=r"split\.by: column 'month' is text"):
        time_order(df, "month")


def test_require_rows_rare_class_is_told_with_its_rows() -> None:
    """Five of 95 rows: at a part's share of 1 in 5, fifty are needed, so 45 more."""
    counts = {("fit", "common"): 50, ("calibrate", "common"): 20, ("test", "common"): 20,
              ("fit", "rare"): 3, ("calibrate", "rare"): 1, ("test", "rare"): 1}  # fmt: skip
    with pytest.raises(InputError) as caught:
        require_rows(counts, ROLES)
    for words in (
        "Class 'rare' has 5 rows in the whole table, of which 3 to fit, 1 to calibrate",
        "at least 10 of each class",
        "45 more rows of it, 50 in all",
    ):
        assert words in str(caught.value)


def test_require_rows_of_two_scarce_classes_the_scarcer_is_named() -> None:
    """The table's rows, which resampling does not change, and the class with the fewest."""
    counts = {("fit", "common"): 60, ("calibrate", "common"): 9, ("test", "common"): 9,
              ("fit", "rare"): 60}  # fmt: skip
    with pytest.raises(InputError, match="Class 'rare' has 4 rows in the whole table"):
        require_rows(counts, ROLES, table={"common": 78, "rare": 4})


def test_require_fold_rows_names_the_scarce_class_and_what_is_missing() -> None:
    """Of 20 rows in two folds one holds 4, a fifth of them: 50 would fill it, 30 more."""
    counts = {(0, "common"): 90, (1, "common"): 90, (0, "rare"): 16, (1, "rare"): 4}
    with pytest.raises(InputError) as caught:
        require_fold_rows(counts, ["common", "rare"], 2)
    for words in (
        "Class 'rare' has 20 rows in the whole table",
        "4 in fold 2",
        "30 more rows of it, 50 in all",
        "lower tune.folds",
    ):
        assert words in str(caught.value)
