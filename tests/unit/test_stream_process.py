"""One micro-batch of a stream and its folder, without Spark: what is written, kept and removed."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.errors import StreamingQueryException

from sparkweights.core.errors import ConfigError, PublishError, QualityGateError
from sparkweights.storage.location import Location
from sparkweights.stream.files import StreamFolder
from sparkweights.stream.query import _await
from sparkweights.stream.run import StreamRun
from sparkweights.stream.state import StreamRules, StreamState
from sparkweights.weights.spec import WeightSpec

PRIOR = {"good": 0.95, "bad": 0.05}
RULES = StreamRules(PRIOR, WeightSpec("balanced"), None, 1_000, 2.0)


class Rows:
    """Rows that write one file, and are not read."""

    sparkSession: Any = None  # noqa: N815 (Spark's name)

    def __init__(self) -> None:
        self.write, self.modes = self, list[int]()

    def isEmpty(self) -> bool:
        """There are some."""
        return False

    def parquet(self, path: str) -> None:
        """Write them as a task does; note who may open the folder meanwhile."""
        self.modes.append(stat.S_IMODE(Path(path).parent.stat().st_mode))
        Path(path).mkdir()
        (Path(path) / "part").touch()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamFolder:
    """Make a folder whose rows are not read."""
    monkeypatch.setattr(StreamFolder, "read_rows", lambda *_: None)
    return StreamFolder(Location.of(tmp_path), lambda _: {})


def stream_run(folder: StreamFolder, state: StreamState) -> StreamRun:
    """Return a stream of rows without outcomes."""
    settings: Any = SimpleNamespace(
        name="loans", bundle=SimpleNamespace(version="m"), rules=RULES, time_kind="number"
    )
    progress: Any = SimpleNamespace(step=lambda _: None, warn=pytest.fail)
    return StreamRun(settings, folder, progress, state)


def put(folder: StreamFolder, *names: str) -> None:
    """Write files of an attempt that was ended."""
    for name in names:
        (folder.root / name / "part").create(b"old")


def test_rows_in_writing_are_private(folder: StreamFolder) -> None:
    """Nobody else may open the folder that they are in until they have their name."""
    rows: Any = Rows()
    folder.write_rows(rows, "waiting", "3")
    assert rows.modes == [0o700]
    assert [each.name for each in (folder.root / "waiting").children()] == ["3"]
    assert (folder.root / "waiting" / "3" / "part").exists()


def test_attempt_that_was_ended_leaves_nothing(
    folder: StreamFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one fails a gate, and has no scored rows, no quarantine, no outcomes, no record."""
    put(folder, "scored/batch_id=3", "quarantine/batch_id=3", "outcomes/3", "scored/batch_id=2")
    (folder.root / "batches" / "3.json").create(b"{}")
    run, rows = stream_run(folder, StreamState(batch=2)), Rows()
    failure = QualityGateError("Too few rows.")

    def fail(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(StreamRun, "_score", fail)
    with pytest.raises(QualityGateError):
        run.process(rows, None, 3)  # type: ignore[arg-type]
    left = {each.relative_to(folder.root) for each in folder.root.files()}
    assert left == {"scored/batch_id=2/part", "set_aside/batch_id=3/part", "state.json"}
    assert folder.read_state().aside == (3,)


def test_gates_error_comes_before_the_metrics(
    folder: StreamFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that cannot be written changes no exit code."""

    def fail(*_: Any, **__: Any) -> Any:
        raise QualityGateError("Too few rows.")

    def full(*_: Any) -> None:
        raise PublishError("The disk is full.")

    monkeypatch.setattr(StreamRun, "_score", fail)
    monkeypatch.setattr(StreamFolder, "write_metrics", full)
    with pytest.raises(QualityGateError):
        stream_run(folder, StreamState(batch=2)).process(Rows(), None, 3)  # type: ignore[arg-type]


def test_failed_metrics_say_that_the_rows_are_committed(
    folder: StreamFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and the hint does not say that nothing was published."""

    def full(*_: Any) -> None:
        raise PublishError("The disk is full.", hint="nothing was published")

    monkeypatch.setattr(StreamRun, "_score", lambda run, *_, **__: run.state)
    monkeypatch.setattr(StreamFolder, "write_metrics", full)
    with pytest.raises(PublishError, match="micro-batch 3 WERE committed"):
        stream_run(folder, StreamState(batch=2)).process(Rows(), None, 3)  # type: ignore[arg-type]
    assert folder.read_state().batch == 3


def test_state_that_gives_no_prior_is_not_committed(
    folder: StreamFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail at each start from then on."""
    run = stream_run(folder, StreamState(batch=2))

    def fail(*_: Any) -> Any:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(StreamRun, "_score", lambda run, *_, **__: run.state)
    monkeypatch.setattr(StreamState, "prior", fail)
    with pytest.raises(ValueError, match="broadcast"):
        run.process(Rows(), None, 3)  # type: ignore[arg-type]
    assert not (folder.root / "state.json").exists()


def test_micro_batch_that_does_not_follow_is_not_processed(folder: StreamFolder) -> None:
    """Its rows stay where they are, and so do those of the last attempt."""
    put(folder, "scored/batch_id=5")
    run = stream_run(folder, replace(StreamState(), batch=2))
    with pytest.raises(ConfigError, match="at micro-batch 5"):
        run.process(Rows(), None, 5)  # type: ignore[arg-type]
    assert (folder.root / "scored" / "batch_id=5" / "part").exists()
    run.process(Rows(), None, 2)  # type: ignore[arg-type]
    assert not (folder.root / "state.json").exists()


@pytest.mark.parametrize("of_batch", [QualityGateError("Too few rows."), KeyError("x"), None])
def test_error_that_ended_a_query_is_not_replaced_by_one_of_its_stop(
    of_batch: Exception | None,
) -> None:
    """Java may be gone as well; what comes out is why the query ended."""
    of_query = StreamingQueryException("[STREAM_FAILED] a task failed")

    def fail() -> None:
        raise of_query

    def stop() -> None:
        raise Py4JNetworkError("Answer from Java side is empty")

    query: Any = SimpleNamespace(awaitTermination=fail, stop=stop)
    failures = [] if of_batch is None else [of_batch]
    with pytest.raises((QualityGateError, KeyError, StreamingQueryException)) as caught:
        _await(query, failures)  # type: ignore[arg-type]
    assert caught.value is (of_batch or of_query)
