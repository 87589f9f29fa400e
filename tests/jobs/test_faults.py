"""Full disks, tables that change under a run, two runs at once: old rows or new, never a mix."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop, history

from sparkweights import Runner, load_config
from sparkweights.app.spark_errors import expected_failure
from sparkweights.cli.main import main
from sparkweights.core.errors import InputError
from sparkweights.storage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from sparkweights.storage.location import Location


class Meddler:
    """A progress that does something at one step of a run."""

    def __init__(self, moment: str, deed: Callable[[], None]) -> None:
        self.moment, self.deed = moment, deed

    def step(self, text: str) -> None:
        """Hear of a step."""
        if self.moment in text:
            self.deed()

    def warn(self, text: str) -> None:
        """Hear of a warning."""


@pytest.fixture
def small_disk(own_shop: Shop, spark: SparkSession) -> Iterator[Path]:
    """Mount 64 KiB of memory where the scored table goes."""
    place = own_shop.folder / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk takes rights that this user has not")
    yield place
    _collect(spark, place, free=0)
    subprocess.run(["umount", str(place)], check=True)


def _collect(spark: SparkSession, disk: Path, free: int) -> None:
    """Have the engine let go of the files that a failed write left open.

    They hold the disk until the process ends, which is at once for a job and late for these tests.
    """
    until = time.monotonic() + 30
    while True:
        spark._jvm.System.gc()
        if shutil.disk_usage(disk).free >= free or time.monotonic() > until:
            return
        time.sleep(0.1)


def _rows(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder).drop(columns="scored_at")
    return table.sort_values("loan id").reset_index(drop=True)


def test_score_full_disk_exits_6_and_keeps_yesterday(
    own_shop: Shop,
    small_disk: Path,
    spark: SparkSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A small night fits; a large one does not, is told so, and leaves the small one's rows."""
    small = history(20, seed=3).drop(columns="outcome")
    own_shop.table("incoming", small)
    config = own_shop.config(tables__scored__location="small/scored")
    assert own_shop.run("score", config, "--quiet") == 0
    before = _rows(small_disk / "scored")
    assert len(before) == len(small)
    free = shutil.disk_usage(small_disk).free
    own_shop.table("incoming", history(20_000, seed=4).drop(columns="outcome"))
    capsys.readouterr()
    assert own_shop.run("score", config, "--quiet") == 6
    told = capsys.readouterr().err
    assert "disk" in told
    assert "Traceback" not in told
    pd.testing.assert_frame_equal(_rows(small_disk / "scored"), before)
    own_shop.table("incoming", small)
    _collect(spark, small_disk, free)
    assert own_shop.run("score", config, "--quiet") == 0
    pd.testing.assert_frame_equal(_rows(small_disk / "scored"), before)


@pytest.mark.parametrize("how", [pytest.param("another type", marks=pytest.mark.slow), "gone"])
def test_score_table_that_changes_under_the_run_publishes_nothing(
    own_shop: Shop, spark: SparkSession, how: str
) -> None:
    """Files replaced or deleted between plan and run: a sentence, and yesterday's rows."""
    config = load_config(own_shop.config())
    before = _rows(own_shop.folder / "out" / "scored")
    table = pd.read_parquet(own_shop.folder / "data" / "incoming")

    def meddle() -> None:
        if how == "gone":
            shutil.rmtree(own_shop.folder / "data" / "incoming")
        else:
            own_shop.table("incoming", table.assign(**{"late payments": "many"}))

    meddler = Meddler("scoring, checking and staging", meddle)
    runner = Runner(spark, config, date.fromisoformat(RUN_DATE), meddler)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (the engine's, judged below)
        runner.score()
    assert isinstance(expected_failure(caught.value), InputError), caught.value
    pd.testing.assert_frame_equal(_rows(own_shop.folder / "out" / "scored"), before)
    own_shop.table("incoming", table)
    assert own_shop.run("score", own_shop.config(), "--quiet") == 0
    pd.testing.assert_frame_equal(_rows(own_shop.folder / "out" / "scored"), before)


def test_score_beside_a_live_run_of_the_date_is_refused_and_harms_nothing(
    own_shop: Shop, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run is told to wait; the first one ends as if it had been alone."""
    config = own_shop.config()
    before = _rows(own_shop.folder / "out" / "scored")
    codes = []
    meddler = Meddler(
        "verifying the stage", lambda: codes.append(own_shop.run("score", config, "--quiet"))
    )
    Runner(spark, load_config(config), date.fromisoformat(RUN_DATE), meddler).score()
    assert codes == [6]
    assert "Another run is writing" in capsys.readouterr().err
    pd.testing.assert_frame_equal(_rows(own_shop.folder / "out" / "scored"), before)


def test_score_beside_a_live_run_of_another_date_publishes_both(
    own_shop: Shop, spark: SparkSession
) -> None:
    """Neither takes the other's stage for that of a run that died."""
    config = own_shop.config()
    before = _rows(own_shop.folder / "out" / "scored")
    codes = list[int]()
    meddler = Meddler(
        "verifying the stage",
        lambda: codes.append(
            main(["score", "--config", str(config), "--run-date", "2026-03-02", "--quiet"])
        ),
    )
    Runner(spark, load_config(config), date.fromisoformat(RUN_DATE), meddler).score()
    assert codes == [0]
    after = pd.read_parquet(own_shop.folder / "out" / "scored", columns=["run_date"])
    assert after["run_date"].astype(str).value_counts().to_dict() == {
        RUN_DATE: len(before),
        "2026-03-02": len(before),
    }
    for day in (RUN_DATE, "2026-03-02"):
        assert own_shop.manifest(day)["rows"]["scored"] == len(before)


def test_score_record_that_cannot_be_written_says_that_the_rows_are_there(
    own_shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After publishing nobody is told that nothing was published; before, all is as it was."""

    def full(file: Location, manifest: dict[str, Any]) -> None:
        if file.name == "manifest.json":
            raise file.unwritable(OSError(28, "No space left on device"))
        write_json(file, manifest)

    monkeypatch.setattr("sparkweights.records.store.write_json", full)
    assert own_shop.run("score", own_shop.config(), "--quiet") == 6
    error = capsys.readouterr().err
    assert "both tables WERE published" in error
    assert "nothing was published" not in error
    monkeypatch.undo()
    before = own_shop.state()
    (own_shop.folder / "a_file").write_text("")
    assert own_shop.run("score", own_shop.config(runs="a_file"), "--quiet") == 6
    assert "nothing was published" in capsys.readouterr().err
    assert own_shop.state() == before
