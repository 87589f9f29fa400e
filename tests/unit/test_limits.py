"""Damaged, endless and hostile inputs: each is refused in one bounded sentence without values."""

from __future__ import annotations

import io
import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.errors import PySparkException

from sparkweights.app.spark_errors import expected_failure, quotable
from sparkweights.config import column_selection
from sparkweights.config.column_selection import select_columns
from sparkweights.config.load import MAX_BYTES, load_config
from sparkweights.core.errors import MAX_MESSAGE, ConfigError, InputError, printable
from sparkweights.costs.expression import MAX_OPERANDS, evaluate, parse
from sparkweights.quality.suite import load_suite
from sparkweights.spec.settings import ColumnsMatching

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

cli = import_module("sparkweights.cli.main")  # its package has a function of the same name
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: !!bool maybe", "its tag !!bool is not allowed"),
        ('seed: !!int ""', "its tag !!int is not allowed"),
        ("checks: !!set {a}", "its tag !!set is not allowed"),
        ("name: !!python/name:os.system x", "its tag !!python/name:os.system is not allowed"),
        (LAUGHS, "more than 50,000 values; an alias (*name) counts as what it stands for"),
        ("a: &a [*a]", "nested too deep, or hold themselves; at most 20 levels"),
        ("a: " + "[" * 200_000, "nested too deep"),
        ("a: " + "{a: " * 90 + "}" * 90, "nested too deep"),
        (r'name: "\ud800"', "half of a surrogate pair"),
        (r'"\udfff": 1', "half of a surrogate pair"),
        ("#" * (MAX_BYTES + 1), f"it has more than {MAX_BYTES:,} bytes"),
        ("seed: " + "9" * 5_000, "seed"),
    ],
    ids=["bool", "int", "set", "python", "aliases", "cycle", "brackets", "braces", "surrogate",
         "key", "size", "digits"],
)  # fmt: skip
def test_load_config_hostile_file_is_refused_at_a_limit(
    tmp_path: Path, text: str, words: str
) -> None:
    """Tags, aliases, nesting and size have limits, and each limit has a sentence."""
    file = tmp_path / "loan.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2 * MAX_MESSAGE


@pytest.mark.parametrize("load", [load_config, load_suite])
def test_load_pipe_is_refused_at_once(tmp_path: Path, load: Callable[[Path], object]) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path / "pipe")


def test_load_suite_nested_200000_deep_is_refused(tmp_path: Path) -> None:
    """The parser's recursion ends in a sentence."""
    file = tmp_path / "suite.json"
    file.write_text('{"expectations": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read: it is nested too deep"):
        load_suite(file)


def test_parse_sum_of_many_terms_is_refused() -> None:
    """The tree of a sum is as deep as it has terms, and Spark's plan with it."""
    most = "+".join(["a"] * MAX_OPERANDS)
    assert evaluate(parse(most), {"a": 1.0}) == MAX_OPERANDS
    with pytest.raises(ConfigError, match="at most 100 numbers and columns together"):
        parse(most + " + a")


def test_select_columns_pattern_of_exponential_time_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`re` would need hours for forty characters, and can be stopped by nothing in its process."""
    monkeypatch.setattr(column_selection, "MAX_SECONDS", 0.5)
    with pytest.raises(ConfigError, match=r"takes more than 0\.5 s"):
        select_columns([ColumnsMatching(matching="(a+)+")], ["a" * 40 + "b"], ())
    monkeypatch.undo()
    names = ["größe_1", "x\ny", "größe_2"]
    assert select_columns([ColumnsMatching(matching=r"\w+_\d")], names, ()) == (names[0], names[2])


def test_errors_are_bounded_and_printable() -> None:
    """A megabyte, an escape sequence, a mark of direction, a surrogate, a password."""
    error = InputError(
        "Column '" + "\x1b[2J" * 300_000 + "' \u202e \ud800 at s3a://me:hush@lake/x?sig=hush.",
        hint="\x07",
    )
    text = str(error)
    assert len(text) < 5 * MAX_MESSAGE
    assert text.isprintable()
    text.encode()
    assert "hush" not in text
    assert text.startswith("Column '\\x1b[2J")
    assert r"\u202e \ud800 at s3a://lake/x?..." in text
    assert text.endswith(r" Hint: \x07")
    assert printable("wasbs://box@account/x") == "wasbs://box@account/x"  # a name, no secret


def _java(message: str) -> PySparkException:
    return PySparkException(message)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), 1, "driver process ended"),
        (Py4JNetworkError("Answer from Java side is empty"), 1, "driver process ended"),
        (_java("java.lang.OutOfMemoryError: Java heap space"), 1, "ran out of memory"),
        (_java("Job aborted: java.lang.StackOverflowError\n\tat x"), 1, "nested too deep"),
        (_java("ExecutorLostFailure (executor 1 exited)"), 1, "an executor ended"),
        (
            _java(
                "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem "
                "not found; s3a://lake/hush"
            ),
            2,
            "Spark cannot open s3a:// here",
        ),
        (_java('No FileSystem for scheme "gs"'), 2, "Spark cannot open gs:// here"),
        (
            _java("requirement failed: Error loading metadata: Expected class name a but found b"),
            5,
            "metadata names another class",
        ),
        (
            _java(
                "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file "
                "file:///in/part-0.parquet. SQLSTATE: KD001\nCaused by: org.apache.parquet.io."
                "ParquetDecodingException: Can not read value at 7 hush in block 0"
            ),
            4,
            "a data file cannot be read (FAILED_READ_FILE.NO_HINT, file:///in/part-0.parquet)",
        ),
        (
            _java(
                "[MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION] Malformed records are detected "
                "in record parsing: [hush,HUSH,7]."
            ),
            4,
            "a record does not fit the table's schema (MALFORMED_RECORD_IN_PARSING",
        ),
        (
            _java(
                "[CAST_INVALID_INPUT] The value 'hush' of the type \"STRING\" cannot be cast to "
                '"BIGINT" because it is malformed.'
            ),
            4,
            'of the type "STRING" cannot be cast to "BIGINT"',
        ),
        (
            _java(
                "An error occurred while calling o7.isEmpty.\n: org.apache.spark.sql.kafka010."
                "KafkaIllegalStateException: Some data may have been lost because they are not "
                "available in Kafka any more; hush-0"
            ),
            4,
            "are no longer there",
        ),
        (
            _java(
                "[STREAM_FAILED] terminated with exception: org.apache.kafka.common.errors."
                "TopicAuthorizationException: Not authorized to access topics: [hush]"
            ),
            4,
            "does not let this login read",
        ),
    ],
)
def test_expected_failure_quotes_no_value(error: Exception, code: int, words: str) -> None:
    """Of Spark's messages, conditions, files, columns and types are shown, and nothing else."""
    found = expected_failure(error)
    assert found is not None
    assert found.exit_code == code
    assert words in str(found)
    assert "hush" not in str(found).casefold()
    assert "\n" not in str(found)


def test_quotable_record_in_brackets_is_no_condition() -> None:
    """One field in capitals looks like the name of an error condition."""
    assert quotable("Malformed records are detected: [JANE]") == ""


def test_main_unknown_failure_shows_its_place_and_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug's traceback names lines of code; what its messages quote may be a customer."""

    def fail(*_: object) -> None:
        try:
            {}["Jane Doe"]  # type: ignore[var-annotated]
        except KeyError as error:
            message = "bad row [Jane Doe, 7041] \x1b[2J"
            raise RuntimeError(message) from error

    monkeypatch.setitem(cli._VERBS, "score", fail)
    assert cli.main(["score", "--config", "x", "--quiet"]) == 1
    text = capsys.readouterr().err
    assert text.endswith("this is a bug; please report the lines above.\n")
    assert "KeyError: ..." in text
    assert "RuntimeError: bad row ... " in text
    assert "test_limits.py" in text
    assert "7041]" not in text.replace('"bad row [Jane Doe, 7041]', "")  # the line of code above
    assert "\x1b" not in text


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "3000-01-01"])
def test_main_date_of_no_run_is_refused(day: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Spark's calendars differ from Python's before 1582."""
    assert cli.main(["score", "--config", "x", "--run-date", day]) == 2
    assert "allowed: 1900-01-01 to 2999-12-31" in capsys.readouterr().err


def test_print_to_a_closed_pipe_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sparkweights weights | head`` closes the pipe when it has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.TextIOWrapper(os.fdopen(writer, "wb", buffering=0), write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    cli._print("x" * 100_000)
    assert stream.closed


def test_print_escapes_controls(capsys: pytest.CaptureFixture[str]) -> None:
    """A column's name can neither clear the terminal nor reorder a line; JSON stays JSON."""
    from sparkweights.storage.files import as_json

    record = {"\x9b2J\u202e": "\ud800 naïve"}
    text = as_json(record, indent=None)
    assert json.loads(text) == record
    cli._print(text + "\x1b[2J")
    shown = capsys.readouterr().out
    assert shown.startswith(text)
    assert shown.replace("\n", "").isprintable()
