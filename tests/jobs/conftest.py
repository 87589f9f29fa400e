"""A small lender: a folder with tables, a configuration, a trained model and yesterday's scores."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

from sparkweights.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pyspark.sql import SparkSession

RUN_DATE = "2026-03-01"
# For engines in processes of their own; unlike a command's own options, these add to them.
SHORT_LIVED = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
CONFIG: dict[str, Any] = {
    "name": "small_lender",
    "seed": 3,
    "tables": {
        "labelled": {"format": "parquet", "location": "data/history"},
        "incoming": {"format": "parquet", "location": "data/incoming"},
        "scored": {"format": "parquet", "location": "out/scored"},
        "quarantine": {"format": "parquet", "location": "out/quarantine"},
    },
    "artifacts": "out/models",
    "runs": "out/runs",
    "columns": {
        "keys": ["loan id"],
        "label": "outcome",
        "classes": {"repaid": "good", "defaulted": "bad"},
        "numeric": ["in.come", "late payments", "amount"],
        "categorical": ["card type"],
        "sensitive": ["age"],
    },
    "costs": {
        "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
        "decline": {"repaid": "0.1 * amount + 20", "defaulted": 0},
    },
    "weights": {"scheme": "cost", "cap": 20},
    "model": {"kind": "logistic", "params": {"regParam": 0.001}},
    "train": {"refit": "none"},  # a sixth of the fits; test_refit.py has the others
    "checks": {"incoming": "incoming.json"},
}
SUITE = {
    "name": "incoming",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "late payments", "min_value": 0},
            "severity": "critical",
            "id": "late payments are counted",
        },
        {
            "type": "expect_table_row_count_to_be_between",
            "kwargs": {"max_value": 100_000},
            "severity": "critical",
        },
    ],
    "meta": {},
}


def history(rows: int = 3_000, seed: int = 1) -> pd.DataFrame:
    """Draw loans from a known model: late payments and small incomes default."""
    rng = np.random.default_rng(seed)
    late = rng.poisson(1.0, rows)
    income = rng.lognormal(8, 0.4, rows)
    card = rng.choice(["gold", "basic", "store"], rows)
    logit = -2.2 + 0.7 * late - 0.8 * (np.log(income) - 8) + 0.5 * (card == "store")
    bad = rng.random(rows) < 1 / (1 + np.exp(-logit))
    income[rng.random(rows) < 0.05] = np.nan
    return pd.DataFrame({
        "loan id": np.arange(rows),
        "outcome": np.where(bad, "bad", "good"),
        "in.come": income,
        "late payments": late,
        "amount": rng.integers(1, 40, rows) * 250.0,
        "card type": card,
        "age": rng.integers(18, 80, rows),
    })  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """A working folder with helpers that change one thing at a time."""

    folder: Path

    def config(self, file: str = "shop.yaml", /, **changes: Any) -> Path:
        """Write a configuration; ``a__b`` names the key b of section a, None removes it."""
        record = copy.deepcopy(CONFIG)
        for place, value in changes.items():
            section = record
            *path, last = place.split("__")
            for step in path:
                section = section.setdefault(step, {})
            if value is None:
                section.pop(last)
            else:
                section[last] = value
        target = self.folder / file
        target.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
        return target

    def table(self, name: str, frame: pd.DataFrame) -> str:
        """Write a table and return its location."""
        folder = self.folder / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        # An empty or all-null text column would lose its type on the way.
        texts = [name for name in frame if frame[name].dtype == object]
        frame = frame.astype(dict.fromkeys(texts, "string"))
        frame.to_parquet(folder / "part-0.parquet", index=False)
        return f"data/{name}"

    def run(self, verb: str, config: Path, *options: str) -> int:
        """Run a verb for the usual date."""
        return main([verb, "--config", str(config), "--run-date", RUN_DATE, *options])

    def manifest(self, run_date: str = RUN_DATE) -> dict[str, Any]:
        """Return the manifest of a date."""
        path = self.folder / "out" / "runs" / f"run_date={run_date}" / "manifest.json"
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record

    def state(self) -> dict[str, str]:
        """Return every file under out/ with the hash of its bytes."""
        out = self.folder / "out"
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="session")
def demo(
    planned_as_in_jobs: Callable[[], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Run the demo once into a folder, planned as users run it."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    with planned_as_in_jobs():
        assert main(["demo", "--into", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def own_shop(shop: Shop, tmp_path: Path) -> Shop:
    """Return a copy of the lender, for a test that changes it."""
    shutil.copytree(shop.folder, tmp_path / "shop")
    return Shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Train a model and score one night, once for all tests that only read or are refused."""
    return open_shop(tmp_path_factory.mktemp("shop"))


def open_shop(folder: Path, **changes: Any) -> Shop:
    """Set up a lender with a model and scored rows; the changes are to its configuration."""
    made = Shop(folder)
    made.table("history", history())
    made.table("incoming", history(400, seed=2).drop(columns="outcome"))
    (folder / "incoming.json").write_text(json.dumps(SUITE), encoding="utf-8")
    config = made.config(**changes)
    assert made.run("train", config, "--quiet") == 0
    assert made.run("score", config, "--quiet") == 0
    return made
