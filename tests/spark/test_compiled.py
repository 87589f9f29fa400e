"""Compiled suites: for every type, what Great Expectations itself would have said."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.core.versions import release
from sparkweights.quality import compile as compiled
from sparkweights.quality.compile import compile_suite, run_suite
from sparkweights.quality.library import (
    known_types,
    open_batch,
    quiet_library,
    result_of,
    run_natively,
)
from sparkweights.quality.suite import Suite, load_suite

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.quality.suite import CheckResult

needs_sketch = pytest.mark.skipif(
    release(pyspark.__version__) < (4, 1), reason="before Spark 4.1 patterns are counted exactly"
)
SCHEMA = (
    "id bigint, x double, y double, n int, town string, at timestamp, day date, flag boolean, "
    "`owed.now` decimal(12,2)"
)
ABOVE = {"row_condition": 'col("n") >= 2', "condition_parser": "great_expectations"}
OSLO = {"type": "comparison", "column": {"name": "town"}, "operator": "==", "parameter": "Oslo"}
KNOWN = {"type": "nullity", "column": {"name": "x"}, "is_null": False}
FEW = {"type": "comparison", "column": {"name": "n"}, "operator": "IN", "parameter": [1, 2, 5]}
IN_OSLO = {"row_condition": {"type": "and", "conditions": [OSLO, KNOWN]}}
NOWHERE = {"row_condition": {"type": "comparison", "column": {"name": "n"}, "operator": ">",
                             "parameter": 1000}}  # fmt: skip
SQL = {"row_condition": "x > 0.5 or not (town = 'Oslo')", "condition_parser": "spark"}
C: dict[str, list[dict[str, Any]]] = {
    "column_values_to_not_be_null": [{"column": "x"}, {"column": "town", "mostly": 0.8}],
    "column_values_to_be_null": [{"column": "x"}, {"column": "x", "mostly": 0.05}],
    "column_values_to_be_between": [
        {"column": "x", "min_value": -1, "max_value": 1},
        {"column": "x", "min_value": -1, "strict_min": True, "mostly": 0.5},
        {"column": "n", "max_value": 5, "strict_max": True},
        {"column": "day", "min_value": "2026-01-01"},
        {"column": "owed.now", "max_value": 10.25},
        {"column": "owed.now", "min_value": 0, "mostly": 0.4, **ABOVE},
        {"column": "x", "max_value": 1, **SQL},
        {"column": "x", "max_value": 1, **NOWHERE},
    ],
    "unexpected_rows_expectation": [
        {"unexpected_rows_query": "SELECT * FROM {batch} WHERE n > 3"},
        {"unexpected_rows_query": "SELECT id FROM {batch} WHERE isnan(x) OR `owed.now` IN (10.25)"},
    ],
    "column_values_to_be_in_set": [
        {"column": "town", "value_set": ["Oslo", "Ålesund"]},
        {"column": "n", "value_set": [1, 2, 3], "mostly": 0.3},
        {"column": "n", "value_set": [1, 2, 3], "row_condition": {"type": "or",
                                                                  "conditions": [OSLO, FEW]}},
    ],
    "column_values_to_not_be_in_set": [{"column": "town", "value_set": ["Oslo"]}],
    "column_values_to_match_regex": [{"column": "town", "regex": "^[A-Z]"}],
    "column_values_to_not_match_regex": [{"column": "town", "regex": "o$"}],
    "column_values_to_match_regex_list": [
        {"column": "town", "regex_list": ["^O", "d$"], "match_on": "any"},
        {"column": "town", "regex_list": ["^O", "o$"], "match_on": "all"},
    ],
    "column_values_to_not_match_regex_list": [{"column": "town", "regex_list": ["x", "^Å"]}],
    "column_value_lengths_to_equal": [{"column": "town", "value": 4}],
    "column_value_lengths_to_be_between": [{"column": "town", "min_value": 4, "max_value": 6}],
    "column_values_to_be_of_type": [{"column": "x", "type_": "DoubleType"}],
    "column_values_to_be_in_type_list": [{"column": "n", "type_list": ["LongType"]}],
    "column_values_to_be_unique": [
        {"column": "id"}, {"column": "town"}, {"column": "owed.now", **ABOVE},
    ],
    "column_values_to_be_increasing": [{"column": "id"}],
    "column_values_to_be_decreasing": [{"column": "id"}],
    "column_values_to_be_json_parseable": [{"column": "town"}],
    "column_values_to_be_dateutil_parseable": [{"column": "town"}],
    "column_values_to_match_strftime_format": [{"column": "town", "strftime_format": "%Y"}],
    "column_value_z_scores_to_be_less_than": [
        {"column": "x", "threshold": 1.5, "double_sided": True}
    ],
    "column_pair_values_a_to_be_greater_than_b": [
        {"column_A": "x", "column_B": "y"},
        {"column_A": "x", "column_B": "y", "or_equal": True,
         "ignore_row_if": "either_value_is_missing"},
        {"column_A": "x", "column_B": "y", "ignore_row_if": "either_value_is_missing", **ABOVE},
        {"column_A": "x", "column_B": "owed.now", "mostly": 0.2, **IN_OSLO},
    ],
    "column_pair_values_to_be_equal": [
        {"column_A": "x", "column_B": "y", "ignore_row_if": "both_values_are_missing"},
        {"column_A": "x", "column_B": "y", "ignore_row_if": "neither", "mostly": 0.1},
    ],
    "column_pair_values_to_be_in_set": [
        {"column_A": "town", "column_B": "n", "value_pairs_set": [("Oslo", 1), ("Ålesund", 3)]}
    ],
    "multicolumn_sum_to_equal": [{"column_list": ["n", "id"], "sum_total": 4}],
    "multicolumn_values_to_be_equal": [{"column_list": ["x", "y"]}],
    "select_column_values_to_be_unique_within_record": [
        {"column_list": ["x", "y"], "ignore_row_if": "any_value_is_missing"},
        {"column_list": ["x", "y"], "ignore_row_if": "never"},
    ],
    "compound_columns_to_be_unique": [
        {"column_list": ["town", "n"]}, {"column_list": ["town", "n"], **SQL},
    ],
    "column_max_to_be_between": [
        {"column": "x", "max_value": 2},
        {"column": "day", "min_value": "2026-01-01"},
        {"column": "owed.now", "max_value": 10},
        {"column": "day", "min_value": "2026-01-01", **ABOVE},
        {"column": "n", "max_value": 4, **NOWHERE},
    ],
    "column_min_to_be_between": [{"column": "n", "min_value": 0, "strict_min": True}],
    "column_mean_to_be_between": [
        {"column": "n", "min_value": 2, "max_value": 3},
        {"column": "n", "min_value": 2, "max_value": 3, **IN_OSLO},
    ],
    "column_median_to_be_between": [
        {"column": "n", "min_value": 2, "max_value": 3},
        {"column": "n", "min_value": 2, "max_value": 3, **SQL},
    ],
    "column_stdev_to_be_between": [{"column": "n", "max_value": 1.5}],
    "column_sum_to_be_between": [
        {"column": "n", "min_value": 10}, {"column": "owed.now", "min_value": 10, **ABOVE},
    ],
    "column_unique_value_count_to_be_between": [{"column": "town", "min_value": 2}],
    "column_proportion_of_unique_values_to_be_between": [{"column": "town", "max_value": 0.5}],
    "column_proportion_of_non_null_values_to_be_between": [
        {"column": "town", "min_value": 0.9}, {"column": "owed.now", "min_value": 0.9, **IN_OSLO},
    ],
    "column_quantile_values_to_be_between": [
        {"column": "n",
         "quantile_ranges": {"quantiles": [0.25, 0.75], "value_ranges": [[0, 2], [3, 5]]}}
    ],
    "column_kl_divergence_to_be_less_than": [
        {"column": "n", "threshold": 0.4, "tail_weight_holdout": 0.01,
         "partition_object": {"bins": [0, 2, 3.5, 5], "weights": [0.3, 0.4, 0.3]}},
        {"column": "x", "threshold": 0.2, "partition_object":
            {"bins": [-1, 0, 1], "weights": [0.3, 0.3], "tail_weights": [0.2, 0.2]}},
        {"column": "x", "threshold": 0.2, "partition_object":
            {"bins": [-math.inf, 0, math.inf], "weights": [0.5, 0.5]}},
    ],
    "column_distinct_values_to_be_in_set": [{"column": "town", "value_set": ["Oslo", "Bodø"]}],
    "column_distinct_values_to_contain_set": [{"column": "town", "value_set": ["Oslo"]}],
    "column_distinct_values_to_equal_set": [{"column": "n", "value_set": [1, 2, 3, 4, 5]}],
    "column_most_common_value_to_be_in_set": [{"column": "flag", "value_set": [True]}],
    "column_to_exist": [{"column": "x"}, {"column": "nowhere"}],
    "table_row_count_to_be_between": [{"min_value": 1}],
    "table_row_count_to_equal": [{"value": 60}, {"value": 20, **ABOVE}],
    "table_column_count_to_equal": [{"value": 9}],
    "table_column_count_to_be_between": [{"max_value": 9}],
    "table_columns_to_match_set": [{"column_set": ["x", "y"], "exact_match": False}],
    "table_columns_to_match_ordered_list": [{"column_list": ["id", "x"]}],
}  # fmt: skip


def _suite(folder: Path, cases: int | None = None) -> Suite:
    """Return a suite of so many cases of each type; by default, of all."""
    with quiet_library() as gx:
        known = known_types(gx)
    entries = [
        {"id": f"{kind} {i}", "type": type_, "kwargs": kwargs}
        for kind, of_type in C.items()
        if (type_ := kind if kind.startswith("unexpected") else f"expect_{kind}") in known
        for i, kwargs in enumerate(of_type[:cases])
    ]
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "all", "expectations": entries}), encoding="utf-8")
    return load_suite(path)


def _table(spark: SparkSession, name: str) -> DataFrame:
    """Draw a table: with everything awkward in it, without rows, of one row, all null."""
    if name == "empty":
        return spark.createDataFrame([], SCHEMA)
    if name.startswith("random"):
        return spark.createDataFrame(_random_rows(random.Random(name)), SCHEMA).coalesce(2)
    count = 60 if name == "awkward" else 1
    rows = """
        SELECT id,
          CASE id % 7 WHEN 0 THEN NULL WHEN 1 THEN double('NaN') ELSE (id % 5) - 2.0D END AS x,
          CASE id % 4 WHEN 0 THEN NULL WHEN 1 THEN (id % 5) - 2.0D ELSE (id % 3) + 0.0D END AS y,
          CASE WHEN id % 11 = 0 THEN NULL ELSE int(id % 5) + 1 END AS n,
          element_at(array('Oslo', 'Ålesund', '', NULL, 'Bodø', '2026'), int(id % 6) + 1) AS town,
          timestamp'2026-01-01' + make_interval(0, 0, 0, int(id)) AS at,
          date_add(date'2025-12-20', int(id)) AS day,
          CASE WHEN id % 3 = 0 THEN NULL ELSE id % 2 = 0 END AS flag,
          CASE WHEN id % 5 = 0 THEN NULL ELSE CAST(id % 12 + 0.25 AS decimal(12,2)) END
            AS `owed.now`
        FROM range(:count)
    """
    if name == "all null":
        return spark.createDataFrame([(None,) * 9] * 5, SCHEMA)
    # One schema for all, so that a suite is compiled once.
    return spark.createDataFrame(spark.sql(rows, {"count": count}).collect(), SCHEMA)


def _random_rows(draw: random.Random) -> list[tuple[Any, ...]]:
    """Draw 60 rows with nulls, NaN, infinities, ties, unicode and empty text."""
    numbers = [None, math.nan, math.inf, -2.5, -1.0, 0.0, 0.5, 1.0, 1.0, 3.0]
    towns = ["Oslo", "Ålesund", "", None, "Bodø", "2026", "\u00e6\U0001f600", " ", 'O\'Hara "x"']
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (
            draw.choice([place, place, draw.randrange(60)]),
            draw.choice(numbers),
            draw.choice(numbers),
            draw.choice([None, *range(-1, 7)]),
            draw.choice(towns),
            start + timedelta(seconds=draw.randrange(90)),
            draw.choice([None, start.date() + timedelta(days=draw.randrange(-30, 30))]),
            draw.choice([None, True, False]),
            draw.choice([None, Decimal("-1.00"), Decimal("10.25"), Decimal("0.10")]),
        )
        for place in range(60)
    ]


def _same(ours: CheckResult, theirs: CheckResult) -> bool:
    if (ours.success, ours.elements, ours.unexpected) != (
        theirs.success, theirs.elements, theirs.unexpected,
    ):  # fmt: skip
        return False
    a, b = ours.observed, theirs.observed
    if a is None or b is None or isinstance(a, str):
        return a == b
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=1e-12)


# These look at more than one row at a time, and run in the library.
LEFT = {
    "column_value_z_scores_to_be_less_than",
    "column_values_to_be_increasing",
    "column_values_to_be_decreasing",
    "column_values_to_be_dateutil_parseable",
    "column_most_common_value_to_be_in_set",
}


# The library's own parsers of row conditions are deprecated, and used here as the oracle.
@pytest.mark.filterwarnings(
    "ignore:(The condition_parser|Passing a string to the row):DeprecationWarning"
)
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("random", 1),
        pytest.param("random", None, marks=pytest.mark.slow),
        pytest.param("empty", None, marks=pytest.mark.slow),
        pytest.param("one row", None, marks=pytest.mark.slow),
        pytest.param("all null", None, marks=pytest.mark.slow),
    ],
)
def test_compiled_suite_equals_great_expectations(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cases: int | None,
) -> None:
    """Verdict, element count, unexpected count and observed number of every type that compiles."""
    df, suite = _table(spark, name), _suite(tmp_path, cases)
    left: list[str] = []
    monkeypatch.setattr(
        compiled, "run_natively", lambda _gx, _batch, natives, _name: left.extend(natives) or []
    )
    ours = {result.id: result for result in run_suite(df, suite, table="t").results}
    kinds = {key.rsplit(" ", 1)[0] for key in ours}
    assert len(kinds) >= 40
    # The library's own verdict on the quantiles or the shares of no values is an error.
    of_values = {"column_quantile_values_to_be_between", "column_kl_divergence_to_be_less_than"}
    no_values = set() if name == "random" else of_values
    with quiet_library() as gx:
        known = known_types(gx)
    kinds_here = {kind for kind in C if f"expect_{kind}" in known or kind in known}
    assert kinds == kinds_here - LEFT - no_values
    assert len(left) == len(suite.expectations) - len(ours)
    with quiet_library() as gx:
        same = [entry for entry in suite.expectations if entry["id"] in ours]
        natives = [
            known[entry["type"]](
                **entry["kwargs"],
                severity=entry["severity"],
                meta={
                    "sparkweights_id": entry["id"],
                    "sparkweights_column": entry["kwargs"].get("column"),
                },
            )
            for entry in same
        ]
        outcomes = run_natively(gx, open_batch(gx, df, "t"), natives, "all")
    theirs = {result.id: result for result in map(result_of, outcomes)}
    assert ours.keys() == theirs.keys()
    different = [(ours[key], theirs[key]) for key in ours if not _same(ours[key], theirs[key])]
    assert not different


def test_left_expectations_run_in_the_library_beside_the_compiled(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Every entry has its result, in the order of ids, wherever it ran."""
    wanted = ("column_values_to_be_unique", "column_values_to_not_be_null", "column_to_exist")
    whole = _suite(tmp_path)
    entries = tuple(e for e in whole.expectations if e["id"].rsplit(" ", 1)[0] in wanted)
    report = run_suite(_table(spark, "awkward"), replace(whole, expectations=entries), table="t")
    assert [result.id for result in report.results] == sorted(e["id"] for e in entries)
    by_id = {result.id: result for result in report.results}
    assert by_id["column_values_to_be_unique 0"].success
    assert by_id["column_values_to_be_unique 1"].unexpected == 50
    assert by_id["column_to_exist 1"].success is False


def _light(df: DataFrame, whole: Suite) -> Suite:
    """Return the part of a suite that rides on one pass."""
    needs = compile_suite(df, whole, table="t").needs
    light = [
        entry
        for entry, need in zip(whole.expectations, needs, strict=True)
        if need is not None
        and not need.heavy
        and not need.repeated
        and not (need.light and need.scope)  # one query per row condition
    ]
    assert len(light) >= 40
    return replace(whole, expectations=tuple(light))


def test_expectation_whose_kwargs_the_library_refuses_late_is_named(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Some kwargs are looked at only when the library runs; then, too, a sentence says which."""
    whole, bad = _suite(tmp_path), {"column": "n", "partition_object": {"bins": [1]}}
    late = {"id": "late", "type": "expect_column_kl_divergence_to_be_less_than", "kwargs": bad,
            "severity": "critical"}  # fmt: skip
    beside = [e for e in whole.expectations if e["id"] == "column_values_to_be_increasing 0"]
    wrong = replace(whole, expectations=(*beside, late))
    with pytest.raises(ConfigError, match=r"\(late\) cannot be run: Invalid partition_object"):
        run_suite(_table(spark, "awkward"), wrong, table="t")
    # Without a reference the library takes the table's own, which only its own run can know.
    own = {**late, "kwargs": {"column": "n", "threshold": 0.1}}
    report = run_suite(_table(spark, "awkward"), replace(whole, expectations=(own,)), table="t")
    assert report.success


def test_compiled_suite_takes_one_pass(spark: SparkSession, tmp_path: Path) -> None:
    """Conditions and light aggregates in one query, however many; the others have their own."""
    df = _table(spark, "awkward").coalesce(1)
    light = _light(df, _suite(tmp_path))
    compile_suite(df, light, table="t")
    spark.sparkContext.setJobGroup("checks", "checks")
    run_suite(df, light, table="t")
    jobs = spark.sparkContext.statusTracker().getJobIdsForGroup("checks")
    spark.sparkContext.setJobGroup("other", "other")
    # Adaptive execution runs the partial counts as a job of its own.
    assert len(jobs) <= 2


def test_row_checks_follow_the_library_for_every_row_level_type(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A row is set aside exactly where the library counts it as unexpected."""
    df = _table(spark, "awkward")
    checked = compile_suite(df, _suite(tmp_path), table="t")
    failing = df.select(F.explode(checked.failed(checked.matched_conditions)).alias("id"))
    counts = {row["id"]: row["count"] for row in failing.groupBy("id").count().collect()}
    report = run_suite(df, _suite(tmp_path), table="t")
    by_id = {result.id: result.unexpected for result in report.results}
    assert len(checked.quarantining) >= 30
    for id_ in checked.quarantining:
        assert counts.get(id_, 0) == (by_id[id_] or 0), id_  # of no rows the library counts none
    set_aside = df.filter(checked.critical).count()
    assert (
        set_aside == df.filter(F.size(checked.failed(checked.matched_conditions)) > 0).count() > 0
    )
    assert set_aside == df.filter(checked.failing(report.failing)).count()
    assert df.filter(checked.failing(set())).isEmpty()
    one = next(id_ for id_ in sorted(checked.quarantining) if by_id[id_])
    assert df.filter(checked.failing({one})).count() == by_id[one]


def test_a_number_that_is_none_is_set_aside_whoever_wrote_the_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    """NaN is above every limit; pyarrow leaves it out of what its file calls the largest value."""
    table = pa.table({"x": [0.5, math.nan, 0.25]})
    pq.write_table(table, tmp_path / "t.parquet", write_page_index=True)
    df = spark.read.parquet(str(tmp_path / "t.parquet"))
    within = {
        "id": "within",
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "x", "max_value": 1},
        "severity": "critical",
    }
    checked = compile_suite(df, Suite("suite", (within,)), table="t")
    assert df.filter(checked.critical).count() == 1
    # What Spark itself makes of such a filter; should this fail, `critical` may be simpler.
    assert df.filter(F.col("x") > 1).count() == 0


def test_observed_patterns_count_what_a_query_counts(spark: SparkSession, tmp_path: Path) -> None:
    """On a pass that is made anyway, each condition is counted as by a query of its own."""
    df = _table(spark, "random")
    suite = _light(df, _suite(tmp_path))
    plan = compile_suite(df, suite, table="t")
    observation = Observation()
    found_df = df.withColumn("__found", plan.matched_conditions)
    found_df.observe(observation, *plan.measures(F.col("__found"))).write.format("noop").mode(
        "overwrite"
    ).save()
    assert plan.report(df, observation.get) == run_suite(df, suite, table="t")


@needs_sketch
def test_more_patterns_than_are_tracked_are_counted_anew(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sketch that may be inexact is never believed."""
    monkeypatch.setattr(compiled, "MAX_PATTERNS", 3)
    df = _table(spark, "random")
    suite = _light(df, _suite(tmp_path))
    plan = compile_suite(df, suite, table="t")
    found_df = df.withColumn("__found", plan.matched_conditions)
    row = found_df.agg(*plan.measures(F.col("__found"))).first()
    assert len(row["t: patterns"]) == 3
    assert plan.report(df, row.asDict()) == run_suite(df, suite, table="t")


@needs_sketch
def test_a_sketch_that_has_left_patterns_out_is_not_believed(spark: SparkSession) -> None:
    """Of 2^15 patterns it returns fewer than it may, and their counts look like all there is."""
    names = [f"c{i}" for i in range(15)]
    bits = [
        F.when(F.col("id").bitwiseAND(2**i) == 0, F.lit(1)).alias(name)
        for i, name in enumerate(names)
    ]
    df = spark.range(2**15, numPartitions=4).select(*bits)
    entries = tuple(
        {
            "id": name,
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": name},
            "severity": "critical",
        }
        for name in names
    )
    checked = compile_suite(df, Suite("suite", entries), table="t")
    found_df = df.withColumn("__found", checked.matched_conditions)
    measured = found_df.agg(*checked.measures(F.col("__found"))).first().asDict()
    assert len(measured["t: patterns"]) < compiled.MAX_PATTERNS
    report = checked.report(df, measured)
    assert {result.unexpected for result in report.results} == {2**14}


def test_a_sum_that_no_type_has_is_left_to_the_library(spark: SparkSession) -> None:
    """Of booleans there is none; its own run says so, and the others are judged.

    As is a set of words for a column that has become numbers.
    """
    df = spark.createDataFrame([(True, 1), (False, 2)], "flag boolean, x int")
    entries = (
        {"id": "sum", "type": "expect_column_sum_to_be_between",
         "kwargs": {"column": "flag", "min_value": 0}, "severity": "warning"},
        {"id": "set", "type": "expect_column_values_to_be_in_set",
         "kwargs": {"column": "x", "value_set": ["graduate", "school"]}, "severity": "warning"},
        {"id": "known", "type": "expect_column_values_to_not_be_null",
         "kwargs": {"column": "x"}, "severity": "critical"},
    )  # fmt: skip
    results = {one.id: one for one in run_suite(df, Suite("s", entries), table="t").results}
    assert results["sum"].error is not None
    assert not results["set"].success
    needs = compile_suite(df, Suite("s", entries), table="t").needs
    assert [need is None for need in needs] == [True, True, False]
    assert results["known"].success
