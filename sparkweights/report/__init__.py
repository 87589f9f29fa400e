"""Reports: pages and figures from records; no module here reads rows."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from sparkweights.core.extras import REPORT
from sparkweights.records import (
    BacktestRecord,
    DistillationRecord,
    EvaluationRecord,
    ImportanceRecord,
    MonitoringRecord,
    RunRecord,
    StreamRecord,
    TrainingRecord,
    TuningRecord,
)
from sparkweights.report.backtest_report import backtest_report
from sparkweights.report.distillation_report import distillation_report
from sparkweights.report.evaluation_report import evaluation_report
from sparkweights.report.model_report import model_report
from sparkweights.report.monitor_report import monitor_report
from sparkweights.report.notebook import StageResult
from sparkweights.report.run_report import run_report
from sparkweights.report.stream_report import stream_report
from sparkweights.report.study_reports import explain_report, tuning_figure, tuning_report

if TYPE_CHECKING:
    from sparkweights.records import Record

__all__ = ["StageResult", "pages_of"]


def pages_of(record: Record) -> dict[str, str]:
    """Return the pages and figures of a record: file name -> HTML or SVG.

    There are none where the libraries of reports are not installed: a job may do without.
    """
    return _pages(record) if REPORT.is_installed else {}


@singledispatch
def _pages(record: Record) -> dict[str, str]:  # noqa: ARG001 (chooses the function below)
    return {}


@_pages.register(TrainingRecord)
def _(record: TrainingRecord) -> dict[str, str]:
    return {"report.html": model_report(record)}


@_pages.register(RunRecord)
def _(record: RunRecord) -> dict[str, str]:
    return {"report.html": run_report(record)}


@_pages.register(MonitoringRecord)
def _(record: MonitoringRecord) -> dict[str, str]:
    return {"monitor.html": monitor_report(record)}


@_pages.register(EvaluationRecord)
def _(record: EvaluationRecord) -> dict[str, str]:
    return {"report.html": evaluation_report(record)}


@_pages.register(DistillationRecord)
def _(record: DistillationRecord) -> dict[str, str]:
    return {"report.html": distillation_report(record)}


@_pages.register(ImportanceRecord)
def _(record: ImportanceRecord) -> dict[str, str]:
    return {"report.html": explain_report(record)}


@_pages.register(BacktestRecord)
def _(record: BacktestRecord) -> dict[str, str]:
    return {"report.html": backtest_report(record)}


@_pages.register(TuningRecord)
def _(record: TuningRecord) -> dict[str, str]:
    return {"curve.svg": tuning_figure(record), "report.html": tuning_report(record)}


@_pages.register(StreamRecord)
def _(record: StreamRecord) -> dict[str, str]:
    return {"report.html": stream_report(record)}
