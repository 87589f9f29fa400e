"""Verification of a table's files: none is empty, and each column of its schema is in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import InputError, join_names, nearest
from sparkweights.storage.location import Location
from sparkweights.storage.spark_paths import literal_path
from sparkweights.storage.tables import TEXT_FORMATS, TableSource
from sparkweights.storage.text_records import TextTable

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pyspark.sql import DataFrame, SparkSession


_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/+")


def files_state(source: TableSource, df: DataFrame) -> Hashable:
    """Return what differs where a file of a table was added, removed or changed; else None.

    It is known of local files. A table whose state is that of an earlier verification needs none.

    Parameters
    ----------
    df
        The table, as opened by `read_table`.
    """
    if not source.has_visible_files:
        return None
    try:
        states = frozenset((file, Location.of(unquote(file)).state) for file in df.inputFiles())
    except OSError:  # removed in the meantime; the reading itself reports it
        return None
    return source.role, states


def verify_files(spark: SparkSession, source: TableSource, df: DataFrame) -> None:
    """Refuse a table whose files are damaged or lack a column of its schema.

    Files of Parquet and ORC are not read for it. The text of csv and json is read once.

    Parameters
    ----------
    df
        The table, as opened by `read_table`.

    Raises
    ------
    InputError
        With the file, and where it is known the line and the column.
    """
    if not source.has_files:
        return
    files = [unquote(file) for file in df.inputFiles()]
    empty = _empty_files(spark, source, files)
    if empty and not source.ignore_empty_files:
        names = sorted(file.rpartition("/")[2] for file in empty)
        raise InputError(
            f"Table tables.{source.role} at '{source.location}' holds {len(empty)} empty of "
            f"{len(files)} files: {join_names(names[:3])}.",
            hint="an empty file is an upload that broke off; where the table's writer makes such "
            f"files, set tables.{source.role}.ignore_empty_files: true.",
        )
    files = [file for file in files if file not in empty]
    if source.schema_ddl is None or not files:
        return
    is_file = any(file.endswith(source.folders[-1]) for file in files)
    paths = files if is_file else sorted({file.rpartition("/")[0] for file in files})
    if source.format in TEXT_FORMATS:
        TextTable(spark, source, _in_files(source.schema_ddl, files), files, paths).verify()
    else:
        _require_declared(spark, source, df, paths)


def _empty_files(spark: SparkSession, source: TableSource, files: list[str]) -> set[str]:
    """Return the files of no bytes, which Spark's readers skip without a word."""
    if source.has_visible_files:
        return {file for file in files if Location.of(file).size == 0}
    # A scan leaves out files of no bytes; of the others it reads the path and no content.
    if not files:
        return set()
    sized_df = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    sizes = sized_df.load([literal_path(file) for file in files]).select("path").collect()
    filled = {_without_scheme(unquote(row["path"])) for row in sizes}
    return {file for file in files if _without_scheme(file) not in filled}


def _without_scheme(uri: str) -> str:
    """Return a URI's host and path; Spark writes both ``file:/`` and ``file:///``."""
    return _SCHEME.sub("", uri)


def _in_files(schema_ddl: str, files: Sequence[str]) -> T.StructType:
    """Return the columns of the configuration's schema without those of the folders."""
    schema = T.DataType.fromDDL(schema_ddl)
    declared = list(schema) if isinstance(schema, T.StructType) else []
    folders = {part.partition("=")[0] for part in files[0].split("/")[:-1] if "=" in part}
    return T.StructType([each for each in declared if each.name not in folders])


def _require_declared(
    spark: SparkSession, source: TableSource, df: DataFrame, paths: Sequence[str]
) -> None:
    """Refuse a schema with a column that no file of Parquet or ORC holds: it would be null."""
    held = {name.casefold() for name in source.partition}
    reader = spark.read.format(source.format).options(**source.options)
    absent = list[str]()
    for merge in ("false", "true"):  # one file, and all of them only where it lacks a column
        try:
            merged = reader.option("mergeSchema", merge).option("basePath", source.folders[-1])
            names = merged.load([literal_path(path) for path in paths]).columns
        except SPARK_ERRORS:  # the reading itself reports it
            return
        held |= {name.casefold() for name in names}
        absent = [name for name in df.columns if name.casefold() not in held]
        if not absent:
            return
    close = nearest(absent[0], held)
    raise InputError(
        f"Table tables.{source.role} at '{source.location}': no file holds {join_names(absent)}, "
        f"which tables.{source.role}.schema names.",
        hint=f"did you mean '{close}'?" if close else "correct the schema, or leave it out.",
    )
