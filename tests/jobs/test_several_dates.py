"""`score --from --to`: one publication per date, in one session, and one exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from conftest import Shop, history

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
