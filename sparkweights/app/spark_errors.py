"""Spark errors that the input, the storage or a lack of memory causes, as errors for the user.

Messages of readers quote values, and whole records; so only what is known to hold none is taken
from them: the names of error conditions, files, columns and types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkweights.core.engine_errors import NETWORK_ERRORS, SPARK_ERRORS
from sparkweights.core.errors import (
    ConfigError,
    InputError,
    ModelError,
    PublishError,
    SparkweightsError,
    join_names,
)
from sparkweights.storage.jdbc import Refusal, find_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_DISK = {
    "No space left on device": "the disk is full",
    "Read-only file system": "the storage is read-only",
    "Mkdirs failed": "a folder cannot be made",
    "unmappable characters": "Java's locale lacks a character of a decision's name (LC_ALL)",
}
_INPUT = {
    "CANNOT_READ_FILE_FOOTER": "a data file is damaged: its footer cannot be read",
    "MALFORMED_RECORD_IN_PARSING": "a record does not fit the table's schema",
    "PARQUET_COLUMN_DATA_TYPE_MISMATCH": "a data file's column has another type than the table",
    "SparkFileNotFoundException": "a data file vanished while it was read",
    "is not a Parquet file": "a data file is not parquet",
    "CSV header does not conform": "the header of a csv file differs from tables.*.schema",
    "Could not read or convert schema": "a data file is damaged: its schema cannot be read",
    "Unexpected end of input stream": "a compressed data file ends in the middle",
    "PARQUET_TYPE_ILLEGAL": "a data file holds a type that Spark does not read, such as timestamps "
    "in nanoseconds",
    "FAILED_READ_FILE": "a data file cannot be read",
    "CANNOT_READ_FILE": "a data file cannot be read",
    "ParquetDecodingException": "a data file is damaged: a page of it cannot be decoded",
    "CorruptStatistics": "a data file is damaged",
    "OrcCorruptionException": "a data file is damaged",
    "FileFormatException": "a data file is damaged",
    "could not read page": "a data file is damaged: a page of it cannot be read",
    "CAST_INVALID_INPUT": "a value cannot be cast to its column's type",
    "CAST_OVERFLOW": "a value is too large for its column's type",
    "METASTORE_PARTITION_FILTER": "the metastore cannot find a table's partitions by their values",
}
_TOPIC = {
    "Some data may have been lost because": Refusal(
        "messages of a topic that were not processed are no longer there",
        "let brokers keep them for longer than a stream may stand still; to go on without those "
        "that are lost, set failOnDataLoss: 'false' in the options of the source for one start.",
    ),
    "UnknownTopicOrPartitionException": Refusal(
        "a topic is not there",
        "correct stream.incoming.location or stream.outcomes.location, or make the topic.",
    ),
    "AuthorizationException": Refusal(
        "a broker of Kafka does not let this login read a topic",
        "ask for the right to read and to describe it.",
    ),
    "AuthenticationException": Refusal(
        "a broker of Kafka does not take the login",
        "check the options kafka.security.protocol, kafka.sasl... and kafka.ssl... of the source.",
    ),
    "waiting for a node assignment": Refusal(
        "no broker of Kafka answers",
        "check the options kafka.bootstrap.servers and kafka.security.protocol of the source, and "
        "the way to the brokers.",
    ),
    "No resolvable bootstrap urls": Refusal(
        "the addresses of brokers of Kafka are none of a machine",
        "check the option kafka.bootstrap.servers of the source.",
    ),
}
# Tested last: Spark wraps any failure of a writing task in it.
_WRITE = {"TASK_WRITE_FAILED": "a task could not write its rows"}
_MEMORY = ("OutOfMemoryError", "OutOfMemoryException", "GC overhead limit", "UNABLE_TO_ACQUIRE")
_NO_CONNECTOR = re.compile(
    r'No FileSystem for scheme "?([a-z][a-z0-9+.-]*)'
    r"|Class org\.apache\.hadoop\.fs\.(s3a)\.\w+ not found"
)
_NO_SERVER = ("CONNECT_URL_NOT_SET", "INVALID_CONNECT_URL")
_LOST = ("ExecutorLostFailure", "Executor heartbeat timed out", "MetadataFetchFailed")
_DISCONNECTED = ("StatusCode.UNAVAILABLE", "Answer from Java side is empty")
_REFUSED = Refusal(
    "a database ended a connection, or refused a query", "see the database's log, then run again."
)
# What may be quoted from a message.
_QUOTABLE = (
    re.compile(r"(?m)(?:^|^: |\b\w+(?:Exception|Error): )\[([A-Z][A-Z_]+(?:\.[A-Z_]+)?)\]"),
    re.compile(r"\b(?:file|hdfs|dbfs|s3[an]?|gs|wasbs?|abfss?):/[^\s,;'\"\]\[)]+[^\s,;'\"\]\[).]"),
    re.compile(r"(?m)^: ((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error))\b"),
    re.compile(r"Column: \[[^\]]*\], Expected: \w+(?:\([\d,]+\))?, Found: \w+"),
    re.compile(r'of the type "[A-Z_]+(?:\([\d,]+\))?" cannot be cast to "[A-Z_]+(?:\([\d,]+\))?"'),
)


def is_of_spark(error: BaseException) -> bool:
    """Whether an exception comes from Spark, from Java or from the connection to them."""
    return isinstance(error, (*SPARK_ERRORS, ConnectionError))


def expected_failure(error: Exception) -> SparkweightsError | None:
    """Return the sentence for a failure of Spark that the user can act on, else None."""
    if not is_of_spark(error):
        return None
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return SparkweightsError(
            "Java started and stopped again; Spark needs Java 17 or newer.",
            hint="see `java -version`, and what JAVA_HOME names.",
        )
    if any(sign in text for sign in _NO_SERVER):
        return ConfigError(
            "Spark Connect is told of no server: SPARK_REMOTE is not set, or is no address of one.",
            hint="set it, as in SPARK_REMOTE=sc://HOST:15002; pyspark-client starts no engine of "
            "its own: to have one, remove it first, then pip install 'sparkweights[spark]'.",
        )
    if "Error loading metadata" in text:
        return ModelError(
            "The files of the model are not those of its kind: their metadata names another class.",
            hint="restore the bundle from a copy, or train again.",
        )
    return (
        _connector_failure(text)
        or _resource_failure(error, text)
        or (None if "FAILED_READ_FILE" in text else _output_failure(text, _DISK))
        or _topic_failure(text)
        or _input_failure(text)
        or _database_failure(text)
        or _output_failure(text, _WRITE)
    )


def _connector_failure(text: str) -> ConfigError | None:
    found = _NO_CONNECTOR.search(text)
    if found is None:
        return None
    return ConfigError(
        f"Spark cannot open {found[1] or found[2]}:// here: it has no connector of that storage.",
        hint="start it with the connector; for s3a that is --packages "
        "org.apache.hadoop:hadoop-aws:RELEASE, of the release of Hadoop in Spark.",
    )


def _resource_failure(error: Exception, text: str) -> SparkweightsError | None:
    """Return the sentence for a lack of memory, and for processes that ended."""
    if any(sign in text for sign in _MEMORY):
        return SparkweightsError(
            "Spark stopped: a Java process ran out of memory.",
            hint="give it more (spark.driver.memory, spark.executor.memory), use more partitions "
            "(spark.sql.shuffle.partitions), or name fewer columns; then run again.",
        )
    if "StackOverflowError" in text:
        return SparkweightsError(
            "Spark stopped: an expression is nested too deep for Java's stack, or a pattern of a "
            "check needs too many steps on a long text.",
            hint="shorten the costs or the check's regular expression, or give Java a larger stack "
            "(spark.driver.extraJavaOptions=-Xss16m, spark.executor.extraJavaOptions=-Xss16m).",
        )
    if isinstance(error, NETWORK_ERRORS) or any(sign in text for sign in _DISCONNECTED):
        return SparkweightsError(
            "Spark's driver process ended, or cannot be reached; the operating system ends a "
            "process that needs more memory than there is.",
            hint="see the system's log for 'Out of memory' and the container's limit; give the "
            "driver more memory or the machine fewer tasks, then run again.",
        )
    if any(sign in text for sign in _LOST):
        return SparkweightsError(
            "Spark stopped: an executor ended again and again.",
            hint="see its log; most often it needs more memory (spark.executor.memory, "
            "spark.executor.memoryOverhead).",
        )
    return None


def _output_failure(text: str, signs: Mapping[str, str]) -> PublishError | None:
    for sign, reason in signs.items():
        if sign in text:
            return PublishError(
                f"Spark stopped: {reason}.",
                hint="nothing was published; check free space, permissions and, for names that are "
                "not ASCII, LC_ALL=C.UTF-8 on driver and executors; then run again.",
            )
    return None


def _input_failure(text: str) -> InputError | None:
    for sign, reason in _INPUT.items():
        if sign in text:
            return InputError(
                f"Spark stopped: {reason} ({quotable(text) or sign}).",
                hint="repair the table's files, then run again.",
            )
    return None


def _topic_failure(text: str) -> InputError | None:
    if "kafka" not in text.casefold():
        return None
    for sign, refusal in _TOPIC.items():
        if sign in text:
            return InputError(f"Spark stopped: {refusal.reason}.", hint=refusal.hint)
    return None


def _database_failure(text: str) -> SparkweightsError | None:
    """Return the sentence for what a driver of JDBC refuses in a task."""
    if "BatchUpdateException" in text:
        return PublishError(
            "Spark stopped: a database did not take the rows of a task.",
            hint="nothing was published; its log says why. Texts with the character of code 0, "
            "for instance, have no place in PostgreSQL.",
        )
    if "SQLException" in text:
        refusal = find_refusal(text) or _REFUSED
        return SparkweightsError(f"Spark stopped: {refusal.reason}.", hint=refusal.hint)
    return None


def quotable(text: str) -> str:
    r"""Return the parts of a message of Spark that hold no value of a row, without repetition.

    Examples
    --------
    >>> quotable("[FAILED_READ_FILE.NO_HINT] Error while reading file file:///in/a.json. Jane Doe")
    'FAILED_READ_FILE.NO_HINT, file:///in/a.json'
    >>> quotable("An error occurred while calling o1.save.\n: java.lang.StateException: Jane Doe")
    'java.lang.StateException'
    """
    quoted = [match[match.lastindex or 0] for part in _QUOTABLE for match in part.finditer(text)]
    return join_names(list(dict.fromkeys(quoted))[:4]) if quoted else ""
