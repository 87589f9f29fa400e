"""A feature that a feed leaves empty, or fills with new categories, is not scored in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from conftest import history

from sparkweights.core.errors import QualityGateError
from sparkweights.features.fit import learn_features
from sparkweights.features.missing import collect_absent, missing_counts, missing_measures

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from conftest import Shop
    from pyspark.sql import SparkSession

NUMERIC, CATEGORICAL = ("in.come", "late payments", "amount"), ("card type",)


def _incoming(**changes: object) -> pd.DataFrame:
    return history(400, seed=2).drop(columns="outcome").assign(**changes)


def test_counts_of_a_plan_and_of_later_rows_are_those_by_hand(
    own_shop: Shop, spark: SparkSession
) -> None:
    """Null and NaN are missing; what the levels do not hold is unseen."""
    config = own_shop.config()
    from sparkweights import load_config

    roles = load_config(config).roles
    frame = history()
    plan = learn_features(spark.read.parquet(str(own_shop.folder / "data" / "history")), roles)
    assert plan.missing is not None
    assert plan.missing.rows == len(frame)
    assert plan.missing.missing == frame[[*NUMERIC, *CATEGORICAL]].isna().sum().to_dict()
    assert plan.missing.unseen == {"card type": 0}
    later = _incoming()
    later.loc[:9, "in.come"] = float("nan")
    later.loc[10:29, "card type"] = "platinum"
    later.loc[30:34, "card type"] = None
    own_shop.table("later", later)
    df = spark.read.parquet(str(own_shop.folder / "data" / "later"))
    measured = df.agg(*missing_measures(NUMERIC, plan.levels)).collect()[0].asDict()
    counts = missing_counts({**measured, "rows": len(later)}, NUMERIC, plan.levels)
    assert counts is not None
    assert counts.missing == later[[*NUMERIC, *CATEGORICAL]].isna().sum().to_dict()
    assert counts.unseen == {"card type": 20}


def test_score_of_a_feature_that_is_null_on_every_row_exits_3(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readers keep the rows of before."""
    own_shop.table("incoming", _incoming(amount=pd.array([None] * 400, dtype="Float64")))
    config, before = own_shop.config(checks__max_unscorable=1), own_shop.state()
    assert own_shop.run("score", config) == QualityGateError.exit_code
    assert "'amount' is missing on every row (in training 0.0%)" in capsys.readouterr().err
    assert own_shop.state() == before


def test_score_of_rows_that_lack_a_feature_is_refused_by_choice(own_shop: Shop) -> None:
    """`features.missing: refuse` gives them no decision; unseen categories are in the record.

    Blank text is no key: such rows are set aside.
    """
    frame = _incoming()
    frame["loan id"] = frame["loan id"].astype(str)
    frame.loc[390:, "loan id"] = " "
    lacking = int(frame.loc[:389, "in.come"].isna().sum())
    frame.loc[:59, "card type"] = "platinum"
    own_shop.table("incoming", frame)
    config = own_shop.config(features={"missing": "refuse"}, checks__max_unscorable=1)
    assert own_shop.run("score", config, "--quiet") == 0
    record = own_shop.manifest()
    assert record["faults"] == {"missing in.come": lacking}
    assert record["quarantined_for"] == {"keys are present": 10}
    (shift,) = record["missing_shifts"]
    assert (shift["column"], shift["kind"], shift["share"]) == ("card type", "unseen", 0.15)


def test_files_that_lack_a_feature_are_counted_and_stop_training(
    own_shop: Shop, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file of three: its rows would be imputed."""
    folder: Path = own_shop.folder / "data" / "history"
    frame = pd.read_parquet(folder / "part-0.parquet")
    frame.iloc[1_000:2_000].to_parquet(folder / "part-1.parquet", index=False)
    frame.iloc[2_000:].drop(columns="amount").to_parquet(folder / "part-2.parquet", index=False)
    frame.iloc[:1_000].to_parquet(folder / "part-0.parquet", index=False)
    df = spark.read.schema(spark.read.parquet(str(folder / "part-0.parquet")).schema).parquet(
        str(folder)
    )
    (absent,) = collect_absent(df, [*NUMERIC, *CATEGORICAL])
    assert (absent.column, absent.files, absent.rows, absent.of_rows) == ("amount", 1, 1_000, 3_000)
    config = own_shop.config(
        costs__approve={"repaid": 0, "defaulted": 100},
        costs__decline={"repaid": 20, "defaulted": 0},
    )
    assert own_shop.run("train", config) == QualityGateError.exit_code
    assert "'amount' is missing on every row of 1 of 3 files" in capsys.readouterr().err
