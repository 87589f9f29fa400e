"""Where micro-batches come from: sources that rows arrive in, or a table that is replayed.

Rows and outcomes are two sources of one query, so that a micro-batch has a part of each, and Spark
repeats both parts when it repeats the batch.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.core.columns import MALFORMED_RECORD, column, require_columns
from sparkweights.core.engine_errors import CLEANUP_ERRORS, SPARK_ERRORS
from sparkweights.core.errors import ConfigError, InputError, spark_message
from sparkweights.storage.catalog_table import CatalogTable
from sparkweights.storage.files import write_json
from sparkweights.storage.location import Location
from sparkweights.storage.names import TableName
from sparkweights.storage.shared_folders import is_connected
from sparkweights.storage.spark_paths import literal_path
from sparkweights.storage.tables import TEXT_FORMATS
from sparkweights.stream.files import BOUNDS, CHECKPOINT, OFFSETS
from sparkweights.stream.outcomes import event_time

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.types import StructType

    from sparkweights.storage.tables import TableSource
    from sparkweights.stream.run import StreamRun

ROW, OUTCOME = "__row", "__outcome"
# A record that cannot be parsed is set aside as text: an error would come again with each attempt,
# because the next micro-batch begins where the last one was committed.
_KEEP_MALFORMED = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": MALFORMED_RECORD}
_STRICT = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
# The end of a message of Java, in Spark's source of Kafka.
_FAILED_REPORT = 'because the return value of "scala.Option.get()" is null'
# Spark's default for a topic is what comes after the first start, and for a folder what is there.
_FROM_FIRST = {"startingOffsets": "earliest"}


def require_classic(spark: SparkSession) -> None:
    """Refuse a session over Spark Connect, whose server runs micro-batches in another process.

    Raises
    ------
    ConfigError
        With the next step.
    """
    if is_connected(spark):
        raise ConfigError(
            "A stream keeps its state in the process that runs its micro-batches, and cannot run "
            "over Spark Connect.",
            hint="run it in a job under spark-submit.",
        )


def open_source(spark: SparkSession, source: TableSource) -> DataFrame:
    """Return a source as a stream of rows.

    Raises
    ------
    InputError
        If there is none, or Spark has no connector for it.
    """
    try:
        df = _open(spark, source)
        df.schema  # noqa: B018 (Spark resolves the columns now, so that errors appear here)
    except SPARK_ERRORS as error:
        raise InputError(
            f"stream.{source.role} of format {source.format} at '{source.location}' cannot be read "
            f"as a stream: {spark_message(error)}.",
            hint=_hint(source),
        ) from None
    if source.format == "table":
        _require_no_hive_format(spark, source)
    return df


def _require_no_hive_format(spark: SparkSession, source: TableSource) -> None:
    """Refuse a table of Hive's own format: Spark opens it, and fails when it has rows."""
    stated = source.location
    if "." not in stated:
        stated = f"{spark.catalog.currentDatabase()}.{stated}"
    name = TableName.parse(stated, spark.catalog.currentCatalog())
    if name is None:
        return
    described = CatalogTable(spark, name).describe()
    if described.provider == "hive":
        raise InputError(
            f"stream.{source.role} of format table at '{source.location}' cannot be read as a "
            "stream: it was made by STORED AS, in a format of Hive, and Spark reads none as a "
            "stream.",
            hint=f"where its files are Parquet or ORC, read them by stream.{source.role}.format "
            f"and location '{described.location}'; or make the table by USING parquet.",
        )


def _hint(source: TableSource) -> str:
    if source.format == "kafka":
        return (
            "check the topic; Kafka needs the package spark-sql-kafka on the session (spark-submit "
            "--packages)."
        )
    if source.format == "table":
        return (
            "name a table of files that Spark has written, or of another format that Spark reads "
            "as a stream; a view is none."
        )
    if source.format in {"parquet", "orc"} and source.schema_ddl is None:
        return (
            "check location and format; where the first file comes later, make the folder and "
            f"state stream.{source.role}.schema as 'name type, ...'."
        )
    return "check location and format."


def _open(spark: SparkSession, source: TableSource) -> DataFrame:
    match source.format:
        case "table":
            # The catalog's columns have no place for a record as text, and null would be a value.
            options = {**_STRICT, "mode": "FAILFAST", **source.options}
            return spark.readStream.options(**options).table(source.location)
        case "rate":
            return spark.readStream.format("rate").options(**source.options).load()
        case "kafka":
            reader = spark.readStream.format("kafka").options(**{**_FROM_FIRST, **source.options})
            topic_df = reader.option("subscribe", source.location).load()
            return parse_values(topic_df, source.schema_ddl or "")
    path = literal_path(source.location)
    schema: StructType | str | None = source.schema_ddl
    if schema is None:
        schema = spark.read.format(source.format).load(path).schema
    elif source.is_local:
        Location.of(source.location).make_folder()  # the first file may come later
    if source.format in TEXT_FORMATS:
        schema = f"{schema}, {MALFORMED_RECORD} string"
    options = {**_STRICT, **_KEEP_MALFORMED, **source.options}
    reader = spark.readStream.format(source.format).options(**options)
    return reader.schema(schema).load(path)


def parse_values(topic_df: DataFrame, schema_ddl: str) -> DataFrame:
    """Return the JSON objects in the values of a topic as rows; of another one, the text alone."""
    text = F.col("value").cast("string")
    parsed = F.from_json(text, f"{schema_ddl}, {MALFORMED_RECORD} string", _KEEP_MALFORMED)
    return topic_df.select(parsed.alias(ROW)).select(f"{ROW}.*")


def run_query(
    run: StreamRun, incoming_df: DataFrame, outcomes_df: DataFrame | None, every: str | None
) -> None:
    """Process micro-batches until the sources end, or the process does.

    Parameters
    ----------
    every
        Time between micro-batches; None to process what there is.

    Raises
    ------
    ConfigError
        If the folder holds a stream that Spark has no log of.
    SparkweightsError
        What ended a micro-batch.
    """
    checkpoint = run.folder.root / CHECKPOINT
    _require_log(run, run.folder.root / OFFSETS)
    failures = list[Exception]()
    both_df = incoming_df if outcomes_df is None else _join_sources(incoming_df, outcomes_df)

    def process(batch_df: DataFrame, batch: int) -> None:
        rows_df, known_df = batch_df, None
        if outcomes_df is not None:
            rows_df = batch_df.filter(F.col(ROW).isNotNull()).select(f"{ROW}.*")
            known_df = batch_df.filter(F.col(OUTCOME).isNotNull()).select(f"{OUTCOME}.*")
        try:
            run.process(rows_df, known_df, batch)
        except Exception as error:
            failures.append(error)
            raise

    checkpoint.make_folder()
    writer = both_df.writeStream.foreachBatch(process).option("checkpointLocation", str(checkpoint))
    starting = (
        writer.trigger(availableNow=True) if every is None else writer.trigger(processingTime=every)
    )
    try:
        _await(starting.start(), failures)
    except SPARK_ERRORS as error:
        if failures or not _is_failed_report(error):
            raise
        _await(starting.start(), failures)


def _is_failed_report(error: Exception) -> bool:
    """Whether Spark processed and committed a micro-batch, and failed while it reported on it.

    Spark 4.1 does so with the first micro-batch of a topic that is taken up again after a kill
    (SPARK-57438); the next start goes on behind it.
    """
    return _FAILED_REPORT in str(error)


def _require_log(run: StreamRun, log: Location) -> None:
    """Refuse a state whose micro-batches are counted in a log that is not there.

    Spark would count from 0 again, and the first rows would be taken for ones that were committed.
    """
    if run.state.batch >= 0 and not log.exists():
        raise ConfigError(
            f"'{run.folder.root}' holds a stream of {run.state.batch + 1} micro-batches, and "
            f"'{log.relative_to(run.folder.root)}', which tells their rows, was removed.",
            hint="name another stream.folder, or restore it.",
        )


def _await(query: StreamingQuery, failures: list[Exception]) -> None:
    try:
        query.awaitTermination()
    except SPARK_ERRORS:
        if failures:  # which Spark wraps in its own error
            raise failures[0] from None
        raise
    finally:
        with suppress(*CLEANUP_ERRORS):
            query.stop()


def _join_sources(incoming_df: DataFrame, outcomes_df: DataFrame) -> DataFrame:
    """Return both sources as one stream of two columns, one of which is null in each row."""
    row = F.struct(*map(column, incoming_df.columns))
    outcome = F.struct(*map(column, outcomes_df.columns))
    no_outcome = F.lit(None).cast(outcomes_df.schema)
    no_row = F.lit(None).cast(incoming_df.schema)
    return incoming_df.select(row.alias(ROW), no_outcome.alias(OUTCOME)).union(
        outcomes_df.select(no_row.alias(ROW), outcome.alias(OUTCOME))
    )


def replay(run: StreamRun, labelled_df: DataFrame, batch_rows: int) -> None:
    """Process a table with outcomes in the order of time, as if its rows arrived now.

    The outcome of a row comes when rows arrive that are later by ``stream.wait``; without it, with
    the next micro-batch. After the last rows, the outcomes that are left come.

    Parameters
    ----------
    batch_rows
        About how many rows a micro-batch has; rows of one event time are not divided.

    Raises
    ------
    ConfigError
        If the configuration names no column of event time, or the folder holds another stream.
    InputError
        If rows have no event time.
    """
    roles = run.settings.spec.problem.roles
    if roles.time is None:
        raise ConfigError(
            "columns.time is missing; a table is replayed in the order of its event time.",
            hint="name the column of a row's date or timestamp as columns.time.",
        )
    _require_log(run, run.folder.root / BOUNDS)
    require_columns(labelled_df.schema, [roles.time, roles.label], table="labelled")
    moment = event_time(labelled_df, roles, datetime.now(UTC))
    low, known = -math.inf, -math.inf
    bounds = _bounds(run, labelled_df, moment, batch_rows)
    for batch, high in enumerate([*bounds, math.inf]):
        limit = run.settings.watermark(high) if math.isfinite(high) else math.inf
        later = low if limit is None else limit
        if batch > run.state.batch:
            rows_df = labelled_df.filter((moment > low) & (moment <= high)).drop(roles.label)
            outcomes_df = labelled_df.filter((moment > known) & (moment <= later))
            labels = [*roles.keys, roles.label]
            run.process(rows_df, outcomes_df.select(*map(column, labels)), batch)
        low, known = high, later


def _bounds(run: StreamRun, labelled_df: DataFrame, moment: Column, batch_rows: int) -> list[float]:
    """Return the last event time of each micro-batch; a replay that goes on has the same ones."""
    file = run.folder.root / BOUNDS
    if file.exists():
        stated: list[float] = json.loads(file.read_bytes())["bounds"]
        return stated
    (counts,) = labelled_df.agg(
        F.count(F.lit(1)).alias("rows"), F.count_if(moment.isNull()).alias("without_time")
    ).collect()
    if counts["without_time"]:
        time = run.settings.spec.problem.roles.time
        raise InputError(
            f"columns.time: '{time}' is null, or no time up to now, on {counts['without_time']} of "
            f"{counts['rows']} rows of table 'labelled'; a row without event time has no place in "
            "a replay.",
            hint="leave these rows out (tables.labelled.where), or correct the column.",
        )
    count = max(1, math.ceil(counts["rows"] / batch_rows))
    shares = [i / count for i in range(1, count + 1)]
    (row,) = labelled_df.agg(
        F.percentile_approx(moment, shares, 100 * count).alias("bounds")
    ).collect()
    bounds = list(dict.fromkeys(row["bounds"] or ()))
    write_json(file, {"rows": counts["rows"], "bounds": bounds})
    return bounds
