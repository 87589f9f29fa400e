"""A model that is trained in rounds with focal loss: its ledger, its stopping, and its report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conftest import Shop, history

from sparkweights import load_bundle, load_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


@pytest.mark.slow
def test_focal_model_in_rounds_is_corrected_stopped_reported_and_opened_anywhere(
    spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The gates of train pass: the mean probability is the base rate once the loss is inverted."""
    lender = Shop(tmp_path)
    lender.table("history", history())
    model = {
        "kind": "mini_batch",
        "params": {"focal_gamma": 2.0, "rounds": 6, "sampling": "loss", "clip_norm": 0.05},
        "patience": 3,
    }
    config = lender.config(model=model, checks=None, decision={"calibration": "none"})
    assert lender.run("train", config) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if " of 6" in line]
    assert len(lines) == 6
    assert "s left" in lines[-1]

    folder = lender.folder / "out" / "models"
    folder /= (folder / "current").read_text(encoding="utf-8").strip()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ledger"]["loss"] == {"gamma": 2.0, "alpha": None, "inverted": True}
    assert len(manifest["rounds"]) == 6 == len(manifest["stopping"]["losses"])
    assert 0 < manifest["rounds"][0]["clipped"] <= 1
    assert max(entry["largest"] for entry in manifest["rounds"]) <= 0.05 * (1 + 1e-9)
    # The entropy of the shares is 0.56; probabilities that still carry loss and weights are above.
    assert min(manifest["stopping"]["losses"]) < 0.53
    report = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("Training rounds", "Loss by round", "Gradients by round", "focal loss of gamma"):
        assert words in report

    rows = history(200, seed=4)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    scored_df = load_bundle(folder.parent).transform(
        spark.read.parquet(str(tmp_path / "rows.parquet"))
    )
    scored = scored_df.toPandas().sort_values("loan id", ignore_index=True)
    local = load_classifier(folder.parent).transform(rows)
    for name in ("probability_defaulted", "expected_cost_approve"):
        found = local[name].to_numpy()
        assert found == pytest.approx(scored[name].to_numpy(dtype=float), rel=1e-9)
    bad = rows["outcome"] == "bad"
    assert local["probability_defaulted"].mean() == pytest.approx(bad.mean(), abs=0.08)
