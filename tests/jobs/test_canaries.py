"""No value of a row, of an option or of a credential in what a run says, logs or leaves.

Names of classes and decisions are any text here: they become columns and folders.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from conftest import Shop, history

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from _pytest.capture import CaptureResult
    from pyspark.sql import SparkSession

CANARY = "canary7041"
NUMBER = 7041.17  # of a canary in a column of numbers
SCHEMA = (
    "`loan id` bigint, `in.come` double, amount double, `late payments` bigint, `card type` string"
)
REPAID, DEFAULTED, APPROVE, DECLINE = "re.paid`", "näive {b}", "app`rove.a", "de cline/=%41"
NAMES: dict[str, Any] = {
    "columns__classes": {REPAID: "good", DEFAULTED: "bad"},
    "costs": {
        APPROVE: {REPAID: 0, DEFAULTED: "0.75 * amount"},
        DECLINE: {REPAID: "0.1 * amount + 20", DEFAULTED: 0},
    },
}

GROUPS = {"evaluate__by": ["branch"], "fairness__columns": ["branch", "age"]}


def _planted(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a canary in each column, on a row of its own."""
    frame = frame.assign(name=CANARY, **{"loan id": frame["loan id"].astype(str)})
    frame.loc[3, "loan id"] = f"{CANARY}-key"
    frame.loc[4, "amount"] = NUMBER
    frame["age"] = frame["age"].astype(float)
    frame.loc[6, "age"] = NUMBER
    # Groups of one row each, so that some are among the test rows.
    frame["branch"] = [f"{CANARY}-{i}" if i < 20 else "town" for i in range(len(frame))]
    return frame


@pytest.fixture(scope="module")
def planted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Make tables with canaries in every column."""
    made = Shop(tmp_path_factory.mktemp("canaries"))
    made.table("history", _planted(history(700)))
    incoming = _planted(history(120, seed=2).drop(columns="outcome"))
    incoming.loc[8, "card type"] = CANARY
    incoming.loc[9, "late payments"] = -7041  # quarantined by the suite
    made.table("incoming", incoming)
    suite = {"column": "late payments", "min_value": 0}
    checks = [{"type": "expect_column_values_to_be_between", "kwargs": suite}]
    (made.folder / "incoming.json").write_text(json.dumps({"expectations": checks}), "utf-8")
    return made


def _config(shop: Shop, **changes: Any) -> Path:
    options = {"url": f"jdbc:x://h?p={CANARY}", "header": CANARY}
    return shop.config("planted.yaml", **{**NAMES, "tables__incoming__options": options, **changes})


def _left_by_runs(folder: Path) -> str:
    """Return the paths of all files below the outputs, and all text but the rows of the tables."""
    texts = []
    for path in sorted((folder / "out").rglob("*")):
        texts.append(str(path.relative_to(folder)))
        is_of_rows = {"scored", "quarantine"} & set(path.parts)
        if not path.is_file() or path.suffix == ".crc" or is_of_rows:
            continue
        if path.suffix == ".parquet":
            texts.append(str(pq.read_table(path).to_pylist()))
        else:  # Data Docs bring pictures and fonts, which are no text
            texts.append(path.read_text("utf-8", errors="replace"))
    assert len(texts) > 10
    return "\n".join(texts)


def _leaks(text: str) -> list[str]:
    signs = (CANARY, "7041.17", "7,041", "-7041")
    return [line[:300] for line in text.splitlines() if any(sign in line for sign in signs)]


def test_runs_leave_no_value_of_a_row_or_of_an_option(
    planted: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Records, reports, bundles, Data Docs and messages of successful runs, and of refused ones."""
    config = _config(planted)
    assert planted.run("train", config) == 0
    assert planted.run("score", config) == 0
    assert set(planted.manifest()["decisions"]) == {APPROVE, DECLINE}
    docs = ["--docs", str(planted.folder / "out" / "docs")]
    assert planted.run("check", config, *docs) == 3
    for changes, code in _failures(planted):
        assert planted.run("score", _config(planted, **changes)) == code, changes
    many_labels = history(60).assign(outcome=[f"{CANARY}{i}" for i in range(60)])
    location = planted.table("names", many_labels)
    assert planted.run("weights", _config(planted, tables__labelled__location=location)) == 4
    _require_no_leaks(planted.folder, capfd.readouterr())


def _require_no_leaks(folder: Path, said: CaptureResult[str]) -> None:
    """Refuse a canary in what a run has printed, logged or left."""
    assert _leaks(said.out) == []
    # Spark logs errors in tests, where the command line's settings let it log none.
    assert _leaks("\n".join(line for line in said.err.splitlines() if "sparkweights" in line)) == []
    assert _leaks(_left_by_runs(folder)) == []


@pytest.mark.slow
def test_explanations_and_runs_into_the_catalog_leave_no_value_of_a_row(
    planted: Shop, spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    """Records of groups and importances; messages about catalog tables that refuse rows."""
    spark.sql("create database canaries")
    columns = "`loan id` int, run_date date"  # the incoming key is text
    spark.sql(f"create table canaries.narrow ({columns}) partitioned by (run_date)")
    tables = {f"tables__{name}": {"format": "table", "location": f"canaries.{name}"}
              for name in ("scored", "quarantine")}  # fmt: skip
    narrow = {**tables, "tables__scored": {"format": "table", "location": "canaries.narrow"}}
    try:
        assert planted.run("train", _config(planted)) == 0
        for verb in ("evaluate", "monitor"):
            assert planted.run(verb, _config(planted, **GROUPS)) == 0, verb
        assert planted.run("explain", _config(planted)) == 0
        assert planted.run("score", _config(planted, **tables)) == 0
        assert planted.run("score", _config(planted, **narrow)) == 4
    finally:
        spark.sql("drop database canaries cascade")
    _require_no_leaks(planted.folder, capfd.readouterr())


def _failures(shop: Shop) -> list[tuple[dict[str, Any], int]]:
    """Return changes of the configuration, each with the exit code of its refusal."""
    data = shop.folder / "data"
    for name in ("json", "csv", "torn"):
        (data / name).mkdir()
    (data / "json" / "a.json").write_text(
        json.dumps({"loan id": CANARY, "in.come": CANARY, "amount": NUMBER}), "utf-8"
    )
    (data / "csv" / "a.csv").write_text(f"7,{CANARY},{CANARY},1,gold\n", "utf-8")
    page = history(400, seed=5).drop(columns="outcome").assign(name=CANARY)
    torn = shop.folder / shop.table("torn", page) / "part-0.parquet"
    content = bytearray(torn.read_bytes())
    content[40:400] = bytes(360)
    torn.write_bytes(bytes(content))
    table = {"format": "json", "location": "data/json", "schema": SCHEMA}
    bad_format = {"format": "csv", "location": "data/csv", "options": {"dateFormat": CANARY}}
    return [
        ({"tables__incoming": table}, 4),
        ({"tables__incoming": {**table, "format": "csv", "location": "data/csv"}}, 4),
        ({"tables__incoming": {**bad_format, "schema": "`loan id` date"}}, 4),
        ({"tables__incoming__location": f"none://key:{CANARY}@lake/rows?sig={CANARY}"}, 4),
        ({"tables__incoming__location": "data/torn"}, 4),
        ({"tables__incoming__location": {"password": CANARY}}, 2),
        ({"checks__max_quarantined": 0}, 3),
    ]
