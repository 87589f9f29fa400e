"""`stream`: micro-batches of files with delayed outcomes, restarts, gates and a replay."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from conftest import CONFIG, RUN_DATE, SHORT_LIVED, Shop, history

from sparkweights.core.errors import PublishError
from sparkweights.probability.corrections import Ledger
from sparkweights.stream.files import StreamFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

KEY = "loan id"
ROWS = 150  # of a micro-batch
TIMELESS = 290  # the key of a row without event time
PATIENCE = 120  # seconds for one subprocess
MODEL = {"kind": "mini_batch", "params": {"rounds": 3, "batch_rows": 128}}
FILES = {"maxFilesPerTrigger": "1"}
STREAM = {
    "incoming": {"location": "data/arriving", "options": FILES},
    "outcomes": {"location": "data/outcomes", "options": FILES},
    "folder": "out/stream",
    "wait": 100,
    "window": {"rows": 400},
}


# The stream of a model that stays as it is has JSON sources, whose records may be malformed.
JSON_STREAM = {
    **STREAM,
    "incoming": {
        **STREAM["incoming"],
        "format": "json",
        "schema": "`loan id` bigint, `in.come` double, `late payments` bigint, amount double, "
        "`card type` string, age bigint, opened double",
    },
    "outcomes": {
        **STREAM["outcomes"],
        "format": "json",
        "schema": "`loan id` bigint, outcome string",
    },
}


def arriving() -> pd.DataFrame:
    """Return two micro-batches of loans with their outcomes and event times."""
    rows = history(2 * ROWS, seed=5)
    return rows.assign(**{KEY: np.arange(len(rows)), "opened": np.arange(len(rows))})


@dataclass(frozen=True)
class Streams:
    """A lender with a model and sources that rows and outcomes arrive in.

    Attributes
    ----------
    learns
        Whether its model is a `mini_batch`, which learns as outcomes come.
    """

    shop: Shop
    learns: bool = True

    @property
    def folder(self) -> Path:
        """The stream's folder."""
        return self.shop.folder / "out" / "stream"

    def put(self, source: str, number: int, frame: pd.DataFrame) -> None:
        """Add a file to a source; files are read in the order of their times."""
        folder = self.shop.folder / "data" / source
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / str(number)
        if self.learns:
            texts = [name for name in frame if frame[name].dtype == object]
            frame.astype(dict.fromkeys(texts, "string")).to_parquet(file, index=False)
        else:
            frame.to_json(file, orient="records", lines=True, double_precision=15)
        os.utime(file, (1_700_000_000 + 10 * number,) * 2)

    def config(self, **changes: Any) -> Path:
        """Write the configuration."""
        columns = {**CONFIG["columns"], "time": "opened"}
        stated = {
            "columns": columns,
            **({"model": MODEL, "weights": {"scheme": "balanced"}} if self.learns else {}),
            "decision": {"calibration": "none", "base_rate_tolerance": 0.9, "cost_tolerance": 0.9},
            "stream": STREAM if self.learns else JSON_STREAM,
            "checks": {},
        }
        return self.shop.config("stream.yaml", **{**stated, **changes})

    def run(self, **changes: Any) -> int:
        """Process what there is."""
        return self.shop.run("stream", self.config(**changes), "--quiet")

    def read(self, kind: str) -> pd.DataFrame:
        """Return the rows of a kind, by key."""
        rows = pd.read_parquet(self.folder / kind)
        return rows.sort_values(KEY).reset_index(drop=True)

    def state(self) -> dict[str, Any]:
        """Return the state without the time it took."""
        record: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        record["totals"].pop("seconds")
        return record

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the stream."""
        record: dict[str, Any] = json.loads((self.folder / name).read_text())
        return record


def put_arriving(streams: Streams) -> Streams:
    """Let rows and outcomes arrive: outcomes with their row, before it and after it.

    Some come twice, and some never. Where records may be malformed, one has a key of a row and the
    event time of no row, and one is an outcome; another row has no event time.
    """
    rows = arriving()
    first, second = rows[:ROWS], rows[ROWS:]
    outcomes = [pd.concat([first[:140], second[:50]]), pd.concat([second[30:100], first[:20]])]
    if not streams.learns:
        malformed = second[:1].assign(**{"late payments": "many", "opened": 10**9})
        timeless = second.assign(opened=second["opened"].where(second[KEY] != TIMELESS))
        second = pd.concat([timeless, malformed])
        outcomes[1] = pd.concat([outcomes[1], pd.DataFrame({KEY: ["none"], "outcome": ["bad"]})])
    for number, (part, known) in enumerate(zip((first, second), outcomes, strict=True)):
        streams.put("arriving", number, part.drop(columns="outcome"))
        streams.put("outcomes", number, known[[KEY, "outcome"]])
    return streams


def fail_at(batch: int) -> Callable[[StreamFolder, Any], None]:
    """Return a commit that fails at a micro-batch, when all but the state is written."""
    commit = StreamFolder.commit

    def fail(folder: StreamFolder, state: Any) -> None:
        if state.batch == batch:
            raise PublishError("The disk is full.")
        commit(folder, state)

    return fail


def run_interrupted(streams: Streams) -> None:
    """Process two micro-batches; the second one is ended before it is committed, and repeated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamFolder, "commit", fail_at(1))
        assert streams.run() == PublishError.exit_code
    assert streams.state()["batch"] == 0
    assert streams.record("metrics.json")["status"] == "stopped"
    assert streams.run() == 0


@pytest.fixture(scope="module")
def streams(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Streams:
    """Process the micro-batches with a model that stays as it is."""
    folder = tmp_path_factory.mktemp("streams")
    shutil.copytree(shop.folder / "out" / "models", folder / "out" / "models")
    made = put_arriving(Streams(Shop(folder), learns=False))
    run_interrupted(made)
    return made


@pytest.fixture(scope="module")
def learning(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Streams:
    """Train a model, and process the micro-batches while it learns."""
    made = put_arriving(Streams(Shop(tmp_path_factory.mktemp("learning"))))
    made.shop.table("history", history(1_200).assign(opened=-1))
    assert made.shop.run("train", made.config(), "--quiet") == 0
    run_interrupted(made)
    return made


def copy_of(streams: Streams, folder: Path) -> Streams:
    """Return a lender with the same model and sources, whose stream has not begun."""
    for name in ("data", "out/models"):
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(streams.shop.folder / name, target)  # files keep their times
    return Streams(Shop(folder))


def require_equal(found: Streams, expected: Streams) -> None:
    """Require the same state and the same rows, whatever the time of scoring."""
    assert found.state() == expected.state()
    pd.testing.assert_frame_equal(
        found.read("scored").drop(columns="scored_at"),
        expected.read("scored").drop(columns="scored_at"),
    )


def test_each_row_is_scored_once_and_waits_for_its_outcome(streams: Streams) -> None:
    """Costs are those of the decisions; rows without outcome are in no window."""
    rows, scored = arriving(), streams.read("scored")
    assert scored[KEY].tolist() == rows[KEY].tolist()
    assert scored.groupby("batch_id", observed=True).size().tolist() == [ROWS] * 2
    outcomes = streams.read("outcomes")
    assert outcomes[KEY].tolist() == [*range(140), *range(ROWS, ROWS + 100)]
    merged = outcomes.merge(rows[[KEY, "outcome", "amount"]], on=KEY)
    bad = merged["outcome"] == "bad"
    approved = merged["decision"] == "approve"
    cost = np.where(approved, 0.75 * merged["amount"] * bad, (0.1 * merged["amount"] + 20) * ~bad)
    np.testing.assert_allclose(merged["realised_cost"], cost)
    assert (merged["__class"] == bad).all()
    state = streams.state()
    assert state["batch"] == 1
    assert state["totals"]["outcomes"] == len(outcomes)
    assert state["totals"]["realised_cost"] == pytest.approx(cost.sum())
    assert state["totals"]["expired"] == 10  # the first rows without outcome, by `wait`
    assert [part["name"] for part in state["waiting"]] == ["1"]
    assert state["unmatched"] is None
    window = np.sum([one["rows"] for one in state["window"]["buckets"]], axis=0)
    assert window.tolist() == [(~bad).sum(), bad.sum()]


def test_malformed_record_is_set_aside_and_ends_no_wait(streams: Streams) -> None:
    """Neither its key, which a row has, nor its event time counts; a row without one waits."""
    (aside,) = streams.read("quarantine").to_dict("records")
    assert aside["failed_checks"].tolist() == ["record is readable"]
    assert json.loads(aside["malformed_record"])["late payments"] == "many"
    waiting = pd.read_parquet(streams.folder / "waiting" / "1")
    assert sorted(waiting[KEY]) == [*range(ROWS, 2 * ROWS)]
    assert streams.state()["latest"] == 2 * ROWS - 1
    times = waiting.set_index(KEY)["__time"]
    assert times.loc[[ROWS, TIMELESS]].tolist() == [ROWS, 2 * ROWS - 1]


def test_record_of_a_micro_batch_tells_its_prior(streams: Streams) -> None:
    """The first is decided for the model's shares, the second for those of the window."""
    ledgers = [streams.record(f"batches/{batch}.json")["ledger"] for batch in range(2)]
    assert ledgers[0]["target_prior"] is None
    assert ledgers[1]["target_prior"] is not None
    metrics = streams.record("metrics.json")
    assert (metrics["status"], metrics["learning"]) == ("ended", "off")
    assert metrics["rows"]["with_outcome"] == 240
    assert "Class shares" in (streams.folder / "report.html").read_text()


def test_stream_without_outcomes_takes_a_file_without_rows(
    streams: Streams, tmp_path: Path
) -> None:
    """It is a micro-batch like any other; no row waits."""
    own = replace(copy_of(streams, tmp_path), learns=False)
    for number, rows in enumerate((0, ROWS)):
        own.put("alone", number, arriving()[:rows].drop(columns="outcome"))
    alone = {**JSON_STREAM["incoming"], "location": "data/alone"}
    assert own.run(stream={"incoming": alone, "folder": "out/stream"}) == 0
    assert own.read("scored")[KEY].tolist() == [*range(ROWS)]
    state = own.state()
    assert (state["batch"], state["totals"]["rows"], state["waiting"]) == (1, ROWS, [])


@pytest.mark.slow
def test_model_learns_with_the_weights_of_the_window(learning: Streams) -> None:
    """The ledger of a micro-batch inverts the weights that its model was trained with."""
    records = [learning.record(f"batches/{batch}.json")["ledger"] for batch in range(2)]
    reweightings = [Ledger.from_dict(record).reweightings[0] for record in records]
    assert all(step.inverted for step in reweightings)
    assert reweightings[0].rule != reweightings[1].rule
    assert learning.state()["learner"]["steps"] > 0
    metrics = learning.record("metrics.json")
    assert metrics["learning"] == "on"
    assert metrics["weights"].keys() == {"repaid", "defaulted"}


def test_scored_probabilities_are_those_of_the_recorded_prior(streams: Streams) -> None:
    """The base probability of a waiting row, moved to the target, is the one that was decided."""
    outcomes = streams.read("outcomes")
    scored = streams.read("scored").merge(outcomes[[KEY, "__base"]], on=KEY)
    part = scored[scored["batch_id"].astype(int) == 1]
    ledger = streams.record("batches/1.json")["ledger"]
    target = ledger["target_prior"] or ledger["prior"]
    base = np.stack(part["__base"].to_numpy())
    moved = base * [target[name] / share for name, share in ledger["prior"].items()]
    moved /= moved.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(part["probability_defaulted"], moved[:, 1], rtol=1e-9)


@pytest.mark.slow
def test_rows_that_fail_a_gate_are_set_aside_whole(learning: Streams, tmp_path: Path) -> None:
    """The stream stops with the gate's code, goes on after it, and learns from outcomes."""
    again = copy_of(learning, tmp_path)
    assert again.run() == 0
    require_equal(again, learning)  # without an interruption
    suite = {
        "name": "incoming",
        "expectations": [
            {
                "type": "expect_table_row_count_to_be_between",
                "kwargs": {"max_value": ROWS},
                "severity": "critical",
            }
        ],
        "meta": {},
    }
    (tmp_path / "incoming.json").write_text(json.dumps(suite))
    rows = history(ROWS + 1, seed=6).assign(**{KEY: 10_000 + np.arange(ROWS + 1), "opened": 500})
    again.put("arriving", 3, rows.drop(columns="outcome"))
    again.put("outcomes", 3, arriving()[[KEY, "outcome"]][ROWS:])  # 100 of these are known
    again.put("arriving", 4, rows.drop(columns="outcome")[:50])
    assert again.run(checks={"incoming": "incoming.json"}) == 3
    metrics = again.record("metrics.json")
    assert (metrics["status"], metrics["set_aside"]) == ("stopped", [2])
    assert "expect_table_row_count" in metrics["reason"]
    assert metrics["rows"]["with_outcome"] == 290  # those that were let go stay without
    assert len(pd.read_parquet(again.folder / "set_aside" / "batch_id=2")) == ROWS + 1
    assert again.run(checks={"incoming": "incoming.json"}) == 0
    assert len(again.read("scored")) == 2 * ROWS + 50


@pytest.mark.slow
@pytest.mark.parametrize("later", [0.3, 1.5, 3.0])
@pytest.mark.parametrize("words", ["starting Spark", "micro-batch 0:"])
def test_stream_killed_and_restarted_ends_in_the_same_state(
    learning: Streams, tmp_path: Path, words: str, later: float
) -> None:
    """SIGKILL at six moments: each row once, and the model of a run without interruption.

    But for the moment of the next test.
    """
    killed = copy_of(learning, tmp_path)
    command = [sys.executable, "-m", "sparkweights", "stream", "--config", str(killed.config()),
               "--run-date", RUN_DATE]  # fmt: skip
    own = {name: value for name, value in os.environ.items() if name != "PYSPARK_SUBMIT_ARGS"}
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**own, **SHORT_LIVED, "SPARK_LOCAL_IP": "127.0.0.1"},
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            # The first micro-batch begins some seconds after the session.
            time.sleep(later + (8 if words == "starting Spark" else 0))
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.read()
    assert process.wait(PATIENCE) in {-signal.SIGKILL, 0}
    checkpoint = killed.folder / "checkpoint"
    is_torn = any(checkpoint.glob("sources/*/0")) and not (checkpoint / "offsets" / "0").exists()
    assert killed.run() == 0
    if is_torn:
        require_larger_batch(killed, learning)
    else:
        require_equal(killed, learning)


def require_larger_batch(found: Streams, expected: Streams) -> None:
    """Require each row once, in one micro-batch instead of two."""
    assert found.state()["batch"] == 0
    assert found.read("scored")[KEY].tolist() == expected.read("scored")[KEY].tolist()


@pytest.mark.slow
def test_stream_killed_before_its_batch_is_planned_takes_a_larger_batch(
    learning: Streams, tmp_path: Path
) -> None:
    """Spark has noted a file, and not yet which files the micro-batch has: it adds the next one."""
    killed = copy_of(learning, tmp_path)
    for file in (learning.folder / "checkpoint").glob("sources/*/0"):
        source = killed.folder / "checkpoint" / "sources" / file.parent.name
        source.mkdir(parents=True)
        noted = file.read_text(encoding="utf-8")
        noted = noted.replace(str(learning.shop.folder), str(killed.shop.folder))
        (source / "0").write_text(noted, encoding="utf-8")
    assert killed.run() == 0
    require_larger_batch(killed, learning)


@pytest.mark.slow
def test_replay_of_a_table_decides_before_it_learns(
    learning: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes come when rows are later by `wait`; at the end all have come."""
    monkeypatch.setattr("sparkweights.stream.run.MAX_PARTS", 0)  # files are joined at each batch
    replayed = copy_of(learning, tmp_path)
    replayed.shop.table("history", arriving())
    config = replayed.config(stream={**STREAM, "wait": ROWS, "backfill_rows": ROWS})
    assert replayed.shop.run("stream", config, "--backfill", "--quiet") == 0
    state = replayed.state()
    assert state["totals"]["outcomes"] == 2 * ROWS
    assert not (replayed.folder / "outcomes" / "0").exists()
    assert pd.read_parquet(replayed.folder / "outcomes" / "1")[KEY].max() == ROWS - 1
    assert replayed.shop.run("stream", config, "--backfill", "--quiet") == 0
    assert replayed.state() == state
