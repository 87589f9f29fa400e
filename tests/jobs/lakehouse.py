"""One battery for every way to publish a date.

`test_lakehouse` and `test_postgres` start it, with the connectors.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import postgres_server
import pytest
from conftest import RUN_DATE, Shop, history
from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweights import Runner, load_config
from sparkweights.app.tables import outputs, table_source
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, InputError, PublishError, QualityGateError
from sparkweights.storage.catalog_table import CatalogTable
from sparkweights.storage.names import TableName
from sparkweights.storage.postgres import attempt_of
from sparkweights.storage.publish.delta import DeltaPublication
from sparkweights.storage.publish.folder import FolderPublication
from sparkweights.storage.publish.lakehouse import LakehousePublication
from sparkweights.storage.publish.postgres import PostgresPublication
from sparkweights.storage.publish.table import TablePublication
from sparkweights.storage.tables import TableSource, pin_version, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.storage.publish.protocol import Publication

MARCH_1, MARCH_2 = date(2026, 3, 1), date(2026, 3, 2)
SERVER = postgres_server.options()
# Catalogs of Iceberg: one in a folder, and one in a database of PostgreSQL.
ICEBERG = {"iceberg": "lake", **({"iceberg_jdbc": "ledger"} if SERVER else {})}
LAKEHOUSES = ("delta", *ICEBERG)
KINDS = ("folder", "hive", *LAKEHOUSES, *(["postgres"] if SERVER else []))
BASE = {
    "name": "n",
    "columns": {"keys": ["k"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]},
}


@dataclass(frozen=True)
class Sink:
    """A table of one kind, published by the configuration as a run does it."""

    spark: SparkSession
    config: Config

    def publication(self, day: date = MARCH_1, run_id: str = "r") -> Publication:
        """Return how a date is published."""
        return outputs(self.spark, self.config, run_id, day).scored

    def stage(self, publication: Publication, df: DataFrame) -> None:
        """Write and verify a stage."""
        publication.require_ready()
        publication.write_stage(df, partition_by=["decision"])
        staged_df = publication.read_stage(self.spark, df)
        publication.verify_stage(staged_df, rows=df.count(), keys=["k"])

    def publish(self, df: DataFrame, day: date = MARCH_1, run_id: str = "r") -> None:
        """Stage, verify and publish, as the only run."""
        with self.publication(day).lock():
            self.publish_beside(df, day, run_id)

    def publish_beside(self, df: DataFrame, day: date = MARCH_1, run_id: str = "r") -> None:
        """Stage, verify and publish, as a run whose `runs` is another folder."""
        publication = self.publication(day, run_id)
        self.stage(publication, df)
        publication.publish()
        publication.discard()

    def read(self) -> DataFrame:
        """Return the table as its readers see it."""
        location = self.config.table("scored").location
        match self.config.table("scored").format:
            case "table":
                return self.spark.table(location)
            case "jdbc":
                return read_table(self.spark, table_source(self.config, "scored", MARCH_1))
        return self.spark.read.parquet(location)

    def keys(self) -> dict[date, list[int]]:
        """Return the keys of each date."""
        rows = self.read().select("run_date", "k").collect()
        days = {row["run_date"] for row in rows}
        return {day: sorted(row["k"] for row in rows if row["run_date"] == day) for day in days}


@pytest.fixture(scope="module")
def database(spark: SparkSession) -> Iterator[str]:
    """Make a database of this name in all catalogs."""
    name = f"lending_{uuid4().hex[:8]}"
    for catalog in ("spark_catalog", *ICEBERG.values()):
        spark.sql(f"create database {catalog}.{name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def _sink(spark: SparkSession, database: str, folder: Path, kind: str) -> Sink:
    name = f"{database}.t_{uuid4().hex[:8]}"
    scored: dict[str, Any] = {"format": "table", "location": name}
    if kind == "folder":
        scored = {"format": "parquet", "location": str(folder / "scored")}
    if kind == "delta":
        spark.sql(
            f"create table {name} (k bigint, run_date date) using delta partitioned by (run_date)"
        )
    if kind in ICEBERG:
        scored["location"] = f"{ICEBERG[kind]}.{name}"
    return _configured(spark, folder, scored)


def postgres_sink(spark: SparkSession, folder: Path) -> Sink:
    """Return a table of PostgreSQL that is not there yet."""
    location = f'public."Scored {uuid4().hex[:8]}"'
    return _configured(spark, folder, {"format": "jdbc", "location": location, "options": SERVER})


def _configured(spark: SparkSession, folder: Path, scored: dict[str, Any]) -> Sink:
    aside = {"format": "parquet", "location": str(folder / "aside")}
    tables = {"scored": scored, "quarantine": aside}
    return Sink(spark, Config(**BASE, tables=tables, runs=str(folder / "runs")))


@pytest.fixture(params=KINDS)
def sink(spark: SparkSession, tmp_path: Path, request: pytest.FixtureRequest) -> Sink:
    """Return a table of each kind."""
    if request.param == "postgres":
        return postgres_sink(spark, tmp_path)
    return _sink(spark, request.getfixturevalue("database"), tmp_path, request.param)


@pytest.fixture(params=LAKEHOUSES)
def lakehouse(
    spark: SparkSession, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Sink:
    """Return a table of Delta, and one of each catalog of Iceberg."""
    return _sink(spark, database, tmp_path, request.param)


@pytest.fixture
def rows(spark: SparkSession) -> Callable[..., DataFrame]:
    """Return how rows with some keys are made."""

    def made(*keys: int) -> DataFrame:
        schema = "k bigint, decision string, p double"
        return spark.createDataFrame([(k, "ad"[k % 2], k / 100) for k in keys], schema).coalesce(1)

    return made


def _is_iceberg(location: str) -> bool:
    return location.partition(".")[0] in ICEBERG.values()


def _stages(sink: Sink) -> Sequence[str]:
    publication = sink.publication()
    if isinstance(publication, PostgresPublication):
        with publication._table() as table:
            return [name for name in table.beside(publication.name.table) if attempt_of(name)]
    return publication.list_stages() if isinstance(publication, LakehousePublication) else ()


def test_sink_publishes_a_date_and_a_rerun_replaces_it_alone(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """Another date stays; rows are seen once they are published, and no stage is left."""
    sink.publish(rows(1, 2, 3))
    assert sink.keys() == {MARCH_1: [1, 2, 3]}
    sink.publish(rows(4), MARCH_2)
    again = sink.publication()
    with again.lock():
        sink.stage(again, rows(5, 6))
        assert sink.keys() == {MARCH_1: [1, 2, 3], MARCH_2: [4]}
        again.publish()
        again.discard()
    assert sink.keys() == {MARCH_1: [5, 6], MARCH_2: [4]}
    found = {row["k"]: (row["decision"], row["p"]) for row in sink.read().collect()}
    assert found == {4: ("a", 0.04), 5: ("d", 0.05), 6: ("a", 0.06)}
    assert not _stages(sink)


def test_sink_zero_rows_empty_the_date(sink: Sink, rows: Callable[..., DataFrame]) -> None:
    """Also where the table is not there yet."""
    sink.publish(rows())
    sink.publish(rows(1, 2))
    sink.publish(rows(3), MARCH_2)
    assert sink.keys() == {MARCH_1: [1, 2], MARCH_2: [3]}
    sink.publish(rows())
    assert sink.keys() == {MARCH_2: [3]}


def test_sink_schema_grows_and_a_changed_type_is_refused(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """A new column is null for earlier dates; one that is gone is null for later ones."""
    sink.publish(rows(1))
    nested = F.struct if isinstance(sink.publication(), TablePublication) else F.array
    sink.publish(rows(2).withColumn("extra", nested(F.lit(7).alias("x"))), MARCH_2)
    sink.publish(rows(3).drop("p"), date(2026, 3, 3))
    if isinstance(sink.publication(), FolderPublication):
        return  # readers of a folder merge schemas as they like
    df = sink.read().orderBy("k")
    assert [row["extra"] and row["extra"][0] for row in df.collect()] == [None, 7, None]
    assert [row["p"] for row in df.collect()] == [0.01, 0.02, None]
    with pytest.raises(
        PublishError, match=r"Column 'p' .* is double.*; the run writes (string|text)"
    ):
        sink.publish(rows(4).withColumn("p", F.col("p").cast("string")))
    assert sink.keys()[MARCH_1] == [1]


def test_sink_failed_run_changes_nothing_and_leaves_no_stage(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """Two rows with one key stop the run after its rows were written."""
    sink.publish(rows(1))
    failing = sink.publication()
    with failing.lock():
        with pytest.raises(QualityGateError, match="more than once"):
            sink.stage(failing, rows(2, 2))
        failing.discard()
    assert sink.keys() == {MARCH_1: [1]}
    assert not _stages(sink)


def test_sink_second_run_of_a_date_is_refused_and_a_dead_ones_stage_is_removed(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """One run writes a table at a time; the next one removes what a killed one has left."""
    sink.publish(rows(1))
    dead = sink.publication()
    with dead.lock():
        sink.stage(dead, rows(2))
        with pytest.raises(PublishError, match="Another run"), sink.publication().lock():
            pass
    sink.publish(rows(3))
    assert sink.keys() == {MARCH_1: [3]}
    assert not _stages(sink)


def test_sink_two_dates_are_written_at_once(sink: Sink, rows: Callable[..., DataFrame]) -> None:
    """Neither run removes the other's stage; a second run of one of the dates is refused."""
    first, second = sink.publication(MARCH_1), sink.publication(MARCH_2)
    with first.lock():
        sink.stage(first, rows(1, 2))
        with second.lock():
            sink.stage(second, rows(3))
            for day in (MARCH_1, MARCH_2):
                with pytest.raises(PublishError, match=f"Another run is writing .*{day}"):
                    sink.publish(rows(9), day)
            second.publish()
            second.discard()
            assert sink.keys() == {MARCH_2: [3]}
        first.publish()
        first.discard()
    assert sink.keys() == {MARCH_1: [1, 2], MARCH_2: [3]}
    assert not _stages(sink)


def test_sink_runs_of_several_dates_make_a_table_together(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """Each finds the table missing, and later its new column; then all publish."""
    days = [date(2026, 3, day) for day in (1, 2, 3)]
    _publish_together(sink, {day: rows(day.day) for day in days})
    assert sink.keys() == {day: [day.day] for day in days}
    wider = {day: rows(10 + day.day).withColumn("extra", F.lit(7)) for day in days}
    _publish_together(sink, wider)
    assert sink.keys() == {day: [10 + day.day] for day in days}
    assert {row["extra"] for row in sink.read().collect()} == {7}
    assert not _stages(sink)


def _publish_together(sink: Sink, frames: Mapping[date, DataFrame]) -> None:
    """Publish dates by a thread each, which begin at one moment."""
    begin = threading.Barrier(len(frames))

    def publish(day: date) -> None:
        begin.wait(60)
        sink.publish(frames[day], day)

    with ThreadPoolExecutor(len(frames)) as pool:
        for _ in pool.map(publish, frames):  # an error of a thread is raised here
            pass


def test_sink_of_another_configuration_is_refused(
    sink: Sink, rows: Callable[..., DataFrame]
) -> None:
    """Its dates would be replaced; also where the table was there before its first run."""
    sink.publish(rows(1))
    sink.publish(rows(2), MARCH_2)
    other = replace(sink, config=sink.config.model_copy(update={"name": "cards"}))
    with pytest.raises(ConfigError, match="holds rows of the configuration 'n'; this is 'cards'"):
        other.publication().require_ready()


def test_lakehouse_run_removes_nothing_that_people_have_named(
    lakehouse: Sink, rows: Callable[..., DataFrame], spark: SparkSession
) -> None:
    """A table beside the table, a branch and a tag of it, whose names begin like a stage's."""
    lakehouse.publish(rows(1))
    location = lakehouse.config.table("scored").location
    kept = f"{location}__staging_history"
    if _is_iceberg(location):
        kept = f"{location}.branch_sparkweights_history"
        spark.sql(f"alter table {location} create branch sparkweights_history")
        spark.sql(f"alter table {location} create tag sparkweights_20250101t000000z_0123abcd")
    else:
        spark.sql(f"create table {kept} using delta as select 1 as k")
    lakehouse.publish(rows(2))
    assert spark.table(kept).count() == 1
    if _is_iceberg(location):
        tags_df = spark.table(f"{location}.refs").filter("type = 'TAG'")
        assert tags_df.count() == 1


def test_delta_rerun_from_a_machine_whose_clock_is_behind_is_published(
    spark: SparkSession, database: str, tmp_path: Path, rows: Callable[..., DataFrame]
) -> None:
    """Delta would skip it without a word: its number would be lower."""
    sink = _sink(spark, database, tmp_path, "delta")
    ahead = sink.publication()
    assert isinstance(ahead, DeltaPublication)
    ahead = replace(ahead, began=ahead.began + 3_600_000)
    with ahead.lock():
        sink.stage(ahead, rows(1))
        ahead.publish()
        ahead.discard()
    sink.publish(rows(2))
    assert sink.keys() == {MARCH_1: [2]}


def test_lakehouse_two_runs_without_a_common_lock_never_mix(
    lakehouse: Sink, rows: Callable[..., DataFrame]
) -> None:
    """The later attempt stays, whichever is published first."""
    lakehouse.publish(rows(1))
    first, second = lakehouse.publication(run_id="a"), lakehouse.publication(run_id="b")
    lakehouse.stage(first, rows(2, 3))
    if isinstance(second, DeltaPublication):
        assert isinstance(first, DeltaPublication)
        second = replace(second, began=first.began + 1000)
    lakehouse.stage(second, rows(4, 5))
    second.publish()
    with pytest.raises(PublishError, match=r"later attempt|changed by another writer"):
        first.publish()
    assert lakehouse.keys() == {MARCH_1: [4, 5]}
    first.discard()
    second.discard()
    lakehouse.publish(rows(6))
    assert lakehouse.keys() == {MARCH_1: [6]}


def test_lakehouse_date_is_published_on_a_table_that_changed_meanwhile(
    lakehouse: Sink, rows: Callable[..., DataFrame]
) -> None:
    """Another date, and a column, that are published in between stay."""
    lakehouse.publish(rows(1))
    lakehouse.publish(rows(2), MARCH_2)
    publication = lakehouse.publication()
    lakehouse.stage(publication, rows(3, 4))
    lakehouse.publish_beside(rows(5).withColumn("more", F.lit(1)), MARCH_2)
    publication.publish()
    publication.discard()
    assert lakehouse.keys() == {MARCH_1: [3, 4], MARCH_2: [5]}
    assert lakehouse.read().where("more = 1").count() == 1
    assert not _stages(lakehouse)


def test_lakehouse_commit_names_the_run(
    lakehouse: Sink, rows: Callable[..., DataFrame], spark: SparkSession
) -> None:
    """The table's own history says which run wrote a date."""
    lakehouse.publish(rows(1), run_id="2026-03-01-abc")
    location = lakehouse.config.table("scored").location
    if _is_iceberg(location):
        (summary,) = spark.table(f"{location}.snapshots").orderBy("committed_at").tail(1)
        assert summary["summary"]["run_id"] == "2026-03-01-abc"
    else:
        (last, *_) = spark.sql(f"describe history {location}").collect()
        assert '"run_id": "2026-03-01-abc"' in last["userMetadata"]


def test_lakehouse_write_lets_rows_be_observed(
    lakehouse: Sink, rows: Callable[..., DataFrame]
) -> None:
    """A run counts its incoming rows while it writes them."""
    observation = Observation()
    observed_df = rows(1, 2, 3).observe(observation, F.count(F.lit(1)).alias("rows"))
    publication = lakehouse.publication()
    publication.write_stage(observed_df.filter("k > 1"))
    publication.discard()
    assert observation.get == {"rows": 3}


def test_lakehouse_input_is_read_as_of_the_start(
    lakehouse: Sink, rows: Callable[..., DataFrame], spark: SparkSession
) -> None:
    """In every pass, and again when the version is named; a version that is gone is refused."""
    lakehouse.publish(rows(1, 2))
    source = TableSource("incoming", lakehouse.config.table("scored").location, "table")
    pinned = pin_version(spark, source)
    assert pinned.as_of is not None
    read_df = read_table(spark, pinned)
    lakehouse.publish(rows(3))
    assert sorted(row["k"] for row in read_df.collect()) == [1, 2]
    assert [row["k"] for row in read_table(spark, pin_version(spark, source)).collect()] == [3]
    named = pin_version(spark, replace(source, as_of=pinned.as_of))
    assert read_table(spark, named).count() == 2
    with pytest.raises(InputError, match="cannot be read"):
        read_table(spark, replace(source, as_of=987_654_321)).count()


def test_lakehouse_table_without_the_date_is_refused(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    """With the statement that makes another one."""
    kinds = {"spark_catalog": "delta", **dict.fromkeys(ICEBERG.values(), "iceberg")}
    for catalog, kind in kinds.items():
        name = f"{catalog}.{database}.undated"
        spark.sql(f"create table {name} (k bigint) using {kind}")
        scored = {"format": "table", "location": name}
        aside = {"format": "parquet", "location": str(tmp_path / "aside")}
        config = Config(**BASE, tables={"scored": scored, "quarantine": aside})
        with pytest.raises(ConfigError, match=f"is {kind}, partitioned by nothing"):
            outputs(spark, config, "r", MARCH_1).scored.require_ready()
        assert CatalogTable(spark, TableName.parse(name)).describe().provider == kind


@pytest.mark.parametrize("kind", LAKEHOUSES)
def test_score_into_a_lakehouse_equals_the_folder(
    own_shop: Shop, spark: SparkSession, database: str, kind: str, capsys: Any
) -> None:
    """A run killed between its two tables is told by the next, which replaces both.

    The incoming table is one of the kind, too; the record states the version that was read.
    """
    prefix = f"{ICEBERG[kind]}.{database}" if kind in ICEBERG else database
    tables = {
        f"tables__{role}": {"format": "table", "location": f"{prefix}.{kind}_{role}"}
        for role in ("scored", "quarantine", "incoming")
    }
    incoming = history(400, seed=2).drop(columns="outcome")
    incoming.loc[:4, "late payments"] = -1
    own_shop.table("incoming", incoming)
    assert own_shop.run("score", own_shop.config("folders.yaml"), "--quiet") == 0
    mapped = {"delta.columnMapping.mode": "name"} if kind == "delta" else {}
    for role in ("scored", "quarantine"):
        if kind == "delta":
            spark.sql(
                f"create table {prefix}.{kind}_{role} (`loan id` bigint, run_date date) "
                "using delta partitioned by (run_date) "
                "tblproperties ('delta.columnMapping.mode' = 'name')"
            )
    writer = spark.createDataFrame(incoming).writeTo(f"{prefix}.{kind}_incoming")
    writer = writer.using(kind.partition("_")[0])
    for key, value in mapped.items():
        writer = writer.tableProperty(key, value)
    writer.create()
    config = own_shop.config(**tables)
    runner = Runner(spark, load_config(config), MARCH_1)
    into = outputs(spark, runner.config, "x", MARCH_1)
    object.__setattr__(into.scored, "publish", partial(_away, into.scored))
    with pytest.raises(PublishError, match="The catalog is away"):
        runner.score(into=into)
    capsys.readouterr()
    assert own_shop.run("score", config) == 0
    assert "ended while it published" in capsys.readouterr().err
    by_folder = {
        row["loan id"]: (row["decision"], row["expected_cost"])
        for row in spark.read.parquet(str(own_shop.folder / "out" / "scored")).collect()
    }
    scored_df = spark.table(f"{prefix}.{kind}_scored")
    assert len(by_folder) == 395
    assert by_folder == {
        row["loan id"]: (row["decision"], row["expected_cost"]) for row in scored_df.collect()
    }
    aside_df = spark.table(f"{prefix}.{kind}_quarantine")
    assert sorted(row["loan id"] for row in aside_df.collect()) == [0, 1, 2, 3, 4]
    ids = scored_df.select("run_id").union(aside_df.select("run_id")).distinct().collect()
    assert len(ids) == 1
    assert own_shop.manifest(RUN_DATE)["tables"]["incoming"]["version"].isdigit()


def _away(_: object) -> None:
    raise PublishError("The catalog is away.", hint="none.")
