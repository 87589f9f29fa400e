"""Every benchmark runs, and ends in one line of JSON; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if path.stem not in {"__init__", "harness", "credit", "savings"}  # the last two fetch data
)


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs_and_prints_its_verdict(name: str) -> None:
    """With --quick each takes seconds; a missed bar is no failure here, a crash is."""
    found = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "Traceback" not in found.stderr, found.stderr[-3000:]
    record = json.loads(found.stdout.strip().splitlines()[-1])
    assert record["benchmark"] == name
    assert f"`python -m benchmarks.{name}`" in (ROOT / "benchmarks" / "RESULTS.md").read_text(
        encoding="utf-8"
    )
