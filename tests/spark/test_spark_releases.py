"""The older way of what Spark 4.1 added gives the same results."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import functions as F

from sparkweights.core import spark_releases
from sparkweights.core.spark_releases import arrow_function, collect_commonest, has_approx_top_k
from sparkweights.core.versions import release
from sparkweights.quality import compile as compiled_suites
from sparkweights.quality.compile import compile_suite
from sparkweights.quality.suite import Suite

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NEWER = release(pyspark.__version__) >= (4, 1)
OLDER = pytest.mark.parametrize("older", [False, True], ids=["newest", "4.0"])
SUITE = Suite(
    "loans",
    tuple(
        {"id": name, "type": kind, "kwargs": kwargs, "severity": "critical", "meta": {}}
        for name, kind, kwargs in (
            ("known", "expect_column_values_to_not_be_null", {"column": "card"}),
            ("late", "expect_column_values_to_be_between", {"column": "late", "max_value": 3}),
            ("rows", "expect_table_row_count_to_be_between", {"max_value": 100}),
        )
    ),
)


@pytest.fixture
def loans_df(spark: SparkSession) -> DataFrame:
    """Eight loans, of which three have no card."""
    rows = [("a", 1), ("b", 9), ("a", 2), (None, 9), ("c", 4), (None, 1), ("a", 1), (None, 2)]
    return spark.createDataFrame(rows, "card string, late int")


@pytest.fixture
def _as_in(monkeypatch: pytest.MonkeyPatch, *, older: bool) -> None:
    if older:
        monkeypatch.setattr(spark_releases, "arrow_udf", None)
        for module in (spark_releases, compiled_suites):
            monkeypatch.setattr(module, "has_approx_top_k", lambda: False)


@OLDER
@pytest.mark.usefixtures("_as_in")
def test_commonest_values_are_counted_with_null_as_a_value(loans_df: DataFrame) -> None:
    """By the counts of eight rows; measures come with them."""
    values = [F.col("card"), F.col("late").cast("string")]
    row, counts = collect_commonest(loans_df, values, 2, 100, [F.sum("late").alias("all")])
    assert row["all"] == 29
    assert counts[0] == {"a": 3, None: 3}
    assert list(counts[1].values()) == [3, 2]
    _, every = collect_commonest(loans_df, values, 10, 100)
    assert every == [{"a": 3, None: 3, "b": 1, "c": 1}, {"1": 3, "2": 2, "9": 2, "4": 1}]


@OLDER
@pytest.mark.usefixtures("_as_in")
def test_function_of_arrow_arrays_sees_every_bit_of_a_row(spark: SparkSession) -> None:
    """Missing lists stay missing, NaN stays NaN, and a float stays a float."""

    def stages(doubles: pa.Array, floats: pa.Array) -> pa.Array:
        assert floats.type == pa.list_(pa.float32())
        pairs = zip(doubles, floats, strict=True)
        found = [
            None if one.as_py() is None else [[x * 3, float(np.float64(y))] for x, y in zip(
                one.as_py(), other.as_py(), strict=True)]
            for one, other in pairs
        ]  # fmt: skip
        return pa.array(found, pa.list_(pa.list_(pa.float64())))

    rows = [(0, [0.1, 1e-300], [0.1, 2.5]), (1, None, [1.0]), (2, [math.nan], [7.0]), (3, [], [])]
    df = spark.createDataFrame(rows, "id int, x array<double>, y array<float>").coalesce(1)
    column = arrow_function(stages, "array<array<double>>")(F.col("x"), F.col("y"))
    first, missing, unknown, empty = (
        row[0] for row in df.select(column.alias("s"), "id").orderBy("id").collect()
    )
    assert first == [[0.1 * 3, float(np.float32(0.1))], [1e-300 * 3, 2.5]]
    assert missing is None
    assert math.isnan(unknown[0][0])
    assert unknown[0][1] == 7.0
    assert empty == []


@OLDER
@pytest.mark.usefixtures("_as_in")
def test_suite_in_a_pass_counts_each_failure(loans_df: DataFrame, *, older: bool) -> None:
    """The aggregates of the pass differ; what follows from them does not."""
    compiled = compile_suite(loans_df, SUITE, table="loans")
    marked_df = loans_df.withColumn("matched", compiled.matched_conditions)
    measures = compiled.measures(F.col("matched"))
    measured = marked_df.agg(*measures).collect()[0].asDict()
    assert ("loans: patterns" in measured) is (NEWER and not older)
    failed = {one.id: one.unexpected for one in compiled.report(loans_df, measured).results}
    assert {"known": failed["known"], "late": failed["late"]} == {"known": 3, "late": 3}


def test_release_has_the_newer_way_from_its_first_release_on(spark: SparkSession) -> None:
    """Spark 4.1; so that the tests above compare both ways, but for those on Spark 4.0."""
    assert (spark_releases.arrow_udf is not None) is NEWER
    assert has_approx_top_k() is NEWER


@pytest.mark.parametrize(("version", "set_there"), [("4.0.5", True), ("4.1.4", False)])
def test_older_engine_infers_no_conditions_for_a_scoring_run(
    version: str, *, set_there: bool
) -> None:
    """Spark 4.0 compared them with each other for minutes."""
    session: Any = SimpleNamespace(version=version)
    assert bool(spark_releases.planning_settings(session)) == set_there
