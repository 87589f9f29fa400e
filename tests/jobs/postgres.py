"""What PostgreSQL adds to the battery of every sink; `test_postgres` starts it, with a server."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import postgres_server
import pytest
from conftest import RUN_DATE, Shop, history
from killed import PATIENCE, Moment, Run, opened, whole
from lakehouse import BASE, MARCH_1, MARCH_2, SERVER, Sink, _stages, postgres_sink
from psycopg import sql
from pyspark.sql import Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.app.tables import outputs, table_source
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, InputError, PublishError
from sparkweights.storage.tables import TableSource, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow
    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.storage.publish.protocol import Publication


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection[TupleRow]]:
    """Connect to the server as its owner."""
    with postgres_server.connect() as connection:
        connection.execute("CREATE SCHEMA lending")
        yield connection


@pytest.fixture
def sink(spark: SparkSession, tmp_path: Path) -> Sink:
    """Return a table that is not there yet."""
    return postgres_sink(spark, tmp_path)


def _rows(spark: SparkSession, *keys: int) -> DataFrame:
    schema = "k bigint, decision string, p double"
    return spark.createDataFrame([(k, "ad"[k % 2], k / 100) for k in keys], schema)


def _written(spark: SparkSession, location: str, **options: str) -> Publication:
    scored = {"format": "jdbc", "location": location, "options": {**SERVER, **options}}
    tables = {"scored": scored, "quarantine": {"location": "aside"}}
    return outputs(spark, Config(**BASE, tables=tables), "r", MARCH_1).scored


def test_run_that_has_lost_its_connection_publishes_nothing(
    sink: Sink, spark: SparkSession, server: psycopg.Connection[TupleRow]
) -> None:
    """Its lock is free, and what it has staged is removed by the next run."""
    sink.publish(_rows(spark, 1))
    lost = sink.publication()
    with lost.lock():
        sink.stage(lost, _rows(spark, 2))
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'sparkweights'"
        )
        with pytest.raises(PublishError, match=r"administrator command|connection"):
            lost.publish()
        lost.discard()
        assert sink.keys() == {MARCH_1: [1]}
        sink.publish(_rows(spark, 3))
    assert sink.keys() == {MARCH_1: [3]}
    assert not _stages(sink)


def test_types_of_all_kinds_come_back_as_they_were_written(sink: Sink, spark: SparkSession) -> None:
    """With nulls, NaN, lists, quotes in names, and moments that no time zone moves."""
    moment = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    schema = (
        "k bigint, `a.b 5%s` string, i int, s smallint, b boolean, f float, d double, "
        "n decimal(9,2), day date, at timestamp, clock timestamp_ntz, raw binary, "
        "many array<string>"
    )
    values = [
        (1, "é'", 2, 3, True, 0.5, float("nan"), Decimal("1.25"), date(1900, 1, 1), moment,
         datetime(2026, 3, 29, 2, 30), b"\0x", ["x", None]),  # noqa: DTZ001 (of no zone)
        (2, *[None] * 12),
    ]  # fmt: skip
    df = spark.createDataFrame(values, schema)
    publication = sink.publication()
    publication.write_stage(df)
    staged_df = publication.read_stage(spark, df)
    assert staged_df.schema.simpleString() == df.schema.simpleString()
    expected = sorted(map(str, df.collect()))
    assert sorted(map(str, staged_df.collect())) == expected
    publication.publish()
    published_df = sink.read().drop("run_date")
    assert sorted(map(str, published_df.collect())) == expected
    # A second date finds each column as it has left it.
    sink.publish(df, MARCH_2)
    assert sink.keys() == {MARCH_1: [1, 2], MARCH_2: [1, 2]}


def test_write_lets_rows_be_observed_and_is_read_back_by_several_tasks(
    sink: Sink, spark: SparkSession
) -> None:
    """A run counts its incoming rows while it writes them; each staged row is read once."""
    observation = Observation()
    wide_df = spark.range(300_000).selectExpr("id as k", "'a' as decision", "repeat('x', 400) p")
    observed_df = wide_df.observe(observation, F.count(F.lit(1)).alias("rows"))
    publication = sink.publication()
    publication.write_stage(observed_df.filter("k >= 1000"))
    assert observation.get == {"rows": 300_000}
    staged_df = publication.read_stage(spark, wide_df)
    assert staged_df.rdd.getNumPartitions() == 2  # of 130 MB
    publication.verify_stage(staged_df, rows=299_000, keys=["k"])
    publication.discard()
    assert not _stages(sink)


def test_table_that_cannot_be_written_is_refused_before_a_job(
    spark: SparkSession, server: psycopg.Connection[TupleRow]
) -> None:
    """A view, a table without the date, a missing schema, missing rights, and other types."""
    server.execute("CREATE VIEW lending.seen AS SELECT 1 AS k")
    server.execute("CREATE TABLE lending.undated (k bigint)")
    server.execute("CREATE TABLE lending.wrong (k uuid, p varchar(5), run_date date)")
    server.execute("CREATE ROLE reader LOGIN PASSWORD 'hush7042'")
    server.execute("GRANT USAGE ON SCHEMA lending TO reader")
    server.execute("CREATE ROLE writer LOGIN PASSWORD 'hush7042'")
    server.execute("GRANT ALL ON SCHEMA lending TO writer")
    server.execute("GRANT ALL ON lending.wrong TO writer")
    writer = {"user": "writer", "password": "hush7042"}
    for location, words, changes in (
        ("lending.seen", "is no table, but a view", {}),
        ("lending.undated", "has no column run_date of type date", {}),
        ("nowhere.scored", "the database has no schema 'nowhere'", {}),
        ("lending.wrong", "may not write", {**writer, "user": "reader"}),
        ("lending.undated", "may not write", writer),
    ):
        with pytest.raises(ConfigError, match=words):
            _written(spark, location, **changes).require_ready()
    schema = _rows(spark).schema
    with pytest.raises(PublishError, match=r"Column 'k' .* is uuid; the run writes bigint"):
        _written(spark, "lending.wrong").require_ready(schema)
    with pytest.raises(PublishError, match="no column 'decision', and its owner alone"):
        _written(spark, "lending.wrong", **writer).require_ready(T.StructType([schema["decision"]]))
    with pytest.raises(ConfigError, match=r"Column 'nested' is struct<.*no type"):
        _written(spark, "lending.new").require_ready(schema.add("nested", T.StructType()))


def test_value_that_postgresql_refuses_leaves_the_old_rows(
    spark: SparkSession, server: psycopg.Connection[TupleRow]
) -> None:
    """A text is not shortened; the sentence does not hold it."""
    server.execute("CREATE TABLE lending.short (k bigint, decision varchar(3), run_date date)")
    server.execute("INSERT INTO lending.short VALUES (1, 'a', '2026-03-01')")
    publication = _written(spark, "lending.short")
    with publication.lock():
        publication.write_stage(spark.createDataFrame([(2, "Jane")], "k bigint, decision string"))
        with pytest.raises(PublishError, match=r"SQLSTATE 22001") as refused:
            publication.publish()
        publication.discard()
    assert "Jane" not in str(refused.value)
    assert server.execute("SELECT k, decision FROM lending.short").fetchall() == [(1, "a")]


BAD: list[tuple[str, dict[str, str], str]] = [
    ("lending.nowhere", {}, "there is no such table"),
    ("lending.loans", {"password": "hush9999"}, "refuses the user or the password"),
    ("lending.loans", {"url": "jdbc:postgresql://127.0.0.1:1/x"}, "cannot be reached"),
    ("lending.loans", {"url": f"{SERVER.get('url')}_no"}, "no such database"),
    ("lending.loans", {"driver": "no.such.Driver"}, "no JDBC driver"),
]


def test_table_is_read_by_several_tasks_and_a_refusal_is_a_sentence(
    spark: SparkSession, server: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows by a condition, or by a query; no sentence, on either end, holds the password."""
    server.execute(
        "CREATE TABLE lending.loans AS "
        "SELECT id, id % 7 AS branch FROM generate_series(0, 99) AS id"
    )
    monkeypatch.setenv("BANK_PASSWORD", SERVER["password"])
    ranges = {"partitionColumn": "id", "lowerBound": "0", "upperBound": "100", "numPartitions": "4"}
    stated = {**SERVER, **ranges, "password": "${BANK_PASSWORD}"}
    config = Config(**BASE, tables={"incoming": {
        "format": "jdbc", "location": "lending.loans", "options": stated,
        "partition": {"branch": 3}, "where": "id < 50",
    }})  # fmt: skip
    source = table_source(config, "incoming", MARCH_1)
    rows = read_table(spark, source).withColumn("part", F.spark_partition_id()).collect()
    assert sorted(row["id"] for row in rows) == list(range(3, 50, 7))
    assert {row["part"] for row in rows} == {0, 1}
    query = "(SELECT id FROM lending.loans WHERE branch = 1) AS loans"
    assert read_table(spark, TableSource("incoming", query, "jdbc", options=SERVER)).count() == 15
    for location, changes, words in BAD:
        options = {**SERVER, **changes}
        with pytest.raises(InputError, match=words) as unread:
            read_table(spark, TableSource("incoming", location, "jdbc", options=options))
        assert "hush" not in str(unread.value)
        if "no such table" in words:
            continue
        with pytest.raises(PublishError, match=words) as unwritten:
            _written(spark, "lending.fresh", **changes).require_ready()
        assert "hush" not in str(unwritten.value)


def _tables(schema: str) -> dict[str, Any]:
    return {
        f"tables__{role}": {"format": "jdbc", "location": f"{schema}.{role}", "options": SERVER}
        for role in ("scored", "quarantine")
    }


def test_score_from_and_into_postgresql_equals_the_folder(
    own_shop: Shop,
    spark: SparkSession,
    server: psycopg.Connection[TupleRow],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Row for row; a check of the published date reads it; nothing says the password."""
    incoming = history(400, seed=2).drop(columns="outcome")
    incoming.loc[:4, "late payments"] = -1
    own_shop.table("incoming", incoming)
    assert own_shop.run("score", own_shop.config("folders.yaml"), "--quiet") == 0
    loans = {"format": "jdbc", "location": "lending.incoming", "options": SERVER}
    spark.createDataFrame(incoming).write.format("jdbc").options(
        **SERVER, dbtable="lending.incoming", driver="org.postgresql.Driver"
    ).save()
    config = own_shop.config(**_tables("lending"), tables__incoming=loans)
    for _ in range(2):
        assert own_shop.run("score", config) == 0
    by_folder = {
        row["loan id"]: (row["decision"], row["expected_cost"], row["run_id"][:10])
        for row in spark.read.parquet(str(own_shop.folder / "out" / "scored")).collect()
    }
    found = server.execute(
        'SELECT "loan id", decision, expected_cost, substr(run_id, 1, 10) FROM lending.scored '
        "WHERE run_date = %s",
        [RUN_DATE],
    ).fetchall()
    assert {row[0]: row[1:] for row in found} == by_folder
    assert len(found) == len(by_folder) == 395
    aside = server.execute('SELECT "loan id", failed_checks[1] FROM lending.quarantine').fetchall()
    assert sorted(aside) == [(i, "late payments are counted") for i in range(5)]
    assert own_shop.manifest()["tables"]["incoming"]["location"] == "lending.incoming"
    said = capfd.readouterr()
    assert SERVER["password"] not in said.out + said.err + json.dumps(own_shop.manifest())


WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DELETE%' AND wait_event_type = 'Lock'
"""
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def test_run_killed_in_its_transaction_leaves_the_old_rows(
    own_shop: Shop, spark: SparkSession, server: psycopg.Connection[TupleRow]
) -> None:
    """It waits for a row of the date that somebody holds; the next run succeeds and cleans up."""
    with opened(spark, own_shop, "postgres") as scene, postgres_server.connect() as holder:
        holder.autocommit = False
        schema, _, table = scene.tables["scored"]["location"].partition(".")
        rows = sql.SQL("SELECT 1 FROM {} FOR UPDATE").format(sql.Identifier(schema, table))
        holder.execute(rows)
        scene.bring(2)
        run = scene.start(Moment("never", 0.0, "both", (1, 1), recorded=False))
        run.go()
        _wait(server, WAITING, 1, run)
        run.process.kill()
        run.process.wait(PATIENCE)
        holder.rollback()
        _wait(server, HELD, 0, run)
        assert scene.states() == [whole(2)[0], whole(1)[1]]
        scene.score()
        assert scene.states() == whole(2)
        assert not scene.left_over()


def _wait(server: psycopg.Connection[TupleRow], query: str, count: int, run: Run) -> None:
    """Wait until the server counts so many."""
    until = time.monotonic() + PATIENCE
    while server.execute(query).fetchone() != (count,):
        assert time.monotonic() < until, run.log.read_text()
        time.sleep(0.02)
