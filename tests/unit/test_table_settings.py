"""Settings of tables: what stands for a date, and paths that are no patterns."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import types as T

from sparkweights.config.schema import Config
from sparkweights.core.columns import require_columns
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.spec.tables import Table, check_placeholders, dated
from sparkweights.storage.publish.column_types import is_wider
from sparkweights.storage.spark_paths import literal_path

BASE = {
    "name": "n",
    "columns": {"keys": ["k"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]},
}
TEXT = {"format": "csv", "location": "in", "schema": "k int, x double"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in/{run_date}", "in/2026-03-01"),
        ("{run_date:%Y%m%d}", "20260301"),
        ("{run_date:%Y}/{run_date:%m}", "2026/03"),
        ("in[1]{2}", "in[1]{2}"),
    ],
)
def test_placeholders_of_the_date_are_filled_in(text: str, expected: str) -> None:
    """As ISO or by a format; braces around anything else than a name stand for themselves."""
    check_placeholders("tables.incoming.location", text)
    assert dated(text, date(2026, 3, 1)) == expected


@pytest.mark.parametrize("text", ["in/{date}", "{run_date:%Q}", "{run_date:}", "{RUN_DATE}"])
def test_placeholders_that_no_run_fills_in_are_refused(text: str) -> None:
    """They would name a folder with braces, which nobody meant."""
    with pytest.raises(ConfigError, match=r"is not known; known: \{run_date\}"):
        Config(**BASE, tables={"incoming": {"location": text}})
    with pytest.raises(ConfigError, match="is not known"):
        Config(**BASE, tables={"incoming": {"location": "in", "partition": {"d": text}}})


@pytest.mark.parametrize(
    ("role", "table", "words"),
    [
        ("labelled", {**TEXT, "malformed": "quarantine"}, "malformed: 'quarantine' is for a csv"),
        ("incoming", {"location": "in", "malformed": "quarantine"}, "is for a csv or json"),
        ("incoming", {"location": "in", "final_newline": "optional"}, "final_newline"),
        ("incoming", {**TEXT, "options": {"MODE": "DROPMALFORMED"}}, "tables.incoming.malformed"),
    ],
)
def test_settings_of_reading_that_do_not_apply_are_refused(
    role: str, table: dict[str, object], words: str
) -> None:
    """A setting without effect, or one that would hide lost rows, stops before any job."""
    with pytest.raises(ConfigError, match=words):
        Config(**BASE, tables={role: table})


def test_options_are_the_words_of_sparks_reader() -> None:
    """A boolean of YAML is the text that the reader takes."""
    table = Table(location="data", options={"header": True, "sep": ";"})
    assert table.options == {"header": "true", "sep": ";"}


def test_partition_may_list_values() -> None:
    """One value is a list of one."""
    table = Table(location="data", partition={"month": [1, 2], "branch": "north"})
    assert table.partition_values == {"month": (1, 2), "branch": ("north",)}


@given(st.text(st.sampled_from("ab/[]{}*?\\-"), max_size=12))
def test_literal_path_has_no_character_of_a_pattern_left(path: str) -> None:
    """Every one is escaped, and without the escapes the path is the same."""
    literal = literal_path(path)
    plain, escaped = "", iter(literal)
    for character in escaped:
        assert character not in "[]{}*?"
        plain += next(escaped) if character == "\\" else character
    assert plain == path


def test_wider_types_hold_every_value() -> None:
    """Integers by size and as text; a fraction is no wider than a bigint, nor the reverse."""
    assert is_wider(T.LongType(), T.IntegerType())
    assert is_wider(T.StringType(), T.LongType())
    assert is_wider(T.DoubleType(), T.FloatType())
    assert not is_wider(T.IntegerType(), T.LongType())
    assert not is_wider(T.LongType(), T.DoubleType())
    assert not is_wider(T.DoubleType(), T.LongType())
    assert not is_wider(T.LongType(), T.StringType())


def test_a_struct_field_is_refused_with_the_way_to_flatten_it() -> None:
    """A name with a dot is a column's own name; of a struct the hint says what to write."""
    address = T.StructType([T.StructField("city", T.StringType())])
    schema = T.StructType([T.StructField("address", address)])
    with pytest.raises(InputError, match=r"flatten it .* address\.city AS address_city"):
        require_columns(schema, ["address.city"], table="incoming")
