"""A learner of another package trains, scores, gives reasons, is explained and is tuned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from conftest import Shop, history

from sparkweights.bundle.bundle import load_bundle
from sparkweights.core.errors import ModelError
from sparkweights.models import registry

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def _record(folder: Path, name: str) -> dict[str, Any]:
    (path,) = folder.rglob(name)
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


@pytest.mark.slow
def test_third_party_learner_is_one_like_all(
    spark: SparkSession,
    tmp_path: Path,
    toy_learner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Train, score with reasons, explain and tune; without its package, its model is refused."""
    shop = Shop(tmp_path)
    shop.table("history", history(1_500))
    shop.table("incoming", history(200, seed=2).drop(columns="outcome"))
    config = shop.config(
        "toy.yaml",
        artifacts="out/toy",
        model={"kind": toy_learner, "params": {"shrinkage": 0.1}},
        weights={"scheme": "balanced"},
        reasons={"against": {"decline": "defaulted"}, "top": 2},
        tune={"folds": 2, "points": 1, "ratio": [4, 4], "params": {"shrinkage": [0.0, 1.0]}},
        # Fewer passes: the learner is the subject, not its calibration.
        decision={"calibration": "none", "cost_tolerance": 1.0, "base_rate_tolerance": 1.0},
        checks={},
    )
    for verb in ("train", "score", "explain", "tune"):
        assert shop.run(verb, config, "--quiet") == 0, verb

    models = shop.folder / "out" / "toy"
    bundle = load_bundle(models)
    assert bundle.manifest.model.params == {"shrinkage": 0.1}
    line = dict(zip(bundle.plan.names, bundle.model.coefficients()[1:], strict=True))
    assert line["late payments"] > 0 > line["in.come"]

    scored = pd.read_parquet(shop.folder / "out" / "scored")
    incoming = pd.read_parquet(shop.folder / "data" / "incoming")
    rows = scored.merge(incoming, on="loan id")
    assert len(rows) == len(incoming)
    assert np.corrcoef(rows["probability_defaulted"], rows["late payments"])[0, 1] > 0.5
    declined = rows["decision"] == "decline"
    assert rows.loc[declined, "reason_1"].notna().mean() > 0.9
    assert rows.loc[~declined, "reason_1"].isna().all()

    explained = _record(models / "importance", "importance.json")
    most = {column["column"] for column in explained["columns"] if column["rank"] <= 2}
    assert most == {"late payments", "in.come"}  # the amount has no effect
    assert set(explained["coefficients"]) == {"intercept", *line}

    tuned = _record(models / "tuning", "tuning.json")
    cost = {
        shrinkage: min(one["cost"] for one in tuned["trials"] if one["params"] == params)
        for shrinkage in (0.0, 1.0)
        for params in [{"shrinkage": shrinkage}]
    }
    # With full shrinkage the means of both classes are one, and no row differs from another.
    assert cost[1.0] == pytest.approx(tuned["constant_cost"], rel=1e-3)
    assert cost[0.0] != pytest.approx(cost[1.0], rel=1e-2)

    monkeypatch.setattr(registry, "installed", dict)
    with pytest.raises(ModelError, match=r"of kind 'diagonal_lda'; .*install the package"):
        load_bundle(models)
