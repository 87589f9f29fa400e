"""Records: what is written can be read, by this release and of the one before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sparkweights.core.errors import InputError, ModelError
from sparkweights.quality.suite import CheckReport, CheckResult
from sparkweights.records import (
    BacktestRecord,
    CheckRecord,
    EvaluationRecord,
    ImportanceRecord,
    MonitoringRecord,
    Record,
    RunRecord,
    TrainingRecord,
    TuningRecord,
    WeightsRecord,
)
from sparkweights.records.base import stated_text
from sparkweights.records.store import FolderRunStore
from sparkweights.report import pages_of
from sparkweights.report.notebook import StageResult
from sparkweights.scoring.record import check_record
from sparkweights.storage.files import as_json
from sparkweights.storage.location import Location

GOLDEN = Path(__file__).parents[1] / "golden"
# Written by the release before records had a version; curves are thinned to five points, and
# paths are relative.
BEFORE = GOLDEN / "before"
(BUNDLE,) = (BEFORE / "models").glob("*/manifest.json")
OF_BEFORE: list[tuple[type[Record], Path]] = [
    (WeightsRecord, BEFORE / "weights.json"),
    (TrainingRecord, BUNDLE),
    (TuningRecord, BEFORE / "tuning.json"),
    (ImportanceRecord, BEFORE / "importance.json"),
    (EvaluationRecord, BEFORE / "evaluation.json"),
    (BacktestRecord, BEFORE / "backtest.json"),
    (RunRecord, BEFORE / "run.json"),
    (MonitoringRecord, BEFORE / "monitoring.json"),
]
# By hand from older releases yet: parts that they did not have are missing.
OLDER: list[tuple[type[Record], Path]] = [
    (TrainingRecord, GOLDEN / "model_manifest.json"),
    (RunRecord, GOLDEN / "run_manifest.json"),
    (TuningRecord, GOLDEN / "tuning_record.json"),
    (ImportanceRecord, GOLDEN / "importance_record.json"),
]


def stated(path: Path) -> dict[str, Any]:
    """Return what a file states."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def without_version(value: Any) -> Any:
    """Return a record as it was before records had a version."""
    if isinstance(value, dict):
        return {k: without_version(v) for k, v in value.items() if k != "record_version"}
    return [without_version(own) for own in value] if isinstance(value, list) else value


def read(path: Path, kind: type[Record]) -> Any:
    """Return the record of a file."""
    return kind.from_dict(stated(path))


@pytest.mark.parametrize(("kind", "path"), OF_BEFORE, ids=lambda own: getattr(own, "stem", ""))
def test_record_of_the_release_before_loads_and_loses_nothing(
    kind: type[Record], path: Path
) -> None:
    """What is written of it anew has its keys in the same order, and the same values.

    Keys that came later say that nothing is known.
    """
    written, before = read(path, kind).to_dict(), stated(path)
    assert written["record_version"] == 1
    later = set(without_version(written)) - set(before)
    assert later <= {"missing_shifts", "left_out"}
    assert not any(written.pop(name) for name in later)
    assert json.dumps(without_version(written)) == json.dumps(before)


@pytest.mark.parametrize(
    ("kind", "path"), [*OF_BEFORE, *OLDER], ids=lambda own: getattr(own, "stem", "")
)
def test_record_is_read_as_it_was_written(kind: type[Record], path: Path) -> None:
    """From its plain values, and from its file."""
    record = read(path, kind)
    assert kind.from_dict(record.to_dict()) == record
    assert kind.from_dict(json.loads(as_json(record.to_dict()))) == record


def test_check_record_is_read_as_it_was_written() -> None:
    """A suite's verdict, with a result that was counted and one that was not."""
    results = (
        CheckResult(
            "a", "expect_column_values_to_be_between", "income", "critical", success=False,
            elements=9, unexpected=2,
        ),
        CheckResult(
            "b", "expect_table_row_count_to_be_between", None, "info", success=True, observed=9.0
        ),
    )  # fmt: skip
    report = CheckReport("incoming", "3f1d", "incoming", success=False, results=results)
    record = check_record(report)
    assert CheckRecord.from_dict(json.loads(as_json(record.to_dict()))) == record
    assert [own.subject for own in record.failed] == ["income: be between"]


@pytest.mark.parametrize("version", [2, 0, "1", None])
@pytest.mark.parametrize(("kind", "path"), OF_BEFORE, ids=lambda own: getattr(own, "stem", ""))
def test_record_of_an_unknown_version_is_refused(
    kind: type[Record], path: Path, version: object
) -> None:
    """The version that is there, the one that can be read, and the next step."""
    refusal = ModelError if kind is TrainingRecord else InputError
    with pytest.raises(refusal, match=f"is of version {version!r}; this release reads version 1"):
        kind.from_dict({**stated(path), "record_version": version})


def test_record_that_lacks_a_value_is_refused_by_its_place() -> None:
    """The place within the record, not only that something is wrong."""
    run = stated(BEFORE / "run.json")
    del run["rows"]["scored"]
    with pytest.raises(InputError, match=r"RunRecord cannot be read: rows\.scored: Field required"):
        RunRecord.from_dict(run)
    manifest = stated(BUNDLE)
    manifest["evaluation"]["classes"]["repaid"]["auc"] = "high"
    with pytest.raises(ModelError, match=r"evaluation\.classes\.repaid\.auc.*valid number"):
        TrainingRecord.from_dict(manifest)


def test_record_holds_none_where_no_number_is_determined() -> None:
    """NaN and infinity are null in JSON; the record says so before it is written."""
    trial = read(BEFORE / "tuning.json", TuningRecord).trials[0]
    found = replace(trial, savings=float("nan"), interval=(float("-inf"), 3.0))
    assert (found.savings, found.interval) == (None, (None, 3.0))


def test_stated_name_of_what_is_no_record_is_none() -> None:
    """Who asks whose a file is must not fail over it."""
    assert stated_text((BEFORE / "run.json").read_text(encoding="utf-8"), "name") == "small_lender"
    assert [stated_text(text, "name") for text in ("", "[1]", "{}", '{"name": null}')] == [None] * 4


@pytest.mark.parametrize(("kind", "path"), OF_BEFORE, ids=lambda own: getattr(own, "stem", ""))
def test_result_shows_its_records_key_section_in_a_notebook(kind: type[Record], path: Path) -> None:
    """A title and a sentence, for every stage; nothing that runs."""
    html = StageResult(None, read(path, kind))._repr_html_()
    assert html.count("<p><strong>") == 1
    assert "<script" not in html


def places(folder: Path) -> set[str]:
    """Return the files of a folder, however deep."""
    return {str(own.relative_to(folder)) for own in folder.rglob("*") if own.is_file()}


def test_store_keeps_each_record_where_people_look_for_it(tmp_path: Path) -> None:
    """Records, their tables and their pages: the layout that the docs state."""
    models, runs = Location.of(tmp_path / "models"), Location.of(tmp_path / "runs")
    store = FolderRunStore(models, runs, pages_of)
    version = BUNDLE.parent.name
    for kind, path in OF_BEFORE:
        if kind is not TrainingRecord:
            store.write(read(path, kind))
    assert places(tmp_path) == {
        "models/weights/weights.json", "models/weights/weights.parquet",
        "models/tuning/tuning.json", "models/tuning/tuning.parquet", "models/tuning/curve.svg",
        "models/tuning/report.html", "models/backtest/backtest.json",
        "models/backtest/report.html", f"models/importance/{version}/importance.json",
        f"models/importance/{version}/importance.parquet",
        f"models/importance/{version}/report.html", f"models/evaluation/{version}/evaluation.json",
        f"models/evaluation/{version}/report.html", "runs/run_date=2026-03-01/manifest.json",
        "runs/run_date=2026-03-01/report.html", "runs/run_date=2026-03-01/monitor.json",
        "runs/run_date=2026-03-01/monitor.html",
    }  # fmt: skip
    assert store.run_name(date(2026, 3, 1)) == "small_lender"
    assert store.run_name(date(2026, 3, 2)) is None


def test_store_pending_manifest_gives_way_to_the_record_and_no_page_costs_the_record(
    tmp_path: Path,
) -> None:
    """Before: the pending one. After: the record, also where its page cannot be drawn."""

    def broken(_: Record) -> dict[str, str]:
        raise RuntimeError("no fonts")

    place, record = Location.of(tmp_path), read(BEFORE / "run.json", RunRecord)
    store = FolderRunStore(place, place, broken)
    store.prepare_run(date(2026, 3, 1))
    store.write_pending_manifest(record)
    folder = tmp_path / "run_date=2026-03-01"
    assert places(folder) == {"manifest.pending.json"}
    assert store.interrupted_run(date(2026, 3, 1)) == record.run_id
    assert not store.is_complete(date(2026, 3, 1))
    with pytest.raises(RuntimeError):
        store.write(record)
    assert places(folder) == {"manifest.json"}
    assert store.interrupted_run(date(2026, 3, 1)) is None
    assert [store.is_complete(date(2026, 3, day)) for day in (1, 2)] == [True, False]
    assert read(folder / "manifest.json", RunRecord) == record
