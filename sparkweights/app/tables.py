"""The tables of a configuration on a date: where they are read, and how they are published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.bundle.integrity import containing_bundle
from sparkweights.config.load import resolve_secrets
from sparkweights.core.errors import ConfigError
from sparkweights.core.extras import POSTGRES
from sparkweights.core.session_settings import effective_setting
from sparkweights.costs.condition import parse_condition
from sparkweights.costs.spark import to_condition
from sparkweights.scoring.run import Outputs
from sparkweights.spec.tables import dated
from sparkweights.storage.catalog_table import CatalogTable
from sparkweights.storage.names import PostgresName, TableName
from sparkweights.storage.publish.catalog import CatalogPublication
from sparkweights.storage.publish.delta import DeltaPublication
from sparkweights.storage.publish.folder import FolderPublication
from sparkweights.storage.publish.iceberg import IcebergPublication
from sparkweights.storage.tables import TableSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from pyspark.sql import Column, SparkSession
    from pyspark.sql.types import StructType

    from sparkweights.config.schema import Config
    from sparkweights.spec.stream import StreamSource
    from sparkweights.spec.tables import Source, Table
    from sparkweights.storage.location import Location
    from sparkweights.storage.publish.protocol import Publication
    from sparkweights.storage.publish.table import TablePublication

_LAKEHOUSES: tuple[type[TablePublication], ...] = (DeltaPublication, IcebergPublication)


def table_source(config: Config, role: str, run_date: date) -> TableSource:
    """Return where the table of a role is read on a date.

    Raises
    ------
    ConfigError
        If the configuration does not name it, or a secret is not set.
    """
    table = config.table(role)
    return TableSource(
        role=role,
        location=_location(config, table, run_date),
        format=table.format,
        schema_ddl=table.schema_ddl,
        options=resolve_secrets(table.options, where=f"tables.{role}.options"),
        partition={
            name: tuple(
                dated(value, run_date) if isinstance(value, str) else value for value in values
            )
            for name, values in table.partition_values.items()
        },
        malformed=table.malformed,
        final_newline=table.final_newline,
        ignore_empty_files=table.ignore_empty_files,
        as_of=table.as_of,
        row_filter=_row_filter(table.where, f"tables.{role}.where"),
    )


def stream_source(config: Config, role: str, run_date: date) -> TableSource | None:
    """Return where the micro-batches of a role, ``incoming`` or ``outcomes``, are read.

    Raises
    ------
    ConfigError
        If the configuration has no stream, or a secret is not set.
    """
    source: StreamSource | None = getattr(config.streamed, role)
    if source is None:
        return None
    return TableSource(
        role=role,
        location=_location(config, source, run_date),
        format=source.format,
        schema_ddl=source.schema_ddl,
        options=resolve_secrets(source.options, where=f"stream.{role}.options"),
    )


def _location(config: Config, source: Source, run_date: date) -> str:
    location = dated(source.location, run_date)
    return str(config.path(location)) if source.scheme == "file" else location


def _row_filter(text: str | None, where: str) -> Callable[[StructType], Column] | None:
    """Return the condition of the rows that are read, as a function of the table's schema."""
    if text is None:
        return None
    tree = parse_condition(text)
    return lambda schema: to_condition(tree, schema, where=where, nan="missing")


def outputs(spark: SparkSession, config: Config, run_id: str, run_date: date) -> Outputs:
    """Return how a date of both outputs is published.

    Raises
    ------
    ConfigError
        If a table is written and has another role as well, under another name.
    """
    _require_separate(spark, config)
    return Outputs(
        _publication(spark, config, "scored", run_id, run_date),
        _publication(spark, config, "quarantine", run_id, run_date),
    )


def _require_separate(spark: SparkSession, config: Config) -> None:
    """Refuse one table under two names: with its catalog, and without the current one."""
    role_of = dict[str, str]()
    for role in ("scored", "quarantine", "incoming", "labelled"):
        table: Table | None = getattr(config.tables, role)
        name = None if table is None else _table_name(spark, table)
        if name is None:
            continue
        first = role_of.setdefault(name.file, role)
        if first in {"scored", "quarantine"} - {role}:
            raise ConfigError(
                f"tables.{first} and tables.{role} are both '{name}'; what is written must be "
                "separate from everything else.",
                hint="give each its own table.",
            )


def require_outside_bundles(config: Config) -> None:
    """Refuse to write records or rows into a model.

    Raises
    ------
    ConfigError
        If a folder that is written is a model's, or lies in one.
    """
    require_outside_bundle("artifacts", config.path(config.artifacts))
    require_outside_bundle("runs", config.path(config.runs))
    if config.stream is not None:
        require_outside_bundle("stream.folder", config.path(config.stream.folder))
    for role in ("scored", "quarantine"):
        table: Table | None = getattr(config.tables, role)
        if table is not None and table.scheme == "file":
            require_outside_bundle(f"tables.{role}", config.path(table.location))


def require_outside_bundle(what: str, location: Location) -> None:
    """Refuse to write to a location in a model.

    Raises
    ------
    ConfigError
        Naming the model.
    PublishError
        If the storage does not answer.
    """
    try:
        bundle = containing_bundle(location)
    except OSError as error:  # the first time that a run asks the storage
        raise location.unwritable(error) from None
    if bundle is not None:
        raise ConfigError(
            f"{what}: '{location}' is in the model '{bundle}', to which nothing may be added.",
            hint="name another folder; artifacts is the folder of all versions.",
        )


def _publication(
    spark: SparkSession, config: Config, role: str, run_id: str, run_date: date
) -> Publication:
    """Return how a date of an output is published: to a folder, a catalog or a database."""
    table = config.table(role)
    options = resolve_secrets(table.options, where=f"tables.{role}.options")
    if table.format == "jdbc":
        return _in_database(spark, config, role, options, run_id, run_date)
    name = _table_name(spark, table)
    if name is not None:
        return _kind_of_table(CatalogTable(spark, name))(
            run_id=run_id,
            run_date=run_date,
            options=options,
            spark=spark,
            name=name,
            owner=config.name,
            locks=config.path(config.runs),
        )
    return FolderPublication(
        run_id=run_id,
        run_date=run_date,
        options=options,
        spark=spark,
        root=config.path(table.location),
        file_format=table.format,
        owner=config.name,
    )


def _in_database(
    spark: SparkSession,
    config: Config,
    role: str,
    options: Mapping[str, str],
    run_id: str,
    run_date: date,
) -> Publication:
    """Return how a date of a table of PostgreSQL is published."""
    POSTGRES.require(f"tables.{role} of format jdbc needs", "choose another format")
    from sparkweights.storage.publish.postgres import PostgresPublication  # noqa: PLC0415 (an extra)

    location = config.table(role).location
    name = PostgresName.parse(location)
    assert name is not None  # noqa: S101 (the configuration is checked)
    return PostgresPublication(
        run_id=run_id,
        run_date=run_date,
        options=options,
        spark=spark,
        name=name,
        where=f"tables.{role}.options",
        owner=config.name,
    )


def _table_name(spark: SparkSession, table: Table) -> TableName | None:
    """Return the name of a table of a catalog; None for a table in a folder."""
    if table.format != "table":
        return None
    return TableName.parse(table.location, spark.catalog.currentCatalog())


def _kind_of_table(table: CatalogTable) -> type[TablePublication]:
    """Return the publication for a table's format; of a table that is not there yet, for its own.

    A catalog of Iceberg makes Iceberg tables; others, what the session's settings say.
    """
    if table.exists():
        provider = table.describe().provider
    elif "iceberg" in _setting(table, f"spark.sql.catalog.{table.name.catalog}").lower():
        provider = "iceberg"
    else:
        provider = _setting(table, "spark.sql.sources.default")
    kinds = (kind for kind in _LAKEHOUSES if provider in kind.formats)
    return next(kinds, CatalogPublication)


def _setting(table: CatalogTable, key: str) -> str:
    return effective_setting(table.spark, key) or ""
