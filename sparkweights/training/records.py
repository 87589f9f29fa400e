"""The records of weighing, training, tuning and backtests, as plain values for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sparkweights.core.versions import digest, versions
from sparkweights.models.registry import learner
from sparkweights.scoring.schema_checks import feature_kinds
from sparkweights.spec.settings import Weights
from sparkweights.training.data import split_record
from sparkweights.training.evaluate import evaluation_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql.types import StructType

    from sparkweights.probability.calibration_fit import Choice
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.backtest import Backtest
    from sparkweights.training.champion import Contest
    from sparkweights.training.data import Weighed
    from sparkweights.training.train import Trained
    from sparkweights.training.trials import Trial
    from sparkweights.training.tune import Tuning


def model_version(settings: Mapping[str, Any], now: datetime) -> str:
    """Return a version that sorts by time and tells settings apart."""
    return f"{now:%Y%m%dT%H%M%S}-{digest(settings, now.isoformat())}"


def weights_record(name: str, weighed: Weighed) -> dict[str, Any]:
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
        "name": name,
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
    name: str,
    spec: TrainingSpec,
    schema: StructType,
    weighed: Weighed,
    trained: Trained,
    contest: Contest,
    *,
    now: datetime,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a model bundle, without its files.

    Parameters
    ----------
    settings
        Of the configuration that was trained by, for whoever reads the manifest later.
    """
    scorer, finished = trained.scorer, trained.finished
    choice = trained.learner_choice
    params = spec.model.params if choice is None else choice.params
    return {
        "name": name,
        "trained_at": now.isoformat(),
        "versions": versions(),
        "model": {
            "kind": scorer.kind,
            "params": learner(scorer.kind).resolve(params),
            "seed": spec.seed,
            "monotone": dict(spec.model.monotone),
            "interactions": [list(group) for group in spec.model.interactions],
            "choice": None if choice is None else choice.to_dict(),
        },
        "classes": list(scorer.classes),
        "schema": feature_kinds(schema, spec.problem.roles),
        "features": scorer.plan.to_dict(),
        "feature_names": list(scorer.plan.names),
        "sensitive": list(spec.problem.roles.sensitive),
        "ledger": scorer.ledger.to_dict(),
        "reference": list(trained.reference),
        "typical": dict(trained.typical),
        "calibration": _calibration_record(scorer, finished.calibration),
        "resampling": None if trained.resampling is None else trained.resampling.to_dict(),
        "pruning": None if finished.pruning is None else finished.pruning.to_dict(),
        "stopping": None if finished.stopping is None else finished.stopping.to_dict(),
        "split": split_record(trained.split, trained.rows, schema, spec),
        "refit": trained.refit.to_dict(),
        "held_out": [held_out_record(one, scorer) for one in trained.held_out],
        "costs": spec.problem.matrix.to_dict(),
        "weights": weights_record(name, weighed),
        "evaluation": evaluation_record(
            trained.evaluation, spec.problem.matrix, spec.cost_tolerance
        ),
        "contest": contest.to_dict(),
        "spec": spec.to_dict(),
        "config": dict(settings),
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


def tuning_record(name: str, spec: TrainingSpec, tuning: Tuning) -> dict[str, Any]:
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
        "name": name,
        "model": {
            "kind": spec.model.kind,
            "params": learner(spec.model.kind).resolve(spec.model.params),
        },
        "rows": tuning.rows,
        "folds": {
            "number": spec.tune.folds,
            "by": spec.split.by or list(spec.tune.group) or "class",
        },
        "constant_cost": constant,
        "references": tuning.references,
        "trials": trials,
        "best": trials[tuning.trials.index(verdict.best)],
        "chosen": trials[tuning.trials.index(verdict.chosen)],
        "effect": None if effect is None else asdict(effect),
        "settings": _chosen_settings(spec, tuning),
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


def _chosen_settings(spec: TrainingSpec, tuning: Tuning) -> dict[str, Any]:
    """Return the chosen settings as sections of the configuration."""
    weights = spec.weights.model_dump(mode="json", exclude_defaults=True)
    if tuning.weights is not None:
        largest = max(tuning.weights.values()) / min(tuning.weights.values())
        cap = {"cap": math.ceil(largest)} if largest > Weights().cap else {}
        even = largest == 1
        weights = (
            {"scheme": "none"}
            if even
            else {"scheme": "manual", "manual": dict(tuning.weights), **cap}
        )
    params = {**spec.model.params, **tuning.verdict.chosen.settings.params}
    model = spec.model.model_dump(mode="json", exclude_defaults=True)
    model |= {"kind": spec.model.kind, "params": params}
    return {"weights": weights, "model": model}


def backtest_record(name: str, spec: TrainingSpec, found: Backtest) -> dict[str, Any]:
    """Return the backtest's record."""
    return {
        "name": name,
        "model": {"kind": spec.model.kind, "params": dict(spec.model.params)},
        **found.to_dict(),
        "costs": spec.problem.matrix.to_dict(),
        "versions": versions(),
    }
