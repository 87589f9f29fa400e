"""Work in progress: nobody sees it, nothing is left of it, whoever died."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.app.spark_errors import expected_failure
from sparkweights.core.errors import PublishError
from sparkweights.storage.scratch import keep_rows, workspace

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

DIES = """
import os, sys
from pathlib import Path
from sparkweights.storage import workspace
with workspace(Path(sys.argv[1])) as place:
    (place / "rows").write_text("personal")
    os._exit(9)
"""


def test_workspace_of_a_dead_process_is_cleared_and_a_live_ones_is_not(tmp_path: Path) -> None:
    """A killed training leaves a copy of its rows, until the next one starts."""
    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)
    assert died.returncode == 9
    (left,) = tmp_path.iterdir()
    with workspace(tmp_path) as first:
        assert not left.exists()
        with workspace(tmp_path) as second:
            assert {first, second} == set(tmp_path.iterdir())
        assert first.exists()
    assert not list(tmp_path.iterdir())


def test_workspace_in_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    """With the path, and before any work is done."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="Cannot write"), workspace(tmp_path / "file"):
        pass


def test_kept_rows_are_those_written_and_their_plan_begins_at_a_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    """What made the rows is in no later plan, so no later task carries it."""
    drawn_df = spark.range(100).select("id", (F.col("id") / 3).alias("a b.c"), F.rand(1).alias("r"))
    expected = {row["id"]: row["r"] for row in drawn_df.collect()}
    with keep_rows(drawn_df, tmp_path) as kept_df:
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
        keep_rows(text_df.select(F.col("amount").cast("double")), tmp_path),
    ):
        pass
    failure = expected_failure(caught.value)
    assert failure is not None
    assert failure.exit_code == 4
    assert "a value cannot be cast" in str(failure)
    assert "twelve" not in str(failure)  # a row's value is for nobody's log
    assert not list(tmp_path.iterdir())
