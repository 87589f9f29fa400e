"""The demo, whole: what a new user sees is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

from sparkweights import Runner, load_classifier, load_config
from sparkweights.demo import RUN_DATE, clients, write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

OUT = Path("out")
GOLDEN = Path(__file__).parents[1] / "golden"


def _manifest(folder: Path, models: str) -> dict[str, Any]:
    version = (folder / "out" / models / "current").read_text().strip()
    path = folder / "out" / models / version / "manifest.json"
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.slow
@pytest.mark.parametrize(("models", "least"), [("models", 0.33), ("models_logistic", 0.23)])
def test_demo_savings_are_above_the_bar_and_the_cut_at_half(
    demo: Path, models: str, least: float
) -> None:
    """Decisions priced once save more than the cut at 1/2; priced twice they lose it again."""
    savings = _manifest(demo, models)["evaluation"]["savings"]
    assert savings["ours"] >= least
    assert savings["ours"] > savings["cut_at_half"]
    assert savings["double_count"] < savings["ours"] - 0.1


@pytest.mark.slow
def test_demo_every_client_is_accounted_for(demo: Path) -> None:
    """6,000 clients in; scored, unscorable and quarantined add up, on disk as in the manifest."""
    manifest = json.loads(
        (demo / OUT / "runs" / "run_date=2005-10-01" / "manifest.json").read_text()
    )
    rows = manifest["rows"]
    assert rows["incoming"] == 6_000 == rows["scored"] + rows["unscorable"] + rows["quarantined"]
    scored = pd.read_parquet(demo / OUT / "scored")
    quarantine = pd.read_parquet(demo / OUT / "quarantine")
    assert len(scored) == rows["scored"] + rows["unscorable"]
    assert len(quarantine) == rows["quarantined"]
    assert len(set(scored["client_id"]) | set(quarantine["client_id"])) == 6_000
    assert scored["decision"].value_counts().to_dict() == {
        name: count for name, count in manifest["decisions"].items() if count
    }


@pytest.mark.slow
def test_demo_decisions_equal_argmin_recomputed_in_pandas(demo: Path) -> None:
    """Probabilities sum to 1, and every cost and decision follows from them and the limit."""
    scored = pd.read_parquet(demo / OUT / "scored")
    incoming = pd.read_parquet(demo / "data" / "incoming")
    both = scored.merge(incoming[["client_id", "credit_limit"]], on="client_id")
    total = both["probability_repay"] + both["probability_default"]
    assert total.to_numpy() == pytest.approx(np.ones(len(both)), abs=1e-9)
    approve = both["probability_default"] * 0.75 * both["credit_limit"]
    decline = both["probability_repay"] * (0.18 * both["credit_limit"] + 2_000)
    assert both["expected_cost_approve"].to_numpy() == pytest.approx(approve.to_numpy(), abs=1e-6)
    assert both["expected_cost_decline"].to_numpy() == pytest.approx(decline.to_numpy(), abs=1e-6)
    cheapest = np.where(
        both["expected_cost_approve"] <= both["expected_cost_decline"], "approve", "decline"
    )
    assert (both["decision"].astype(str).to_numpy() == cheapest).all()
    assert both["expected_cost"].to_numpy() == pytest.approx(np.minimum(approve, decline), abs=1e-6)


@pytest.mark.slow
def test_demo_decisions_are_those_of_a_classifier_on_one_machine(demo: Path) -> None:
    """Boosted trees and their calibration, on every scored client, without Spark."""
    scored = pd.read_parquet(demo / OUT / "scored").sort_values("client_id")
    incoming = pd.read_parquet(demo / "data" / "incoming").set_index("client_id")
    found = load_classifier(demo / OUT / "models").transform(incoming.loc[scored["client_id"]])
    for name in found.columns.drop("decision"):
        assert found[name].to_numpy() == pytest.approx(
            scored[name].to_numpy(), rel=1e-9, nan_ok=True
        )
    assert found["decision"].tolist() == scored["decision"].astype(str).tolist()


@pytest.mark.slow
def test_demo_scored_table_has_the_documented_columns(demo: Path) -> None:
    """The output contract, column by column."""
    scored = pd.read_parquet(demo / OUT / "scored")
    assert set(scored.columns) == {
        "client_id", "probability_repay", "probability_default", "expected_cost_approve",
        "expected_cost_decline", "expected_cost", "reason_1", "reason_2", "reason_3",
        "score_status", "model_version", "run_id", "scored_at", "run_date", "decision",
    }  # fmt: skip
    assert (scored["score_status"] == "scored").all()


@pytest.mark.slow
def test_demo_every_refusal_has_its_reasons_and_no_approval_has_any(demo: Path) -> None:
    """Reasons in the configuration's words, distinct, for declined clients alone."""
    scored = pd.read_parquet(demo / OUT / "scored")
    reasons = scored[["reason_1", "reason_2", "reason_3"]]
    declined = scored["decision"].astype(str) == "decline"
    assert declined.sum() > 1_000
    assert reasons[~declined].isna().to_numpy().all()
    assert reasons.loc[declined, "reason_1"].notna().mean() > 0.99
    wanted = yaml.safe_load((demo / "credit_card.yaml").read_text())["reasons"]
    price = wanted["prices"]["credit_limit"]
    assert set(reasons.stack()) <= {*wanted["texts"].values(), price}
    # A price is told first, and only where a typical limit would have been granted.
    assert not reasons[["reason_2", "reason_3"]].eq(price).to_numpy().any()
    typical = _manifest(demo, "models")["typical"]["credit_limit"]
    p = scored["probability_default"]
    granted = p * 0.75 * typical < (1 - p) * (0.18 * typical + 2_000)
    assert (reasons["reason_1"].eq(price) == (declined & granted)).all()
    assert (reasons[declined].nunique(axis=1) == reasons[declined].count(axis=1)).all()
    manifest = json.loads(
        (demo / OUT / "runs" / "run_date=2005-10-01" / "manifest.json").read_text()
    )
    assert manifest["reasons"] == scored["reason_1"].value_counts().to_dict()


@pytest.mark.slow
def test_demo_weights_and_prior_are_those_of_the_history(demo: Path) -> None:
    """Recomputed from the raw table: frequencies, prior, weighted shares, mean weight."""
    record = json.loads((demo / OUT / "models" / "weights" / "weights.json").read_text())
    history = pd.read_parquet(demo / "data" / "history")
    bad = history["defaulted"] == 1
    limit = history["credit_limit"]
    regrets = (0.18 * limit[~bad] + 2_000).mean(), (0.75 * limit[bad]).mean()
    raw = np.where(bad, regrets[1], regrets[0])
    repay, default = record["classes"]
    assert (repay["rows"], default["rows"]) == (int((~bad).sum()), int(bad.sum()))
    assert default["prior"] == pytest.approx(bad.mean())
    assert default["share_of_risk"] == pytest.approx(raw[bad].sum() / raw.sum())
    assert record["diagnostics"]["mean_weight"] == pytest.approx(1)
    assert record["diagnostics"]["kish_ess"] == pytest.approx(raw.sum() ** 2 / (raw**2).sum())


@pytest.mark.slow
def test_demo_model_manifest_tells_an_auditor_the_story(demo: Path) -> None:
    """Golden shape of the bundle's manifest: what, from which rows, bent how, worth what."""
    manifest = _manifest(demo, "models")
    assert set(manifest) == {
        "record_version", "name", "trained_at", "versions", "model", "classes", "schema",
        "features",
        "feature_names", "sensitive", "ledger", "reference", "calibration", "resampling",
        "pruning", "stopping", "split", "contest", "costs", "weights", "typical",
        "evaluation", "config", "version", "files", "refit", "held_out", "selection", "spec",
        "left_out",
    }  # fmt: skip
    assert manifest["sensitive"] == ["sex", "age", "marriage", "education"]
    assert not set(manifest["sensitive"]) & set(manifest["feature_names"])
    assert [bend["undone"] for bend in manifest["ledger"]["bends"]] == [True]
    assert manifest["ledger"]["calibration"] == "isotonic"
    assert sum(manifest["split"]["rows"].values()) == 24_000
    assert not [name for name in manifest["files"] if name.endswith((".pkl", ".pickle"))]


@pytest.mark.slow
def test_demo_report_shows_the_numbers_on_record(demo: Path) -> None:
    """Golden snapshot of the report's data: the same names and shapes, numbers within 2 %."""
    golden = json.loads((GOLDEN / "demo_evaluation.json").read_text(encoding="utf-8"))
    found = _manifest(demo, "models")["evaluation"]
    for curves in found["curves"].values():
        for name in ("roc", "precision_recall", "cost_by_cut", "brier_curve", "cost_curve"):
            points = curves[name]
            curves[name] = {"points": len(points), "first": points[0], "last": points[-1]}
    different = list(_differences(golden, found, "evaluation"))
    assert not different, different[:10]


def _differences(wanted: Any, found: Any, place: str) -> Iterator[str]:
    if isinstance(wanted, dict):
        if wanted.keys() != found.keys():
            yield f"{place}: {sorted(wanted.keys() ^ found.keys())}"
            return
        for name in wanted:
            yield from _differences(wanted[name], found[name], f"{place}.{name}")
    elif isinstance(wanted, list):
        if len(wanted) != len(found):
            yield f"{place}: {len(wanted)} and {len(found)}"
            return
        for i, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(one, other, f"{place}[{i}]")
    elif isinstance(wanted, (int, float)):
        if found != pytest.approx(wanted, rel=0.02, abs=2e-3):
            yield f"{place}: {wanted} and {found}"
    elif wanted != found:
        yield f"{place}: {wanted} and {found}"


def test_demo_files_fit_each_other(spark: SparkSession, tmp_path: Path) -> None:
    """The tables have the columns of the configuration, and the suites can be judged on them."""
    folder = write_demo(tmp_path / "demo")
    Runner(spark, load_config(folder / "credit_card.yaml"), RUN_DATE).preflight()


def test_demo_carries_every_client_of_the_source() -> None:
    """Nothing is dropped: 30,000 clients, 6,636 defaults, 35 of them twins but for their id."""
    table = clients().to_pandas()
    assert len(table) == 30_000
    assert table["defaulted"].sum() == 6_636
    assert table.drop(columns="client_id").duplicated().sum() == 35
