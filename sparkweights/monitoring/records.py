"""The records of evaluating and of monitoring a model, from the stages' results."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkweights.core.versions import versions
from sparkweights.monitoring.evaluate import summarise_segments
from sparkweights.records import EvaluationRecord, MonitoringRecord
from sparkweights.records.fairness import FairnessSummary
from sparkweights.records.runs import ClassCalibration, LabelShiftSummary, MonitoringLimits
from sparkweights.spec.settings import Fairness
from sparkweights.training.evaluate import summarise_evaluation

if TYPE_CHECKING:
    from datetime import date

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.monitoring.evaluate import EvaluationResult
    from sparkweights.monitoring.fairness import FairnessResult
    from sparkweights.monitoring.monitor import MonitoringResult
    from sparkweights.spec.scoring import EvaluationSpec, MonitoringSpec


def evaluation_record(
    name: str, spec: EvaluationSpec, bundle: ModelBundle, result: EvaluationResult
) -> EvaluationRecord:
    """Return the evaluate stage's record."""
    return EvaluationRecord(
        name=name,
        model_version=bundle.version,
        model=bundle.manifest.model,
        evaluation=summarise_evaluation(result.overall, spec.problem.matrix, spec.cost_tolerance),
        segments=summarise_segments(result, spec.evaluate),
        min_rows=spec.evaluate.min_rows,
        fairness=_fairness(result.fairness, spec.fairness),
        costs=spec.problem.matrix.to_dict(),
        versions=versions(),
    )


def monitoring_record(
    name: str,
    spec: MonitoringSpec,
    bundle: ModelBundle,
    result: MonitoringResult,
    role: str,
    run_date: date,
) -> MonitoringRecord:
    """Return the monitor stage's record."""
    return MonitoringRecord(
        name=name,
        run_date=run_date.isoformat(),
        table=role,
        model_version=bundle.version,
        rows=result.rows,
        drift=result.drift(spec.monitor.psi),
        scores={name: stability.index for name, stability in result.scores.items()},
        score_p_values={name: stability.p_value for name, stability in result.scores.items()},
        label_shift=LabelShiftSummary.from_dict(result.shift.to_dict()),
        calibration={
            name: ClassCalibration(**asdict(stability))
            for name, stability in result.calibration.items()
        },
        diagnosis=result.diagnosis,
        overrides=result.overrides,
        quarantined=result.quarantined,
        fairness=_fairness(result.fairness, spec.fairness),
        limits=MonitoringLimits(
            **spec.monitor.model_dump(), quarantined=spec.scoring.checks.max_quarantined
        ),
        exceeded=result.exceeded,
        versions=versions(),
    )


def _fairness(result: FairnessResult | None, settings: Fairness | None) -> FairnessSummary | None:
    if result is None:
        return None
    return FairnessSummary.from_dict(result.to_dict(settings or Fairness()))
