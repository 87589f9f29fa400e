"""Reading tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException, ParseException

from sparkweights.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class TableSource:
    """A table to read, with everything resolved.

    Attributes
    ----------
    role
        Its name in the configuration, for messages.
    path, format
        Where it lies and how.
    schema_ddl
        Its columns and types where the format does not carry them.
    options
        Spark's reader options; they may hold secrets and are never logged.
    """

    role: str
    path: Path
    format: str
    schema_ddl: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def bytes(self) -> int:
        """How large its files are together."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())


def read_table(spark: SparkSession, source: TableSource) -> DataFrame:
    """Open a table for reading; no row is read yet.

    Raises
    ------
    InputError
        If there is nothing at its location, or Spark cannot tell its columns.
    """
    if not source.path.exists():
        raise InputError(
            f"No table at '{source.path}' (tables.{source.role}).",
            hint=f"correct tables.{source.role}.location, or run the job that fills it.",
        )
    # A corrupt or vanished file must stop the job, whatever the cluster's defaults say.
    strict = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
    reader = spark.read.format(source.format).options(**{**strict, **source.options})
    try:
        if source.schema_ddl is not None:
            reader = reader.schema(source.schema_ddl)
        df = reader.load(str(source.path))
        df.schema  # noqa: B018 (asks Spark for the columns now, so that errors appear here)
    except (AnalysisException, ParseException) as error:
        raise _unreadable(error, source) from None
    return df


def _unreadable(error: PySparkException, source: TableSource) -> InputError:
    condition = error.getCondition() or ""
    reasons = {
        "COLUMN_ALREADY_EXISTS": "a column appears twice (Spark does not tell upper from lower "
        "case)",
        "UNABLE_TO_INFER_SCHEMA": "it holds no data files",
        "PARSE_SYNTAX_ERROR": "its schema is not a list of names and types",
    }
    reason = next((text for key, text in reasons.items() if condition.startswith(key)), None)
    if reason is None:
        reason = str(error).splitlines()[0].rstrip(".")
    return InputError(
        f"Table tables.{source.role} at '{source.path}' cannot be read: {reason}.",
        hint="check the table's files, format and schema.",
    )


def require_rows(df: DataFrame, role: str) -> None:
    """Refuse a table without rows, with a job that reads at most one.

    Raises
    ------
    InputError
        If it is empty.
    """
    if df.isEmpty():
        raise InputError(
            f"Table tables.{role} holds 0 rows.",
            hint="run the job that fills it; where an empty table is right, set "
            "checks.allow_empty: true.",
        )
