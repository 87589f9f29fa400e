"""Scratch folders: no reader sees them, and none is left, also by a process that was killed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from sparkweights.app.spark_errors import expected_failure
from sparkweights.core.errors import PublishError
from sparkweights.storage.location import Location
from sparkweights.storage.lock import try_lock
from sparkweights.storage.scratch import keep_rows, scratch_folder

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

DIES = """
import os, sys
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import scratch_folder
with scratch_folder(Location.of(sys.argv[1])) as folder:
    (folder / "rows").write_bytes(b"personal")
    os._exit(9)
"""


def test_scratch_folder_of_a_dead_process_is_removed_and_a_live_ones_is_not(
    tmp_path: Path,
) -> None:
    """A killed training leaves a copy of its rows, until the next one starts."""
    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)
    assert died.returncode == 9
    (left,) = tmp_path.iterdir()
    assert (left / "rows").read_text() == "personal"
    older = tmp_path / "_work-of-an-older-release"
    older.mkdir()
    (older / "_lease").write_text("")
    (tmp_path / "_work-about-to-be-locked").mkdir()
    (tmp_path / "current").write_text("a model")
    parent = Location.of(tmp_path)
    others = {parent / "_work-about-to-be-locked", parent / "current"}
    with scratch_folder(parent) as first:
        assert set(parent.children()) == {*others, first}
        with scratch_folder(parent) as second:
            assert set(parent.children()) == {*others, first, second}
        assert first.exists()
    assert set(parent.children()) == others


def test_scratch_folder_that_another_process_removes_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose lock is not taken yet looks like one of a dead process."""
    parent, attempts = Location.of(tmp_path), list[Location]()

    def late(file: Location) -> object:
        attempts.append(file.parent)
        if len(attempts) == 1:
            file.parent.remove()
            raise FileNotFoundError
        if len(attempts) == 2:
            return None
        return try_lock(file)

    monkeypatch.setattr("sparkweights.storage.scratch.try_lock", late)
    with scratch_folder(parent) as folder:
        assert folder == attempts[2]
        assert folder.is_dir()


def test_scratch_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    """With the path, and before any work is done."""
    (tmp_path / "file").write_text("")
    below = Location.of(tmp_path) / "file"
    with pytest.raises(PublishError, match="Cannot write"), scratch_folder(below):
        pass


def test_kept_rows_are_those_written_and_their_plan_begins_at_a_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    """What made the rows is in no later plan, so no later task carries it."""
    drawn_df = spark.range(100).select("id", (F.col("id") / 3).alias("a b.c"), F.rand(1).alias("r"))
    expected = {row["id"]: row["r"] for row in drawn_df.collect()}
    with keep_rows(drawn_df, Location.of(tmp_path)) as kept_df:
        assert kept_df.schema.names == ["id", "a b.c", "r"]
        assert {row["id"]: row["r"] for row in kept_df.collect()} == expected
        plan = kept_df._jdf.queryExecution().toString()
        assert "FileScan parquet" in plan
        assert "rand(" not in plan
    assert not list(tmp_path.iterdir())


def test_a_value_that_stops_a_write_is_not_called_a_full_disk(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Spark says of every failure in a writing task that the task could not write."""
    text_df = spark.createDataFrame([("12",), ("twelve",)], "amount string")
    with (
        pytest.raises(Exception, match="CAST_INVALID_INPUT") as caught,
        keep_rows(text_df.select(F.col("amount").cast("double")), Location.of(tmp_path)),
    ):
        pass
    failure = expected_failure(caught.value)
    assert failure is not None
    assert failure.exit_code == 4
    assert "a value cannot be cast" in str(failure)
    assert "twelve" not in str(failure)  # a row's value is for nobody's log
    assert not list(tmp_path.iterdir())
