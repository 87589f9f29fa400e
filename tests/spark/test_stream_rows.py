"""Rows and outcomes of a stream: their sources, their event times, and their keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

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
    from pathlib import Path

    from pyspark.sql import SparkSession

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
