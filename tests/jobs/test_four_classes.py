"""Four classes and sample weights, from the labelled table to the scored one and its reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
from conftest import Shop

from sparkweights import load_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

CLASSES = ("repaid", "late", "loss", "fraud")
COSTS: dict[str, dict[str, Any]] = {
    "approve": {"repaid": 0, "late": 20, "loss": "0.6 * amount", "fraud": "amount"},
    "limit": {"repaid": 3, "late": 8, "loss": "0.3 * amount", "fraud": "0.5 * amount"},
    "decline": {"repaid": 10, "late": 4, "loss": 0, "fraud": 0},
}


def _table(rows: int, seed: int) -> pd.DataFrame:
    """Draw rows whose log odds are lines of two features, with a weight that is no feature."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 2))
    z = np.column_stack(
        [np.zeros(rows), x[:, 0] - 1.2, x[:, 1] - 1.6, 0.8 * x[:, 0] - 0.8 * x[:, 1] - 2]
    )
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return pd.DataFrame({
        "id": np.arange(rows), "x1": x[:, 0], "x2": x[:, 1],
        "amount": np.round(rng.lognormal(4, 1, rows), 2),
        "w": rng.choice([1.0, 2.0, 3.0], rows), "y": y,
        "member": rng.random(rows) < 0.5,
    })  # fmt: skip


def _history() -> pd.DataFrame:
    """Write half of the losses as 9, and add rows whose label is null or of no class."""
    frame = _table(4_000, 1).astype({"y": "Int64"})
    frame.loc[(frame["y"] == 2) & (frame["id"] % 2 == 0), "y"] = 9
    strangers = _table(50, 3).assign(id=range(4_000, 4_050), y=7).astype({"y": "Int64"})
    strangers.loc[:19, "y"] = None
    return pd.concat([frame, strangers], ignore_index=True)


KEY = "a key that signs the model"
COMMON: dict[str, Any] = {
    "columns": {
        "keys": ["id"], "label": "y", "outside": "drop",
        "classes": {"repaid": 0, "late": 1, "loss": [2, 9], "fraud": 3},
        "numeric": ["x1", "x2", "member"], "weight": "w",
    },
    "costs": COSTS,
    "checks": None,
    "model__params": {"regParam": 0.0},
    "split": {"calibrate": 0.2, "test": 0.2},
}  # fmt: skip


@pytest.fixture(scope="module")
def four(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Train with balanced weights, and score."""
    made = Shop(tmp_path_factory.mktemp("four"))
    made.table("history", _history())
    made.table("incoming", _table(300, 2).drop(columns="y"))
    balanced = made.config(
        weights={"scheme": "balanced"},
        decision={"calibration": "temperature"},
        reasons={"against": {"decline": "fraud"}, "top": 2},
        signing={"key_file": "key"},
        **COMMON,
    )
    (made.folder / "key").write_text(KEY + "\n")
    assert made.run("train", balanced, "--quiet") == 0
    assert made.run("score", balanced, "--quiet") == 0
    return made


def _model(four: Shop, artifacts: str) -> tuple[Path, dict[str, Any]]:
    folder = four.folder / "out" / artifacts
    bundle = folder / (folder / "current").read_text(encoding="utf-8").strip()
    record: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return bundle, record


def _scored(four: Shop) -> pd.DataFrame:
    folder = four.folder / "out" / "scored"
    files = ds.dataset(str(folder), format="parquet", partitioning="hive")
    return files.to_table().to_pandas().sort_values("id", ignore_index=True)


def test_model_is_signed_when_it_is_trained_and_its_key_is_in_no_file(four: Shop) -> None:
    """The run that scored by it has verified the signature."""
    files = [path for path in (four.folder / "out").rglob("*") if path.is_file()]
    signatures = [path for path in files if path.name == "manifest.hmac"]
    assert [path.parents[1].name for path in signatures] == ["models"]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_priors_and_weights_count_rows_by_their_sample_weight(four: Shop) -> None:
    """Shares and sums by hand; balanced weights give each class a quarter of the risk."""
    frame = _table(4_000, 1)
    sums = frame.groupby("y")["w"].sum()
    _, record = _model(four, "models")
    for c, own in enumerate(record["weights"]["classes"]):
        assert own["class"] == CLASSES[c]
        assert own["weight_sum"] == pytest.approx(sums[c])
        assert own["prior"] == pytest.approx(sums[c] / sums.sum())
        assert own["share_of_risk"] == pytest.approx(0.25)


def test_labels_of_no_class_are_left_out_and_counted_in_record_and_report(four: Shop) -> None:
    """The other rows are those of the table, whose losses have two values."""
    bundle, record = _model(four, "models")
    assert record["left_out"] == {"null label": 20, "label of no class": 30}
    assert record["weights"]["rows"] == 4_000
    assert "rows left out: null label" in (bundle / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_probabilities_of_a_weighted_and_an_unweighted_model_are_the_same_after_correction(
    four: Shop,
) -> None:
    """The law is a line: weights move its intercepts alone, and the correction moves them back."""
    unweighted: dict[str, Any] = {
        "weights": {"scheme": "none"}, "decision": {"calibration": "none"}
    }  # fmt: skip
    config = four.config("plain.yaml", artifacts="out/plain", **unweighted, **COMMON)
    assert four.run("train", config, "--quiet") == 0
    (_, plain), (_, balanced) = (_model(four, name) for name in ("plain", "models"))
    assert balanced["calibration"]["temperature"] == pytest.approx(1.0, abs=0.15)
    for name in CLASSES:
        a, b = (one["evaluation"]["classes"][name] for one in (plain, balanced))
        assert b["auc"] == pytest.approx(a["auc"], abs=0.01)
        assert b["mean_probability"] == pytest.approx(a["mean_probability"], rel=0.1)
        assert b["log_loss"] == pytest.approx(a["log_loss"], rel=0.03)


def test_decisions_are_those_of_least_expected_cost_by_hand(four: Shop) -> None:
    """Every row's costs and decision, from its probabilities and amount; ties do not occur."""
    scored, incoming = _scored(four), _table(300, 2)
    p = scored[[f"probability_{name}" for name in CLASSES]].to_numpy()
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))
    amount = incoming["amount"].to_numpy()
    expected = {
        "approve": p[:, 1] * 20 + p[:, 2] * 0.6 * amount + p[:, 3] * amount,
        "limit": p[:, 0] * 3 + p[:, 1] * 8 + p[:, 2] * 0.3 * amount + p[:, 3] * 0.5 * amount,
        "decline": p[:, 0] * 10 + p[:, 1] * 4,
    }
    for name, cost in expected.items():
        assert scored[f"expected_cost_{name}"].to_numpy() == pytest.approx(cost)
    names = np.array(list(expected))
    cheapest = names[np.argmin(np.column_stack(list(expected.values())), axis=1)]
    assert scored["decision"].tolist() == cheapest.tolist()
    assert set(cheapest) == set(names)


def test_classifier_on_one_machine_decides_as_the_run_did(four: Shop) -> None:
    """With weights inverted, a temperature, four classes and costs by the row's amount."""
    scored, incoming = _scored(four), _table(300, 2).drop(columns="y")
    classifier = load_classifier(four.folder / "out" / "models")
    found = classifier.transform(incoming)
    for name in found.columns.drop("decision"):
        assert found[name].to_numpy() == pytest.approx(scored[name].to_numpy(), rel=1e-9)
    assert found["decision"].tolist() == scored["decision"].tolist()
    assert classifier.classes_.tolist() == sorted(CLASSES)  # one of them has two values
    assert classifier.predict_proba(incoming).sum(axis=1) == pytest.approx(np.ones(300))
    labels = _table(300, 2)["y"].to_numpy()
    relabelled = np.where((labels == 2) & (np.arange(300) % 2 == 0), 9, labels)
    assert classifier.score(incoming, relabelled) == classifier.score(incoming, labels)


def test_reasons_are_told_for_the_adverse_decision_alone(four: Shop) -> None:
    """Against the class that the configuration names; few rows are declined without its help."""
    scored = _scored(four)
    adverse = scored["decision"] == "decline"
    assert scored.loc[adverse, "reason_1"].notna().mean() > 0.9
    assert scored.loc[~adverse, ["reason_1", "reason_2"]].isna().all().all()


def test_terminal_and_pages_name_every_class_and_decision(
    four: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both renderers are fed the same record."""
    config = four.folder / "shop.yaml"
    capsys.readouterr()
    assert four.run("evaluate", config, "--quiet") == 0
    text = capsys.readouterr().out
    bundle, record = _model(four, "models")
    run = four.folder / "out" / "runs" / "run_date=2026-03-01" / "report.html"
    pages = [(bundle / "report.html").read_text("utf-8"), run.read_text("utf-8")]
    for word in (*CLASSES, *COSTS):
        assert all(word in page for page in pages), word
    assert all(name in text for name in CLASSES)
    assert record["weights"]["classes"][0]["rows"] < record["weights"]["classes"][0]["weight_sum"]
