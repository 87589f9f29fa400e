"""Every benchmark runs, and ends in one line of JSON; what it measures is not judged here."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER = Path(__file__).parents[2] / "benchmarks"
SHARED = {"__init__", "careful", "credit", "harness", "public_tables", "wheels"}
BY_HAND = {
    "backfill",
    "genes",
    "installed",
    "rare",
    "refit",
    "savings",
    "stream",
    "training",
}  # minutes, or without a session; most fetch a wheel, or start processes
LONG = {
    "checks",
    "distill",
    "evaluate",
    "intercept",
    "minibatch",
    "reference",
    "scaling",
    "scoring",
}  # half a minute and more
CASES = sorted(path.stem for path in (FOLDER / "rightness").glob("[a-z]*.py"))
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - SHARED - BY_HAND)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] if one in LONG else []) for one in NAMES]
)
def test_benchmark_runs_and_prints_its_verdict(
    spark: SparkSession,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --quick each takes seconds; a missed bar is no failure here, a crash is."""
    module: Any = import_module(f"benchmarks.{name}")
    monkeypatch.setattr(module, "session", lambda *_, **__: spark)
    monkeypatch.setattr(sys, "argv", [name, "--quick"])
    module.main()
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["benchmark"] == name
    assert set(record) == {"benchmark", "machine", "versions", "figures", "bars"}
    for entry in record["figures"].values():
        assert {"median", "min", "max", "unit"} <= set(entry)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_rightness_case_runs_and_names_its_bars(spark: SparkSession, case: str) -> None:
    """With few repetitions each case gives figures, and bars that carry their limits."""
    module: Any = import_module(f"benchmarks.rightness.{case}")
    figures, bars = module.run(lambda: spark, quick=True)
    assert figures
    assert all("unit" in entry and len(entry) > 1 for entry in figures.values())
    assert all({"value", "limit", "holds"} == set(bar.to_dict()) for bar in bars)


@pytest.mark.parametrize("name", sorted({*NAMES, *BY_HAND, "rightness"}))
def test_benchmark_has_its_last_run_on_record(name: str) -> None:
    """RESULTS.md names the command beside its figures."""
    text = (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert f"`python -m benchmarks.{name}`" in text
