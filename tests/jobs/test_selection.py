"""A labelled table with rejected applicants: learned from the accepted, true for all by weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import Shop, history

if TYPE_CHECKING:
    import pandas as pd


def _applicants() -> tuple[pd.DataFrame, float]:
    """Let an officer reject by what no column holds, but for 15 % of the rejected at random."""
    rng, frame = np.random.default_rng(8), history(6_000, seed=8)
    bad = frame["outcome"] == "bad"
    rejected = rng.random(len(frame)) < np.where(bad, 0.7, 0.25)
    frame["probability"] = np.where(rejected, 0.15, 1.0)
    frame["accepted"] = rng.random(len(frame)) < frame["probability"]
    frame["outcome"] = frame["outcome"].where(frame["accepted"], None)
    return frame, float(bad.mean())


def _train(shop: Shop, capsys: pytest.CaptureFixture[str], **selection: str) -> dict[str, Any]:
    config = shop.config(
        "selected.yaml",
        selection={"accepted": "accepted", **selection},
        weights={"scheme": "balanced"},
        decision={"calibration": "sigmoid"},
    )
    assert shop.run("train", config, "--quiet", "--json") == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


@pytest.mark.slow
def test_train_random_accepts_recover_the_share_of_all_applicants(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the weights the mean p over all applicants is true; without, it is too low, and told."""
    frame, truth = _applicants()
    own_shop.table("history", frame)
    weighted = _train(own_shop, capsys, probability="probability")["selection"]
    low, high = weighted["interval"]
    assert low <= truth <= high
    assert low <= weighted["mean_probability"] <= high
    assert sum(band["applicants"] for band in weighted["bands"]) == 6_000
    accepted = sum(band["accepted"] for band in weighted["bands"])
    assert accepted == frame["accepted"].sum()
    record = _train(own_shop, capsys)
    alone = record["selection"]
    assert alone["mean_probability"] < 0.75 * truth
    assert alone["bounds"][0] <= truth <= alone["bounds"][1]
    assert record["weights"]["rows"] == accepted
    models = own_shop.folder / "out" / "models"
    report = (models / record["version"] / "report.html").read_text()
    assert "Selection bias: whose outcomes are known?" in report


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("outcome", None, "label"),
        ("probability", 0.0, "1 / probability"),
        ("accepted", 1, "must be boolean"),
    ],
)
def test_train_accepted_row_without_outcome_or_probability_is_refused(
    own_shop: Shop,
    capsys: pytest.CaptureFixture[str],
    column: str,
    value: object,
    words: str,
) -> None:
    """A null label is allowed where the row was not accepted, and nowhere else."""
    frame, _ = _applicants()
    if column == "accepted":
        frame[column] = 1
    else:
        frame.loc[frame["accepted"].idxmax(), column] = value
    own_shop.table("history", frame)
    stated = {"accepted": "accepted", "probability": "probability"}
    assert own_shop.run("train", own_shop.config("bad.yaml", selection=stated), "--quiet") == 4
    assert words in capsys.readouterr().err
