"""Models, records, suites and tables on S3; `test_s3` starts it, with server and connector."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import fsspec
import pytest
from conftest import RUN_DATE, Shop
from s3_server import new_folder, put_on_s3

from sparkweights.core.errors import PublishError
from sparkweights.storage.location import Location
from sparkweights.storage.object_store_lock import SKEW, TERM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

RUNNER = Path(__file__).with_name("s3_runner.py")
AWKWARD = ["a b", "a#b", "100%", "naïve 名", "a[b]c", "a*", "a?", "{x,y}", "a::b", "a&b=c"]


@pytest.fixture
def folder() -> Location:
    """Return an empty folder of a new bucket."""
    return new_folder()


@pytest.fixture
def database(spark: SparkSession, folder: Location) -> Iterator[str]:
    """Make a database whose tables are on S3."""
    name = f"lending_{uuid4().hex[:8]}"
    spark.sql(f"create database {name} location '{folder / 'warehouse'}'")
    yield name
    spark.sql(f"drop database {name} cascade")


@pytest.mark.parametrize("name", AWKWARD)
def test_location_on_s3_with_an_awkward_name_is_that_object_and_no_other(
    folder: Location, name: str
) -> None:
    """A path is never a pattern, an escape, a chain or an option."""
    others = ["axc", "abc", "x", "y", "a", "100"]
    for other in others:
        (folder / other / "file").write_bytes(b"other")
    file = folder / name / name
    assert not file.exists()
    assert file.try_create(b"first")
    assert not file.try_create(b"second")
    assert file.read_bytes() == b"first"
    file.write_bytes(b"second")
    file.copy(folder / name / "copy")
    assert file.parent.files() == tuple(sorted([file, file.parent / "copy"]))
    assert (file.size, file.parent.entries()) == (6, {name: "file", "copy": "file"})
    assert set(folder.children()) == {folder / each for each in [*others, name]}
    file.parent.remove()
    assert not file.parent.exists()
    assert all((folder / each / "file").read_bytes() == b"other" for each in others)


def test_bucket_that_is_not_there_is_told_and_not_made(folder: Location) -> None:
    """A misspelt name makes no bucket."""
    absent = Location.of(f"s3a://absent-{uuid4().hex}/models")
    absent.make_folder()
    with pytest.raises(PublishError, match="The specified bucket does not exist") as caught:
        (absent / "current").write_bytes(b"v1")
    assert "the bucket exists" in str(caught.value.hint)
    assert not absent.exists()


def test_empty_objects_that_stand_for_folders_are_folders(folder: Location) -> None:
    """Spark's connector leaves them behind."""
    (folder / "a" / "file").write_bytes(b"x")
    bucket = folder.root.removeprefix("s3a://")
    for key in ("of a lender/a/", "of a lender/a/b/"):
        fsspec.filesystem("s3").call_s3("put_object", Bucket=bucket, Key=key, Body=b"")
    assert folder.entries() == {"a": "folder", "a/b": "folder", "a/file": "file"}
    assert [str(each) for each in folder.files()] == [str(folder / "a" / "file")]
    (folder / "a").remove()
    assert not folder.exists()


TAKES = """
import sys
from sparkweights.storage.object_store_lock import ObjectStoreLock, take
from sparkweights.storage.location import Location
file = Location.of(sys.argv[1])
file.exists()  # connected
print("ready", flush=True)
sys.stdin.readline()
taken = take(file)
print(isinstance(taken, ObjectStoreLock), flush=True)
sys.stdin.readline()  # until the others were refused
"""


def test_lock_that_processes_want_at_once_is_that_of_one(folder: Location) -> None:
    """The store decides, by a conditional write."""
    command = [sys.executable, "-c", TAKES, str(folder / "_lock")]
    with ThreadPoolExecutor(4) as pool:
        runs = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        assert [_line(run) for run in runs] == ["ready"] * 4
        list(pool.map(_send, runs))
        assert sorted(_line(run) for run in runs) == ["False"] * 3 + ["True"]
        for run in runs:
            run.communicate("\n", timeout=60)


def _send(run: subprocess.Popen[str], text: str = "") -> None:
    assert run.stdin is not None
    run.stdin.write(f"{text}\n")
    run.stdin.flush()


def _line(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    return run.stdout.readline().strip()


def test_model_is_trained_used_and_evaluated_on_s3_as_on_a_disk(
    own_shop: Shop, spark: SparkSession, folder: Location, database: str
) -> None:
    """Models, records, suite, work rows and tables; the decisions are those of the folder."""
    config = own_shop.config("s3.yaml", **put_on_s3(folder, database))
    for verb in ("weights", "train", "score", "monitor", "evaluate"):
        assert own_shop.run(verb, config, "--quiet") == 0, verb
    docs = folder / "pages"
    assert own_shop.run("check", config, "--docs", str(docs)) == 0
    assert "index.html" in docs.entries()
    version = (folder / "models" / "current").read_text().strip()
    names = {each.name for each in (folder / "models").children()}
    assert names == {"weights", "evaluation", "current", version}
    assert (folder / "models" / version / "manifest.sha256").is_file()
    of_date = folder / "runs" / f"run_date={RUN_DATE}"
    assert {"manifest.json", "report.html", "monitor.json"} <= {
        each.name for each in of_date.children()
    }
    assert {each.name for each in (folder / "runs").children()} == {"_locks", of_date.name}
    by_folder = {
        row["loan id"]: (row["decision"], row["expected_cost"])
        for row in spark.read.parquet(str(own_shop.folder / "out" / "scored")).collect()
    }
    scored_df = spark.table(f"{database}.scored")
    assert all(file.startswith(str(folder.root)) for file in scored_df.inputFiles())
    assert len(by_folder) == 400
    assert by_folder == {
        row["loan id"]: (row["decision"], row["expected_cost"]) for row in scored_df.collect()
    }
    assert own_shop.run("train", config, "--quiet") == 0
    assert (folder / "models" / "current").read_text().strip() > version
    assert own_shop.run("score", config, "--quiet", "--model", version) == 0
    _require_vacuumed(own_shop, config, folder)


def _require_vacuumed(own_shop: Shop, config: Path, folder: Location) -> None:
    """Require that a half-published model and what no partition names are removed."""
    half = folder / "models" / "20260301T000000-half"
    (half / "manifest.json").write_bytes(b"{}")
    assert own_shop.run("vacuum", config, "--quiet") == 0
    assert half.exists()
    assert own_shop.run("vacuum", config, "--quiet", "--older-than", "0", "--remove") == 0
    assert not half.exists()
    attempts = [
        each.parent
        for each in (folder / "warehouse" / "scored").files()
        if each.name.startswith("part-")
    ]
    assert len(set(attempts)) == 1


@dataclass(frozen=True)
class Job:
    """A process with a session of its own, which runs verbs as they are sent."""

    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def start(cls, log: Path, database: str, warehouse: Location) -> Job:
        """Start one whose catalog holds the database."""
        command = [sys.executable, str(RUNNER), database, str(warehouse)]
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True
            )
        return cls(process, log)

    def send(self, config: Path) -> None:
        """Start a scoring run."""
        _send(self.process, f"score --config {config} --run-date {RUN_DATE}")

    def exit_code(self) -> int:
        """Wait for the run's end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("exit "):
                return int(line.removeprefix("exit "))
        pytest.fail(f"it ended before: {self.log.read_text()[-4000:]}")


def test_runs_of_one_date_exclude_each_other_and_a_killed_one_frees_its_lock(
    own_shop: Shop, folder: Location, tmp_path: Path
) -> None:
    """One of two exits 6; after a kill the next one does, until the term is over."""
    changes = put_on_s3(folder, "lending")
    config = own_shop.config("s3.yaml", **changes)
    assert own_shop.run("train", config, "--quiet") == 0
    # Each has a catalog of its own, and so tables of its own; what they share is the lock.
    jobs = [Job.start(tmp_path / f"{n}.log", "lending", folder / f"warehouse-{n}") for n in "ab"]
    try:
        assert [_line(job.process) for job in jobs] == ["ready"] * 2
        for job in jobs:
            job.send(config)
        codes = [job.exit_code() for job in jobs]
        assert sorted(codes) == [0, 6], codes
        refused, first = sorted(jobs, key=lambda job: codes[jobs.index(job)], reverse=True)
        assert "Another run is writing" in refused.log.read_text()
        assert f"process {first.process.pid} on " in refused.log.read_text()
        killed, other = first, refused
        killed.send(config)
        _wait_for_claim(folder / "runs" / "_locks", killed.process.pid)
        killed.process.kill()
        died = time.monotonic()
        other.send(config)
        assert other.exit_code() == 6
        time.sleep((TERM + SKEW).total_seconds() + 1 - (time.monotonic() - died))
        other.send(config)
        assert other.exit_code() == 0, other.log.read_text()[-4000:]
        assert {each.name for each in (folder / "runs").children()} == {
            "_locks",
            f"run_date={RUN_DATE}",
        }
    finally:
        for job in jobs:
            job.process.kill()
            job.process.communicate()


def _wait_for_claim(locks: Location, process: int) -> None:
    """Wait until a process has the lock of a table."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):  # a claim of an earlier run, which this one removes
            claims = [json.loads(each.read_bytes()) for each in locks.files()]
            if any(
                f"process {process} on" in each["owner"] and not each["released"] for each in claims
            ):
                return
        time.sleep(0.1)
    pytest.fail("the run took no lock")


def test_table_in_a_folder_of_s3_is_refused_with_what_works(
    own_shop: Shop, folder: Location, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an output; as an input it is read."""
    config = own_shop.config("s3.yaml", tables__scored__location=str(folder / "scored"))
    assert own_shop.run("score", config, "--quiet") == 2
    told = capsys.readouterr().err
    assert "is on s3a" in told
    assert "Delta, Iceberg" in told


def test_store_that_does_not_answer_ends_in_one_sentence(
    own_shop: Shop, folder: Location, database: str
) -> None:
    """Nothing listens at the address."""
    code = "import sys; from sparkweights.cli.main import main; sys.exit(main(sys.argv[1:]))"
    config = own_shop.config("s3.yaml", **put_on_s3(folder, database))
    done = subprocess.run(
        [sys.executable, "-c", code, "score", "--config", str(config), "--quiet"],
        env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr[-4000:]
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"sparkweights: Cannot write '{folder / 'models'}': ")
    assert "the address and the credentials of the storage" in told
    assert "Traceback" not in done.stderr
