"""Settings of tables: where they are stored, how they are read, and what stands for a date."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr, field_serializer

from sparkweights.core.errors import ConfigError, without_credentials
from sparkweights.spec.settings import Section, Text

if TYPE_CHECKING:
    from datetime import date

PartitionValue = StrictBool | StrictInt | StrictStr
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # to a variable of the environment
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_ ]*)(?::([^{}]*))?\}")
_DATE_FORMAT = re.compile(r"(?:[^%]|%[YmdyjGVu%])+")


def dated(text: str, run_date: date) -> str:
    """Return a text with its placeholders filled in by the date of the run.

    Examples
    --------
    >>> from datetime import date
    >>> dated("in/{run_date}/{run_date:%Y%m%d}", date(2026, 3, 1))
    'in/2026-03-01/20260301'
    """
    return re.sub(
        r"\{run_date(?::([^{}]*))?\}",
        lambda found: run_date.strftime(found[1]) if found[1] else run_date.isoformat(),
        text,
    )


def check_placeholders(where: str, text: str) -> None:
    """Refuse a placeholder that no run fills in: the text would name something else.

    Raises
    ------
    ConfigError
        With the placeholder, and those that there are.
    """
    for found in _PLACEHOLDER.finditer(text):
        name, shape = found[1], found[2]
        if name != "run_date" or (shape is not None and not _DATE_FORMAT.fullmatch(shape)):
            raise ConfigError(
                f"{where}: the placeholder {found[0]} is not known; known: {{run_date}}, and "
                "{run_date:%Y%m%d} with %Y, %m, %d, %y, %j, %G, %V, %u.",
                hint="write the date of the run by one of them.",
            )


def scheme_of(location: str) -> str:
    """Return the scheme of a location, with or without slashes behind it; ``file`` for a path."""
    match = _SCHEME.match(location)
    return match[1].lower() if match else "file"


def _option_text(value: object) -> object:
    """Return an option as Spark's reader takes it: ``true`` of YAML is a boolean.

    Numbers are refused: YAML drops the zeros in front of a password.
    """
    return str(value).lower() if isinstance(value, bool) else value


def _whole_number(value: object) -> object:
    """Return the number that a text of digits is: records state ids of 19 digits as text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value) else value


class Source(Section):
    """Where rows are stored, and in which format; records hold no secret of it."""

    format: str
    location: Text
    schema_ddl: Annotated[Text | None, Field(alias="schema")] = None
    options: dict[str, Annotated[str, BeforeValidator(_option_text)]] = {}

    @field_serializer("location")
    def _recorded_location(self, location: str) -> str:
        return without_credentials(location)

    @field_serializer("options")
    def _recorded_options(self, options: dict[str, str]) -> dict[str, str]:
        text = "\0".join(f"{name}={value}" for name, value in sorted(options.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()[:4]  # shows a change, confirms no guess
        return dict.fromkeys(options, f"not recorded (digest of all: {digest})")

    @property
    def scheme(self) -> str:
        """The storage scheme: ``file``, ``s3a``, ``hdfs``; the format where there are no files."""
        return self.format if self.format in {"table", "jdbc"} else scheme_of(self.location)


class Table(Source):
    """Where a table is stored and how it is read.

    Attributes
    ----------
    format
        Format of the files; ``table`` for a table of a catalog that Spark has, whatever its
        format (Hive, Delta, Iceberg); or ``jdbc`` for a table of a database. A table that is
        written is ``parquet`` or ``orc`` in a folder; ``table``: a table of Delta or Iceberg, or of
        Parquet or ORC files in the session's catalog, wherever it is stored; or ``jdbc``: a table
        of PostgreSQL.
    location
        A path, relative to the configuration file; a URI that Spark reads (``s3a://...``); the
        name of a table, ``database.table`` or ``catalog.database.table``, of ``jdbc``
        ``schema.table``; or, of ``jdbc`` that is read, a query with a name, ``(SELECT ...) AS
        loans``. A path is no pattern:
        ``*``, ``?``, ``[`` and ``{`` stand for themselves (the option ``pathGlobFilter`` takes a
        pattern of file names). In tables that are read, ``{run_date}`` is replaced by the date of
        the run, as 2026-03-01; ``{run_date:%Y%m%d}`` by 20260301.
    partition
        Column -> value, or a list of values: only rows with these values are read, for instance
        one date of a table that holds many. ``{run_date}`` is replaced as in ``location``.
    where
        Condition of the rows that are read, of a table that is read; others do not exist for the
        run. See the section on conditions.
    as_of
        Version of a Delta table, or id of a snapshot of an Iceberg table, that is read instead of
        the newest: for instance the ``version`` that the record of a run states of its incoming
        table. For ``format: table``, of a table that is read.
    schema_ddl
        Columns and types of a csv or json table, as ``name type, ...``. Without it Spark infers
        the types again in each run, with another pass over the table.
    options
        Options of Spark's reader or writer. ``${NAME}`` is read from the environment when the
        table is opened. Records hold the names of options and a digest, never their values. Of
        ``jdbc``, ``url`` is required, with ``user`` and ``password`` where the database asks for
        them; ``partitionColumn``, ``lowerBound``, ``upperBound`` and ``numPartitions`` together
        divide what is read among tasks.
    malformed
        What happens to a record of a csv or json table that cannot be parsed: too few or too many
        fields, a value of another type, a torn line. ``refuse`` stops the run with file, line and
        column; ``quarantine``, for ``incoming``, sets it aside as it was read.
    final_newline
        Whether the last line of a csv file must end with a newline, so that a file is refused that
        is truncated in its last value; ``optional`` where the files' writer never ends it.
    ignore_empty_files
        Whether files of no bytes are skipped, as some writers make them; else they are refused, as
        uploads that broke off.
    """

    format: Literal["parquet", "orc", "csv", "json", "table", "jdbc"] = "parquet"
    partition: dict[
        Text, PartitionValue | Annotated[tuple[PartitionValue, ...], Field(min_length=1)]
    ] = {}
    where: Text | None = None
    as_of: Annotated[StrictInt | None, BeforeValidator(_whole_number), Field(ge=0)] = None
    malformed: Literal["refuse", "quarantine"] = "refuse"
    final_newline: Literal["required", "optional"] = "required"
    ignore_empty_files: StrictBool = False

    @property
    def partition_values(self) -> dict[str, tuple[PartitionValue, ...]]:
        """Column -> the values whose rows are read."""
        return {
            name: value if isinstance(value, tuple) else (value,)
            for name, value in self.partition.items()
        }


class Tables(Section):
    """The tables of the product: those that it reads, and two that it writes.

    Attributes
    ----------
    labelled
        Rows with known outcomes, for weights, training and evaluation.
    incoming
        Rows to score.
    unlabelled
        Rows without outcome that a student learns from as well; see ``distill``. Rows whose keys
        are in the labelled table are left out.
    scored
        The scored table, one partition per run date.
    quarantine
        Rows that were set aside, one partition per run date.
    """

    labelled: Table | None = None
    incoming: Table | None = None
    unlabelled: Table | None = None
    scored: Table | None = None
    quarantine: Table | None = None
