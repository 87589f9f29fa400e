"""The section `stream` of a configuration: what it accepts, and what conflicts with other keys."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql.types import DateType, StringType, StructType

from sparkweights.app.stream import kind_of_time, subtract_span
from sparkweights.app.vacuum import vacuum
from sparkweights.config.load import load_config
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.storage.location import Location
from sparkweights.stream.files import StreamFolder
from sparkweights.stream.fixed_settings import ARRIVING, REPLAYED, FixedSettings
from sparkweights.stream.query import replay, run_query
from sparkweights.stream.state import StreamState

ROOT = Path(__file__).parents[2]
TOPIC: dict[str, Any] = {
    "format": "kafka",
    "location": "t",
    "schema": "id int",
    "options": {"kafka.bootstrap.servers": "host:9092"},
}
UNREPORTED = (  # as Spark 4.1 says it (SPARK-57438)
    '[STREAM_FAILED] Query terminated with exception: Cannot invoke "scala.collection.IterableOps'
    '.map(scala.Function1)" because the return value of "scala.Option.get()" is null'
)
COLUMNS = {"keys": ["id"], "label": "y", "classes": {"good": 0, "bad": 1}, "numeric": ["x"]}


def stream(**changes: Any) -> dict[str, Any]:
    """Return a section with changes."""
    return {"incoming": {"location": "in"}, "outcomes": {"location": "out"}, **changes}


def config(section: dict[str, Any], **changes: Any) -> Config:
    """Return a configuration with a stream."""
    stated: dict[str, Any] = {"name": "loans", "columns": COLUMNS, "stream": section, **changes}
    return Config(**stated)


def test_configuration_of_a_stream_in_conf_loads() -> None:
    """It states every key."""
    stated = load_config(ROOT / "conf" / "loan_stream.yaml").streamed
    assert stated.model_fields_set == type(stated).model_fields.keys()
    assert stated.window.rows == 5_000


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (stream(wait="90 days"), {}, "columns.time is missing"),
        (stream(wait="soon"), {"columns": {**COLUMNS, "time": "t"}}, "stream.wait: 'soon'"),
        (stream(every="soon"), {}, "stream.every: 'soon'"),
        (stream(every="30"), {}, "stream.every: '30'"),
        (stream(window={}), {}, "a window has one length"),
        (stream(window={"rows": 500, "half_life": 100}), {}, "rows, half_life stated"),
        (stream(incoming={"format": "csv", "location": "in"}), {}, "incoming.schema is missing"),
        (stream(outcomes={"format": "kafka", "location": "t"}), {}, "outcomes.schema is missing"),
        (stream(incoming={**TOPIC, "options": {}}), {}, "kafka.bootstrap.servers is missing"),
        (
            stream(outcomes={**TOPIC, "options": {**TOPIC["options"], "Subscribe": "s"}}),
            {},
            "subscribe stated; the topic is stream.outcomes.location, 't'",
        ),
        (
            stream(incoming={"format": "table", "location": "t", "schema": "id int"}),
            {},
            "a stream of format table has its own columns",
        ),
        (
            stream(incoming={"format": "rate", "location": "t", "schema": "id int"}),
            {},
            "a stream of format rate has its own columns",
        ),
        (
            stream(incoming={"format": "delta", "location": "t"}),
            {},
            "stream.incoming.format",
        ),
        (stream(prior="model"), {"decision": {"target_prior": "estimate"}}, "too few rows"),
        (
            stream(),
            {
                "model": {"kind": "mini_batch"},
                "weights": {"scheme": "cost_by_row"},
                "costs": {"approve": {"good": 0, "bad": "x"}, "decline": {"good": 1, "bad": 0}},
            },
            "one number per class",
        ),
    ],
)
def test_stream_that_cannot_run_is_refused(
    section: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """The sentence names the key."""
    with pytest.raises(ConfigError, match=message):
        config(section, **changes)


def test_stream_is_asked_for_only_where_it_is_stated() -> None:
    """A configuration without the section says what to add."""
    with pytest.raises(ConfigError, match="stream is missing"):
        _ = Config(name="loans", columns=COLUMNS).streamed
    assert config(stream()).streamed.every is None
    assert config(stream(every="1 minute 30 seconds")).streamed.every == "1 minute 30 seconds"


def test_vacuum_finds_what_a_killed_stream_was_writing(tmp_path: Path) -> None:
    """Files of a record, of the state or of the metrics that have no name yet."""
    partial = tmp_path / "stream" / "batches" / "_0123456789abcdef.partial"
    partial.parent.mkdir(parents=True)
    partial.touch()
    (tmp_path / "stream" / "state.json").touch()
    changes: dict[str, Any] = {name: str(tmp_path / name) for name in ("artifacts", "runs")}
    changes["tables"] = {
        role: {"location": str(tmp_path / role)} for role in ("scored", "quarantine")
    }
    stated = config(stream(folder=str(tmp_path / "stream")), **changes)
    session: Any = None
    found = vacuum(session, stated, days=-1).record.leftovers
    assert [each.path for each in found] == [str(partial)]


def test_secret_of_a_source_is_in_no_record() -> None:
    """The option's name is, and a digest."""
    source = {**TOPIC, "options": {**TOPIC["options"], "kafka.sasl.jaas.config": "hush"}}
    assert "hush" not in str(config(stream(incoming=source)).fingerprint())


FIXED = FixedSettings(
    rows=ARRIVING,
    keys=("id",),
    time=None,
    time_kind="number",
    classes=("good", "bad"),
    decisions=("approve", "decline"),
    outcomes=True,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": REPLAYED}, "another kind of source: arriving rows; now it is a replayed table"),
        ({"keys": ("id", "day")}, "another columns.keys: id; now it is id, day"),
        ({"time": "opened"}, "another columns.time: not stated; now it is opened"),
        ({"time_kind": "date"}, "another type of columns.time: number"),
        ({"classes": ("bad", "good")}, "another columns.classes: good, bad"),
        ({"decisions": ("approve", "decline", "review")}, "now it is approve, decline, review"),
        ({"decisions": ("decline", "approve")}, r"another list of decisions \(costs, review\)"),
        ({"outcomes": False}, "another choice of stream.outcomes: stated; now it is not stated"),
    ],
)
def test_stream_goes_on_with_the_settings_that_it_began_with(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Its files and sums depend on them; before the first micro-batch they may change."""
    folder = StreamFolder(Location.of(tmp_path), lambda _: {})
    changed = replace(FIXED, **changes)
    assert folder.begin(FIXED).fixed == FIXED
    assert folder.begin(changed).fixed == changed
    assert folder.begin(FIXED).fixed == FIXED
    offsets = tmp_path / "checkpoint" / "offsets"
    offsets.mkdir(parents=True)
    (offsets / "0").touch()
    assert folder.begin(FIXED).fixed == FIXED
    with pytest.raises(ConfigError, match=message):
        folder.begin(changed)


@pytest.mark.parametrize("source", [ARRIVING, REPLAYED])
def test_stream_whose_log_was_removed_is_refused(tmp_path: Path, source: str) -> None:
    """Its micro-batches would have the same numbers, and rows would be taken for known ones."""
    roles = replace(config(stream()).roles, time="t")
    run: Any = SimpleNamespace(
        folder=StreamFolder(Location.of(tmp_path), lambda _: {}),
        state=StreamState(batch=3),
        settings=SimpleNamespace(spec=SimpleNamespace(problem=SimpleNamespace(roles=roles))),
    )
    frame: Any = None
    starts = {
        ARRIVING: lambda: run_query(run, frame, None, None),
        REPLAYED: lambda: replay(run, frame, 100),
    }
    with pytest.raises(ConfigError, match=r"a stream of 4 micro-batches, .* was removed"):
        starts[source]()


@pytest.mark.parametrize(
    ("messages", "starts"),
    [
        ([None], 1),
        ([UNREPORTED, None], 2),
        ([UNREPORTED, UNREPORTED], 2),
        (["[STREAM_FAILED] Query terminated: the broker is away"], 1),
    ],
)
def test_stream_begins_again_where_spark_failed_to_report_on_a_micro_batch(
    tmp_path: Path, messages: list[str | None], starts: int
) -> None:
    """Once: the micro-batch was committed, so the next start goes on behind it."""
    ends = iter([message and StreamingQueryException(message) for message in messages])

    def end() -> None:
        if (error := next(ends)) is not None:
            raise error

    frame: Any = MagicMock()
    query = frame.writeStream.foreachBatch().option().trigger().start
    query.return_value.awaitTermination.side_effect = end
    run: Any = SimpleNamespace(
        folder=StreamFolder(Location.of(tmp_path), lambda _: {}), state=StreamState(batch=-1)
    )
    with nullcontext() if messages[-1] is None else pytest.raises(StreamingQueryException):
        run_query(run, frame, None, None)
    assert query.call_count == starts


@pytest.mark.parametrize("kind", ["number", "date", "timestamp"])
def test_spans_are_of_the_kind_of_event_time(kind: str) -> None:
    """The message names the keys of streams, before any row is read."""
    fits, other = (90, "90 days") if kind == "number" else ("90 days", 90)
    before = subtract_span(fits, kind, where="stream.wait")
    assert before is not None
    days = 90 * 86_400e6 if kind == "timestamp" else 90
    assert before(1e16) == 1e16 - days if kind != "date" else before(1e4) == 1e4 - days
    with pytest.raises(ConfigError, match=f"stream.wait: {other!r}, and columns.time is a {kind}"):
        subtract_span(other, kind, where="stream.wait")
    assert subtract_span(None, kind, where="stream.wait") is None


def test_event_time_is_a_column_with_an_order_in_time() -> None:
    """The message names columns.time."""
    roles = replace(config(stream()).roles, time="t")
    schema = StructType().add("id", StringType()).add("t", StringType())
    with pytest.raises(InputError, match=r"columns.time: column 't' of table 'incoming' is text"):
        kind_of_time(schema, roles, table="incoming")
    dated = StructType().add("id", StringType()).add("t", DateType())
    assert kind_of_time(dated, roles, table="incoming") == "date"
