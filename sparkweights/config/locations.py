"""Where a configuration's tables, models and records lie, and what each storage can do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, join_names
from sparkweights.costs.condition import parse_condition
from sparkweights.spec.tables import REFERENCE, check_placeholders, scheme_of
from sparkweights.storage.jdbc import POSTGRES, option_of, product_of
from sparkweights.storage.names import POSTGRES_BYTES, PostgresName, TableName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.config.schema import Config
    from sparkweights.spec.tables import Table


def check_locations(config: Config) -> None:
    """Refuse locations that cannot be read or written as stated, or that overlap.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    named = {
        role: table
        for role in type(config.tables).model_fields
        if (table := getattr(config.tables, role)) is not None
    }
    for role, table in named.items():
        _check_table(role, table)
    _check_folders(config)
    _check_catalog_names(named)
    _check_overlap(config, named)


def _check_table(role: str, table: Table) -> None:
    if role in {"scored", "quarantine"}:
        _check_output(role, table)
    _check_reading(role, table)
    if table.where is not None:
        _check_condition(f"tables.{role}.where", table.where)
    _check_format(role, table)


def _check_folders(config: Config) -> None:
    """Refuse locations that are written where they are no path, or where the storage cannot do it.

    Models and records may be on an object store. What is replaced by renaming a folder may not.
    """
    for where, location in (("artifacts", config.artifacts), ("runs", config.runs)):
        _check_path(where, location)
    for role in ("scored", "quarantine"):
        table: Table | None = getattr(config.tables, role)
        if table is not None and table.format in {"parquet", "orc"}:
            _require_renames(
                config,
                f"tables.{role}.location",
                table.location,
                hint="write a table of the catalog, whose files may be there (format: table): of "
                "Delta, Iceberg, Parquet or ORC.",
            )
    if config.stream is not None:
        _require_renames(
            config,
            "stream.folder",
            config.stream.folder,
            hint="name a path that the driver and the executors share.",
        )


def _check_overlap(config: Config, named: Mapping[str, Table]) -> None:
    # Of what is on another storage Spark alone may know the library.
    schemes = {"file", scheme_of(config.artifacts), scheme_of(config.runs)}
    paths = {
        f"tables.{role}": config.path(table.location)
        for role, table in named.items()
        if table.scheme in schemes
    }
    paths |= {"artifacts": config.path(config.artifacts), "runs": config.path(config.runs)}
    outputs = ["tables.scored", "tables.quarantine", "artifacts", "runs"]
    if config.stream is not None:
        paths["stream.folder"] = config.path(config.stream.folder)
        outputs.append("stream.folder")
    for output in (key for key in outputs if key in paths):
        for other, path in paths.items():
            written = paths[output]
            if other != output and (
                written == path or written in path.parents or path in written.parents
            ):
                raise ConfigError(
                    f"{output} and {other} overlap ('{written}' and '{path}'); what is "
                    "written must be separate from everything else.",
                    hint="give each its own folder.",
                )


def _check_format(role: str, table: Table) -> None:
    """Refuse a table without what its format needs, or with what its format knows."""
    if table.format in {"csv", "json"} and table.schema_ddl is None:
        raise ConfigError(
            f"tables.{role}.schema: missing; a {table.format} table needs its columns and types.",
            hint="for instance schema: client_id bigint, credit_limit double.",
        )
    if table.format in {"table", "jdbc"} and table.schema_ddl is not None:
        raise ConfigError(
            f"tables.{role}.schema: {table.schema_ddl!r}; a catalog or a database knows the "
            "columns and types of its tables.",
            hint=f"leave tables.{role}.schema out.",
        )
    if table.format == "jdbc":
        _check_database(role, table)


def _check_condition(where: str, text: str) -> None:
    try:
        parse_condition(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None


def _check_database(role: str, table: Table) -> None:
    """Refuse a table of a database without an address, or with its name in two places."""
    stated = {name.casefold(): name for name in table.options}
    if "url" not in stated:
        raise ConfigError(
            f"tables.{role}.options.url: missing; a table of format jdbc needs the address of its "
            "database.",
            hint="for instance options: {url: 'jdbc:postgresql://host:5432/bank', user: scoring, "
            "password: '${BANK_PASSWORD}'}.",
        )
    for key in ("dbtable", "query"):
        if key in stated:
            raise ConfigError(
                f"tables.{role}.options.{stated[key]}: what is read or written is stated by "
                f"tables.{role}.location.",
                hint="leave the option out; a query goes into location, as (SELECT ...) AS loans.",
            )


def _check_catalog_names(named: Mapping[str, Table]) -> None:
    """Refuse one table of a catalog or a database in two roles, of which one is written."""
    role_of: dict[tuple[str, str], str] = {}
    for role in ("scored", "quarantine", "incoming", "labelled"):
        if role not in named or named[role].format not in {"table", "jdbc"}:
            continue
        name = _identity(named[role])
        if role_of.get(name) in {"scored", "quarantine"}:
            raise ConfigError(
                f"tables.{role_of[name]} and tables.{role} are both {named[role].location!r}; "
                "what is written must be separate from everything else.",
                hint="give each its own table.",
            )
        role_of.setdefault(name, role)


def _identity(table: Table) -> tuple[str, str]:
    """Return what two names of one table have in common: its name, and the database's address."""
    if table.format == "table":
        return str(TableName.parse(table.location)), ""
    url = option_of(table.options, "url")
    return str(PostgresName.parse(table.location) or table.location), url


def _check_reading(role: str, table: Table) -> None:
    """Refuse settings of reading that do not apply to the table, or are stated in two ways."""
    named = [
        (f"partition.{name}", value)
        for name, values in table.partition_values.items()
        for value in values
    ]
    for key, value in [("location", table.location), *named]:
        if isinstance(value, str):
            check_placeholders(f"tables.{role}.{key}", value)
    is_text = table.format in {"csv", "json"}
    if table.malformed == "quarantine" and not (is_text and role == "incoming"):
        raise ConfigError(
            f"tables.{role}.malformed: 'quarantine' is for a csv or json table that is scored "
            "(tables.incoming); no other rows are set aside.",
            hint=f"leave tables.{role}.malformed out.",
        )
    if table.as_of is not None and (table.format != "table" or role in {"scored", "quarantine"}):
        raise ConfigError(
            f"tables.{role}.as_of: {table.as_of} is for a table of a catalog that is read; the "
            f"format is {table.format}.",
            hint=f"leave tables.{role}.as_of out.",
        )
    if table.final_newline == "optional" and table.format != "csv":
        raise ConfigError(
            f"tables.{role}.final_newline: 'optional' is for csv; the format is {table.format}.",
            hint=f"leave tables.{role}.final_newline out.",
        )
    for name in table.options if is_text else ():
        if name.casefold() in {"mode", "columnnameofcorruptrecord", "columnpruning"}:
            raise ConfigError(
                f"tables.{role}.options.{name}: what happens to a record that cannot be parsed is "
                f"stated by tables.{role}.malformed; allowed: refuse, quarantine.",
                hint="leave the option out.",
            )


def _check_output(role: str, table: Table) -> None:
    if table.format not in {"parquet", "orc", "table", "jdbc"}:
        raise ConfigError(
            f"tables.{role}.format: {table.format!r}; allowed for output: parquet, orc, table, "
            "jdbc.",
            hint="types and partitions do not survive csv or json.",
        )
    if table.format == "jdbc":
        _check_written_database(role, table)
    elif table.format == "table" and TableName.parse(table.location) is None:
        raise ConfigError(
            f"tables.{role}.location: {table.location!r} is no database.table, nor "
            "catalog.database.table.",
            hint="for instance lending.scored; a part with other characters goes in backticks.",
        )
    if table.schema_ddl is not None:
        raise ConfigError(
            f"tables.{role}.schema: {table.schema_ddl!r}; a table that is written gets its columns "
            "from the run.",
            hint=f"leave tables.{role}.schema out.",
        )
    if table.partition:
        raise ConfigError(
            f"tables.{role}.partition: {join_names(table.partition)} given; an output table is "
            "partitioned by the run.",
            hint=f"leave tables.{role}.partition out.",
        )
    if table.where is not None:
        raise ConfigError(
            f"tables.{role}.where: {table.where!r}; a condition selects rows of a table that is "
            "read.",
            hint=f"leave tables.{role}.where out.",
        )


def _check_written_database(role: str, table: Table) -> None:
    """Refuse a table of another database than PostgreSQL, and a name that is none of a table."""
    url = option_of(table.options, "url")
    if url and not REFERENCE.match(url) and product_of(url) != POSTGRES:
        raise ConfigError(
            f"tables.{role}.options.url: {product_of(url) or 'no url of jdbc'}; of the databases "
            "that jdbc reaches, PostgreSQL alone is written.",
            hint="write jdbc:postgresql://host:5432/database, or another format.",
        )
    if PostgresName.parse(table.location) is None:
        raise ConfigError(
            f"tables.{role}.location: {table.location!r} is no schema.table of PostgreSQL.",
            hint="for instance lending.scored; a part with other characters goes in double "
            f"quotes, and has at most {POSTGRES_BYTES} bytes.",
        )


def _require_renames(config: Config, where: str, location: str, *, hint: str) -> None:
    """Refuse a folder that is replaced by renaming, where the storage renames none."""
    scheme = scheme_of(location)
    if scheme == "file":  # a relative path is on the storage of the configuration file
        scheme = scheme_of(str(config.path(location)))
    if scheme != "file":
        raise ConfigError(
            f"{where}: {location!r} is on {scheme}; a folder is replaced as a whole on a file "
            "system alone.",
            hint=hint,
        )
    _check_path(where, location)


def _check_path(where: str, location: str) -> None:
    """Refuse the location of files that are written, where it would be taken for another one."""
    if scheme_of(location) != "file" and "://" not in location:
        raise ConfigError(
            f"{where}: {location!r}; allowed: a path, or a URI with '://'.",
            hint="for instance s3a://bucket/models; a path with a colon begins with './'.",
        )
    if re.match(r"[^/]*://[^/]*:[^/]*@", location):
        raise ConfigError(
            f"{where}: {location!r} holds a password, which records would repeat.",
            hint="give the storage's credentials by the environment, for instance as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if "{run_date" in location:
        raise ConfigError(
            f"{where}: {location!r} holds {{run_date}}; one folder holds every date.",
            hint=f"leave the date out of {where}.",
        )
    if location.startswith("~") or "${" in location:
        raise ConfigError(
            f"{where}: {location!r}; a path is taken as it is written, without ~ and ${{NAME}}.",
            hint="write the path out, or relative to the configuration file.",
        )
