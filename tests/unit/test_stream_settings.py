"""The section `stream` of a configuration: what it accepts, and what conflicts with other keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkweights.config.load import load_config
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError
from sparkweights.storage.location import Location
from sparkweights.stream.files import StreamFolder
from sparkweights.stream.query import replay, run_query
from sparkweights.stream.state import StreamState

ROOT = Path(__file__).parents[2]
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
        (stream(window={}), {}, "a window has one length"),
        (stream(window={"rows": 500, "half_life": 100}), {}, "rows, half_life stated"),
        (stream(incoming={"format": "csv", "location": "in"}), {}, "incoming.schema is missing"),
        (stream(outcomes={"format": "kafka", "location": "t"}), {}, "outcomes.schema is missing"),
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


def test_secret_of_a_source_is_in_no_record() -> None:
    """The option's name is, and a digest."""
    source = {"format": "kafka", "location": "t", "schema": "id int", "options": {"sasl": "hush"}}
    assert "hush" not in str(config(stream(incoming=source)).fingerprint())


@pytest.mark.parametrize("other", ["arriving rows", "a backfill"])
def test_folder_of_another_kind_of_stream_is_refused(tmp_path: Path, other: str) -> None:
    """Its micro-batches have the same numbers, so that rows would be taken for known ones."""
    folder = StreamFolder(Location.of(tmp_path), lambda _: {})
    run: Any = SimpleNamespace(
        folder=folder,
        state=StreamState(batch=3),
        settings=SimpleNamespace(
            spec=SimpleNamespace(problem=SimpleNamespace(roles=config(stream()).roles))
        ),
    )
    run.settings.spec.problem.roles = replace(run.settings.spec.problem.roles, time="t")
    frame: Any = None
    starts = {
        "a backfill": lambda: run_query(run, frame, None, None),
        "arriving rows": lambda: replay(run, frame, 100),
    }
    with pytest.raises(ConfigError, match="a stream of 4 micro-batches"):
        starts[other]()
