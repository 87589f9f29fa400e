"""A proposed suite passes on the table it came from, tells a changed one, and costs two passes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import InputError
from sparkweights.quality.compile import run_suite
from sparkweights.quality.profile import collect_profile, propose_suite
from sparkweights.quality.suite import load_suite

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

SCHEMA = "id long, `in come` double, debt double, `card.type` string, note string, since date"


def _loans(spark: SparkSession) -> DataFrame:
    own = spark.range(400, numPartitions=2)
    cards = F.array(*map(F.lit, ["gold", "basic", "store"]))
    return own.select(
        "id",
        F.when(F.col("id") % 10 > 0, 1_000.0 + F.col("id")).alias("in come"),
        F.when(F.col("id") == 7, float("nan")).otherwise(-F.col("id") / 3).alias("debt"),
        F.get(cards, (F.col("id") % 3).cast("int")).alias("card.type"),
        F.concat(F.lit("note "), F.col("id").cast("string")).alias("note"),
        F.lit("2020-02-29").cast("date").alias("since"),
    )


def _proposed(df: DataFrame, folder: Path) -> dict[str, Any]:
    suite = propose_suite(collect_profile(df, unlisted=["id"]), name="incoming", keys=["id"])
    (folder / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    return suite


def test_proposed_suite_says_what_the_table_says(spark: SparkSession, tmp_path: Path) -> None:
    """Bounds leave half a range of room and keep the sign; categories are listed, notes are not."""
    suite = _proposed(_loans(spark), tmp_path)
    by_column = {
        (entry["kwargs"].get("column"), entry["type"].removeprefix("expect_column_values_to_")):
        (entry["kwargs"], entry["severity"])
        for entry in suite["expectations"]
    }  # fmt: skip
    assert by_column["id", "not_be_null"][1] == "critical"
    assert by_column["in come", "not_be_null"] == ({"column": "in come", "mostly": 0.85}, "warning")
    income = by_column["in come", "be_between"][0]
    # 1001 to 1399, half of 398 to both sides, outwards to two digits.
    assert (income["min_value"], income["max_value"]) == (800, 1_600)
    debt = by_column["debt", "be_between"][0]
    assert (debt["min_value"], debt["max_value"]) == (-200, 0)
    assert by_column["card.type", "be_in_set"][0]["value_set"] == ["basic", "gold", "store"]
    assert ("note", "be_in_set") not in by_column
    assert ("id", "be_between") not in by_column


@pytest.mark.parametrize("rows", [400, 1])
def test_proposed_suite_passes_on_its_own_table(
    spark: SparkSession, tmp_path: Path, rows: int
) -> None:
    """NaN, null, odd names, dates and one row are no reason to fail."""
    df = _loans(spark).limit(rows)
    _proposed(df, tmp_path)
    report = run_suite(df, load_suite(tmp_path / "suite.json"), table="incoming")
    failed = [result.column for result in report.results if not result.success]
    # Great Expectations counts NaN as a value out of range.
    assert failed == (["debt"] if rows > 1 else [])


def test_unlisted_columns_show_no_value(spark: SparkSession) -> None:
    """A sensitive column may be checked for nulls; its values stay in the table."""
    profile = collect_profile(_loans(spark), unlisted=["card.type"])
    assert "card.type" in profile.missing
    suite = propose_suite(profile, name="incoming", keys=["id"])
    assert "gold" not in json.dumps(suite)


def test_proposed_suite_tells_a_changed_table(spark: SparkSession, tmp_path: Path) -> None:
    """An income in another unit, a new card, fewer rows and missing keys do not pass."""
    df = _loans(spark)
    _proposed(df, tmp_path)
    changed_df = df.select(
        F.when(F.col("id") > 0, F.col("id")).alias("id"),
        (F.col("in come") * 100).alias("in come"),
        "debt",
        F.lit("paper").alias("card.type"),
        "note",
    )
    changed_df = changed_df.filter(F.coalesce(F.col("id") % 4, F.lit(0)) == 0)
    report = run_suite(changed_df, load_suite(tmp_path / "suite.json"), table="incoming")
    failed = {result.column for result in report.results if not result.success}
    assert failed >= {None, "id", "in come", "card.type"}
    assert not report.success


def test_profile_takes_two_passes(spark: SparkSession) -> None:
    """Whatever the number of columns."""
    spark.sparkContext.setJobGroup("profile", "profile")
    try:
        collect_profile(_loans(spark))
        jobs = spark.sparkContext.statusTracker().getJobIdsForGroup("profile")
    finally:
        spark.sparkContext.setJobGroup("other", "other")
    # Adaptive execution runs the partial aggregates as a job of their own.
    assert len(jobs) <= 4


def test_profile_of_no_rows_is_refused(spark: SparkSession) -> None:
    """There is nothing to learn from an empty table."""
    with pytest.raises(InputError, match="0 rows"):
        collect_profile(spark.createDataFrame([], SCHEMA))
