"""A driver that dies at any moment leaves yesterday's partition whole, and the rerun succeeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import RUN_DATE, SHORT_LIVED, Shop

PATIENCE = 120  # seconds for one subprocess


def _start(shop: Shop, verb: str = "score", **changes: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sparkweights", verb, "--config",
               str(shop.config(**changes)), "--run-date", RUN_DATE]  # fmt: skip
    # As a user starts it: the tests' options for Java would take the place of its own.
    own = {name: value for name, value in os.environ.items() if name != "PYSPARK_SUBMIT_ARGS"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**own, **SHORT_LIVED, "SPARK_LOCAL_IP": "127.0.0.1"},
        start_new_session=True,
    )


def _stop_at(
    process: subprocess.Popen[str], words: str, sent: signal.Signals, later: float = 0.0
) -> str:
    """Wait for a step's log line, send a signal some seconds later; return all that was said."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            time.sleep(later)
            process.send_signal(sent)
            break
    said += process.stderr.read()
    process.wait(PATIENCE)
    return said


@pytest.mark.parametrize("later", [0.0, 0.5])
@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_java_ends_before_a_run_that_is_ended_while_spark_starts(
    tmp_path: Path, sent: signal.Signals, later: float
) -> None:
    """So that it can write nothing below our last line, and nobody has to look for it."""
    process = _start(Shop(tmp_path), verb="weights")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("only Linux lists the children of a process")
    until = time.monotonic() + PATIENCE
    while not (started := children.read_text().split()) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(later)
    process.send_signal(sent)
    _, said = process.communicate(timeout=PATIENCE)
    (java,) = started
    assert process.returncode == 128 + sent
    assert said.splitlines()[-1].startswith("sparkweights: interrupted")
    assert not Path(f"/proc/{java}").exists()


def _rows(shop: Shop) -> pd.DataFrame:
    table = pd.read_parquet(shop.folder / "out" / "scored")
    return table.drop(columns="scored_at").sort_values("loan id").reset_index(drop=True)


# Twelve moments: before, during and after stage, publish and manifest.
ALWAYS = {("publishing", 0.0)}  # an interruption below comes while the stage is written
MOMENTS = [
    ("loading the model", 0.0),
    ("planning the checks", 0.0),
    ("scoring, checking and staging", 0.0),
    ("scoring, checking and staging", 0.4),
    ("scoring, checking and staging", 0.8),
    ("checking the incoming table", 0.0),
    ("staging the quarantine", 0.0),
    ("staging the quarantine", 0.2),
    ("verifying the stage", 0.0),
    ("checking the scored table", 0.0),
    ("publishing", 0.0),
    ("publishing", 0.01),
]


@pytest.mark.parametrize(
    ("moment", "later"),
    [pytest.param(*one, marks=[] if one in ALWAYS else pytest.mark.slow) for one in MOMENTS],
)
def test_score_killed_at_a_moment_leaves_a_whole_partition(
    own_shop: Shop, moment: str, later: float
) -> None:
    """Readers see all rows of the date, old or new, and nothing of the stage."""
    before = _rows(own_shop)
    # On most days without a suite, whose library takes seconds to come.
    process = _start(own_shop, **({"checks": {}} if (moment, later) in ALWAYS else {}))
    said = _stop_at(process, moment, signal.SIGKILL, later)
    # A run may have ended before a blow that comes a little later.
    assert process.returncode in ({-signal.SIGKILL, 0} if later else {-signal.SIGKILL}), said
    pd.testing.assert_frame_equal(_rows(own_shop), before)
    assert own_shop.run("score", own_shop.config(), "--quiet") == 0
    pd.testing.assert_frame_equal(_rows(own_shop), before)
    assert own_shop.manifest()["rows"]["incoming"] == len(before)
    out = own_shop.folder / "out"
    assert not [*out.rglob("_staging/*"), *(out / "runs").rglob("manifest.pending.json")]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["loading the model", "scoring, checking and staging"])
def test_score_interrupted_says_so_and_changes_nothing(own_shop: Shop, moment: str) -> None:
    """Ctrl-C is one line and exit code 130, also within a call to the engine."""
    before = _rows(own_shop)
    process = _start(own_shop, checks={})
    said = _stop_at(process, moment, signal.SIGINT)
    assert process.returncode == 130, said
    assert "sparkweights: interrupted" in said
    assert "log level" not in said  # nor does the engine greet
    assert "Traceback" not in said
    pd.testing.assert_frame_equal(_rows(own_shop), before)
