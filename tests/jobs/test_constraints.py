"""Directions that a configuration states are kept by the model, and told in its reasons."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop


@pytest.mark.slow
def test_train_monotone_columns_are_kept_and_their_reasons_state_a_direction(
    own_shop: Shop,
) -> None:
    """Trained with missing incomes as they are; a text of the configuration comes first."""
    config = own_shop.config(
        "monotone.yaml",
        model={
            "kind": "xgboost",
            "params": {"n_estimators": 10, "max_depth": 3, "learning_rate": 0.3},
            "monotone": {"in.come": -1, "late payments": 1},
            "interactions": [["in.come", "late payments"]],
        },
        reasons={"against": {"decline": "defaulted"}, "texts": {"in.come": "Income"}},
    )
    assert own_shop.run("train", config, "--quiet") == 0
    assert own_shop.run("score", config, "--quiet") == 0
    models = own_shop.folder / "out" / "models"
    folder = models / (models / "current").read_text().strip()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["model"]["monotone"] == {"in.come": -1, "late payments": 1}
    assert manifest["features"]["encoders"][0]["median"] is None
    assert "in.come is missing" not in manifest["feature_names"]
    report = (folder / "report.html").read_text()
    assert "higher late payments never lowers the probability of defaulted" in report
    scored = pd.read_parquet(own_shop.folder / "out" / "scored" / f"run_date={RUN_DATE}")
    told = set(scored["reason_1"].dropna())
    assert "late payments (higher raises the probability of defaulted)" in told
    assert "Income" in told
