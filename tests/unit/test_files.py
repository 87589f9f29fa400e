"""Records become JSON that every reader takes."""

from __future__ import annotations

import json
from datetime import date

import numpy as np


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
