"""Bad input gets one clean line and its exit code, and yesterday's output stays."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from conftest import CONFIG, RUN_DATE, Shop, history

from sparkweights.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a verb, expects its refusal, and compares the outputs."""

    def run(verb: str, code: int, *options: str, **changes: Any) -> str:
        before = shop.state()
        capsys.readouterr()
        config = shop.config("bad.yaml", **changes)
        found = shop.run(verb, config, "--quiet", *options)
        error = capsys.readouterr().err
        lines = [line for line in error.splitlines() if line.startswith("sparkweights:")]
        assert found == code, error
        assert len(lines) == 1, error
        assert "Traceback" not in error
        assert shop.state() == before
        return lines[0]

    return run


def _incoming(rows: int = 60) -> pd.DataFrame:
    return history(rows, seed=4).drop(columns="outcome")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights__schem": "cost"}, ["Unknown key 'schem'", "Did you mean 'scheme'?"]),
        ({"model__kind": "boosted_tree"}, ["'boosted_tree'", "Did you mean 'boosted_trees'?"]),
        ({"seed": "seven"}, ["seed", "'seven'", "a whole number"]),
        ({"costs__approve__defaulted": "0.75 * amuont"}, ["'amuont' at column 8", "'amount'?"]),
        ({"costs__approve__defaulted": "`card type`"}, ["'card type'", "is text"]),
        ({"costs__approve__defaulted": "exp(amount)"}, ["'exp'", "min, max, coalesce"]),
        ({"costs__approve__defaulted": "(select 1)"}, ["costs.approve.defaulted", "'1'"]),
        ({"costs__approve__defaulted": -1}, ["costs.approve.defaulted", ">= 0"]),
        ({"tables__scored__location": "data/incoming"}, ["tables.scored", "overlap"]),
        ({"tables__incoming": None}, ["tables.incoming is missing"]),
        ({"checks__incoming": "nowhere.json"}, ["No expectation suite", "nowhere.json"]),
    ],
)
def test_score_wrong_configuration_exits_2(
    refused: Callable[..., str], changes: dict[str, Any], words: list[str]
) -> None:
    """Whatever is wrong in the file is told before anything is written."""
    line = refused("score", 2, **changes)
    assert all(word in line for word in words), line


def test_score_reasons_of_a_model_trained_without_them_exits_5(
    refused: Callable[..., str],
) -> None:
    """A linear model's reasons need what training remembers only if it is asked to."""
    line = refused("score", 5, reasons__against={"decline": "defaulted"})
    assert all(word in line for word in ("trained without reasons", "train again")), line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score"], "--config"),
        (["scoer", "--config", "x"], "invalid choice"),
        (["score", "--config", "x", "--run-date", "2026-02-30"], "not a date"),
        (["score", "--config", "x", "--run-date", "20260228"], "not a date"),
        (["score", "--config", "no/such/file.yaml"], "No configuration file"),
        (["check", "--config", "x", "--table", "outgoing"], "invalid choice"),
    ],
)
def test_main_wrong_usage_exits_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """A mistyped command is one line and exit code 2."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="in.come"), ["has no column 'in.come'"]),
        (lambda t: t.rename(columns={"in.come": "in.comes"}), ["'in.come'", "'in.comes'?"]),
        (lambda t: t.assign(**{"in.come": "much"}), ["'in.come'", "is text", "number"]),
        (lambda t: t.assign(**{"card type": 3}), ["'card type'", "is number", "text"]),
        (lambda t: t.drop(columns="loan id"), ["has no column 'loan id'"]),
        (lambda t: t.assign(**{"IN.COME": 1.0}), ["'in.come'|column appears twice"]),
        (lambda t: t.iloc[:0], ["holds 0 rows"]),
        (lambda t: t.assign(run_id="x"), ["'incoming' has a column run_id"]),
    ],
    ids=["missing", "renamed", "number as text", "text as number", "no key", "duplicate", "empty",
         "reserved"],
)  # fmt: skip
def test_score_incoming_table_that_drifted_exits_4(
    shop: Shop,
    refused: Callable[..., str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: list[str],
) -> None:
    """A table that is not what the model was trained on is refused by column."""
    location = shop.table("drifted", change(_incoming()))
    line = refused("score", 4, tables__incoming__location=location)
    for word in words:
        assert any(option in line for option in word.split("|")), line


def test_score_csv_whose_header_is_in_another_order_exits_4(
    shop: Shop, refused: Callable[..., str]
) -> None:
    """Two numbers that changed places would be read as each other."""
    frame = _incoming()[["loan id", "in.come", "amount", "late payments", "card type"]]
    (shop.folder / "data" / "swapped").mkdir(exist_ok=True)
    frame.to_csv(shop.folder / "data" / "swapped" / "part.csv", index=False)
    table = {
        "format": "csv",
        "location": "data/swapped",
        "options": {"header": "true"},
        "schema": "`loan id` bigint, amount double, `in.come` double, `late payments` bigint, "
        "`card type` string",
    }
    line = refused("score", 4, tables__incoming=table)
    assert "header" in line.lower(), line


def test_score_all_rows_quarantined_exits_3_whatever_shares_are_estimated(
    shop: Shop, refused: Callable[..., str]
) -> None:
    """With no row left to estimate from, the gate on quarantine says what is wrong."""
    location = shop.table("negative", _incoming().assign(**{"late payments": -1}))
    line = refused(
        "score", 3, tables__incoming__location=location, decision={"target_prior": "estimate"}
    )
    assert "60 of 60 rows" in line


def test_evaluate_rows_without_a_price_exit_4(shop: Shop, refused: Callable[..., str]) -> None:
    """A row that no decision has a cost for would leave the costs and stay in the shares."""
    frame = history()
    frame.loc[::50, "amount"] = np.nan
    location = shop.table("unpriced", frame)
    assert "rows have no decision" in refused("evaluate", 4, tables__labelled__location=location)


@pytest.mark.parametrize("verb", ["monitor", "score"])
def test_incoming_table_without_a_column_of_the_costs_exits_4(
    shop: Shop, refused: Callable[..., str], verb: str
) -> None:
    """What no feature reads but the costs do is missed in one line, not in a stack trace."""
    location = shop.table("uncosted", _incoming().assign(fee=1.0))
    costs = copy.deepcopy(CONFIG["costs"])
    costs["decline"]["repaid"] = "0.1 * fees"
    line = refused(verb, 2, tables__incoming__location=location, costs=costs)
    assert "'fees'" in line


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"tables__quarantine": None}, 2, "tables.quarantine is missing"),
        ({"tables__scored__options": {"key": "${NOT_SET_ANYWHERE}"}}, 2, "NOT_SET_ANYWHERE"),
        ({"checks__scored": "nowhere.json"}, 2, "nowhere.json"),
        ({"tables__incoming__location": "data/nowhere"}, 4, "data/nowhere"),
    ],
)
def test_run_refuses_before_it_trains_what_scoring_would_refuse(
    refused: Callable[..., str], changes: dict[str, Any], code: int, words: str
) -> None:
    """Hours of training are not spent on a night that cannot end; no model is left either."""
    assert words in refused("run", code, **changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda df: df.drop(columns="late payments"), "no column 'late payments'"),
        (lambda df: df.assign(amount=df["amount"].astype(str)), "Column 'amount'"),
        (lambda df: df.drop(columns="card type"), "no column 'card type'"),
        (lambda df: df.assign(Run_Id="x"), "which the quarantine adds"),
        (lambda df: df.assign(__infinite=1.0), "__infinite, which begins with two underscores"),
        (lambda df: df.head(0), "holds 0 rows"),
    ],
)
def test_run_refuses_before_it_trains_a_table_that_no_model_could_score(
    shop: Shop,
    refused: Callable[..., str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    """The incoming table's columns are compared with the labelled table's, not with a model's."""
    location = shop.table("unscorable", change(_incoming()))
    assert words in refused("run", 4, tables__incoming__location=location)


def test_score_no_table_for_the_date_exits_4(refused: Callable[..., str]) -> None:
    """A night whose table did not arrive says which path it looked at."""
    line = refused("score", 4, tables__incoming__location="data/nights/{run_date}")
    assert f"nights/{RUN_DATE}" in line


def test_score_folder_without_files_exits_4(shop: Shop, refused: Callable[..., str]) -> None:
    """An empty folder is not a table."""
    (shop.folder / "data" / "void").mkdir(exist_ok=True)
    assert "no data files" in refused("score", 4, tables__incoming__location="data/void")


def test_score_corrupt_file_exits_4(shop: Shop, refused: Callable[..., str]) -> None:
    """A file that is cut short stops the run instead of losing its rows."""
    location = shop.table("corrupt", _incoming())
    path = shop.folder / location / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-300])
    refused("score", 4, tables__incoming__location=location)


def test_score_duplicate_keys_exit_3(shop: Shop, refused: Callable[..., str]) -> None:
    """Two rows with one key cannot both be the client's decision."""
    table = _incoming()
    table.loc[5, "loan id"] = table.loc[6, "loan id"]
    location = shop.table("twice", table)
    line = refused("score", 3, tables__incoming__location=location)
    assert "1 values of the key loan id occur more than once (on 2 rows)" in line


def test_score_failed_critical_table_check_exits_3(shop: Shop, refused: Callable[..., str]) -> None:
    """A critical check of the table stops the run before publishing."""
    rows = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 10_000}}
    suite = {"name": "strict", "expectations": [rows]}
    (shop.folder / "strict.json").write_text(json.dumps(suite), encoding="utf-8")
    line = refused("score", 3, checks__incoming="strict.json")
    assert "observed 400" in line


def test_score_too_many_bad_rows_exit_3(shop: Shop, refused: Callable[..., str]) -> None:
    """A tenth of the rows in quarantine is an upstream failure."""
    table = _incoming()
    table.loc[:5, "late payments"] = -1
    location = shop.table("tenth", table)
    assert "6 of 60 rows" in refused("score", 3, tables__incoming__location=location)


def _history(**changes: Any) -> pd.DataFrame:
    return history(600, seed=6).assign(**changes)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (lambda: _history(outcome="good"), ["No rows of class defaulted", "600 of repaid"]),
        (
            lambda: _history().replace({"outcome": {"bad": "late"}}).replace(
                {"outcome": {"good": "ended"}}
            ),
            ["600 rows that no class names ('ended' on", "'late' on"],
        ),
        (lambda: _history().replace({"outcome": {"bad": None}}), ["null labels"]),
        (lambda: _history(outcome=1), ["Label column 'outcome'", "is bigint", "'good'"]),
        (lambda: _history(**{"in.come": np.nan}), ["'in.come' is null or NaN on all"]),
        (
            lambda: _history(**{"in.come": np.nan, "late payments": np.nan, "card type": None}),
            ["columns 'in.come', 'late payments', 'card type' are null or NaN on all"],
        ),
        (lambda: _history(**{"in.come": np.inf}), ["'in.come' is infinite"]),
        (lambda: _history(amount=np.nan), ["costs.", "null or NaN"]),
        (lambda: _history(amount=-9.0), ["costs.", ">= 0 on 600 rows", "600 negative or infinite"]),
        (lambda: _history().iloc[:0], ["0 rows"]),
        (lambda: _history().drop(columns="outcome"), ["has no column 'outcome'"]),
    ],
    ids=["one class", "unknown label", "null label", "retyped label", "all null",
         "more all null", "infinite",
         "null cost", "negative cost", "empty", "no label"],
)  # fmt: skip
def test_train_unusable_history_exits_4(
    shop: Shop,
    refused: Callable[..., str],
    table: Callable[[], pd.DataFrame],
    words: list[str],
) -> None:
    """History that cannot be learned from is refused by column and count."""
    frame = table()
    location = shop.table("lesson", frame)
    line = refused("train", 4, tables__labelled__location=location)
    assert all(word in line for word in words), line


def test_train_extreme_imbalance_exits_4(shop: Shop, refused: Callable[..., str]) -> None:
    """Five defaults in 20,000 rows train nothing that could be calibrated or tested."""
    rows = 20_000
    frame = pd.DataFrame({
        "loan id": np.arange(rows),
        "outcome": np.where(np.arange(rows) % 4_000 == 7, "bad", "good"),
        "in.come": 1.0 + np.arange(rows) % 97,
        "late payments": np.arange(rows) % 5,
        "amount": 100.0,
        "card type": "gold",
        "age": 40,
    })  # fmt: skip
    location = shop.table("extreme", frame)
    line = refused("train", 4, tables__labelled__location=location)
    assert "Class 'defaulted' has" in line
    assert "at least 10" in line


def test_weights_extreme_imbalance_warns_and_succeeds(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of five rows exist; the warning says what they cost."""
    frame = history(2_000, seed=8)
    frame["outcome"] = np.where(frame.index < 5, "bad", "good")
    location = shop.table("few", frame)
    config = shop.config(
        "few.yaml",
        tables__labelled__location=location,
        artifacts="few",
        weights__scheme="balanced",
        weights__cap=5_000,
    )
    assert shop.run("weights", config) == 0
    assert "effective rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": {"scheme": "cost_by_row"}}, "use weights.scheme cost, which weights by the"),
        ({"weights": {"scheme": "balanced", "cap": 1.5}}, "not the 50 % of scheme balanced"),
        (
            {"weights": {"scheme": "balanced"}, "resample": {"method": "under"}},
            "rows to repaid 50 %, defaulted 50 %, and with weights training sees",
        ),
    ],
)
def test_weights_say_what_they_really_train_at(
    shop: Shop, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    """Weights by row, a cap that keeps a share from the rare class, and weights twice over."""
    assert shop.run("weights", shop.config("told.yaml", artifacts="told", **changes)) == 0
    assert words in " ".join(capsys.readouterr().err.split())


def test_weights_dominated_costs_warn(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Costs that make one decision always best are noticed, and the run goes on."""
    config = shop.config(
        "idle.yaml",
        artifacts="idle",
        weights__scheme="balanced",
        costs={
            "approve": {"repaid": 0, "defaulted": "amount"},
            "decline": {"repaid": 5, "defaulted": "amount + 1"},
        },
    )
    assert shop.run("weights", config) == 0
    assert "Decision 'approve' is never more expensive" in capsys.readouterr().err


@pytest.fixture
def bundle(shop: Shop, tmp_path: Path) -> Path:
    """Copy the model bundles, so that a test may break them."""
    copied = tmp_path / "models"
    shutil.copytree(shop.folder / "out" / "models", copied)
    return copied


def _current(bundle: Path) -> Path:
    return bundle / (bundle / "current").read_text().strip()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_score_bundle_altered_by_one_byte_exits_5(
    bundle: Path, refused: Callable[..., str]
) -> None:
    """Any byte of any file, the manifest and its seal included."""
    for path in sorted(p for p in _current(bundle).rglob("*") if p.is_file() and p.stat().st_size):
        original = path.read_bytes()
        middle = len(original) // 2
        path.write_bytes(original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :])
        assert "altered" in refused("score", 5, artifacts=str(bundle)), path
        path.write_bytes(original)


def test_score_bundle_without_a_file_or_with_one_more_exits_5(
    bundle: Path, refused: Callable[..., str]
) -> None:
    """A bundle is complete and holds nothing else."""
    extra = _current(bundle) / "model" / "extra.py"
    extra.write_text("print('hello')", encoding="utf-8")
    assert "does not list" in refused("score", 5, artifacts=str(bundle))
    extra.unlink()
    next(path for path in _current(bundle).rglob("*.parquet")).unlink()
    assert "lacks the file" in refused("score", 5, artifacts=str(bundle))
    (_current(bundle) / "manifest.json").unlink()
    assert "no manifest.json" in refused("score", 5, artifacts=str(bundle))
    (bundle / "current").unlink()
    assert "No current model" in refused("score", 5, artifacts=str(bundle))


def test_model_that_is_no_version_or_lacks_a_signature_exits_5(
    bundle: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path leads to a model that was never in this folder; a copy has another model's name."""
    version = _current(bundle).name
    for path in (str(_current(bundle)), f"../{bundle.name}/{version}", f"{version}/"):
        for verb in ("score", "evaluate"):
            line = refused(verb, 5, "--model", path, artifacts=str(bundle))
            assert "is the name of one folder below artifacts" in line
    shutil.copytree(_current(bundle), bundle / "v2")
    assert f"is version '{version}'" in refused("score", 5, "--model", "v2", artifacts=str(bundle))
    monkeypatch.setenv("MODEL_KEY", "0123456789abcdef")
    line = refused("score", 5, artifacts=str(bundle), signing={"key_variable": "MODEL_KEY"})
    assert "has no signature, and one is asked for" in line


def test_score_bundle_of_a_newer_spark_exits_5(bundle: Path, refused: Callable[..., str]) -> None:
    """A model written by a newer Spark may load wrongly; it does not load."""
    folder = _current(bundle)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["versions"]["spark"] = "9.1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "manifest.sha256").write_text(_sha256(folder / "manifest.json") + "\n")
    assert "written by Spark 9.1.0" in refused("score", 5, artifacts=str(bundle))


def test_score_bundle_of_an_older_release_exits_5(
    bundle: Path, refused: Callable[..., str]
) -> None:
    """A bundle without a reference of columns is told apart from a broken one."""
    folder = _current(bundle)
    reference = folder / "reference.json"
    reference.write_text(json.dumps(json.loads(reference.read_text())["scores"]))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["reference.json"] = _sha256(reference)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "manifest.sha256").write_text(_sha256(folder / "manifest.json") + "\n")
    assert "Hint: train again" in refused("score", 5, artifacts=str(bundle))


def test_score_model_of_other_classes_exits_5(refused: Callable[..., str]) -> None:
    """Probabilities of other classes must not be priced with these costs."""
    line = refused(
        "score",
        5,
        columns__classes={"paid": "good", "defaulted": "bad"},
        costs={"a": {"paid": 0, "defaulted": 1}, "b": {"paid": 1, "defaulted": 0}},
    )
    assert "repaid, defaulted" in line


def test_score_unwritable_output_exits_6(shop: Shop, refused: Callable[..., str]) -> None:
    """Where the output cannot be a folder, nothing is lost and the path is named."""
    (shop.folder / "occupied").write_text("a file", encoding="utf-8")
    line = refused("score", 6, tables__scored__location="occupied/scored")
    assert "occupied/scored" in line


def test_score_second_run_beside_a_live_one_exits_6(
    shop: Shop, refused: Callable[..., str]
) -> None:
    """Two runs cannot interleave: the second is told to wait."""
    from sparkweights.storage.location import Location
    from sparkweights.storage.lock import lock

    date_lock = Location.of(shop.folder / "out/scored/_locks" / f"run_date={RUN_DATE}" / "_lock")
    with lock(date_lock, "it"):
        assert "Another run is writing" in refused("score", 6)


def test_check_failing_table_exits_3_and_writes_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` shows each verdict and fails where a critical one does."""
    table = _incoming()
    table.loc[:1, "late payments"] = -5
    location = shop.table("checked", table)
    config = shop.config("check.yaml", tables__incoming__location=location)
    before = shop.state()
    assert shop.run("check", config, "--quiet") == 3
    printed = capsys.readouterr()
    assert "failed on 2" in printed.out
    assert "1 critical checks" in printed.err
    assert shop.state() == before


def test_score_with_the_models_of_another_configuration_exits_5(
    refused: Callable[..., str],
) -> None:
    """Two configurations in one folder have the same classes and columns, and other models."""
    for verb in ("score", "train", "run", "evaluate", "monitor"):
        line = refused(verb, 5, name="another_lender")
        assert "are those of 'small_lender'; this is the configuration of 'another_lender'" in line


def test_score_over_the_record_of_another_configuration_exits_2(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest is an auditor's; it is not replaced."""
    place = own_shop.folder / "out" / "runs" / f"run_date={RUN_DATE}" / "manifest.json"
    record = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps({**record, "name": "another_lender"}), encoding="utf-8")
    before = own_shop.state()
    assert own_shop.run("score", own_shop.config(), "--quiet") == 2
    assert "holds the date's record of 'another_lender'" in capsys.readouterr().err
    assert own_shop.state() == before


def test_score_rows_without_keys_are_told_by_the_gate(
    shop: Shop, refused: Callable[..., str]
) -> None:
    """Nothing else could say why they were set aside, as nothing is written."""
    rows = _incoming()
    rows["loan id"] = rows["loan id"].astype("Int64")
    rows.loc[:9, "loan id"] = pd.NA
    location = shop.table("keyless", rows)
    line = refused("score", 3, tables__incoming__location=location)
    assert "10 of 60 rows (16.7%) are quarantined" in line
    assert "(failed most: keys are present on 10)" in line


def test_check_of_the_scored_table_judges_the_date_alone(own_shop: Shop) -> None:
    """As the night did, whose suite knows nothing of other dates."""
    rows = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 400}}
    suite = {"name": "scored", "expectations": [rows]}
    (own_shop.folder / "scored.json").write_text(json.dumps(suite), encoding="utf-8")
    scored = own_shop.folder / "out" / "scored"
    shutil.copytree(scored / f"run_date={RUN_DATE}", scored / "run_date=2026-02-28")
    config = own_shop.config(checks__scored="scored.json")
    assert own_shop.run("check", config, "--table", "scored", "--quiet") == 0


def test_bundle_that_this_user_cannot_read_exits_5(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pointer that is no text, as a disk may leave one."""
    (own_shop.folder / "out" / "models" / "current").write_bytes(b"\xff\xfe\x00")
    assert own_shop.run("score", own_shop.config(), "--quiet") == 5
    told = capsys.readouterr().err
    assert "cannot be read: it is not UTF-8 text" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "--conf", "spark.executor.memory=4g"], "--conf"),
        (["check", "--suggest", "new.json", "--docs", "site"], "--suggest runs no suite"),
    ],
)
def test_options_that_are_none_exit_2(
    shop: Shop, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """spark-submit's --conf is not a short --config; two options that exclude each other say so."""
    verb, *options = arguments
    assert shop.run(verb, shop.config("options.yaml"), *options) == 2
    assert words in capsys.readouterr().err


def test_train_infinite_number_on_a_row_that_is_held_out_exits_4(
    shop: Shop, refused: Callable[..., str]
) -> None:
    """Whichever part its key deals a row to; calibration and costs would go wrong in silence."""
    frame = history().assign(booked=lambda df: np.arange(len(df)))
    # By time the last two fifths are held out; one row of each part of them is infinite.
    frame.loc[[2_000, 2_900], "in.come"] = np.inf
    location = shop.table("held_out", frame)
    for verb in ("train", "tune"):
        line = refused(verb, 4, tables__labelled__location=location, split__by="booked")
        assert "'in.come' is infinite" in line


def test_check_of_a_date_without_rows_exits_4(refused: Callable[..., str]) -> None:
    """Of no rows nearly everything holds; whoever waits for this check would ship nothing."""
    line = refused(
        "check", 4, "--table", "scored", "--run-date", "2026-04-01", checks__scored="incoming.json"
    )
    assert "Table tables.scored holds 0 rows where run_date = 2026-04-01" in line


def test_run_over_the_record_of_another_configuration_trains_nothing(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What scoring would refuse is refused before hours of training."""
    place = own_shop.folder / "out" / "runs" / f"run_date={RUN_DATE}" / "manifest.json"
    place.write_text('{"name": "another_lender"}', encoding="utf-8")
    before = own_shop.state()
    assert own_shop.run("run", own_shop.config(), "--quiet") == 2
    assert "holds the date's record of 'another_lender'" in capsys.readouterr().err
    assert own_shop.state() == before


def test_evaluate_with_decisions_of_other_names_exits_5(refused: Callable[..., str]) -> None:
    """What was right for a class is remembered by the decision's name."""
    renamed = {"approve": CONFIG["costs"]["approve"], "reject": CONFIG["costs"]["decline"]}
    assert "decide between decline and others" in refused("evaluate", 5, costs=renamed)


def test_monitor_outcomes_of_another_type_exit_4(shop: Shop, refused: Callable[..., str]) -> None:
    """A label that no class can equal is told by its column."""
    location = shop.table("told", _incoming().assign(outcome=True))
    line = refused("monitor", 4, tables__incoming__location=location)
    assert "Label column 'outcome' of table 'incoming' is boolean" in line


def test_score_a_key_that_is_no_number_is_no_key(shop: Shop, refused: Callable[..., str]) -> None:
    """Keys that went through floats hold NaN where they were null."""
    rows = _incoming()
    rows["loan id"] = rows["loan id"].astype(float)
    rows.loc[:9, "loan id"] = np.nan
    location = shop.table("floats", rows)
    config = {"tables__incoming__location": location}
    assert "(failed most: keys are present on 10)" in refused("score", 3, **config)


def test_score_into_the_table_of_another_configuration_exits_2(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copied file with other names, but not other tables, would replace its rows."""
    owner = own_shop.folder / "out" / "scored" / "_owner"
    assert owner.read_text(encoding="utf-8") == CONFIG["name"]
    owner.write_text("another_lender", encoding="utf-8")
    before = own_shop.state()
    for verb in ("score", "run"):
        assert own_shop.run(verb, own_shop.config(), "--quiet") == 2
        assert "holds rows of the configuration 'another_lender'" in capsys.readouterr().err
    assert own_shop.state() == before
