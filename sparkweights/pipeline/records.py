"""The records a run leaves, as plain values for JSON."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pyspark

import sparkweights
from sparkweights.config.sections import Weights
from sparkweights.models import learner
from sparkweights.pipeline.admitting import feature_kinds
from sparkweights.pipeline.evaluating import evaluation_record
from sparkweights.pipeline.fairness import fairness_settings
from sparkweights.pipeline.judging import segment_records
from sparkweights.pipeline.preparing import split_record
from sparkweights.pipeline.recording import MANIFEST

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

    from pyspark.sql.types import StructType

    from sparkweights.config import Config
    from sparkweights.decision import Choice
    from sparkweights.pipeline.backtest import Backtest
    from sparkweights.pipeline.champion import Contest
    from sparkweights.pipeline.counting import Counted
    from sparkweights.pipeline.deciding import Adapted, Stamp
    from sparkweights.pipeline.explaining import Explanation
    from sparkweights.pipeline.judging import Judged
    from sparkweights.pipeline.monitoring import Monitored
    from sparkweights.pipeline.preparing import Weighed
    from sparkweights.pipeline.scoring import Scorer
    from sparkweights.pipeline.training import Trained
    from sparkweights.pipeline.tuning import Tuning
    from sparkweights.quality import CheckReport
    from sparkweights.storage import ModelBundle
    from sparkweights.trials import Trial

_XGBOOST = ("xgboost", "xgboost-cpu")  # whichever brought the library
COST_NOTE = "in the money of the table's cost columns"


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {
        "sparkweights": sparkweights.__version__,
        "spark": pyspark.__version__,
        "python": platform.python_version(),
    }
    for name in ("great-expectations", "numpy", "pandas", "pyarrow", "scikit-learn", *_XGBOOST):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def digest(*parts: object) -> str:
    """Return twelve hex digits that stand for plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_id(config: Config, run_date: date, model_version: str) -> str:
    """Return the run's id: the same settings, date and model give the same one."""
    return f"{run_date.isoformat()}-{digest(config.fingerprint(), model_version)}"


def model_version(config: Config, now: datetime) -> str:
    """Return a version that sorts by time and tells settings apart."""
    return f"{now:%Y%m%dT%H%M%S}-{digest(config.fingerprint(), now.isoformat())}"


def weights_record(config: Config, weighed: Weighed) -> dict[str, Any]:
    """Return the weights stage's record."""
    weighting = weighed.weighting
    effect = weighting.diagnostics
    classes = [
        {
            "class": frequency.name,
            "rows": frequency.rows,
            "weight_sum": frequency.weight_sum,
            "weight_square_sum": frequency.weight_square_sum,
            "prior": effect.share_before[c],
            "share_of_risk": effect.share_after[c],
            "share_aimed": effect.share_aimed[c],
            "mean_weight": effect.share_after[c] / effect.share_before[c],
        }
        for c, frequency in enumerate(weighting.frequencies)
    ]
    return {
        "name": config.name,
        "rows": weighed.summary.rows,
        "classes": classes,
        "rule": weighting.rule.to_dict(),
        "diagnostics": {
            "kish_ess": effect.kish_ess,
            "design_effect": effect.design_effect,
            "imbalance_ratio": effect.imbalance_ratio,
            "gradient_variance": effect.gradient_variance,
            "mean_weight": effect.mean_weight,
            "smallest_weight": effect.smallest_weight,
            "largest_weight": effect.largest_weight,
        },
        "always_best_decision": weighed.summary.always_best,
        "versions": versions(),
    }


def model_manifest(
    config: Config,
    schema: StructType,
    weighed: Weighed,
    trained: Trained,
    contest: Contest,
    now: datetime,
) -> dict[str, Any]:
    """Return the manifest of a model bundle, without its files."""
    scorer, finished = trained.scorer, trained.finished
    choice = trained.learner_choice
    params = config.model.params if choice is None else choice.params
    return {
        "name": config.name,
        "trained_at": now.isoformat(),
        "versions": versions(),
        "model": {
            "kind": scorer.kind,
            "params": learner(scorer.kind).resolve(params),
            "seed": config.seed,
            "monotone": dict(config.model.monotone),
            "interactions": [list(group) for group in config.model.interactions],
            "choice": None if choice is None else choice.to_dict(),
        },
        "classes": list(scorer.classes),
        "schema": feature_kinds(schema, config),
        "features": scorer.plan.to_dict(),
        "feature_names": list(scorer.plan.names),
        "sensitive": list(config.roles.sensitive),
        "ledger": scorer.ledger.to_dict(),
        "reference": list(trained.reference),
        "typical": dict(trained.typical),
        "calibration": _calibration_record(scorer, finished.calibration),
        "resampling": None if trained.resampling is None else trained.resampling.to_dict(),
        "pruning": None if finished.pruning is None else finished.pruning.to_dict(),
        "stopping": None if finished.stopping is None else finished.stopping.to_dict(),
        "split": split_record(trained.split, trained.rows, schema, config),
        "refit": trained.refit.to_dict(),
        "held_out": [held_out_record(one, scorer) for one in trained.held_out],
        "costs": config.matrix.to_dict(),
        "weights": weights_record(config, weighed),
        "evaluation": evaluation_record(
            trained.evaluation, config.matrix, config.decision.cost_tolerance
        ),
        "contest": contest.to_dict(),
        "config": config.fingerprint(),
    }


def held_out_record(held_out: Scorer, published: Scorer) -> dict[str, Any]:
    """Return what tells a model that was evaluated from the published one."""
    return {
        "calibration": None if held_out.calibrator is None else held_out.calibrator.to_dict(),
        "features": None if held_out.plan == published.plan else held_out.plan.to_dict(),
    }


def _calibration_record(scorer: Scorer, choice: Choice | None) -> dict[str, Any] | None:
    """Return the calibration's numbers, why it is that one, and what it rests on."""
    if scorer.calibrator is None:
        return None
    return scorer.calibrator.to_dict() | ({} if choice is None else choice.to_dict())


def tuning_record(config: Config, tuning: Tuning) -> dict[str, Any]:
    """Return the tuning stage's record, with the lines to put into the configuration."""
    verdict, constant = tuning.verdict, tuning.constant_cost
    trials = [
        {
            **trial_record(trial, constant),
            "difference": apart.cost,
            "difference_error": apart.error,
        }
        for trial, apart in zip(tuning.trials, verdict.differences, strict=True)
    ]
    effect = verdict.effect
    return {
        "name": config.name,
        "model": {
            "kind": config.model.kind,
            "params": learner(config.model.kind).resolve(config.model.params),
        },
        "rows": tuning.rows,
        "folds": {
            "number": config.tune.folds,
            "by": config.split.by or list(config.tune.group) or "class",
        },
        "constant_cost": constant,
        "references": tuning.references,
        "trials": trials,
        "best": trials[tuning.trials.index(verdict.best)],
        "chosen": trials[tuning.trials.index(verdict.chosen)],
        "effect": None if effect is None else asdict(effect),
        "settings": _chosen_settings(config, tuning),
        "versions": versions(),
    }


def trial_record(trial: Trial, constant_cost: float) -> dict[str, Any]:
    """Return what one candidate cost, and saved against the best constant decision."""
    return {
        "ratio": trial.settings.ratio,
        "params": dict(trial.settings.params),
        "cost": trial.cost,
        "standard_error": trial.standard_error,
        "interval": list(trial.interval),
        "savings": 1 - trial.cost / constant_cost if constant_cost > 0 else 0.0,
        "fold_costs": list(trial.costs),
    }


def _chosen_settings(config: Config, tuning: Tuning) -> dict[str, Any]:
    """Return the chosen settings as sections of the configuration."""
    weights = config.weights.model_dump(mode="json", exclude_defaults=True)
    if tuning.weights is not None:
        largest = max(tuning.weights.values()) / min(tuning.weights.values())
        cap = {"cap": math.ceil(largest)} if largest > Weights().cap else {}
        even = largest == 1
        weights = (
            {"scheme": "none"}
            if even
            else {"scheme": "manual", "manual": dict(tuning.weights), **cap}
        )
    params = {**config.model.params, **tuning.verdict.chosen.settings.params}
    model = config.model.model_dump(mode="json", exclude_defaults=True)
    model |= {"kind": config.model.kind, "params": params}
    return {"weights": weights, "model": model}


def importance_record(config: Config, version: str, explanation: Explanation) -> dict[str, Any]:
    """Return the explain stage's record."""
    return {
        "name": config.name,
        "model_version": version,
        "rows": explanation.rows,
        "columns": [
            {
                "column": seen.weighted.name,
                "rank": seen.rank,
                "cost": seen.weighted.cost,
                "standard_error": seen.weighted.standard_error,
                "share": seen.weighted.share,
                "unweighted_rank": seen.unweighted_rank,
                "unweighted_cost": seen.unweighted.cost,
                "unweighted_standard_error": seen.unweighted.standard_error,
                "unweighted_share": seen.unweighted.share,
                "rank_change": seen.rank_change,
            }
            for seen in explanation.columns
        ],
        "areas": {
            name: {
                "unweighted": found.before,
                "weighted": found.after,
                "interval": list(found.interval()),
            }
            for name, found in explanation.areas.items()
        },
        "coefficients": explanation.coefficients,
        "versions": versions(),
    }


def evaluate_record(config: Config, bundle: ModelBundle, judged: Judged) -> dict[str, Any]:
    """Return the evaluate stage's record."""
    return {
        "name": config.name,
        "model_version": bundle.version,
        "model": dict(bundle.manifest["model"]),
        "evaluation": evaluation_record(
            judged.overall, config.matrix, config.decision.cost_tolerance
        ),
        "segments": segment_records(judged, config),
        "min_rows": config.evaluate.min_rows,
        "fairness": judged.fairness and judged.fairness.to_dict(fairness_settings(config)),
        "costs": config.matrix.to_dict(),
        "versions": versions(),
    }


def backtest_record(config: Config, found: Backtest) -> dict[str, Any]:
    """Return the backtest's record."""
    return {
        "name": config.name,
        "model": {"kind": config.model.kind, "params": dict(config.model.params)},
        **found.to_dict(),
        "costs": config.matrix.to_dict(),
        "versions": versions(),
    }


def monitor_record(
    config: Config, bundle: ModelBundle, found: Monitored, role: str, run_date: date
) -> dict[str, Any]:
    """Return the monitor stage's record."""
    return {
        "name": config.name,
        "run_date": run_date.isoformat(),
        "table": role,
        "model_version": bundle.version,
        "rows": found.rows,
        "drift": found.drift(config.monitor.psi),
        "scores": {name: own.index for name, own in found.scores.items()},
        "score_p_values": {name: own.p_value for name, own in found.scores.items()},
        "label_shift": found.shift.to_dict(),
        "calibration": {name: asdict(own) for name, own in found.calibration.items()},
        "diagnosis": dict(found.diagnosis),
        "overrides": found.overrides,
        "quarantined": found.quarantined,
        "fairness": found.fairness and found.fairness.to_dict(fairness_settings(config)),
        "limits": {
            **config.monitor.model_dump(),
            "quarantined": config.checks.max_quarantined,
        },
        "exceeded": list(found.exceeded),
        "versions": versions(),
    }


def check_record(report: CheckReport | None) -> dict[str, Any] | None:
    """Return a check report's record; it holds counts, never values."""
    if report is None:
        return None
    return {
        "suite": report.suite,
        "suite_sha": report.suite_sha,
        "table": report.table,
        "success": report.success,
        "results": [asdict(result) for result in report.results],
    }


def record_folder(config: Config, run_date: date) -> Path:
    """Return where a date's records lie."""
    return config.path(config.runs) / f"run_date={run_date}"


def recorded_name(folder: Path) -> str | None:
    """Return the name of the configuration whose run a folder records, or None."""
    try:
        return str(json.loads((folder / MANIFEST).read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_manifest(
    config: Config,
    bundle: ModelBundle,
    stamp: Stamp,
    counts: Counted,
    *,
    adapted: Adapted,
    checks: dict[str, CheckReport | None],
    fingerprints: dict[str, Any],
    durations: dict[str, float],
) -> dict[str, Any]:
    """Return the manifest of a scoring run."""
    return {
        "name": config.name,
        "run_id": stamp.run_id,
        "run_date": stamp.run_date.isoformat(),
        "scored_at": stamp.scored_at.isoformat(),
        "model_version": bundle.version,
        "rows": {
            "incoming": counts.rows,
            "scored": counts.scored,
            "unscorable": counts.unscorable,
            "quarantined": counts.quarantined,
        },
        "decisions": dict(counts.decisions),
        **{name: dict(getattr(counts, name)) for name in ("reasons", "faults", "quarantined_for")},
        "expected_classes": dict(counts.expected_classes),
        "expected_cost": {
            "decisions_taken": counts.expected_cost,
            **{f"always_{name}": cost for name, cost in counts.expected_costs.items()},
        },
        "prior": dict(bundle.ledger.prior),
        "ledger": adapted.scorer.ledger.to_dict(),
        "label_shift": None if adapted.shift is None else adapted.shift.to_dict(),
        "review": None if adapted.cut is None else adapted.cut.to_dict(),
        "costs": config.matrix.to_dict(),
        "checks": {end: check_record(report) for end, report in checks.items()},
        "config": config.fingerprint(),
        "tables": fingerprints,
        "versions": versions(),
        "durations_s": durations,
    }
