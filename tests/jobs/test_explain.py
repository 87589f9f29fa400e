"""`explain`: the model in use beside its twin without weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

if TYPE_CHECKING:
    from conftest import Shop


def test_explain_puts_both_fits_side_by_side(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The column that makes defaults comes first; ranks and changes agree; files are written."""
    state = {k: v for k, v in shop.state().items() if "importance" not in k}
    assert shop.run("explain", shop.config(), "--quiet", "--json") == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    columns = record["columns"]
    assert {entry["column"] for entry in columns} == {
        "in.come",
        "late payments",
        "amount",
        "card type",
    }
    assert [entry["rank"] for entry in columns] == sorted(entry["rank"] for entry in columns)
    for entry in columns:
        assert entry["rank_change"] == entry["unweighted_rank"] - entry["rank"]
    by_share = max(columns, key=lambda entry: entry["share"])
    assert by_share["column"] == "late payments"
    assert sum(entry["share"] for entry in columns) == pytest.approx(1)
    assert sum(entry["unweighted_share"] for entry in columns) == pytest.approx(1)
    folder = shop.folder / "out" / "models" / "importance" / record["model_version"]
    table = pd.read_parquet(folder / "importance.parquet")
    assert table["cost"].tolist() == [entry["cost"] for entry in columns]
    area = record["areas"]["defaulted"]
    low, high = area["interval"]
    assert low <= area["weighted"] - area["unweighted"] <= high
    assert 0.6 < area["unweighted"] < 0.9
    without, weighted = record["coefficients"]["intercept"]
    assert weighted > without  # cost weights favour the rare class
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "AUC: did the weights change the ranking?" in report
    # Nothing else changed.
    assert {k: v for k, v in shop.state().items() if "importance" not in k} == state


def test_explain_refuses_another_kind_of_model(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that was never trained with explains nothing."""
    config = shop.config("other.yaml", model={"kind": "boosted_trees"})
    assert shop.run("explain", config, "--quiet") == 5
    assert "The model in use is logistic" in capsys.readouterr().err


def test_explain_refuses_a_configuration_edited_after_training(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another encoding than the model's: its unweighted baseline would see its own outcomes."""
    config = shop.config("edited.yaml", features={"categorical": "target"}, seed=4)
    assert shop.run("explain", config, "--quiet") == 5
    told = capsys.readouterr().err
    assert "seed 3 (now 4)" in told
    assert "features.categorical onehot (now target)" in told


def test_evaluate_refuses_labels_that_mean_something_else(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the values of the classes swapped, every measure would be that of the other class."""
    classes = {"repaid": "bad", "defaulted": "good"}
    config = shop.config("swapped.yaml", columns__classes=classes)
    assert shop.run("evaluate", config, "--quiet") == 5
    assert "'bad' is 'repaid'" in capsys.readouterr().err
