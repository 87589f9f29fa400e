"""Suites give Great Expectations' verdicts, and row checks agree with them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, QualityGateError
from sparkweights.quality.compile import compile_suite, run_suite
from sparkweights.quality.gates import gate_checks, gate_shares
from sparkweights.quality.suite import load_suite
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.quality.suite import Suite

VALUE = "do-not-print-me"
EXPECTATIONS: list[dict[str, Any]] = [
    {"id": "1", "type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a b"}},
    {"id": "2", "type": "expect_column_values_to_be_in_set",
     "kwargs": {"column": "card", "value_set": ["gold", "basic"]}},
    {"id": "3", "type": "expect_column_values_to_not_be_in_set",
     "kwargs": {"column": "card", "value_set": [VALUE]}},
    {"id": "4", "type": "expect_column_values_to_be_between",
     "kwargs": {"column": "a b", "min_value": 0, "max_value": 3}},
    {"id": "5", "type": "expect_column_values_to_be_between",
     "kwargs": {"column": "a b", "min_value": 0, "strict_min": True}},
]  # fmt: skip


def _rows(spark: SparkSession) -> DataFrame:
    rows = [(0.0, "gold"), (None, "basic"), (-2.0, VALUE), (3.0, None), (4.0, "gold")]
    return spark.createDataFrame(rows, "`a b` double, card string")


def _suite(folder: Path, expectations: list[dict[str, Any]]) -> Suite:
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "incoming", "expectations": expectations, "meta": {}}))
    return load_suite(path)


def test_row_checks_count_what_great_expectations_counts(
    spark: SparkSession, tmp_path: Path
) -> None:
    """For each compiled expectation, failing rows equal the library's unexpected count."""
    suite = _suite(tmp_path, EXPECTATIONS)
    report = run_suite(_rows(spark), suite, table="incoming")
    compiled = compile_suite(_rows(spark), suite, table="incoming")
    assert compiled.quarantining == {"1", "2", "3", "4", "5"}
    marked = _rows(spark).select(compiled.failed(compiled.matched_conditions).alias("f"))
    for result in report.results:
        failing = marked.filter(F.array_contains("f", result.id)).count()
        assert result.unexpected == failing, result
        assert result.success == (failing == 0)
    assert not report.success


def test_run_suite_results_hold_no_value_of_the_table(spark: SparkSession, tmp_path: Path) -> None:
    """Counts leave the cluster; values do not."""
    extra = {"type": "expect_column_distinct_values_to_be_in_set",
             "kwargs": {"column": "card", "value_set": ["gold"]}}  # fmt: skip
    report = run_suite(_rows(spark), _suite(tmp_path, [*EXPECTATIONS[:2], extra]), table="incoming")
    assert VALUE not in repr(report)
    assert not any(result.success for result in report.results)


def test_run_suite_docs_tell_the_results_that_one_pass_gave(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Data Docs are Great Expectations' own pages, with our counts, and also free of values."""
    docs = tmp_path / "docs"
    innocent = [EXPECTATIONS[0], EXPECTATIONS[1], EXPECTATIONS[3]]  # none names the value itself
    suite = replace(_suite(tmp_path, innocent), name="every night/incoming")
    run_suite(_rows(spark), suite, table="incoming", docs=Location.of(docs))
    pages = list(docs.rglob("*.html"))
    assert (docs / "index.html") in pages
    (page,) = [page for page in pages if "validations" in page.parts]
    text = page.read_text()
    assert VALUE not in text
    told = " ".join(re.sub("<[^>]+>", " ", text).split())
    assert "Data asset: incoming" in told
    assert "Evaluated Expectations 3 Successful Expectations 0" in told
    assert "must belong to this set: gold basic . 1 unexpected values found. 25% of 5" in told


def test_run_suite_missing_column_is_an_error_not_a_failed_value(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A check that cannot run stops a critical gate, also where its rows could be set aside."""
    entry = {"id": "x", "type": "expect_column_values_to_not_be_null", "kwargs": {"column": "zz"}}
    report = run_suite(_rows(spark), _suite(tmp_path, [entry]), table="incoming")
    assert report.results[0].error is not None
    with pytest.raises(QualityGateError, match="could not be evaluated"):
        gate_checks(report, quarantined={"x"}, table="incoming")


def test_gate_checks_critical_stops_and_warning_does_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Severity decides: warnings are recorded, critical checks stop what rows cannot answer."""
    short = {"id": "n", "type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 9}}
    mild = run_suite(_rows(spark), _suite(tmp_path, [{**short, "severity": "warning"}]), table="t")
    assert mild.success
    gate_checks(mild, quarantined=(), table="t")
    hard = run_suite(_rows(spark), _suite(tmp_path, [{**short, "severity": "critical"}]), table="t")
    with pytest.raises(QualityGateError, match="observed 5"):
        gate_checks(hard, quarantined=(), table="t")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "expect_column_values_to_be_betwen", "kwargs": {}}, "Did you mean"),
        ({"type": "expect_column_values_to_be_between", "kwargs": {"colum": "a"}}, "wrong kwargs"),
        ({"type": "expect_column_values_to_not_be_null", "severity": "fatal"}, "severity 'fatal'"),
        ({"kwargs": {}}, "has no 'type'"),
        ({"type": "expect_column_to_exist", "kwargs": None}, "kwargs is None; allowed: an object"),
        ({"type": "expect_column_to_exist", "meta": "x"}, "meta is 'x'"),
        ({"type": "expect_column_to_exist", "id": 7}, "an id is text"),
    ],
)  # fmt: skip
def test_suite_mistake_is_one_sentence(
    spark: SparkSession, tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    """A mistake in a suite is told like a mistake in the configuration."""
    with pytest.raises(ConfigError, match=words):
        run_suite(_rows(spark), _suite(tmp_path, [entry]), table="incoming")


def test_suite_two_expectations_of_one_id_are_refused(tmp_path: Path) -> None:
    """A row check and a table check of one id would let the table check through the gate."""
    entries = [
        {"id": "x", "type": "expect_column_values_to_not_be_null", "kwargs": {"column": "card"}},
        {"id": "x", "type": "expect_table_row_count_to_equal", "kwargs": {"value": 7}},
    ]
    with pytest.raises(ConfigError, match=r"expectations\[0\] and expectations\[1\] are both 'x'"):
        _suite(tmp_path, entries)


def test_gate_shares_too_many_undecided_rows_stop_the_run() -> None:
    """More rows set aside than the limit allows is an upstream failure, not a few bad rows."""
    limits = {"quarantined": 0.02, "unscorable": 0.02}
    aside = {"keys are present": 3}
    faults = {"infinite income": 1, "cost approve.bad": 2, "cost decline.good": 1, "rest": 1}
    gate_shares(
        rows=100, quarantined=2, unscorable=2, limits=limits, quarantined_for=aside, faults=faults
    )
    with pytest.raises(
        QualityGateError,
        match=r"3 of 100 rows \(3\.0%\) are quarantined.* \(failed most: keys are present on 3\)",
    ):
        gate_shares(
            rows=100, quarantined=3, unscorable=0, limits=limits, quarantined_for=aside, faults={}
        )
    with pytest.raises(
        QualityGateError,
        match=r"5 of 100 rows .* unscorable; at most 2\.0% may be \(most for: cost approve\.bad on "
        r"2, infinite income on 1, cost decline\.good on 1\)\.",
    ):
        gate_shares(
            rows=100,
            quarantined=0,
            unscorable=5,
            limits=limits,
            quarantined_for=aside,
            faults=faults,
        )


def test_run_suite_error_while_reading_is_told_by_its_own_expectation(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A pattern that Java cannot read is one expectation's error; the others have their counts."""
    broken = {"id": "r", "type": "expect_column_values_to_match_regex",
              "kwargs": {"column": "card", "regex": "("}}  # fmt: skip
    sound = {"id": "n", "type": "expect_table_row_count_to_equal", "kwargs": {"value": 5}}
    by_id = {
        result.id: result
        for result in run_suite(
            _rows(spark), _suite(tmp_path, [broken, sound]), table="incoming"
        ).results
    }
    assert by_id["r"].error is not None
    assert by_id["n"].success


def test_run_suite_observed_nan_is_no_number(spark: SparkSession, tmp_path: Path) -> None:
    """A mean of NaN fails its check and still fits a manifest, whose JSON has no NaN."""
    df = spark.sql("SELECT double('NaN') AS x")
    mean = {"id": "m", "type": "expect_column_mean_to_be_between",
            "kwargs": {"column": "x", "min_value": 0}}  # fmt: skip
    (result,) = run_suite(df, _suite(tmp_path, [mean]), table="incoming").results
    assert result.observed is None


def test_row_conditions_mostly_and_dotted_names_decide_what_is_set_aside(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A condition leaves rows out, a dotted name is a name, and `mostly` is a choice."""
    df = spark.createDataFrame([(1.0, "x"), (5.0, "x"), (5.0, "y")], "`a.b` double, t string")
    over = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "a.b", "max_value": 2},
    }
    in_x = {**over, "id": "x", "kwargs": {**over["kwargs"], "row_condition": "t = 'x'"}}
    most = {**over, "id": "most", "kwargs": {**over["kwargs"], "mostly": 0.3}}
    query = "SELECT * FROM {batch} WHERE `a.b` > 2"
    rows = {"id": "rows", "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": query}}  # fmt: skip
    suite = _suite(tmp_path, [in_x, most, rows])
    checked = compile_suite(df, suite, table="t")
    failed = [
        set(row[0]) for row in df.select(checked.failed(checked.matched_conditions)).collect()
    ]
    assert failed == [set(), {"x", "most", "rows"}, {"most", "rows"}]
    of_table = compile_suite(df, replace(suite, mostly="table"), table="t")
    assert of_table.quarantining == {"x", "rows"}
    by_id = {result.id: result for result in run_suite(df, suite, table="t").results}
    assert [by_id[id_].success for id_ in ("x", "most", "rows")] == [False, True, False]
    assert by_id["x"].column == "a.b"
    assert by_id["rows"].sentence == "unexpected_rows_expectation: 2 rows"


def test_run_suite_docs_escape_names_and_load_nothing(spark: SparkSession, tmp_path: Path) -> None:
    """A column's name is text on the pages, and the pages are complete without a network."""
    evil = "<svg onload=alert(1)>$column`"
    df = spark.createDataFrame([(1, 1)], f"`{evil.replace('`', '``')}` int, `a.b` int")
    kwargs = {"column": evil, "max_value": 2}
    entries = [
        {"type": "expect_column_values_to_be_between", "kwargs": kwargs,
         "meta": {"notes": {"format": "markdown", "content": [f"[x](javascript:1) {evil}"]}}},
        {"type": "expect_column_values_to_not_be_null",
         "kwargs": {"column": "a.b", "row_condition": "`a.b` > 0 and `a.b` < 1"}},
    ]  # fmt: skip
    report = run_suite(
        df, _suite(tmp_path, entries), table="t", docs=Location.of(tmp_path / "docs")
    )
    assert len(report.results) == 2
    pages = [page.read_text() for page in (tmp_path / "docs").rglob("*.html")]
    assert any("&lt;svg onload=alert(1)&gt;$column`" in page for page in pages)
    for page in pages:
        assert "Content-Security-Policy" in page
        assert not re.search(r"<(svg|script|link|img|iframe)\b|href=.javascript", page)
