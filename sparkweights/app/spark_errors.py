"""Spark errors that the input or the storage causes, as errors that the user can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from sparkweights.core.errors import InputError, PublishError, SparkweightsError, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_DISK = {
    "No space left on device": "the disk is full",
    "Read-only file system": "the storage is read-only",
    "Mkdirs failed": "a folder cannot be made",
}
_INPUT = {
    "FAILED_READ_FILE": "a data file cannot be read",
    "CANNOT_READ_FILE": "a data file cannot be read",
    "MALFORMED_RECORD_IN_PARSING": "a record does not fit the table's schema",
    "PARQUET_COLUMN_DATA_TYPE_MISMATCH": "a data file's column has another type than the table",
    "SparkFileNotFoundException": "a data file vanished while it was read",
    "is not a Parquet file": "a data file is not parquet",
    "CAST_INVALID_INPUT": "a value cannot be cast to its column's type",
    "METASTORE_PARTITION_FILTER": "the metastore cannot find a table's partitions by their values",
}
# Tested last: Spark wraps any failure of a writing task in it.
_WRITE = {"TASK_WRITE_FAILED": "a task could not write its rows"}


def expected_failure(error: Exception) -> SparkweightsError | None:
    """Return the sentence for a failure of Spark that the user can act on, else None."""
    if not isinstance(error, (PySparkException, Py4JError)):
        return None
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return SparkweightsError(
            "Java started and stopped again; Spark needs Java 17 or newer.",
            hint="see `java -version`, and what JAVA_HOME names.",
        )
    return (
        (None if "FAILED_READ_FILE" in text else _output_failure(text, _DISK))
        or _input_failure(text)
        or _output_failure(text, _WRITE)
    )


def _output_failure(text: str, signs: Mapping[str, str]) -> PublishError | None:
    for sign, reason in signs.items():
        if sign in text:
            return PublishError(
                f"Spark stopped: {reason}.",
                hint="nothing was published; check its free space and permissions, then run again.",
            )
    return None


def _input_failure(text: str) -> InputError | None:
    for sign, reason in _INPUT.items():
        if sign in text:
            line = without_values(next(line for line in text.splitlines() if sign in line))
            return InputError(
                f"Spark stopped: {reason} ({line[line.index(sign) :][:300]}{_root(text)}).",
                hint="repair the table's files, then run again.",
            )
    return None


def _root(text: str) -> str:
    """Return the message of the innermost Java cause, after a semicolon."""
    causes = [line for line in text.splitlines() if line.startswith("Caused by: ")]
    message = causes[-1].removeprefix("Caused by: ").partition(": ")[2] if causes else ""
    message = without_values(message)
    return f"; {message.rstrip('.')[:300]}" if message else ""
