"""Every sink under runs that are killed; `test_lakehouse` and `test_postgres` start it.

A killed run is a process of its own. Where its tables are those of a catalog, it shares the catalog
with this process through a server of PostgreSQL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import product
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dying_run
import postgres_server
import pytest
from conftest import RUN_DATE, Shop, history
from pyspark.sql import functions as F

from sparkweights.storage.jdbc import with_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pyspark.sql import Column, DataFrame, SparkSession

State = tuple[Any, ...]  # of a table; see `Scene.states`
PATIENCE = 120  # seconds for one process
ROWS, ASIDE = 300, 7  # of an incoming table: those that are scored, and those without a key
ROLES = ("quarantine", "scored")  # in the order in which a run replaces them
KINDS = ("folder", "hive", "delta", "iceberg", "iceberg_jdbc", "postgres")
# A folder is exchanged: a reader that has listed its files may not find them any more.
GONE = ("FILE_NOT_EXIST", "FileNotFoundException", "PATH_NOT_FOUND")


# A run over a small table spends much of its time compiling code and planning anew.
INTERPRETED = """
    --conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN
    --conf spark.sql.adaptive.enabled=false
"""


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Attributes
    ----------
    step
        Of `dying_run`.
    seconds
        After the step has begun; 0 if it does not begin.
    whom
        ``driver``, whose Java lives on until it notices; or ``both``.
    replaced
        How many of the two tables are replaced then: least and most.
    recorded
        Whether the record is the one of the scored rows then; None if it may be.
    """

    step: str
    seconds: float
    whom: str
    replaced: tuple[int, int]
    recorded: bool | None

    @property
    def codes(self) -> set[int]:
        """The run's exit codes; it may have ended before a blow that comes a little later."""
        return {-signal.SIGKILL, *([0] if self.recorded is None else [])}


MOMENTS = (
    Moment("scored.write_stage", 0.0, "driver", (0, 0), recorded=True),
    Moment("scored.write_stage", 0.3, "driver", (0, 0), recorded=True),
    Moment("scored.write_stage", 1.0, "both", (0, 0), recorded=True),
    Moment("quarantine.write_stage", 0.3, "both", (0, 0), recorded=True),
    Moment("scored.verify_stage", 0.0, "both", (0, 0), recorded=True),
    Moment("quarantine.publish", 0.0, "driver", (0, 0), recorded=False),
    Moment("quarantine.publish", 0.1, "both", (0, 2), recorded=None),
    Moment("scored.publish", 0.0, "both", (1, 1), recorded=False),
    Moment("scored.publish", 0.05, "both", (1, 2), recorded=None),
    Moment("scored.publish", 0.3, "driver", (1, 2), recorded=None),
    Moment("record.write", 0.0, "both", (2, 2), recorded=False),
    Moment("record.written", 0.0, "driver", (2, 2), recorded=True),
)


@dataclass(frozen=True)
class Run:
    """A run in a process of its own, which waits until it may begin.

    Attributes
    ----------
    log
        What it says.
    """

    process: subprocess.Popen[str]
    log: Path

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@dataclass(frozen=True)
class Scene:
    """A lender whose runs are killed, and its tables as their readers see them.

    Attributes
    ----------
    tables
        Role -> table of the configuration.
    config
        The configuration's file.
    runs
        All that were started.
    """

    spark: SparkSession
    shop: Shop
    tables: Mapping[str, Mapping[str, Any]]
    config: Path
    runs: list[Run] = field(default_factory=list)

    def bring(self, thousand: int) -> None:
        """Bring an incoming table whose rows can be told from those of others."""
        frame = history(ROWS + ASIDE, seed=thousand).drop(columns="outcome")
        keys = (frame["loan id"] + 1000 * thousand).astype("Int64")
        keys[frame["loan id"] >= ROWS] = None
        self.shop.table("incoming", frame.assign(**{"loan id": keys, "age": thousand}))

    def score(self) -> None:
        """Score in this process."""
        assert self.shop.run("score", self.config, "--quiet") == 0

    def start(self, moment: Moment, day: str = RUN_DATE) -> Run:
        """Start a run of a date that is killed at a moment."""
        log = self.shop.folder / f"run_{len(self.runs)}.log"
        aimed = [moment.step, str(moment.seconds), moment.whom]
        command = [sys.executable, dying_run.__file__, *aimed]
        command += ["score", "--config", str(self.config), "--run-date", day]
        submit = f"{INTERPRETED} {os.environ['PYSPARK_SUBMIT_ARGS']}"
        with log.open("w") as said:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, text=True,
                env={**os.environ, "PYSPARK_SUBMIT_ARGS": submit}, start_new_session=True,
            )  # fmt: skip
        self.runs.append(Run(process, log))
        return self.runs[-1]

    def states(self) -> list[State]:
        """Return what a reader sees of the date: least and greatest thousand, and rows.

        Of each table, the quarantine first.
        """
        aside_df, scored_df = map(self.of_date, ROLES)
        found_df = _measure(aside_df, F.col("age"))
        found_df = found_df.unionAll(_measure(scored_df, F.floor(F.col("`loan id`") / 1000)))
        return [tuple(row) for row in found_df.collect()]

    def of_date(self, role: str, day: str = RUN_DATE) -> DataFrame:
        """Return a date's rows of a table."""
        table = self.tables[role]
        location = table["location"]
        match table["format"]:
            case "table":
                self.spark.catalog.refreshTable(location)
                df = self.spark.table(location)
            case "jdbc":
                reader = self.spark.read.format("jdbc").options(**with_defaults(table["options"]))
                df = reader.option("dbtable", location).load()
            case _:
                df = self.spark.read.parquet(str(self.shop.folder / location))
        return df.filter(F.col("run_date") == F.lit(date.fromisoformat(day)))

    def is_recorded(self) -> bool:
        """Whether the record is complete; the scored rows are then of its run."""
        pending = self.shop.folder / "out" / "runs" / f"run_date={RUN_DATE}"
        if (pending / "manifest.pending.json").exists():
            return False
        begun = datetime.fromisoformat(self.shop.manifest()["scored_at"])
        of_rows_df = self.of_date("scored").select(F.unix_timestamp("scored_at")).distinct()
        assert [row[0] for row in of_rows_df.collect()] == [begun.timestamp()]
        return True

    def left_over(self) -> list[str]:
        """Return what the last run should have removed."""
        out = self.shop.folder / "out"
        left = [str(path) for name in ("_staging/*", "_work-*") for path in out.rglob(name)]
        for table in self.tables.values():
            database = table["location"].rpartition(".")[0]
            if table["format"] == "jdbc":
                with postgres_server.connect() as server:
                    of_schema = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
                    left += [name for (name,) in server.execute(of_schema, [database])]
            elif table["format"] == "table":
                names = self.spark.sql(f"show tables in {database}").collect()
                left += [row["tableName"] for row in names if not row["isTemporary"]]
            if "." in database:  # of a catalog of Iceberg
                names = self.spark.table(f"{table['location']}.refs").collect()
                left += [row["name"] for row in names if row["name"] != "main"]
        return [name for name in left if name not in ROLES]


def _measure(df: DataFrame, thousand: Column) -> DataFrame:
    told_df = df.select(thousand.cast("int").alias("t"))
    return told_df.agg(F.min("t"), F.max("t"), F.count(F.lit(1)))


def whole(thousand: int) -> list[State]:
    """Return the states of both tables that one run has written."""
    return [(thousand, thousand, ASIDE), (thousand, thousand, ROWS)]


@contextmanager
def polling(scene: Scene, *allowed: list[State]) -> Iterator[None]:
    """Poll both tables meanwhile, as a reader does; each state must be that of an allowed list."""
    ended, seen, failed = threading.Event(), (set[State](), set[State]()), list[Exception]()
    is_folder = scene.tables["scored"]["format"] == "parquet"

    def poll() -> None:
        while not (failed or ended.wait(0.05)):
            try:
                for states, state in zip(seen, scene.states(), strict=True):
                    states.add(state)
            except Exception as error:  # noqa: BLE001 (whatever a reader meets is a finding)
                if not (is_folder and any(words in str(error) for words in GONE)):
                    failed.append(error)

    reader = threading.Thread(target=poll, daemon=True)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()
    assert not failed
    for number, role in enumerate(ROLES):
        assert seen[number], role
        assert seen[number] <= {states[number] for states in allowed}, role


def _tables(spark: SparkSession, kind: str) -> dict[str, dict[str, Any]]:
    """Return two tables of a kind, in a database of their own; a run makes what is not there."""
    database = f"killed_{uuid4().hex[:8]}"
    catalog = {"iceberg": "lake.", "iceberg_jdbc": "ledger."}.get(kind, "")
    stated: dict[str, Any] = {"format": "table"}
    if kind == "folder":
        database, stated = "out", {"format": "parquet"}
    elif kind == "postgres":
        stated = {"format": "jdbc", "options": postgres_server.options()}
        with postgres_server.connect() as server:
            server.execute(f"CREATE SCHEMA {database}")
    else:
        spark.sql(f"create database {catalog}{database}")
    for role in ROLES if kind == "delta" else ():
        spark.sql(
            f"create table {database}.{role} (`loan id` bigint, run_date date) using delta "
            "partitioned by (run_date) tblproperties ('delta.columnMapping.mode' = 'name')"
        )
    separator = "/" if kind == "folder" else "."
    return {role: {**stated, "location": f"{catalog}{database}{separator}{role}"} for role in ROLES}


@contextmanager
def opened(spark: SparkSession, shop: Shop, kind: str) -> Iterator[Scene]:
    """Open a lender with tables of a kind, and rows of the date."""
    tables = _tables(spark, kind)
    # Without a suite, whose library takes seconds to come.
    config = shop.config(checks={}, **{f"tables__{role}": tables[role] for role in ROLES})
    scene = Scene(spark, shop, tables, config)
    scene.bring(1)
    scene.score()
    assert scene.states() == whole(1)
    try:
        yield scene
    finally:
        for run in scene.runs:
            run.process.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_runs_killed_at_any_moment_leave_a_whole_date(
    own_shop: Shop, spark: SparkSession, kind: str
) -> None:
    """Readers see the rows of one run in each table; the next run succeeds and cleans up."""
    with opened(spark, own_shop, kind) as scene:
        coming = scene.start(MOMENTS[0])
        for new, moment in enumerate(MOMENTS, start=2):
            run = coming
            if moment != MOMENTS[-1]:  # its engine starts while this one's run takes place
                coming = scene.start(MOMENTS[new - 1])
            scene.bring(new)
            _kill(scene, run, moment, new)
            with polling(scene, whole(new - 1), whole(new)):
                scene.score()
            assert scene.states() == whole(new), moment
            assert scene.is_recorded(), moment
            assert not scene.left_over(), moment


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_publish_a_date_each_at_once(
    own_shop: Shop, spark: SparkSession, kind: str
) -> None:
    """Both succeed; the date of neither is that of a third, which stays."""
    days = ("2026-03-02", "2026-03-03")
    with opened(spark, own_shop, kind) as scene:
        runs = [
            scene.start(Moment("never", 0.0, "both", (2, 2), recorded=True), day) for day in days
        ]
        for run in runs:
            run.go()
        for run in runs:
            assert run.process.wait(PATIENCE) == 0, run.log.read_text()
        for day, role in product((RUN_DATE, *days), ROLES):
            assert scene.of_date(role, day).count() == {"scored": ROWS, "quarantine": ASIDE}[role]
        assert not scene.left_over()


def _kill(scene: Scene, run: Run, moment: Moment, new: int) -> None:
    """Let a run be killed; see that its tables are old or new, and the record theirs."""
    before, after = whole(new - 1), whole(new)
    least, most = moment.replaced
    allowed = [[*after[:n], *before[n:]] for n in range(least, most + 1)]
    with polling(scene, before, *allowed):
        run.go()
        code = run.process.wait(PATIENCE)
    assert code in moment.codes, run.log.read_text()
    assert scene.states() in allowed, moment
    assert moment.recorded in {None, scene.is_recorded()}, moment
