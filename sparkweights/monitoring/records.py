"""The records of evaluating and of monitoring a model, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sparkweights.core.versions import versions
from sparkweights.monitoring.evaluate import segment_records
from sparkweights.spec.settings import Fairness
from sparkweights.training.evaluate import evaluation_record

if TYPE_CHECKING:
    from datetime import date

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.monitoring.evaluate import Judged
    from sparkweights.monitoring.monitor import Monitored
    from sparkweights.spec.scoring import EvaluationSpec, MonitoringSpec


def evaluate_record(
    name: str, spec: EvaluationSpec, bundle: ModelBundle, judged: Judged
) -> dict[str, Any]:
    """Return the evaluate stage's record."""
    return {
        "name": name,
        "model_version": bundle.version,
        "model": dict(bundle.manifest["model"]),
        "evaluation": evaluation_record(judged.overall, spec.problem.matrix, spec.cost_tolerance),
        "segments": segment_records(judged, spec.evaluate),
        "min_rows": spec.evaluate.min_rows,
        "fairness": judged.fairness and judged.fairness.to_dict(spec.fairness or Fairness()),
        "costs": spec.problem.matrix.to_dict(),
        "versions": versions(),
    }


def monitor_record(
    name: str,
    spec: MonitoringSpec,
    bundle: ModelBundle,
    found: Monitored,
    role: str,
    run_date: date,
) -> dict[str, Any]:
    """Return the monitor stage's record."""
    return {
        "name": name,
        "run_date": run_date.isoformat(),
        "table": role,
        "model_version": bundle.version,
        "rows": found.rows,
        "drift": found.drift(spec.monitor.psi),
        "scores": {name: own.index for name, own in found.scores.items()},
        "score_p_values": {name: own.p_value for name, own in found.scores.items()},
        "label_shift": found.shift.to_dict(),
        "calibration": {name: asdict(own) for name, own in found.calibration.items()},
        "diagnosis": dict(found.diagnosis),
        "overrides": found.overrides,
        "quarantined": found.quarantined,
        "fairness": found.fairness and found.fairness.to_dict(spec.fairness or Fairness()),
        "limits": {
            **spec.monitor.model_dump(),
            "quarantined": spec.scoring.checks.max_quarantined,
        },
        "exceeded": list(found.exceeded),
        "versions": versions(),
    }
