"""A bundle in a notebook: Spark and one machine append what a scoring run writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from conftest import Shop, history

from sparkweights import InputError, ModelError, load_bundle, load_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def test_models_of_a_bundle_append_what_the_run_writes(
    shop: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    """On the run's own rows; then on missing, unseen, infinite and negative values."""
    artifacts = shop.folder / "out" / "models"
    model, classifier = load_bundle(artifacts), load_classifier(artifacts)
    rows = pd.read_parquet(shop.folder / "data" / "incoming")
    written = _by_loan(pd.read_parquet(shop.folder / "out" / "scored"))
    assert set(classifier.transform(rows)) < set(written)
    _require_equal(classifier.transform(rows), written)

    rows.loc[0, "in.come"], rows.loc[1, "amount"], rows.loc[2, "amount"] = np.inf, np.nan, -1.0
    rows.loc[3, "card type"], rows.loc[4, "card type"] = "platinum", None
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    scored_df = model.transform(spark.read.parquet(str(tmp_path / "rows.parquet")))
    scored = _by_loan(scored_df.toPandas())
    assert scored["score_status"][:5].tolist() == [
        "unscorable:infinite in.come",
        "unscorable:cost approve.defaulted",
        "unscorable:cost approve.defaulted",
        "scored",
        "scored",
    ]
    _require_equal(classifier.transform(rows), scored)
    assert set(rows) < set(scored)  # the rows' own columns are kept
    assert (model.decisions, model.classes) == (("approve", "decline"), ("repaid", "defaulted"))
    assert model.version == classifier.version_


def _by_loan(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("loan id", ignore_index=True)


def _require_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found["decision"].tolist() == expected["decision"].astype(str).tolist()
    for name in found.columns.drop("decision"):
        assert found[name].to_numpy() == pytest.approx(
            expected[name].to_numpy(dtype=float), rel=1e-9, nan_ok=True
        )


def test_bundle_model_refuses_what_it_cannot_score(shop: Shop, spark: SparkSession) -> None:
    """A column that is missing, of another type, or in the place of one that is added."""
    model = load_bundle(shop.folder / "out" / "models", None)
    df = spark.createDataFrame(history(5).drop(columns="outcome"))
    with pytest.raises(InputError, match=r"'input of BundleModel' has no column 'amount'"):
        model.transform(df.drop("amount"))
    with pytest.raises(InputError, match=r"is text; the model was trained on number"):
        model.transform(df.withColumn("amount", df["amount"].cast("string")))
    with pytest.raises(InputError, match=r"a column 'Decision'; transform adds probability_repaid"):
        model.transform(df.withColumn("Decision", df["amount"]))
    with pytest.raises(ModelError, match=r"The model bundle '.*20010101' has no manifest.json"):
        load_bundle(shop.folder / "out" / "models", "20010101")
