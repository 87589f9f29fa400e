"""Nights that differ from history: other class shares, a review, and resampled training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from conftest import RUN_DATE, Shop, history

if TYPE_CHECKING:
    from pathlib import Path


def _night(shop: Shop, name: str, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score into folders of its own; return the scored table and the manifest."""
    config = shop.config(
        f"{name}.yaml",
        tables__scored__location=f"{name}/scored",
        tables__quarantine__location=f"{name}/quarantine",
        runs=f"{name}/runs",
        **changes,
    )
    assert shop.run("score", config, "--quiet") == 0
    path = shop.folder / name / "runs" / f"run_date={RUN_DATE}" / "manifest.json"
    scored = pd.read_parquet(shop.folder / name / "scored").sort_values("loan id")
    return scored.reset_index(drop=True), json.loads(path.read_text(encoding="utf-8"))


def _usual(shop: Shop) -> pd.DataFrame:
    scored = pd.read_parquet(shop.folder / "out" / "scored" / f"run_date={RUN_DATE}")
    return scored.sort_values("loan id").reset_index(drop=True)


def test_score_target_prior_moves_the_odds_by_its_ratio(shop: Shop) -> None:
    """Stated shares multiply every row's odds by target over prior, and the ledger says so."""
    target = {"repaid": 0.5, "defaulted": 0.5}
    moved, manifest = _night(shop, "stated", decision={"target_prior": target})
    usual, prior = _usual(shop), manifest["prior"]
    odds = usual["probability_defaulted"] / usual["probability_repaid"]
    factor = prior["repaid"] / prior["defaulted"]
    expected = odds * factor / (1 + odds * factor)
    assert moved["probability_defaulted"].to_numpy() == pytest.approx(expected.to_numpy())
    assert manifest["ledger"]["target_prior"] == target
    assert manifest["label_shift"] is None


def test_score_estimate_leaves_an_ordinary_night_alone(shop: Shop) -> None:
    """Rows from where the history came from: no shift is found, and nothing moves."""
    same, manifest = _night(shop, "calm", decision={"target_prior": "estimate"})
    assert not manifest["label_shift"]["shifted"]
    assert manifest["ledger"]["target_prior"] is None
    assert same["probability_defaulted"].to_numpy() == pytest.approx(
        _usual(shop)["probability_defaulted"].to_numpy()
    )


def test_score_estimate_finds_a_night_of_defaults(shop: Shop) -> None:
    """Six in ten default where history has one in five: found from the scores alone.

    By itself the odds may move by a factor of 2, which the interval excludes: nothing moves, and
    the sentence names the key. A larger max_shift lets them go.
    """
    people = history(6_000, seed=5)
    bad, good = (people[people["outcome"] == word] for word in ("bad", "good"))
    stormy = pd.concat([bad.head(600), good.head(400)]).drop(columns="outcome")
    location = shop.table("stormy", stormy)
    estimated = {"target_prior": "estimate"}
    _, capped = _night(shop, "gale", decision=estimated, tables__incoming__location=location)
    assert capped["label_shift"]["verdict"] == "beyond_max_shift"
    assert "decision.max_shift" in capped["label_shift"]["sentence"]
    assert capped["ledger"]["target_prior"] is None
    decision = estimated | {"max_shift": 50}
    _, manifest = _night(shop, "storm", decision=decision, tables__incoming__location=location)
    shift = manifest["label_shift"]
    assert shift["shifted"]
    for estimate in shift["estimates"].values():
        low, high = estimate["interval_95"]["defaulted"]
        assert low < 0.6 < high
    share = manifest["ledger"]["target_prior"]["defaulted"]
    assert share == pytest.approx(0.6, abs=0.15)  # shrunk towards the fifth of history
    low, high = shift["estimates"]["saerens_em"]["interval_95"]["defaulted"]
    assert low <= share <= high
    assert manifest["expected_classes"]["defaulted"] == pytest.approx(1_000 * share, rel=0.05)


def test_score_review_takes_the_dearest_rows_within_capacity(shop: Shop) -> None:
    """Reviewed rows gain most, are no more than there is time for, and lower the expected cost."""
    scored, manifest = _night(
        shop, "looked", review={"cost": "10 + 0.01 * amount", "capacity": 0.1}
    )
    usual = _usual(shop)
    reviewed = scored["decision"].astype(str) == "review"
    assert manifest["decisions"]["review"] == reviewed.sum()
    assert 0 < reviewed.sum() <= 0.1 * len(scored)
    assert reviewed.sum() == pytest.approx(0.1 * len(scored), abs=0.005 * len(scored) + 1)
    gain = usual["expected_cost"] - scored["expected_cost_review"]
    assert gain[reviewed].min() > 0
    assert gain[reviewed].min() >= gain[~reviewed].max() / 1.003
    assert scored["expected_cost"].sum() == pytest.approx(
        usual["expected_cost"].sum() - gain[reviewed].sum()
    )
    assert manifest["review"]["rows"] == len(scored)


@pytest.mark.slow
def test_monitor_rows_that_a_human_decides_are_no_overrides(shop: Shop) -> None:
    """The model's decisions, and on the rows it sends to review another: nothing is overridden."""
    review = {"cost": "10 + 0.01 * amount", "capacity": 0.1}
    scored, _ = _night(shop, "asked", review=review)
    approving = scored["expected_cost_approve"] > scored["expected_cost_decline"]
    worse = approving.map({True: "approve", False: "decline"})
    decision = scored["decision"].astype(str)
    scored["taken"] = decision.where(decision != "review", worse)
    incoming = pd.read_parquet(shop.folder / "data" / "incoming")
    decided = incoming.merge(scored[["loan id", "taken"]], on="loan id")
    config = shop.config(
        "asked_monitor.yaml",
        review=review,
        runs="asked/monitored",
        monitor={"decided": "taken", "overrides": 0.001},
        tables__incoming__location=shop.table("decided", decided),
    )
    shop.run("monitor", config, "--quiet")
    path = next((shop.folder / "asked" / "monitored").glob("*/monitor.json"))
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (decision == "review").mean() > 0.05
    assert record["overrides"] == 0
    assert not any("overridden" in sentence for sentence in record["exceeded"])


@pytest.mark.slow
def test_train_resampled_rows_are_undone_to_the_population(shop: Shop) -> None:
    """Half of the rows that repay are thinned away; the probabilities still speak of all."""
    config = shop.config(
        "thin.yaml",
        resample={"method": "under", "ratio": 0.8},
        weights={"scheme": "none"},
        artifacts="thin/models",
        decision={"calibration": "none"},
    )
    assert shop.run("train", config, "--quiet") == 0
    manifest = _bundle(shop.folder / "thin" / "models")
    (weights, resampling) = manifest["ledger"]["bends"]
    assert (weights["kind"], resampling["kind"]) == ("weights", "resampling")
    assert resampling["undone"]
    sampled = manifest["resampling"]["sampled_prior"]
    assert sampled["defaulted"] / sampled["repaid"] == pytest.approx(0.8)
    found = manifest["evaluation"]["classes"]["defaulted"]
    error = np.sqrt(found["share"] * (1 - found["share"]) / manifest["evaluation"]["rows"])
    assert found["mean_probability"] == pytest.approx(found["share"], abs=3 * error)


@pytest.mark.slow
def test_odd_names_survive_training_and_scoring(shop: Shop) -> None:
    """Dots, spaces, quotes and other alphabets in the names of classes and decisions."""
    good, bad, yes, no = "re.paid 'x'", 'dé fault"', "say.yes", "d'où ?"
    changes: dict[str, Any] = {
        "columns__classes": {good: "good", bad: "bad"},
        "costs": {
            yes: {good: 0, bad: "0.75 * amount"},
            no: {good: "0.1 * amount + 20", bad: 0},
        },
        "artifacts": "odd/models",
    }
    assert shop.run("train", shop.config("odd.yaml", **changes), "--quiet") == 0
    scored, manifest = _night(
        shop, "odd_night", **changes, decision={"target_prior": {good: 0.7, bad: 0.3}}
    )
    assert set(scored["decision"].astype(str)) == {yes, no}
    total = scored[f"probability_{good}"] + scored[f"probability_{bad}"]
    assert total.to_numpy() == pytest.approx(np.ones(len(scored)))
    assert set(manifest["prior"]) == {good, bad}


def _bundle(models: Path) -> dict[str, Any]:
    version = (models / "current").read_text(encoding="utf-8").strip()
    record: dict[str, Any] = json.loads((models / version / "manifest.json").read_text("utf-8"))
    return record
