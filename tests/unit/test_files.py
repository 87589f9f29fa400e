"""Records become files that every reader takes."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path


def test_as_json_numbers_that_are_none_become_null() -> None:
    """NaN and infinity, wherever they are; everything else stays what it was."""
    from sparkweights.storage.files import as_json

    record = {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (np.float64("nan"), 2)}}
    whole = {**record, "e": "NaN", "f": None, "g": True, "h": date(2026, 3, 1)}
    assert json.loads(as_json(whole)) == {
        "a": None, "b": [1.5, None], "c": {"d": [None, 2]}, "e": "NaN", "f": None, "g": True,
        "h": "2026-03-01",
    }  # fmt: skip
    assert as_json(whole, indent=None).count("\n") == 1


def test_records_are_written_as_readers_expect_them(tmp_path: Path) -> None:
    """UTF-8 text, JSON, and Parquet, in folders that need not be there; a rewrite replaces."""
    from sparkweights.storage.files import write_json, write_rows, write_text
    from sparkweights.storage.location import Location

    folder = Location.of(tmp_path) / "a" / "b"
    for content in ("old", "näive\n"):
        write_text(folder / "text", content)
        write_json(folder / "json", {"name": content})
        write_rows(folder / "rows", [{"name": content, "n": 1}, {"name": None, "n": 2}])
    there = tmp_path / "a" / "b"
    assert (there / "text").read_bytes() == "näive\n".encode()
    assert json.loads((there / "json").read_text("utf-8")) == {"name": "näive\n"}
    rows = pq.read_table(there / "rows").to_pylist()
    assert rows == [{"name": "näive\n", "n": 1}, {"name": None, "n": 2}]
    assert sorted(path.name for path in there.iterdir()) == ["json", "rows", "text"]
