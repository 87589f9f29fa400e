"""Splits are stratified, repeatable, and keep a client's rows together."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix
from sparkweights.sampling.hashing import uniform
from sparkweights.sampling.period import Span
from sparkweights.sampling.split import (
    Split,
    collect_order_quantiles,
    cross_quantiles,
    fold,
    part,
    require_crossed_rows,
    require_rows,
    summarise_time_split,
    time_order,
)
from sparkweights.weights.frequencies import summarise_classes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROLES = ColumnRoles(("id",), "y", {"common": 0, "rare": 1}, ("x",), ())
MATRIX = CostMatrix.zero_one(["common", "rare"])


def _rows(spark: SparkSession) -> DataFrame:
    df = spark.range(0, 20_000, numPartitions=3)
    return df.withColumn("y", (F.col("id") % 50 == 0).cast("int")).withColumn("x", F.col("id"))


def _parts(df: DataFrame, seed: int) -> dict[int, str]:
    order = uniform(ROLES.keys, seed)
    summary = summarise_classes(df, ROLES, MATRIX, order=order)
    split = Split.at(None, summary.order_quantiles((0.6, 0.8)))
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


def test_require_rows_of_two_scarce_classes_both_are_named() -> None:
    """The table's rows, which resampling does not change, the class with the fewest first."""
    counts = {("fit", "common"): 60, ("calibrate", "common"): 9, ("test", "common"): 9,
              ("fit", "rare"): 60}  # fmt: skip
    with pytest.raises(InputError) as caught:
        require_rows(counts, ROLES, table={"common": 78, "rare": 4})
    assert str(caught.value).startswith("Class 'rare' has 4 rows in the whole table")
    assert ", and class 'common' has 78 rows in the whole table, of which 60 to fit, 9 to" in str(
        caught.value
    )


def test_require_crossed_rows_names_every_shortfall() -> None:
    """Three and four rows of ten: both classes, and how many are missing."""
    counts = {(0, "common"): 3, (0, "rare"): 2, (1, "rare"): 2}
    with pytest.raises(InputError) as caught:
        require_crossed_rows(counts, ("common", "rare"), 2)
    for words in (
        "Class 'common' has 3 and class 'rare' has 4 rows in the labelled table; at least 10",
        "7 rows of 'common', 6 rows of 'rare' are missing",
    ):
        assert words in str(caught.value)


def test_split_by_group_keeps_each_customer_on_one_side(spark: SparkSession) -> None:
    """Rows of one customer, of both classes, share a part; by keys half of them would be torn."""
    df = _rows(spark).withColumn("customer", F.col("id") % 2_000)
    order = uniform(["customer"], 7)
    summary = summarise_classes(df, ROLES, MATRIX, order=order)
    split = Split.at(None, summary.order_quantiles((0.6, 0.8), pooled=True), ["customer"])
    parted_df = df.withColumn("p", part(split, ROLES, order))
    torn = parted_df.groupBy("customer").agg(F.countDistinct("p").alias("parts"))
    assert torn.filter("parts > 1").count() == 0
    shares = {row["p"]: row["count"] / 20_000 for row in parted_df.groupBy("p").count().collect()}
    assert shares == pytest.approx({"fit": 0.6, "calibrate": 0.2, "test": 0.2}, abs=0.01)


def test_cross_deals_few_events_evenly(spark: SparkSession) -> None:
    """Ten events in five folds are two each; an even hash would leave some fold without any."""
    df = _rows(spark).filter("y = 0 or id < 500")
    order = uniform(ROLES.keys, 7)
    found = collect_order_quantiles(df, ROLES, order, cross_quantiles(5))
    folds = fold(Split.cross(5, found), ROLES, order)
    events = df.filter("y = 1").groupBy(folds.alias("fold")).count().collect()
    assert {row["fold"]: row["count"] for row in events} == dict.fromkeys(range(5), 2)


def test_part_gap_rows_are_in_no_part(spark: SparkSession) -> None:
    """Fit rows end three months before the first calibration row, and these before test rows."""
    df = spark.sql(
        "select explode(sequence(date'2020-01-01', date'2021-12-01', interval 1 month)) as month"
    ).withColumn("y", F.lit(0))
    split = Split("month", {"common": _days(2021, 1, 1), "rare": _days(2021, 1, 1)})
    gap = Span.parse("3 months", where="split.gap")
    split = split.with_ends(lambda moment: gap.before(moment, "date", where="split.gap"))
    order = time_order(df, "month")
    found = df.withColumn("p", part(split, ROLES, order)).groupBy("p")
    spans = {row["p"]: row for row in found.agg(F.min("month"), F.max("month")).collect()}
    assert str(spans["fit"]["max(month)"]) == "2020-10-01"  # three months before 1 January
    assert str(spans["calibrate"]["min(month)"]) == "2021-02-01"
    assert str(spans["calibrate"]["max(month)"]) == "2021-04-01"
    assert str(spans["test"]["min(month)"]) == "2021-08-01"


def _days(year: int, month: int, day: int) -> tuple[float, float]:
    """Return a first boundary and one half a year later, in days since 1970."""
    first = (date(year, month, day) - date(1970, 1, 1)).days
    return float(first), float((date(year, month + 6, day) - date(1970, 1, 1)).days)


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("3 months", date(2021, 5, 31), date(2021, 2, 28)),
        ("1 year", date(2024, 2, 29), date(2023, 2, 28)),
        ("2 quarters", date(2021, 3, 15), date(2020, 9, 15)),
        ("6 weeks", date(2021, 3, 15), date(2021, 2, 1)),
        ("30 days", date(2021, 3, 15), date(2021, 2, 13)),
    ],
)
def test_span_before_is_the_calendars(text: str, before: date, expected: date) -> None:
    """A month back from the 31st is the last day of a shorter month."""
    days = (before - date(1970, 1, 1)).days
    found = Span.parse(text, where="split.gap").before(float(days), "date", where="split.gap")
    assert date.fromordinal(date(1970, 1, 1).toordinal() + int(found)) == expected


@pytest.mark.parametrize(("value", "kind"), [("3 months", "number"), (90, "date")])
def test_span_of_another_kind_than_time_is_refused(value: str | int, kind: str) -> None:
    """Months cannot be taken from a number, nor a bare number from a date."""
    span = Span.parse(value, where="split.gap")
    with pytest.raises(ConfigError, match=f"split.gap: .* names a {kind}"):
        span.before(1_000.0, kind, where="split.gap")


def test_require_crossed_rows_names_the_class_that_is_scarce() -> None:
    """Nine events are too few for any split; ten of which none is in a fold need fewer folds."""
    counts = {(k, "common"): 50 for k in range(5)} | {(0, "rare"): 9}
    with pytest.raises(InputError, match="Class 'rare' has 9 rows in the labelled table; at least"):
        require_crossed_rows(counts, ["common", "rare"], 5)
    with pytest.raises(InputError, match="none of them in fold 2 of 5"):
        require_crossed_rows(counts | {(0, "rare"): 12}, ["common", "rare"], 5)
