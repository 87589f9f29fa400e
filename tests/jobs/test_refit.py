"""The published model learns from every labelled row; its evaluation is of rows held out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from conftest import RUN_DATE, Shop, history

if TYPE_CHECKING:
    from pathlib import Path

# Deep trees remember every row that they have learned from.
MEMORISES = {
    "kind": "xgboost",
    "params": {
        "n_estimators": 30,
        "max_depth": 8,
        "learning_rate": 0.3,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "min_child_weight": 1.0,
        "reg_lambda": 1.0,
    },
}


@pytest.fixture
def lender(tmp_path: Path) -> Shop:
    """Return an empty working folder."""
    return Shop(tmp_path)


def _trained(shop: Shop, **changes: Any) -> dict[str, Any]:
    """Train, and return the manifest of the model in use."""
    config = shop.config(checks=None, **{"train": {}, **changes})
    assert shop.run("train", config, "--quiet") == 0
    return _manifest(shop)


def _manifest(shop: Shop) -> dict[str, Any]:
    models = shop.folder / "out" / "models"
    version = (models / "current").read_text(encoding="utf-8").strip()
    found: dict[str, Any] = json.loads((models / version / "manifest.json").read_text())
    return found


def _noise(rows: int = 1_500, customers: int = 1_500) -> pd.DataFrame:
    """Draw customers whose features and outcome have nothing to do with each other."""
    rng = np.random.default_rng(5)
    frame = history(rows, seed=3)
    owner = np.arange(rows) % customers
    income, bad = rng.lognormal(8, 1, customers), rng.random(customers) < 0.3
    return frame.assign(**{
        "customer": owner,
        "in.come": income[owner],
        "late payments": 0,
        "outcome": np.where(bad[owner], "bad", "good"),
        "card type": [f"card {i % 150}" for i in owner],
    })  # fmt: skip


def _auc(manifest: dict[str, Any]) -> float:
    return float(manifest["evaluation"]["classes"]["defaulted"]["auc"])


def test_train_refit_learns_from_all_rows_and_evaluates_each_once(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row is evaluated, none is set aside, `evaluate` finds the same, and `score` runs."""
    lender.table("history", history(600))
    lender.table("incoming", history(50, seed=2).drop(columns="outcome"))
    manifest = _trained(lender, train={"refit": "auto", "folds": 2})
    assert manifest["refit"]["rows"] == "all"
    assert manifest["split"]["rows"] == {"cross-fit": 600}
    assert manifest["evaluation"]["rows"] == 600
    assert len(manifest["held_out"]) == 2
    numbers = [json.dumps(one["calibration"]) for one in manifest["held_out"]]
    assert len({*numbers, json.dumps(manifest["calibration"])}) == 3  # each of other rows
    config = lender.config(checks=None, train={"folds": 2})
    capsys.readouterr()
    assert lender.run("evaluate", config, "--quiet", "--json") == 0
    found = json.loads(capsys.readouterr().out)["evaluation"]
    assert found["costs"] == pytest.approx(manifest["evaluation"]["costs"])
    assert lender.run("score", config, "--quiet") == 0
    assert lender.manifest()["rows"]["scored"] == 50


@pytest.mark.slow
def test_train_refit_of_noise_evaluates_as_noise(lender: Shop) -> None:
    """A model that remembers each row, and a code per level of what happened, know no new row.

    Judged on rows that it has learned from, the same model has an AUC of nearly 1.
    """
    lender.table("history", _noise())
    manifest = _trained(
        lender,
        train={"refit": "all", "folds": 3},
        model=MEMORISES,
        features={"categorical": "target"},
        decision={"base_rate_tolerance": 1.0},
    )
    assert _auc(manifest) == pytest.approx(0.5, abs=0.05)
    assert all(one["features"] is not None for one in manifest["held_out"])


@pytest.mark.slow
def test_train_refit_by_group_holds_out_whole_customers(lender: Shop) -> None:
    """A customer's ten rows tell all of one another: by keys they leak, by group they do not."""
    lender.table("history", _noise(3_000, customers=300))
    wanted: dict[str, Any] = {
        "train": {"refit": "all", "folds": 3},
        "model": MEMORISES,
        "columns__categorical": [],
        "decision": {"base_rate_tolerance": 1.0},
    }
    assert _auc(_trained(lender, **wanted)) > 0.8
    grouped = _trained(lender, split={"group": ["customer"]}, **wanted)
    assert _auc(grouped) == pytest.approx(0.5, abs=0.08)
    assert grouped["split"]["group"] == ["customer"]


@pytest.mark.slow
def test_train_a_dozen_events_is_enough_where_none_is_set_aside(lender: Shop) -> None:
    """Of twelve events, three parts would leave two to calibrate and two to test."""
    frame = history(600)
    bad = frame[frame["outcome"] == "bad"].head(12)
    lender.table("history", pd.concat([bad, frame[frame["outcome"] == "good"]]))
    manifest = _trained(lender, train={"folds": 3}, decision={"base_rate_tolerance": 2.0})
    assert manifest["refit"]["rows"] == "all"
    assert manifest["calibration"]["method"] == "sigmoid"


def test_train_refit_with_what_needs_rows_of_its_own_exits_2(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Early stopping asks rows that no model has seen; asked for together, both are named."""
    lender.table("history", history(600))
    config = lender.config(
        checks=None,
        train={"refit": "all"},
        model={"kind": "xgboost", "params": {}, "patience": 3},
    )
    assert lender.run("train", config, "--quiet") == 2
    assert "train.refit: 'all' and model.patience: 3 do not go together" in capsys.readouterr().err


def _monthly(drift: float) -> pd.DataFrame:
    """Draw three years of loans; what late payments mean fades by ``drift`` a year."""
    rng = np.random.default_rng(2)
    rows = 9_000
    month = rng.integers(0, 36, rows)
    late = rng.poisson(1.0, rows)
    logit = -2.0 + (1.2 - drift * month / 12) * (late - 1)
    bad = rng.random(rows) < 1 / (1 + np.exp(-logit))
    frame = history(rows)
    dates = pd.to_datetime("2023-01-01") + pd.to_timedelta(month * 30.4375, unit="D")
    return frame.assign(**{
        "month": dates.date,
        "late payments": late,
        "outcome": np.where(bad, "bad", "good"),
    })  # fmt: skip


def _history(shop: Shop, frame: pd.DataFrame) -> None:
    """Write the labelled table with its months as dates."""
    folder = shop.folder / "data" / "history"
    folder.mkdir(parents=True)
    texts = dict.fromkeys(["outcome", "card type"], "string")
    frame.astype(texts).to_parquet(folder / "part-0.parquet", index=False)


@pytest.mark.slow
def test_train_by_time_evaluates_forward_and_publishes_a_model_of_all_rows(lender: Shop) -> None:
    """The evaluated model has seen earlier rows alone; the published one the latest as well."""
    _history(lender, _monthly(0.0).head(2_000))
    manifest = _trained(
        lender,
        split={"by": "month", "gap": "1 month"},
        train={"refit": "all", "folds": 2},
        decision={"base_rate_tolerance": 1.0},  # 48 events calibrate
    )
    assert manifest["refit"]["rows"] == "all"
    assert len(manifest["held_out"]) == 1
    assert manifest["evaluation"]["rows"] == manifest["split"]["rows"]["test"]
    fit_end, calibrate_end = manifest["split"]["ends"]
    first, second = manifest["split"]["cuts"]["defaulted"]
    assert 28 <= first - fit_end <= 31
    assert 28 <= second - calibrate_end <= 31


@pytest.mark.slow
def test_train_leaves_out_rows_whose_outcome_cannot_be_known(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 1 March 2026, loans after 1 March 2025 have had no year; their labels may be null."""
    frame = _monthly(0.0).head(2_000)
    young = pd.to_datetime(frame["month"]) > pd.Timestamp("2025-03-01")
    frame.loc[young, "outcome"] = None
    _history(lender, frame)
    config = lender.config(
        checks=None, split={"by": "month", "mature": "12 months"}, train={"refit": "none"}
    )
    assert lender.run("train", config) == 0
    assert f"leaving out {young.sum():,} labelled rows" in capsys.readouterr().err
    assert _manifest(lender)["weights"]["rows"] == (~young).sum()
    assert RUN_DATE == "2026-03-01"


@pytest.mark.slow
def test_backtest_shows_a_ranking_that_fades_and_its_trend(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where late payments mean less every year, the AUC falls from origin to origin."""
    _history(lender, _monthly(0.45))
    config = lender.config(
        checks=None,
        split={"by": "month", "gap": "1 month"},
        evaluate={"backtest": {"origins": 5, "share": 0.7}},
        columns__numeric=["late payments", "amount"],
        columns__categorical=[],
    )
    assert lender.run("evaluate", config, "--backtest", "--quiet", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    areas = [one["classes"]["defaulted"]["auc"] for one in record["origins"]]
    assert areas[0] > areas[2] > areas[4]
    assert record["trends"]["auc defaulted"]["shown"]
    assert record["trends"]["auc defaulted"]["slope"] < -0.02
    starts = [one["after"] for one in record["origins"]]
    assert starts == sorted(starts)
    folder = lender.folder / "out" / "models" / "backtest"
    assert "Backtest: performance by origin" in (folder / "report.html").read_text(encoding="utf-8")


def test_backtest_without_a_column_of_time_exits_2(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no past to train in."""
    lender.table("history", history(600))
    assert lender.run("evaluate", lender.config(checks=None), "--backtest", "--quiet") == 2
    assert "split.by is missing" in capsys.readouterr().err


@pytest.mark.slow
def test_explain_and_the_next_champion_ask_the_models_that_have_not_seen_a_row(
    lender: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both models learned from all rows; they are compared, and explained, on all of them."""
    lender.table("history", history(600))
    wanted: dict[str, Any] = {"train": {"refit": "all", "folds": 2}}
    _trained(lender, **wanted)
    config = lender.config(checks=None, **wanted)
    capsys.readouterr()
    assert lender.run("explain", config, "--quiet", "--json") == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["rows"] == 600
    assert {one["column"] for one in explained["columns"]} >= {"late payments", "card type"}
    contest = _trained(lender, **{**wanted, "seed": 4})["contest"]
    assert contest["costs"]["rows"] == 600
