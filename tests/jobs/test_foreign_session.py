"""A session of somebody else's is used, and left as it was."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NoReturn

import pandas as pd
import pytest
from conftest import RUN_DATE
from pyspark.errors import PySparkRuntimeError
from pyspark.sql.classic.dataframe import DataFrame
from pyspark.sql.conf import RuntimeConfig

from sparkweights import ConfigError, InputError, Runner, load_config
from sparkweights.app.session import TIME_ZONE, open_session
from sparkweights.core.session_settings import use_settings
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Shop
    from pyspark.sql import SparkSession


@pytest.fixture
def notebook(spark: SparkSession) -> Iterator[SparkSession]:
    """Give the session what somebody in New York has set."""
    chosen = {TIME_ZONE: "America/New_York", "spark.sql.codegen.hugeMethodLimit": "7777"}
    with use_settings(spark, chosen):
        yield spark


def _refuse(*_: object, **__: object) -> NoReturn:
    raise PySparkRuntimeError("[NOT_SUPPORTED_WITH_SERVERLESS] This is not supported.")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine refuse settings and caches, as serverless ones do."""
    monkeypatch.setattr(RuntimeConfig, "set", _refuse)
    monkeypatch.setattr(RuntimeConfig, "unset", _refuse)
    for method in ("persist", "cache", "checkpoint", "localCheckpoint"):
        monkeypatch.setattr(DataFrame, method, _refuse)


def _scored(shop: Shop) -> pd.DataFrame:
    found = pd.read_parquet(shop.folder / "out" / "scored" / f"run_date={RUN_DATE}")
    return found.drop(columns="scored_at").sort_values("loan id").reset_index(drop=True)


def _runner(shop: Shop, spark: SparkSession, **changes: str) -> Runner:
    config = load_config(shop.config("foreign.yaml", **changes))
    return Runner(spark, config, date.fromisoformat(RUN_DATE))


def test_session_has_its_settings_after_a_run_and_after_a_failure(
    own_shop: Shop, notebook: SparkSession
) -> None:
    """Those that were set keep their values; those that were not are not set."""
    before = notebook.conf.getAll
    assert open_session("loans") is notebook
    runner = _runner(own_shop, notebook)
    runner.weights()
    assert runner.score().record.rows.scored == 400
    assert notebook.conf.getAll == before
    lost = _runner(own_shop, notebook, tables__incoming__location="data/nothing")
    with pytest.raises(InputError):
        lost.score()
    assert notebook.conf.getAll == before


@pytest.mark.usefixtures("refusing")
def test_session_that_refuses_settings_and_caches_gives_the_same_rows(
    own_shop: Shop, spark: SparkSession
) -> None:
    """The run goes on without them."""
    expected = _scored(own_shop)
    record = _runner(own_shop, spark).score().record
    assert record.rows.scored == len(expected) == 400
    pd.testing.assert_frame_equal(
        _scored(own_shop).drop(columns="run_id"), expected.drop(columns="run_id")
    )


@pytest.mark.usefixtures("refusing")
def test_rows_are_kept_without_a_cache(spark: SparkSession, tmp_path: Path) -> None:
    """They lie in files either way, and are computed once."""
    with keep_rows(spark.range(5).selectExpr("id", "rand() AS x"), Location.of(tmp_path)) as df:
        assert sorted(df.collect()) == sorted(df.collect())
        assert df.count() == 5


def test_session_that_keeps_another_time_zone_is_refused(
    shop: Shop, notebook: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dates would be those of another day."""
    with monkeypatch.context() as patch:
        patch.setattr(RuntimeConfig, "set", _refuse)
        with pytest.raises(ConfigError, match=r"zone is 'America/New_York' .* allowed: UTC") as no:
            _runner(shop, notebook).score()
    assert TIME_ZONE in str(no.value.hint)
