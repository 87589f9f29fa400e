"""A scoring run accounts for every row and replaces its own date alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from conftest import RUN_DATE, SUITE, Shop, history

from sparkweights.quality.suite import load_suite

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def _read(shop: Shop) -> pd.DataFrame:
    return pd.read_parquet(shop.folder / "out" / "scored")


def test_score_every_kind_of_row_is_accounted_for(own_shop: Shop) -> None:
    """Good, unusable and failing rows: scored + unscorable + quarantined = incoming."""
    table = history(200, seed=9).drop(columns="outcome").astype({"loan id": "Int64"})
    table.loc[0, "late payments"] = -1  # fails a critical check
    table.loc[1, "loan id"] = pd.NA  # has no key
    table.loc[2, "in.come"] = np.inf
    table.loc[3, "amount"] = np.nan  # cannot be priced
    table.loc[4, "amount"] = -1_000.0
    table.loc[5, "card type"] = "platinum"  # never seen: scored all the same
    table.loc[6, "in.come"] = np.nan  # missing: imputed and flagged
    own_shop.table("incoming", table)
    assert own_shop.run("score", own_shop.config()) == 0
    rows = own_shop.manifest()["rows"]
    assert rows == {"incoming": 200, "scored": 195, "unscorable": 3, "quarantined": 2}
    faults = own_shop.manifest()["faults"]
    assert faults == {"cost approve.defaulted": 2, "infinite in.come": 1}
    scored = _read(own_shop).set_index("loan id")
    assert scored.loc[2, "score_status"] == "unscorable:infinite in.come"
    assert scored.loc[3, "score_status"].startswith("unscorable:cost ")
    assert scored.loc[4, "score_status"].startswith("unscorable:cost ")
    assert (scored.loc[[2, 3, 4], "decision"] == "unscorable").all()
    assert scored.loc[[2, 3, 4], "probability_defaulted"].isna().all()
    assert (scored.loc[[5, 6], "score_status"] == "scored").all()
    quarantine = pd.read_parquet(own_shop.folder / "out" / "quarantine")
    failed = quarantine.set_index("amount")["failed_checks"].map(list).to_dict()
    assert sorted(failed.values()) == [["keys are present"], ["late payments are counted"]]
    assert set(table.columns) < set(quarantine.columns)


def test_score_same_date_again_replaces_itself_and_no_other(own_shop: Shop) -> None:
    """A rerun gives the same rows but for scored_at; other dates are untouched, however packed."""
    config = own_shop.config()
    first = _read(own_shop)
    assert own_shop.run("score", config) == 0
    again = _read(own_shop)
    compare = first.columns.drop("scored_at")
    order = ["loan id"]
    pd.testing.assert_frame_equal(
        first.sort_values(order)[compare].reset_index(drop=True),
        again.sort_values(order)[compare].reset_index(drop=True),
    )
    before = own_shop.state()
    packed = own_shop.config(tables__scored__options={"compression": "zstd"})
    assert own_shop.run("score", packed, "--run-date", "2026-03-02") == 0
    assert list((own_shop.folder / "out" / "scored").rglob("run_date=2026-03-02/**/*.zstd.parquet"))
    after = own_shop.state()
    old = {path: digest for path, digest in before.items() if RUN_DATE in path}
    assert old
    assert old.items() <= after.items()
    assert set(_read(own_shop)["run_date"].astype(str)) == {RUN_DATE, "2026-03-02"}


def test_score_rerun_without_rows_empties_the_date_on_request(own_shop: Shop) -> None:
    """With allow_empty a night without rows leaves no stale partition, whatever is estimated."""
    empty = history(5).drop(columns="outcome").iloc[:0]
    own_shop.table("incoming", empty)
    (own_shop.folder / "incoming.json").write_text(json.dumps({**SUITE, "expectations": []}))
    config = own_shop.config(checks__allow_empty=True, decision={"target_prior": "estimate"})
    assert own_shop.run("score", config) == 0
    assert own_shop.manifest()["rows"]["incoming"] == 0
    assert not list((own_shop.folder / "out" / "scored").rglob("*.parquet"))


@pytest.mark.slow
def test_score_rows_do_not_depend_on_partitioning(own_shop: Shop, spark: SparkSession) -> None:
    """From one file, 7 and 60: identical rows, to the last bit but for scored_at."""

    def checksum() -> str:
        rows = _read(own_shop).drop(columns="scored_at").sort_values("loan id")
        told = rows.astype({"decision": str, "run_date": str})
        return hashlib.sha256(told.to_csv(index=False).encode()).hexdigest()

    first = checksum()
    incoming, once = (own_shop.folder / "data" / name for name in ("incoming", "once"))
    incoming.rename(once)
    config = own_shop.config()
    for files in (7, 60):
        shutil.rmtree(incoming, ignore_errors=True)
        spark.read.parquet(str(once)).repartition(files).write.parquet(str(incoming))
        assert own_shop.run("score", config) == 0
        assert checksum() == first


def test_outputs_are_for_their_owner_and_group_alone(shop: Shop) -> None:
    """Bundles, tables, records and what hides between them; the group may read them."""
    out = shop.folder / "out"
    modes = {str(path.relative_to(out)): path.stat().st_mode for path in out.rglob("*")}
    rows = [name for name in modes if name.startswith("scored/run_date=")]
    assert any(name.endswith(".parquet") for name in rows)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o027} == {}
    assert {name for name in rows if not modes[name] & 0o040} == set()


def test_score_manifest_says_what_a_reader_needs(shop: Shop) -> None:
    """Counts, prior, ledger, costs, checks, schema, versions and durations; written last."""
    manifest = shop.manifest()
    golden = {
        "record_version", "name", "run_id", "run_date", "scored_at", "model_version", "rows",
        "decisions",
        "expected_classes", "expected_cost", "prior", "ledger", "costs", "checks", "tables",
        "versions", "durations_s", "label_shift", "review", "reasons", "faults",
        "missing_shifts",
        "quarantined_for", "config",
    }  # fmt: skip
    assert set(manifest) == golden
    cells = manifest["ledger"]["bends"][0]["rule"]["cells"]
    labelled = history()
    amount, bad = labelled["amount"], labelled["outcome"] == "bad"
    ratio = (0.75 * amount[bad]).mean() / (0.1 * amount[~bad] + 20).mean()
    assert float(cells["defaulted"]) / float(cells["repaid"]) == pytest.approx(ratio)
    assert [bend["undone"] for bend in manifest["ledger"]["bends"]] == [True]
    assert manifest["checks"]["incoming"]["success"] is True
    assert (
        manifest["checks"]["incoming"]["suite_sha"] == load_suite(shop.folder / "incoming.json").sha
    )
    assert manifest["config"]["checks"]["max_quarantined"] == 0.05
    incoming = manifest["tables"]["incoming"]
    assert incoming["location"] == str(shop.folder / "data" / "incoming")
    assert (incoming["format"], incoming["partition"]) == ("parquet", {})
    out = shop.folder / "out"
    written = max(p.stat().st_mtime_ns for p in (out / "scored").rglob("*.parquet"))
    last = out / "runs" / f"run_date={RUN_DATE}" / "manifest.json"
    assert last.stat().st_mtime_ns >= written


def test_weights_written_table_and_json_agree(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The small table, the JSON file and what --json prints are the same numbers."""
    config = shop.config("weights.yaml", artifacts="only_weights")
    assert shop.run("weights", config, "--json", "--quiet") == 0
    printed = json.loads(capsys.readouterr().out)
    folder = shop.folder / "only_weights" / "weights"
    assert json.loads((folder / "weights.json").read_text()) == printed
    table = pd.read_parquet(folder / "weights.parquet")
    assert table["class"].tolist() == ["repaid", "defaulted"]
    assert table["rows"].sum() == printed["rows"] == 3_000
    assert table["share_of_risk"].sum() == pytest.approx(1)


@pytest.mark.slow
def test_train_and_score_with_a_pattern_and_outcome_encodings(tmp_path: Path) -> None:
    """Columns by pattern, binned numbers and target categories go all the way to decisions."""
    shop = Shop(tmp_path)
    shop.table("history", history())
    shop.table("incoming", history(400, seed=2).drop(columns="outcome"))
    config = shop.config(
        columns__numeric=[{"matching": ".*(come|payments)"}, {"from": "amount", "to": "amount"}],
        features={"numeric": "binned", "categorical": "target"},
        checks=None,
        signing={"key_file": "key"},
    )
    (tmp_path / "key").write_text("a key that signs the model" + "\n")
    assert shop.run("train", config, "--quiet") == 0
    (manifest,) = (tmp_path / "out" / "models").glob("*/manifest.json")
    features = {"in.come", "late payments", "amount", "card type"}
    assert json.loads(manifest.read_text(encoding="utf-8"))["schema"].keys() == features
    assert manifest.with_name("manifest.hmac").is_file()
    assert "signing" not in manifest.read_text(encoding="utf-8")
    assert shop.run("score", config, "--quiet") == 0
    assert shop.manifest()["rows"]["scored"] == 400
    assert shop.run("explain", config, "--quiet") == 0


@pytest.mark.slow
def test_train_split_by_time_remembers_the_shares_of_the_calibration_rows(own_shop: Shop) -> None:
    """Defaults doubled long ago: a shift is measured from the shares of late, not of all time."""
    frame = history(4_000)
    frame["month"] = np.arange(len(frame)) // 50
    late = frame["month"] >= 40
    bad = late & (np.random.default_rng(0).random(len(frame)) < 0.25)
    frame.loc[bad, "outcome"] = "bad"
    own_shop.table("history", frame)
    config = own_shop.config(split={"by": "month"}, artifacts="out/dated")
    assert own_shop.run("train", config, "--quiet") == 0
    (place,) = (own_shop.folder / "out" / "dated").glob("*/manifest.json")
    manifest = json.loads(place.read_text(encoding="utf-8"))
    calibrating = frame[(frame["month"] >= 48) & (frame["month"] < 64)]
    share = (calibrating["outcome"] == "bad").mean()
    assert manifest["ledger"]["prior"]["defaulted"] == pytest.approx(share, abs=0.01)
    assert share > 1.2 * (frame["outcome"] == "bad").mean()


def test_check_suggest_writes_a_suite_that_passes_and_replaces_none(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proposal can be named under checks at once; a file that exists is left alone."""
    target = own_shop.folder / "proposed.json"
    config = own_shop.config(checks__incoming="proposed.json")
    assert own_shop.run("check", config, "--quiet", "--suggest", str(target)) == 0
    assert "card type: be in set" in capsys.readouterr().out
    assert own_shop.run("check", config, "--quiet") == 0
    assert "failed" not in capsys.readouterr().out
    before = target.read_bytes()
    assert own_shop.run("check", config, "--quiet", "--suggest", str(target)) == 2
    assert "is not replaced" in capsys.readouterr().err
    assert target.read_bytes() == before
