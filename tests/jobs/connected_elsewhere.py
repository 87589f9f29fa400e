"""A job whose server sees no file of its client; `test_connect_elsewhere` starts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from conftest import RUN_DATE, Shop, history
from s3_server import new_folder, put_on_s3

from sparkweights.bundle.bundle import load_bundle
from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from sparkweights.storage.location import Location

TREES = {"kind": "boosted_trees", "params": {"maxIter": 3}}


@dataclass(frozen=True)
class Lender:
    """A lender whose tables are on S3, and its working folder on this machine."""

    shop: Shop
    folder: Location
    on_s3: dict[str, Any]

    def run(self, verb: str, *options: str, **changes: Any) -> int:
        """Run a verb; the changes are to a configuration of which everything is on S3."""
        config = self.shop.config(model=TREES, **{**self.on_s3, **changes})
        return self.shop.run(verb, config, "--quiet", *options)

    @property
    def local_files(self) -> set[str]:
        """The files in the working folder."""
        every = self.shop.folder.rglob("*")
        return {str(file.relative_to(self.shop.folder)) for file in every if file.is_file()}


@pytest.fixture(scope="module")
def lender(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    """Train a model and score a date, with everything on S3."""
    shop, folder = Shop(tmp_path_factory.mktemp("lender")), new_folder()
    database = f"lending_{uuid4().hex[:8]}"
    spark.sql(f"create database {database} location '{folder / 'warehouse'}'")
    labelled = folder / "labelled"
    (labelled / "part-0.parquet").write_bytes(history().to_parquet(index=False))
    on_s3 = put_on_s3(folder, database)
    on_s3["tables__labelled"] = {"format": "parquet", "location": str(labelled)}
    made = Lender(shop, folder, on_s3)
    for verb in ("weights", "train", "score"):
        assert made.run(verb) == 0, verb
    yield made
    spark.sql(f"drop database {database} cascade")


def test_job_runs_whole(lender: Lender, spark: SparkSession) -> None:
    """Scored, replaced, monitored and evaluated; no file but the configuration is local."""
    scored = lender.on_s3["tables__scored"]["location"]
    runs = []
    for _ in range(2):
        found = spark.table(scored).drop("scored_at", "run_id").collect()
        runs.append({row["loan id"]: row for row in found})
        assert lender.run("score") == 0
    assert len(runs[0]) == 400
    assert runs[0] == runs[1]
    assert {row["decision"] for row in runs[0].values()} == {"approve", "decline"}
    for verb in ("monitor", "evaluate"):
        assert lender.run(verb) == 0, verb
    version = (lender.folder / "models" / "current").read_text().strip()
    assert load_bundle(lender.folder / "models").version == version
    of_date = lender.folder / "runs" / f"run_date={RUN_DATE}"
    record = json.loads((of_date / "manifest.json").read_text())
    assert record["rows"]["scored"] == 400
    assert (of_date / "monitor.json").is_file()
    assert lender.local_files == {"shop.yaml"}


@pytest.mark.parametrize(
    ("verb", "key"), [("train", "artifacts"), ("score", "runs"), ("run", "tables__scored")]
)
def test_folder_of_this_machine_is_refused_before_any_work(
    lender: Lender, capsys: pytest.CaptureFixture[str], verb: str, key: str
) -> None:
    """In one line that says what to name instead; nothing is left in it."""
    here = lender.shop.folder / "here"
    is_table = key.startswith("tables")
    named = {"format": "parquet", "location": str(here)} if is_table else str(here)
    assert lender.run(verb, **{key: named}) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert f"'{here}' is on this machine, and the server of Spark Connect does not share it" in told
    assert "[PATH_NOT_FOUND]" in told
    assert "s3a://bucket/models for artifacts and runs" in told
    assert not [file for file in lender.local_files if file.startswith("here")]


def test_models_of_this_machine_are_not_loaded_from_a_copy_here(
    lender: Lender, tmp_path: Path
) -> None:
    """A notebook is told the same."""
    with pytest.raises(ConfigError, match="does not share it"):
        load_bundle(lender.folder / "models", scratch=tmp_path)


def test_table_of_this_machine_is_refused(
    lender: Lender, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there, for the client alone."""
    location = lender.shop.table("incoming", history(10).drop(columns="outcome"))
    incoming = {"format": "parquet", "location": location}
    assert lender.run("score", tables__incoming=incoming) == 4
    (told,) = capsys.readouterr().err.splitlines()
    assert "is on this machine, and Spark does not find it on its own" in told


def test_verb_that_keeps_no_rows_needs_no_shared_folder(lender: Lender) -> None:
    """Its record is written by the client alone."""
    assert lender.run("weights", artifacts=str(lender.shop.folder / "records")) == 0
    assert {file for file in lender.local_files if file.startswith("records")}
