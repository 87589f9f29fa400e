"""The rich display of results in a notebook: a record's key section as HTML for a cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Generic, TypeVar

from sparkweights.core.extras import REPORT
from sparkweights.records import (
    BacktestRecord,
    DistillationRecord,
    EvaluationRecord,
    ImportanceRecord,
    MonitoringRecord,
    RunRecord,
    TrainingRecord,
    TuningRecord,
    WeightsRecord,
)
from sparkweights.records.base import Part
from sparkweights.records.evaluation import EvaluationSummary
from sparkweights.report.backtest_report import origins_section
from sparkweights.report.distillation_report import student_cost_section
from sparkweights.report.evaluation_sections import decision_cost_section, scored_table_sections
from sparkweights.report.model_report import balance_section
from sparkweights.report.population_sections import drift_sections
from sparkweights.report.run_report import decisions_section
from sparkweights.report.study_sections import importance_section, tuning_section

if TYPE_CHECKING:
    from sparkweights.report.page import Section

RecordT = TypeVar("RecordT", bound=Part)
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class StageResult(Generic[ValueT, RecordT]):
    """The result of a stage: the values for later stages, and its record.

    A notebook shows the record's key charts.

    Attributes
    ----------
    value
        The stage's own result.
    record
        The stage's record, as written.
    """

    value: ValueT
    record: RecordT

    def _repr_html_(self) -> str:
        if not REPORT.is_installed:
            return f"<p>{REPORT.refusal('Charts need')}</p>"
        from sparkweights.report.rendering import fragment  # noqa: PLC0415 (optional libraries)

        return "".join(map(fragment, key_sections(self.record)))


@singledispatch
def key_sections(record: Part) -> list[Section]:  # noqa: ARG001 (chooses the function below)
    """Return the sections that a notebook shows of a record."""
    return []


@key_sections.register(TrainingRecord)
@key_sections.register(EvaluationRecord)
def _(record: TrainingRecord | EvaluationRecord) -> list[Section]:
    return [decision_cost_section(record.evaluation)]


@key_sections.register(DistillationRecord)
def _(record: DistillationRecord) -> list[Section]:
    return [student_cost_section(record)]


@key_sections.register(EvaluationSummary)
def _(record: EvaluationSummary) -> list[Section]:
    return scored_table_sections(record)


@key_sections.register(RunRecord)
def _(record: RunRecord) -> list[Section]:
    return [decisions_section(record.decisions)]


@key_sections.register(MonitoringRecord)
def _(record: MonitoringRecord) -> list[Section]:
    return drift_sections(record.drift)


@key_sections.register(WeightsRecord)
def _(record: WeightsRecord) -> list[Section]:
    return [balance_section(record)]


@key_sections.register(TuningRecord)
def _(record: TuningRecord) -> list[Section]:
    return [tuning_section(record)]


@key_sections.register(ImportanceRecord)
def _(record: ImportanceRecord) -> list[Section]:
    return [importance_section(record)]


@key_sections.register(BacktestRecord)
def _(record: BacktestRecord) -> list[Section]:
    return [origins_section(record)]
