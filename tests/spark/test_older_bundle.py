"""A bundle of the release before is loaded, and scores as it did."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest

from sparkweights.bundle.bundle import load_bundle
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BEFORE = Path(__file__).parents[1] / "golden" / "before"


def _as_of_this_spark(bundle: Path) -> None:
    """Let the record state this release of Spark: models of a newer one are refused."""
    record = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    record["spark"] = record["versions"]["spark"] = pyspark.__version__
    content = json.dumps(record).encode()
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}\n")


def test_bundle_of_the_release_before_scores_as_it_did(spark: SparkSession, tmp_path: Path) -> None:
    """Its checksums hold, its record is typed, and probabilities are those that it gave then."""
    models = shutil.copytree(BEFORE / "models", tmp_path / "models")
    _as_of_this_spark(models / (models / "current").read_text().strip())
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
