"""A bundle of the release before is loaded, and scores as it did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweights.bundle.bundle import load_bundle
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BEFORE = Path(__file__).parents[1] / "golden" / "before"


def test_bundle_of_the_release_before_scores_as_it_did(spark: SparkSession, tmp_path: Path) -> None:
    """Its checksums hold, its record is typed, and probabilities are those that it gave then."""
    models = shutil.copytree(BEFORE / "models", tmp_path / "models")
    bundle = load_bundle(Location.of(models))
    assert bundle.manifest.name == "small_lender"
    assert bundle.manifest.evaluation.right_decisions == {
        "repaid": "approve", "defaulted": "decline",
    }  # fmt: skip
    rows = json.loads((BEFORE / "scored.json").read_text(encoding="utf-8"))
    df = spark.createDataFrame(
        [tuple(row.values()) for row in rows],
        "`loan id` long, `in.come` double, `late payments` long, amount double, "
        "`card type` string, then double",
    )
    scored = Scorer.of(bundle).score(df).select("then", "probability_defaulted").collect()
    assert len(scored) == 8
    for then, now in scored:
        assert now == pytest.approx(then, rel=1e-12)
