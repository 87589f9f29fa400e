"""`score --from --to`: one publication per date, in one session, and one exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from conftest import SHORT_LIVED, Shop, history

from sparkweights.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

DATES = ("2026-03-01", "2026-03-02", "2026-03-03")


def _score(config: Path, *options: str) -> int:
    ends = ("--from", DATES[0], "--to", DATES[-1])
    return main(["score", "--config", str(config), *ends, "--quiet", *options])


def _published(shop: Shop) -> dict[str, int]:
    """Return the rows of each date."""
    folder = shop.folder / "out" / "scored"
    return {date: len(pd.read_parquet(folder / f"run_date={date}")) for date in DATES
            if (folder / f"run_date={date}").exists()}  # fmt: skip


def test_dates_are_scored_in_a_row_and_missing_ones_alone_the_next_time(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second date has no rows at first: it ends the rest, or is passed over, then scored."""
    config = own_shop.config(tables__incoming__location="data/{run_date}")
    incoming = history(30, seed=5).drop(columns="outcome")
    own_shop.table(DATES[0], incoming.head(10))
    own_shop.table(DATES[2], incoming.tail(12))
    assert _score(config) == 4
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "Scored 1 of 3 dates"
    assert "2 of 3 dates were not scored. 2026-03-02: No table at" in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].endswith("Then run the same with --from 2026-03-02.")
    assert _published(own_shop) == {DATES[0]: 10}
    assert _score(config, "--missing", "--keep-going", "--json") == 4
    dates = json.loads(capsys.readouterr().out)["dates"]
    assert [(one["run_date"], one["exit_code"]) for one in dates] == [(DATES[1], 4), (DATES[2], 0)]
    own_shop.table(DATES[1], incoming.head(11))
    # As a run leaves it that was killed between the two tables and the record.
    last = own_shop.folder / "out" / "runs" / f"run_date={DATES[2]}"
    (last / "manifest.pending.json").write_bytes((last / "manifest.json").read_bytes())
    assert _score(config, "--missing") == 0
    assert capsys.readouterr().out.splitlines()[0] == "Scored 2 of 2 dates"
    assert _published(own_shop) == {DATES[0]: 10, DATES[1]: 11, DATES[2]: 12}
    assert _score(config, "--missing") == 0
    assert capsys.readouterr().out == "Scored 0 of 0 dates\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", DATES[0]], "needs both"),
        (["--to", DATES[0]], "needs both"),
        (["--missing"], "for a range of dates"),
        (["--from", DATES[0], "--to", DATES[1], "--run-date", DATES[0]], "not allowed with"),
    ],
)
def test_options_of_a_range_without_one_are_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the configuration is read."""
    assert main(["score", "--config", "none.yaml", *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_range_killed_at_a_date_goes_on_with_the_dates_that_are_missing(own_shop: Shop) -> None:
    """30 dates, killed when the eighteenth begins: 17 stay as they are, and 13 are scored."""
    config = own_shop.config(checks={}, tables__incoming__location="data/{run_date}")
    incoming = history(400, seed=2).drop(columns="outcome")
    days = [f"2026-04-{day:02}" for day in range(1, 31)]
    for day in days:
        own_shop.table(day, incoming)
    command = [sys.executable, "-m", "sparkweights", "score", "--config", str(config),
               "--from", days[0], "--to", days[-1]]  # fmt: skip
    own = {name: value for name, value in os.environ.items() if name != "PYSPARK_SUBMIT_ARGS"}
    environment = {**own, **SHORT_LIVED, "SPARK_LOCAL_IP": "127.0.0.1"}

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    assert any(days[17] in line for line in process.stderr)
    process.kill()
    process.wait()
    folder = own_shop.folder / "out" / "scored"
    whole = {day: sorted((folder / f"run_date={day}").rglob("*.parquet")) for day in days[:17]}
    assert all(whole.values())
    assert not (folder / f"run_date={days[17]}").exists()

    ended = subprocess.run(
        [*command, "--missing", "--quiet"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert ended.stdout.splitlines()[0] == "Scored 13 of 13 dates"
    for day in days:
        files = sorted((folder / f"run_date={day}").rglob("*.parquet"))
        assert sum(len(pd.read_parquet(file)) for file in files) == 400
        assert whole.get(day, files) == files
