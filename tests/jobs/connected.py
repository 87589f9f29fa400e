"""A night through Spark Connect; `test_connect` starts it, in a process of its own."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from conftest import RUN_DATE, SUITE, Shop, history

from sparkweights import Runner, load_config
from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


@pytest.fixture
def lender(tmp_path: Path) -> Shop:
    """Set up a lender that has trained nothing."""
    made = Shop(tmp_path)
    made.table("history", history())
    made.table("incoming", history(400, seed=2).drop(columns="outcome"))
    (tmp_path / "incoming.json").write_text(json.dumps(SUITE), encoding="utf-8")
    return made


def test_a_night_is_trained_scored_and_replaced(lender: Shop, spark: SparkSession) -> None:
    """Every row has its decision, and the same date again is the same."""
    config = lender.config(model={"kind": "boosted_trees", "params": {"maxIter": 3}})
    runner = Runner(spark, load_config(config), date.fromisoformat(RUN_DATE))
    runner.preflight()
    runner.train()
    nights = []
    for _ in range(2):
        assert runner.score().record.rows.scored == 400
        table = pd.read_parquet(lender.folder / "out" / "scored").drop(columns="scored_at")
        nights.append(table.sort_values("loan id").reset_index(drop=True))
    pd.testing.assert_frame_equal(*nights)
    assert set(nights[0]["decision"]) == {"approve", "decline"}


def test_xgboost_says_that_it_trains_elsewhere(lender: Shop, spark: SparkSession) -> None:
    """Its library needs the engine that a connected session hides."""
    config = load_config(lender.config(model={"kind": "xgboost", "params": {"n_estimators": 3}}))
    with pytest.raises(ConfigError, match="cannot be trained over Spark Connect"):
        Runner(spark, config, date.fromisoformat(RUN_DATE)).train()
