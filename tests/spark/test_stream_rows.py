"""Rows and outcomes of a stream: their sources, their event times, and their keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import functions as F

from sparkweights.app.stream import kind_of_time
from sparkweights.core.errors import InputError, QualityGateError
from sparkweights.core.roles import ColumnRoles
from sparkweights.storage.location import Location
from sparkweights.storage.tables import TableSource
from sparkweights.stream.files import StreamFolder
from sparkweights.stream.outcomes import event_time
from sparkweights.stream.publication import StreamBatch
from sparkweights.stream.query import open_source, parse_values, replay
from sparkweights.stream.run import StreamRun
from sparkweights.stream.state import StreamRules, StreamState
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROLES = ColumnRoles(("id",), "y", {"good": 0, "bad": 1}, (), (), time="t")


def stream_run(folder: Path, wait: float) -> StreamRun:
    """Return a stream in which outcomes come within a time after their row."""
    settings: Any = SimpleNamespace(
        spec=SimpleNamespace(problem=SimpleNamespace(roles=ROLES)),
        watermark=lambda latest: None if latest is None else latest - wait,
        rules=StreamRules({"good": 0.9, "bad": 0.1}, WeightSpec("none"), None, 100, 2.0),
    )
    progress: Any = SimpleNamespace(step=lambda _: None, warn=lambda _: None)
    folders = StreamFolder(Location.of(folder), lambda _: {})
    return StreamRun(settings, folders, progress, StreamState())


def test_event_time_of_a_placeholder_is_null(spark: SparkSession) -> None:
    """Of dates, timestamps and numbers; others are counted from 1970, or as they are."""
    rows_df = spark.createDataFrame(
        [(date(1970, 1, 11), 7.0), (date(9999, 12, 31), float("inf")), (None, float("nan"))],
        "day date, number double",
    ).withColumn("moment", F.col("day").cast("timestamp"))
    times = [
        event_time(rows_df, ColumnRoles(("id",), "y", {}, (), (), time=name), NOW).alias(name)
        for name in ("day", "moment", "number")
    ]
    found = [tuple(row) for row in rows_df.select(*times).collect()]
    assert found == [(10.0, 10 * 86_400e6, 7.0), (None, None, None), (None, None, None)]


def test_table_with_rows_without_event_time_is_not_replayed(
    spark: SparkSession, tmp_path: Path
) -> None:
    """They would be in no micro-batch; the message counts them."""
    rows = [(1, date(2020, 1, 1), 0), (2, None, 0), (3, date(9999, 12, 31), 1)]
    labelled_df = spark.createDataFrame(rows, "id int, t date, y int")
    with pytest.raises(InputError, match="'t' is null, or no time up to now, on 2 of 3 rows"):
        replay(stream_run(tmp_path, 90), labelled_df, 100)


def test_source_whose_first_file_comes_later_is_opened_by_its_schema(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A stream begins before there are outcomes; without a schema the hint says what to state."""
    later = str(tmp_path / "outcomes")
    with pytest.raises(InputError, match=r"state stream.outcomes.schema as 'name type, ...'"):
        open_source(spark, TableSource("outcomes", later, "parquet"))
    opened_df = open_source(spark, TableSource("outcomes", later, "parquet", "id bigint, y int"))
    assert opened_df.isStreaming
    assert opened_df.columns == ["id", "y"]


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    """Make a database."""
    name = f"arriving_{uuid4().hex[:8]}"
    spark.sql(f"create database {name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def read_new_rows(source_df: DataFrame, checkpoint: Path) -> list[tuple[Any, ...]]:
    """Return the rows that came since the checkpoint was made."""
    read = list[tuple[Any, ...]]()
    writer = source_df.writeStream.foreachBatch(
        lambda batch_df, _: read.extend(map(tuple, batch_df.collect()))
    )
    writer = writer.option("checkpointLocation", str(checkpoint)).trigger(availableNow=True)
    writer.start().awaitTermination()
    return sorted(read)


def test_table_of_the_catalog_gives_the_rows_that_are_added(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    """Each once."""
    source = TableSource("incoming", f"{database}.loans", "table")
    for first in (0, 3):
        rows_df = spark.range(first, first + 3).selectExpr("id", "id * 2 AS x")
        rows_df.write.format("parquet").mode("append").saveAsTable(source.location)
        found = read_new_rows(open_source(spark, source), tmp_path / "checkpoint")
        assert found == [(key, 2 * key) for key in range(first, first + 3)]


@pytest.mark.parametrize("kind", ["view", "temporary view", "nothing"])
def test_what_is_no_stream_of_the_catalog_is_refused(
    spark: SparkSession, database: str, kind: str
) -> None:
    """The hint says what is one."""
    name = f"{database}.loans" if kind == "view" else "loans_of_today"
    if kind != "nothing":
        spark.sql(f"create {kind} {name} as select 1 as id")
    with pytest.raises(InputError, match=f"format table at '{name}' cannot be read") as caught:
        open_source(spark, TableSource("incoming", name, "table"))
    assert "a view is none" in str(caught.value.hint)
    if kind == "temporary view":
        spark.catalog.dropTempView(name)


def test_table_of_hives_own_format_is_refused_before_it_has_rows(
    spark: SparkSession, database: str
) -> None:
    """Spark would open it, and fail at the first row; the hint names its folder."""
    spark.sql(f"create table {database}.loans (id bigint) stored as parquet")
    with pytest.raises(InputError, match="made by STORED AS") as caught:
        open_source(spark, TableSource("incoming", f"{database}.loans", "table"))
    assert f"{database}.db/loans'" in str(caught.value.hint)


def test_record_of_a_table_of_text_files_that_cannot_be_parsed_stops_the_stream(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    """Its columns have no place for the text, and a null would be scored as a missing value."""
    location = tmp_path / "loans"
    location.mkdir()
    (location / "0").write_text('{"id": 1, "x": 2}\n{"id": 2, "x": "many"}\n')
    spark.sql(f"create table {database}.loans (id bigint, x int) using json location '{location}'")
    opened_df = open_source(spark, TableSource("incoming", f"{database}.loans", "table"))
    with pytest.raises(StreamingQueryException, match="MALFORMED_RECORD_IN_PARSING"):
        read_new_rows(opened_df, tmp_path / "checkpoint")


def test_generated_rows_lack_the_columns_of_a_lender(spark: SparkSession) -> None:
    """The message says which there are."""
    generated_df = open_source(spark, TableSource("incoming", "any", "rate"))
    with pytest.raises(InputError, match="no column 'id'; it has timestamp, value"):
        kind_of_time(generated_df.schema, ROLES, table="incoming")


def test_topic_without_the_connector_is_refused_with_its_package(spark: SparkSession) -> None:
    """The session of the tests has none."""
    with pytest.raises(InputError, match="format kafka at 'loans' cannot be read") as caught:
        open_source(spark, TableSource("incoming", "loans", "kafka", "id int"))
    assert "spark-sql-kafka" in str(caught.value.hint)


def test_value_of_a_topic_that_is_no_object_stays_as_text(spark: SparkSession) -> None:
    """An error would come again at each start, because the topic keeps the value."""
    values = ['{"id": 1, "y": 0}', "garbage", '{"id": 2, "y": "?"}', None]
    topic_df = spark.createDataFrame([(value,) for value in values], "value string")
    parsed_df = parse_values(topic_df, "id bigint, y int")
    found = [tuple(row) for row in parsed_df.collect()]
    assert found[0] == (1, 0, None)
    assert [text for *_, text in found] == [None, "garbage", '{"id": 2, "y": "?"}', None]


def test_key_of_a_row_that_is_kept_fails_the_gate(spark: SparkSession, tmp_path: Path) -> None:
    """An outcome of that key would count twice, or for the wrong row."""
    kept_df = spark.range(5).selectExpr("id", "0.0 AS __time")

    def batch(number: int) -> StreamBatch:
        return StreamBatch(
            run_id="r",
            run_date=NOW.date(),
            spark=spark,
            root=Location.of(tmp_path),
            file_format="parquet",
            owner="loans",
            batch=number,
            kept_df=kept_df,
        )

    batch(1).verify_stage(spark.range(5, 8), rows=3, keys=["id"])
    with pytest.raises(QualityGateError, match="2 rows of micro-batch 2 have the key id of an ear"):
        batch(2).verify_stage(spark.range(3, 8), rows=5, keys=["id"])


def test_outcome_before_the_first_row_is_kept_from_when_time_is_known(
    spark: SparkSession, tmp_path: Path
) -> None:
    """It waits for its row as long as one that comes then."""
    run = stream_run(tmp_path, wait=100)
    outcomes_df = spark.createDataFrame([(1, 0)], "id bigint, y int")
    state = run._learn(outcomes_df, 0, StreamState())
    state = run._learn(outcomes_df.limit(0), 1, state.at(5_000.0))
    assert state.unmatched == "1"
    unmatched_df = run.folder.read_rows(spark, "unmatched", ["1"])
    assert [row["__time"] for row in unmatched_df.collect()] == [5_000.0]
