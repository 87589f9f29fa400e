"""A new model meets the one in use, on rows that neither has learned from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import history
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.evaluation.paired import Decided, collect_paired_costs

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Shop
    from pyspark.sql import SparkSession


def _models(shop: Shop) -> Path:
    return shop.folder / "out" / "models"


def _current(shop: Shop) -> str:
    return (_models(shop) / "current").read_text(encoding="utf-8").strip()


def _newest(shop: Shop) -> dict[str, Any]:
    version = max(path.parent.name for path in _models(shop).glob("*/manifest.json"))
    manifest: dict[str, Any] = json.loads((_models(shop) / version / "manifest.json").read_text())
    return manifest


def test_first_model_has_no_champion_and_is_promoted(shop: Shop) -> None:
    """Where nothing is in use, the first model comes into use."""
    contest = _newest(shop)["contest"]
    assert contest["champion"] is None
    assert contest["promoted"]


def test_the_same_model_again_shows_no_difference_and_is_not_promoted(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same settings and rows no cost changes; `if_better` keeps the one in use."""
    champion = _current(own_shop)
    assert own_shop.run("train", own_shop.config(promote="if_better"), "--quiet") == 0
    manifest = _newest(own_shop)
    contest = manifest["contest"]
    assert contest["champion"] == champion
    assert contest["costs"]["before"] == contest["costs"]["after"]
    assert contest["costs"]["interval"] == [0.0, 0.0]
    assert contest["costs"]["verdict"] == "no difference shown"
    assert contest["costs"]["rows"] == manifest["evaluation"]["rows"]
    assert set(contest["costs"]["changed"].values()) == {0.0}
    assert _current(own_shop) == champion
    assert manifest["version"] != champion
    told = " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert "not in use" in told
    assert "are fewer than 10" in told


@pytest.mark.slow
def test_a_better_model_replaces_a_blind_one(own_shop: Shop) -> None:
    """A champion that saw only amounts loses to one that sees the late payments."""
    costs = {
        "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
        "decline": {"repaid": "0.25 * amount", "defaulted": 0},
    }
    own_shop.table("history", history(9_000))
    blind = own_shop.config(costs=costs, columns__numeric=["amount"], columns__categorical=[])
    assert own_shop.run("train", blind, "--quiet") == 0
    champion = _current(own_shop)
    assert _newest(own_shop)["contest"]["costs"]["verdict"] == "worse"
    assert _newest(own_shop)["version"] == champion  # `always` takes it all the same
    assert own_shop.run("train", own_shop.config(costs=costs, promote="if_better"), "--quiet") == 0
    contest = _newest(own_shop)["contest"]
    assert contest["champion"] == champion
    assert contest["costs"]["verdict"] == "better"
    assert contest["costs"]["interval"][1] < 0
    assert _current(own_shop) == _newest(own_shop)["version"]


@pytest.mark.slow
def test_never_leaves_the_pointer_alone(own_shop: Shop) -> None:
    """A rehearsal publishes its bundle and changes nothing that scoring reads."""
    champion = _current(own_shop)
    assert own_shop.run("train", own_shop.config(promote="never", seed=4), "--quiet") == 0
    contest = _newest(own_shop)["contest"]
    assert _current(own_shop) == champion
    # Another seed splits otherwise: only rows that are test rows of both splits count.
    assert contest["costs"]["rows"] < 0.3 * _newest(own_shop)["evaluation"]["rows"]


@pytest.mark.slow
def test_a_champion_that_cannot_score_the_table_is_named(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A feature that left the table stops the comparison, not the training."""
    own_shop.table("history", history().rename(columns={"late payments": "late"}))
    config = own_shop.config(columns__numeric=["in.come", "late", "amount"], promote="if_better")
    assert own_shop.run("train", config) == 0
    told = capsys.readouterr()
    assert "its feature 'late payments' is not in the table any more" in told.err + told.out
    assert not _newest(own_shop)["contest"]["promoted"]


def test_collect_paired_costs_equals_numpy(spark: SparkSession) -> None:
    """Means by hand; rows without a cost under one of the two are left out of both."""
    rng = np.random.default_rng(0)
    frame = history(500).assign(a=rng.random(500), b=rng.random(500), w=rng.integers(1, 4, 500))
    frame.loc[:9, "a"] = np.nan
    df = spark.createDataFrame(frame)
    a = F.when(~F.isnan("a"), F.col("a"))
    order = F.rand(3)
    late = F.when(F.col("late payments") > 1, "no").otherwise("yes")
    found = collect_paired_costs(
        df,
        Decided(late, a),
        Decided(F.lit("no"), column("b")),
        index=(F.col("outcome") == "bad").cast("int"),
        classes=("good", "bad"),
        order=order,
        weight=F.col("w"),
    )
    kept = frame.iloc[10:]
    for name in ("good", "bad"):
        w = kept.loc[(kept["outcome"] == name) & ~(kept["late payments"] > 1), "w"]
        assert found.changed[name] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert found.rows == 490
    assert found.before == pytest.approx(np.average(kept["a"], weights=kept["w"]))
    assert found.after == pytest.approx(np.average(kept["b"], weights=kept["w"]))


@pytest.mark.slow
def test_a_champion_split_by_other_keys_is_not_compared_with(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hash of other keys would call rows that it has learned from test rows."""
    own_shop.table("history", history().assign(branch=1))
    config = own_shop.config(columns__keys=["loan id", "branch"], promote="if_better")
    assert own_shop.run("evaluate", config, "--quiet") == 5
    told = capsys.readouterr().err
    assert "its split was by the keys loan id (bigint); they are loan id (bigint), branch" in told
    assert own_shop.run("train", config) == 0
    assert _newest(own_shop)["contest"]["obstacle"].startswith("its split was by the keys loan id")
    assert not _newest(own_shop)["contest"]["promoted"]
