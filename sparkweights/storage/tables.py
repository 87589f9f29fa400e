"""Reading tables: every row of a table is read whole, or the run stops."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import MALFORMED_RECORD, column, require_columns
from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import InputError, join_names, spark_message
from sparkweights.core.session_settings import use_settings
from sparkweights.storage.catalog_table import CatalogTable
from sparkweights.storage.jdbc import Refusal, find_refusal, option_of, with_defaults
from sparkweights.storage.location import Location
from sparkweights.storage.names import TableName
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
    from pyspark.sql.types import StructType

TEXT_FORMATS = ("csv", "json")
# A corrupt or vanished file must stop the job, whatever the cluster's defaults are.
_STRICT = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
_STRICT_CSV = {
    # A file whose header names other columns, or in another order, is not read by position.
    "enforceSchema": "false",
    # A line with too few fields goes unnoticed if only the requested fields are parsed.
    "columnPruning": "false",
}


@dataclass(frozen=True)
class TableSource:
    """A table to read, with its paths, options and dates resolved.

    Attributes
    ----------
    role
        Its name in the configuration, for messages.
    location, format
        An absolute path or a URI, and the files' format; or, with format ``table``, the table's
        name in the catalog; or, with ``jdbc``, its name in the database or a query.
    schema_ddl
        Its columns and types where the format does not store them.
    options
        Spark's reader options; they may hold secrets and are never logged.
    partition
        Column -> the values of the rows that are read; without any, all rows are read.
    malformed
        Whether a record of a text file that cannot be parsed stops the run, or becomes a row with
        the record in `MALFORMED_RECORD`.
    final_newline
        Whether the last line of a csv file must end with a newline.
    ignore_empty_files
        Whether files of no bytes are skipped.
    as_of
        The version of the table that is read: of Delta, or a snapshot of Iceberg; None for the one
        of the moment of each pass.
    row_filter
        From the table's schema to the condition of the rows that are read; None for all rows.
    """

    role: str
    location: str
    format: str
    schema_ddl: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    partition: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    malformed: Literal["refuse", "quarantine"] = "refuse"
    final_newline: Literal["required", "optional"] = "required"
    ignore_empty_files: bool = False
    as_of: int | None = None
    row_filter: Callable[[StructType], Column] | None = field(default=None, repr=False)

    @property
    def bytes(self) -> int | None:
        """The size of its files together; None where only Spark can read them."""
        return Location.of(self.location).size if self.has_visible_files else None

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine's filesystems."""
        return self.has_files and "://" not in self.location

    @property
    def has_visible_files(self) -> bool:
        """Whether this process finds it on this machine's filesystems.

        The server of a Spark Connect session may have others, which hold it.
        """
        return self.is_local and Location.of(self.location).exists()

    @property
    def has_files(self) -> bool:
        """Whether its location is one of files."""
        return self.format not in {"table", "jdbc"}

    @property
    def folders(self) -> tuple[str, ...]:
        """The folder of the requested partition, if it may be one, and the whole table."""
        whole = self.location.rstrip("/") or "/"
        if not self.partition or any(len(values) > 1 for values in self.partition.values()):
            return (whole,)
        names = [f"{name}={value}" for name, (value,) in self.partition.items()]
        return ("/".join([whole, *names]), whole)

    def option(self, name: str, default: str = "") -> str:
        """Return an option of the reader; Spark ignores case in its name."""
        return option_of(self.options, name, default)

    @property
    def is_multi_line(self) -> bool:
        """Whether a record of a text file may take several lines."""
        return self.option("multiLine").casefold() == "true"


def pin_version(spark: SparkSession, source: TableSource) -> TableSource:
    """Return a source that reads one version of its table, in every pass.

    The version is the one of this moment, unless the source names another. Tables of folders, views
    and tables of formats without versions have none. A session keeps the state in which it has seen
    a table before, such as the list of its files; that is forgotten.
    """
    if source.format != "table":
        return source
    with suppress(*SPARK_ERRORS):  # the reading itself reports it
        spark.catalog.refreshTable(source.location)
    if source.as_of is not None:
        return source
    name = TableName.parse(source.location, spark.catalog.currentCatalog())
    return source if name is None else replace(source, as_of=CatalogTable(spark, name).version())


def read_table(spark: SparkSession, source: TableSource) -> DataFrame:
    """Open a table for reading, without reading a row.

    Raises
    ------
    InputError
        If there is nothing at its location, Spark cannot infer its columns, a column of its
        partition is missing, or the partition's value is none of that column's type.
    """
    try:
        df = _open(spark, source)
        df.schema  # noqa: B018 (Spark resolves the columns now, so that errors appear here)
    except SPARK_ERRORS as error:
        refusal = find_jdbc_refusal(spark, error) if source.format == "jdbc" else None
        raise _unreadable(error, source, refusal) from None
    condition = _selected(df, source)
    return df if condition is None else df.filter(condition)


def _open(spark: SparkSession, source: TableSource) -> DataFrame:
    """Return the files of the requested partition if it is a folder, else the whole table.

    Spark infers a table's columns from its first file, which may be of an early date: a column that
    was removed since would be read as null, and one that was added would be missing.
    """
    if source.format == "table":
        reader = _reader(spark, source)
        if source.as_of is not None:
            reader = reader.option("versionAsOf", source.as_of)
        return reader.table(source.location)
    if source.format == "jdbc":
        return open_jdbc(spark, source.options, source.location)
    *partition, whole = source.folders
    for path in partition:
        try:
            df = _reader(spark, source).option("basePath", whole).load(literal_path(path))
            df.schema  # noqa: B018 (Spark resolves the columns now)
        except PySparkException as error:
            if not (error.getCondition() or "").startswith("PATH_NOT_FOUND"):
                raise
        else:
            return df
    return _reader(spark, source).load(literal_path(whole))


def open_jdbc(spark: SparkSession, options: Mapping[str, str], table: str) -> DataFrame:
    """Open a table of a database, or a query in brackets with a name, without a job.

    Spark connects from its driver to ask for the columns. What it raises, the caller says in words.
    """
    return (
        spark.read.format("jdbc").options(**with_defaults(options)).option("dbtable", table).load()
    )


def find_jdbc_refusal(spark: SparkSession, error: Exception) -> Refusal | None:
    """Return what a database refuses when `open_jdbc` asks it; None if unknown.

    What its driver has said is in Spark's stack trace alone, whose text stays here.
    """
    with use_settings(spark, {"spark.sql.pyspark.jvmStacktrace.enabled": "true"}):
        return find_refusal(str(error))


def _reader(spark: SparkSession, source: TableSource) -> DataFrameReader:
    strict = {**_STRICT, "mode": "FAILFAST"}
    if source.format == "csv":
        strict |= _STRICT_CSV
    if source.malformed == "quarantine":
        strict |= {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": MALFORMED_RECORD}
    reader = spark.read.options(**{**strict, **source.options})
    if source.schema_ddl is not None:
        schema = source.schema_ddl
        if source.malformed == "quarantine":
            schema = f"{schema}, {MALFORMED_RECORD} string"
        reader = reader.schema(schema)
    return reader if source.format == "table" else reader.format(source.format)


def without_malformed(df: DataFrame) -> DataFrame:
    """Return the rows whose records could be parsed, for steps that set no rows aside."""
    if MALFORMED_RECORD not in df.columns:
        return df
    return df.filter(column(MALFORMED_RECORD).isNull()).drop(MALFORMED_RECORD)


def _selected(df: DataFrame, source: TableSource) -> Column | None:
    """Return whether a row is read: by its partition and the table's condition; None for all."""
    conditions = _of_partition(df, source)
    if source.row_filter is not None:
        conditions.append(source.row_filter(df.schema))
    if not conditions:
        return None
    selected = reduce(and_, conditions)
    if source.format not in TEXT_FORMATS:
        return selected
    if MALFORMED_RECORD in df.columns:  # what cannot be parsed is quarantined, not left out
        selected |= column(MALFORMED_RECORD).isNotNull()
    # No parser of text may skip rows by the condition: a line with too many fields has another
    # value in the column, and would be left out unseen.
    return F.array_contains(F.array(selected), F.lit(col=True))


def _of_partition(df: DataFrame, source: TableSource) -> list[Column]:
    """Return the conditions of the requested partition."""
    if not source.partition:
        return []
    require_columns(df.schema, list(source.partition), table=source.role)
    values = [(name, value) for name, stated in source.partition.items() for value in stated]
    cast = [F.lit(str(value)).try_cast(df.schema[name].dataType) for name, value in values]
    _require_values(df, values, cast, source)
    # The value is cast to the column's type, not the other way round, so that a source can skip
    # files by it.
    return [
        column(name).isin([one for (of, _), one in zip(values, cast, strict=True) if of == name])
        for name in source.partition
    ]


def _require_values(
    df: DataFrame,
    values: Sequence[tuple[str, str | int]],
    cast: Sequence[Column],
    source: TableSource,
) -> None:
    """Refuse the value of a partition that no row can have."""
    nulls = [value.isNull().alias(f"is_null_{i}") for i, value in enumerate(cast)]
    (row,) = df.sparkSession.range(1).select(*nulls).collect()
    for (name, value), is_null in zip(values, row, strict=True):
        if is_null:
            raise InputError(
                f"tables.{source.role}.partition: column '{name}' is "
                f"{df.schema[name].dataType.simpleString()}, and '{value}' is no "
                "value of that type.",
                hint="write the value as the column holds it, for instance "
                f"{name}: '{{run_date:%Y%m%d}}' for 20260301.",
            )


def _unreadable(error: Exception, source: TableSource, refusal: Refusal | None) -> InputError:
    text = str(error)
    condition = (error.getCondition() or "") if isinstance(error, PySparkException) else ""
    where = f"Table tables.{source.role} at '{source.location}' cannot be read"
    if refusal is not None:
        return InputError(f"{where}: {refusal.reason}.", hint=refusal.hint)
    if condition.startswith(("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")):
        return _absent(source)
    if "No FileSystem for scheme" in text or "ClassNotFoundException" in text:
        return InputError(
            f"{where}: Spark has no connector for {source.location.partition('://')[0]}.",
            hint="add the storage's connector to the job (spark-submit --packages), or correct "
            f"tables.{source.role}.location.",
        )
    if "CANNOT_MERGE_SCHEMAS" in text or "CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE" in text:
        return _unmergeable(error, source)
    if "PARQUET_TYPE_ILLEGAL" in text and "NANOS" in text:
        return _nanoseconds(source)
    reasons = {
        "COLUMN_ALREADY_EXISTS": "a column appears twice (Spark does not distinguish upper "
        "from lower case)",
        "UNABLE_TO_INFER_SCHEMA": "it holds no data files",
        "PARSE_SYNTAX_ERROR": "its name or its schema cannot be parsed",
    }
    reason = next((text for key, text in reasons.items() if condition.startswith(key)), None)
    if reason is None:
        reason = spark_message(error)
    return InputError(f"{where}: {reason}.", hint="check the table's files, format and schema.")


def _absent(source: TableSource) -> InputError:
    """Return the error of a table that Spark does not find."""
    if source.has_visible_files:
        return InputError(
            f"Table tables.{source.role} at '{source.location}' is on this machine, and Spark does "
            "not find it on its own.",
            hint="name a storage that Spark opens, such as s3a://bucket/loans, or a table of a "
            "catalog; or a folder that Spark's machines have at the same path.",
        )
    return InputError(
        f"No table at '{source.location}' (tables.{source.role}).",
        hint=f"correct tables.{source.role}.location, or run the job that fills it.",
    )


def _unmergeable(error: Exception, source: TableSource) -> InputError:
    """Return the error of files whose columns have types that cannot be one type."""
    names = _differing(str(error))
    columns = f"column {join_names(names)} has" if names else "a column has"
    return InputError(
        f"Table tables.{source.role} at '{source.location}' cannot be read as one table: {columns} "
        "another type in one file than in another.",
        hint="write the files with one type per column; mergeSchema adds columns, and cannot "
        "change a type.",
    )


def _differing(text: str) -> list[str]:
    """Return the columns that the two schemas of an error hold with other types."""
    try:
        schemas = [T.DataType.fromDDL(ddl) for ddl in re.findall('"(STRUCT<.*>)"', text)[:2]]
    except PySparkException:
        return []
    kinds = [
        {each.name: each.dataType for each in schema}
        for schema in schemas
        if isinstance(schema, T.StructType)
    ]
    if len(kinds) < 2:
        return []
    left, right = kinds
    return [f"'{name}'" for name, kind in left.items() if right.get(name, kind) != kind]


def _nanoseconds(source: TableSource) -> InputError:
    """Return the error of Parquet timestamps in nanoseconds, which Spark does not read."""
    names = _nanosecond_columns(source) if source.has_visible_files else []
    columns = f"column {join_names(names)} holds" if names else "a column holds"
    return InputError(
        f"Table tables.{source.role} at '{source.location}' cannot be read: {columns} "
        "timestamps in nanoseconds, and Spark reads microseconds.",
        hint="write the files with microseconds: in pandas to_parquet(..., "
        "coerce_timestamps='us', allow_truncated_timestamps=True), in pyarrow the same options of "
        "write_table.",
    )


def _nanosecond_columns(source: TableSource) -> list[str]:
    """Return the columns of nanoseconds of the first file that has some; reads footers alone."""
    for file in Location.of(source.location).files():
        if file.name.startswith(("_", ".")):
            continue
        try:
            with file.open() as stream:
                schema = pq.read_schema(stream)
        except (OSError, pa.ArrowException):  # another file, or a damaged one
            continue
        if names := [
            f"'{each.name}'" for each in schema if str(each.type).startswith("timestamp[ns")
        ]:
            return names
    return []


def require_rows(df: DataFrame, source: TableSource) -> None:
    """Refuse a table without rows, with a job that reads at most one.

    Raises
    ------
    InputError
        If it is empty.
    """
    if not df.isEmpty():
        return
    part = ", ".join(
        f"{name} = {' or '.join(map(str, values))}" for name, values in source.partition.items()
    )
    moments = [
        name
        for name in source.partition
        if isinstance(df.schema[name].dataType, (T.TimestampType, T.TimestampNTZType))
    ]
    hint = "run the job that fills it; where an empty table is right, set checks.allow_empty: true."
    if moments:
        hint = (
            f"{join_names(moments)} is a timestamp, and a date stands for its midnight alone; "
            f"state the moment that the rows hold, or a column of dates; else {hint}"
        )
    raise InputError(
        f"Table tables.{source.role} holds 0 rows{f' where {part}' if part else ''}.", hint=hint
    )
