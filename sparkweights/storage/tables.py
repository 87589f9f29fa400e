"""Reading tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from sparkweights.core.columns import column, require_columns
from sparkweights.core.errors import InputError, spark_message
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
    from pyspark.sql.types import StructType


@dataclass(frozen=True)
class TableSource:
    """A table to read, with its paths, options and dates resolved.

    Attributes
    ----------
    role
        Its name in the configuration, for messages.
    location, format
        An absolute path or a URI, and the files' format; or, with format ``table``, the table's
        name in the catalog.
    schema_ddl
        Its columns and types where the format does not store them.
    options
        Spark's reader options; they may hold secrets and are never logged.
    partition
        Column -> value of the rows that are read; without any, all rows are read.
    row_filter
        From the table's schema to the condition of the rows that are read; None for all rows.
    """

    role: str
    location: str
    format: str
    schema_ddl: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    partition: Mapping[str, str | int] = field(default_factory=dict)
    row_filter: Callable[[StructType], Column] | None = field(default=None, repr=False)

    @property
    def bytes(self) -> int | None:
        """The size of its files together; None where only Spark can read them."""
        if self.format == "table" or "://" in self.location:
            return None
        return Location.of(self.location).size


def read_table(spark: SparkSession, source: TableSource) -> DataFrame:
    """Open a table for reading, without reading a row.

    Raises
    ------
    InputError
        If there is nothing at its location, Spark cannot infer its columns, or a column of its
        partition is missing.
    """
    try:
        df = _open(spark, source)
        df.schema  # noqa: B018 (Spark resolves the columns now, so that errors appear here)
    except (PySparkException, Py4JError) as error:  # py4j's: an error of a filesystem
        raise _unreadable(error, source) from None
    df = _within(df, source)
    return df if source.row_filter is None else df.filter(source.row_filter(df.schema))


def _open(spark: SparkSession, source: TableSource) -> DataFrame:
    """Return the files of the requested partition if it is a folder, else the whole table.

    Spark infers a table's columns from its first file, which may be of an early date: a column that
    was removed since would be read as null, and one that was added would be missing.
    """
    if source.format == "table":
        return _reader(spark, source).table(source.location)
    if source.partition and source.format in {"parquet", "orc"}:
        folders = [f"{name}={value}" for name, value in source.partition.items()]
        path = "/".join([source.location.rstrip("/"), *folders])
        try:
            df = _reader(spark, source).option("basePath", source.location).load(path)
            df.schema  # noqa: B018 (Spark resolves the columns now)
        except PySparkException as error:
            if not (error.getCondition() or "").startswith("PATH_NOT_FOUND"):
                raise
        else:
            return df
    return _reader(spark, source).load(source.location)


def _reader(spark: SparkSession, source: TableSource) -> DataFrameReader:
    # A corrupt or vanished file must stop the job, whatever the cluster's defaults are.
    strict = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
    if source.format == "csv":
        # A file whose header names other columns, or in another order, is not read by position.
        strict["enforceSchema"] = "false"
    reader = spark.read.options(**{**strict, **source.options})
    if source.schema_ddl is not None:
        reader = reader.schema(source.schema_ddl)
    return reader if source.format == "table" else reader.format(source.format)


def _within(df: DataFrame, source: TableSource) -> DataFrame:
    """Return the rows of the requested partition."""
    if not source.partition:
        return df
    require_columns(df.schema, list(source.partition), table=source.role)
    # The value is cast to the column's type, not the other way round, so that a source can skip
    # files by it; a value that cannot be cast matches no row.
    conditions = [
        column(name) == F.lit(str(value)).try_cast(df.schema[name].dataType)
        for name, value in source.partition.items()
    ]
    return df.filter(reduce(and_, conditions))


def _unreadable(error: PySparkException | Py4JError, source: TableSource) -> InputError:
    text = str(error)
    condition = (error.getCondition() or "") if isinstance(error, PySparkException) else ""
    if condition.startswith(("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")):
        return InputError(
            f"No table at '{source.location}' (tables.{source.role}).",
            hint=f"correct tables.{source.role}.location, or run the job that fills it.",
        )
    if "No FileSystem for scheme" in text or "ClassNotFoundException" in text:
        return InputError(
            f"Table tables.{source.role} at '{source.location}' cannot be read: Spark has no "
            f"connector for {source.location.partition('://')[0]}.",
            hint="add the storage's connector to the job (spark-submit --packages), or correct "
            f"tables.{source.role}.location.",
        )
    reasons = {
        "COLUMN_ALREADY_EXISTS": "a column appears twice (Spark does not distinguish upper "
        "from lower case)",
        "UNABLE_TO_INFER_SCHEMA": "it holds no data files",
        "PARSE_SYNTAX_ERROR": "its name or its schema cannot be parsed",
    }
    reason = next((text for key, text in reasons.items() if condition.startswith(key)), None)
    if reason is None:
        reason = spark_message(error)
    return InputError(
        f"Table tables.{source.role} at '{source.location}' cannot be read: {reason}.",
        hint="check the table's files, format and schema.",
    )


def require_rows(df: DataFrame, source: TableSource) -> None:
    """Refuse a table without rows, with a job that reads at most one.

    Raises
    ------
    InputError
        If it is empty.
    """
    if df.isEmpty():
        part = ", ".join(f"{name} = {value}" for name, value in source.partition.items())
        raise InputError(
            f"Table tables.{source.role} holds 0 rows{f' where {part}' if part else ''}.",
            hint="run the job that fills it; where an empty table is right, set "
            "checks.allow_empty: true.",
        )
