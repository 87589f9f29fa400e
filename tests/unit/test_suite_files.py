"""Suite files: old forms, parameters, and what is refused because it is not data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkweights.core.errors import ConfigError
from sparkweights.quality.suite import load_suite

if TYPE_CHECKING:
    from pathlib import Path

    from sparkweights.quality.suite import Suite

BETWEEN = "expect_column_values_to_be_between"


def _load(folder: Path, record: dict[str, Any], **parameters: object) -> Suite:
    path = folder / "suite.json"
    path.write_text(json.dumps(record))
    return load_suite(path, parameters)


def _entry(type_: str, **kwargs: object) -> dict[str, Any]:
    return {"expectations": [{"type": type_, "kwargs": kwargs}]}


def test_old_suite_is_converted_with_a_notice(tmp_path: Path) -> None:
    """The form before 1.0 gives the entries of today's form, ids included."""
    kwargs = {"column": "amt", "min_value": 0}
    old = {"expectation_suite_name": "old", "data_asset_type": None, "ge_cloud_id": None,
           "expectations": [{"expectation_type": BETWEEN, "kwargs": kwargs, "meta": {}}],
           "meta": {"great_expectations_version": "0.18.19"}}  # fmt: skip
    new = {"name": "old", "expectations": [{"type": BETWEEN, "kwargs": kwargs, "meta": {}}]}
    read, written = _load(tmp_path, old), _load(tmp_path, new)
    assert read.name == "old"
    (notice,) = read.notices
    assert "before 1.0" in notice
    assert written.notices == ()
    (ours,), (theirs,) = read.expectations, written.expectations
    assert {key: ours[key] for key in theirs} == theirs


def test_parameters_have_the_values_of_configuration_then_file_then_default(
    tmp_path: Path,
) -> None:
    """A parameter is replaced by its value; ids do not follow values, digests do."""
    record = _entry(
        BETWEEN,
        column="amt",
        min_value={"$PARAMETER": "low"},
        max_value={"$PARAMETER": "2 * high + 1"},
    )
    suite = _load(tmp_path, {**record, "suite_parameters": {"low": 1, "high": 3}}, low=5)
    (entry,) = suite.expectations
    assert entry["kwargs"] == {"column": "amt", "min_value": 5, "max_value": 7.0}
    other = _load(tmp_path, {**record, "suite_parameters": {"low": 1, "high": 3}}, low=6)
    assert other.expectations[0]["id"] == entry["id"]
    assert other.sha != suite.sha
    default = {"$PARAMETER": "low", "$PARAMETER.low": 4}  # as before 1.0
    old = _load(tmp_path, _entry(BETWEEN, column="amt", min_value=default))
    assert old.expectations[0]["kwargs"]["min_value"] == 4
    towns = _entry("expect_column_values_to_be_in_set", column="t", value_set={"$PARAMETER": "all"})
    assert _load(tmp_path, towns, all=("a", "b")).expectations[0]["kwargs"]["value_set"] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "\ud800", "kwargs": {}},
        _entry(BETWEEN, column="\udfff", min_value=0),
        {**_entry(BETWEEN, column="a", min_value=0), "meta": {"\ud800": 1}},
    ],
)
def test_text_that_is_no_text_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    """Half of a surrogate pair has no encoding: nothing could be hashed, written or printed."""
    with pytest.raises(ConfigError, match="half of a surrogate pair"):
        _load(tmp_path, entry)


@pytest.mark.parametrize("expression", ["low", "now()", "low - 1", "__import__('os')", 7, "1 / 0"])
def test_parameter_without_a_value_is_refused(tmp_path: Path, expression: object) -> None:
    """It was a traceback; a function of the library's own expressions is not called."""
    record = _entry(BETWEEN, column="amt", min_value={"$PARAMETER": expression})
    with pytest.raises(ConfigError, match=r"expectations\[0\]"):
        _load(tmp_path, record, high=1, lowest="x")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (_entry("expect_query_results_to_match_comparison", base_query="SELECT 1",
                comparison_data_source_name="x"), "SQL of a suite is not run"),
        (_entry("unexpected_rows_expectation", unexpected_rows_query="SELECT 1"),
         "no condition on rows"),
        (_entry(BETWEEN, column="a", row_condition="reflect('a', 'b') = 1",
                condition_parser="spark"), "'reflect' at line 1"),
        (_entry("expect_column_values_to_match_regex", column="a", regex="(a+)+$"),
         "exponential time"),
        (_entry("expect_column_values_to_match_regex_list", column="a", regex_list=["x", "(a+)+$"]),
         "exponential time"),
        (_entry("expect_column_values_to_match_like_pattern", column="a", like_pattern="%a" * 11),
         "11 wildcards"),
        (_entry("expect_column_values_to_match_json_schema", column="a",
                json_schema={"properties": {"x": {"$ref": "http://127.0.0.1/x.json"}}}),
         "another file"),
        (_entry("expect_column_values_to_match_json_schema", column="a",
                json_schema={"anyOf": [{"pattern": "(a+)+$"}]}), "exponential time"),
        (_entry("expect_column_values_to_match_json_schema", column="a",
                json_schema={"patternProperties": {"(a+)+$": {}}}), "exponential time"),
    ],
)  # fmt: skip
def test_entry_that_is_a_program_is_refused(
    tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    """A suite is data: nothing in it reaches an interpreter that can do more than compare."""
    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, entry)
    assert words in refused.value.message
    assert "expectations[0]" in refused.value.message


def test_kwargs_that_ask_for_values_or_files_are_dropped(tmp_path: Path) -> None:
    """The library's result format could bring rows to the driver, and never changes a verdict."""
    asked = {"result_format": "COMPLETE", "catch_exceptions": False, "batch_id": "x"}
    (entry,) = _load(tmp_path, _entry(BETWEEN, column="a", min_value=0, **asked)).expectations
    assert entry["kwargs"] == {"column": "a", "min_value": 0}
