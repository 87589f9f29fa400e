"""The records of weighting, training, tuning and backtests, from the stages' results."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkweights.core.versions import digest, versions
from sparkweights.evaluation.fairness import MIN_NAMED, OTHERS
from sparkweights.models.registry import declaration
from sparkweights.records import (
    BacktestRecord,
    DistillationRecord,
    TrainingRecord,
    TuningRecord,
    WeightsRecord,
)
from sparkweights.records.distillation import FidelitySummary, SegmentFidelity
from sparkweights.records.learner import LearnerSummary, ModelSummary, RoundSummary
from sparkweights.records.studies import (
    OriginClass,
    OriginSummary,
    TrendSummary,
    TrialSummary,
    TuningFolds,
)
from sparkweights.records.training import (
    CalibrationSummary,
    CalibratorSummary,
    ComparisonCosts,
    HeldOutSummary,
    ResamplingSummary,
    SelectionSummary,
    TeacherSummary,
)
from sparkweights.records.weights import (
    ClassWeight,
    LedgerSummary,
    WeightDiagnostics,
    WeightRuleSummary,
)
from sparkweights.scoring.schema_checks import feature_kinds
from sparkweights.spec.settings import Weights
from sparkweights.training.data import summarise_split
from sparkweights.training.evaluate import summarise_evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pyspark.sql.types import StructType

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.evaluation.fidelity import Fidelity
    from sparkweights.evaluation.selection import Selection
    from sparkweights.evaluation.trend import Trend
    from sparkweights.probability.calibration_fit import Choice
    from sparkweights.records.training import ChampionComparison
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.settings import Distill, Evaluate
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.backtest import Backtest, Origin
    from sparkweights.training.data import WeightingResult
    from sparkweights.training.distill import Distillation
    from sparkweights.training.train import TrainingResult
    from sparkweights.training.trials import Difference, Trial
    from sparkweights.training.tune import Tuning


def model_version(settings: Mapping[str, object], now: datetime) -> str:
    """Return a version that sorts by time and differs between settings."""
    return f"{now:%Y%m%dT%H%M%S}-{digest(settings, now.isoformat())}"


def weights_record(name: str, class_weights: WeightingResult) -> WeightsRecord:
    """Return the weights stage's record."""
    weighting = class_weights.weighting
    effect = weighting.diagnostics
    return WeightsRecord(
        name=name,
        rows=class_weights.summary.rows,
        classes=tuple(
            ClassWeight(
                frequency.name,
                rows=frequency.rows,
                weight_sum=frequency.weight_sum,
                weight_square_sum=frequency.weight_square_sum,
                prior=effect.share_before[c],
                share_of_risk=effect.share_after[c],
                share_aimed=effect.share_aimed[c],
                mean_weight=effect.share_after[c] / effect.share_before[c],
            )
            for c, frequency in enumerate(weighting.frequencies)
        ),
        rule=WeightRuleSummary.from_dict(weighting.rule.to_dict()),
        diagnostics=WeightDiagnostics(
            kish_ess=effect.kish_ess,
            design_effect=effect.design_effect,
            imbalance_ratio=effect.imbalance_ratio,
            gradient_variance=effect.gradient_variance,
            mean_weight=effect.mean_weight,
            smallest_weight=effect.smallest_weight,
            largest_weight=effect.largest_weight,
        ),
        always_best_decision=class_weights.summary.always_best,
        versions=versions(),
    )


def training_record(  # noqa: PLR0913 (a record of everything)
    name: str,
    spec: TrainingSpec,
    schema: StructType,
    class_weights: WeightingResult,
    trained: TrainingResult,
    *,
    comparison: ChampionComparison,
    selection: Selection | None,
    left_out: Mapping[str, int],
    settings: Mapping[str, object],
    now: datetime,
) -> TrainingRecord:
    """Return the record of a training, without the bundle's name and files.

    Parameters
    ----------
    left_out
        Why labelled rows were left out -> how many.
    settings
        Of the configuration that was trained by, for whoever reads the record later.
    """
    scorer, finished = trained.scorer, trained.finished
    resampling = trained.resampling
    return TrainingRecord(
        name=name,
        trained_at=now.isoformat(),
        versions=versions(),
        model=_model(spec, trained),
        classes=scorer.classes,
        schema=feature_kinds(schema, spec.problem.roles),
        features=scorer.plan.to_dict(),
        feature_names=scorer.plan.names,
        sensitive=spec.problem.roles.sensitive,
        left_out=left_out,
        ledger=LedgerSummary.from_dict(scorer.ledger.to_dict()),
        reference=trained.reference,
        typical=trained.typical,
        calibration=_calibration(scorer, finished.calibration),
        resampling=None
        if resampling is None
        else ResamplingSummary.from_dict(resampling.to_dict()),
        pruning=finished.pruning,
        stopping=finished.stopping,
        split=summarise_split(trained.split, trained.rows, schema, spec),
        refit=trained.refit,
        held_out=tuple(summarise_held_out(model, scorer) for model in trained.held_out),
        costs=spec.problem.matrix.to_dict(),
        weights=weights_record(name, class_weights),
        evaluation=summarise_evaluation(
            trained.evaluation, spec.problem.matrix, spec.cost_tolerance
        ),
        comparison=comparison,
        spec=spec.to_dict(),
        config=settings,
        selection=None if selection is None else SelectionSummary.from_dict(selection.to_dict()),
        rounds=tuple(
            RoundSummary.from_dict(asdict(entry)) for entry in scorer.model.training_rounds()
        ),
    )


def _model(spec: TrainingSpec, trained: TrainingResult) -> ModelSummary:
    choice, model = trained.learner_choice, trained.scorer.model
    return ModelSummary(
        model.kind,
        model.declaration.resolve(spec.model.params if choice is None else choice.params),
        spec.seed,
        spec.model.monotone,
        spec.model.interactions,
        choice,
    )


def teacher_summary(bundle: ModelBundle, settings: Distill, result: Distillation) -> TeacherSummary:
    """Return the teacher of a student, and what it taught."""
    return TeacherSummary(
        bundle.version,
        bundle.kind,
        settings.temperature,
        settings.hard_share,
        result.unlabelled_rows,
    )


def distillation_record(
    student: TrainingRecord, result: Distillation, evaluate: Evaluate, exports: Sequence[str]
) -> DistillationRecord:
    """Return the distilling stage's record.

    Parameters
    ----------
    student
        The record of the student's training, with its version and its teacher.
    exports
        The names of the files that were written.

    Raises
    ------
    ValueError
        If the record names no teacher.
    """
    if student.teacher is None:
        raise ValueError("the record of a training by outcomes")
    fidelity = result.fidelity
    return DistillationRecord(
        name=student.name,
        teacher=student.teacher,
        model_version=str(student.version),
        model=student.model,
        rare_class=result.rare_class,
        overall=FidelitySummary.from_dict(asdict(fidelity.overall)),
        rare=FidelitySummary.from_dict(asdict(fidelity.rare_class)),
        segments=_segments(fidelity.segments, evaluate) if evaluate.by else (),
        min_rows=evaluate.min_rows,
        costs=ComparisonCosts.from_dict(result.costs.to_dict()),
        exports=tuple(exports),
        versions=versions(),
    )


def _segments(
    segments: Mapping[tuple[str | None, ...], Fidelity], evaluate: Evaluate
) -> tuple[SegmentFidelity, ...]:
    """Return each segment; those of fewer than `MIN_NAMED` rows are one, of the value `OTHERS`."""
    named = [
        SegmentFidelity(
            dict(zip(evaluate.by, values, strict=True)),
            fidelity.rows,
            FidelitySummary.from_dict(asdict(fidelity))
            if fidelity.rows >= evaluate.min_rows
            else None,
        )
        for values, fidelity in segments.items()
        if fidelity.rows >= min(MIN_NAMED, evaluate.min_rows)
    ]
    others = sum(fidelity.rows for fidelity in segments.values()) - sum(
        segment.rows for segment in named
    )
    if others:
        named.append(SegmentFidelity(dict.fromkeys(evaluate.by, OTHERS), others, None))
    return tuple(named)


def summarise_held_out(held_out: Scorer, published: Scorer) -> HeldOutSummary:
    """Return how an evaluated model differs from the published one."""
    calibrator = held_out.calibrator
    return HeldOutSummary(
        calibration=None
        if calibrator is None
        else CalibratorSummary.from_dict(calibrator.to_dict()),
        features=None if held_out.plan == published.plan else held_out.plan.to_dict(),
    )


def _calibration(scorer: Scorer, choice: Choice | None) -> CalibrationSummary | None:
    """Return the calibration's parameters, the reason for the method, and its number of rows."""
    if scorer.calibrator is None:
        return None
    chosen = {} if choice is None else choice.to_dict()
    return CalibrationSummary.from_dict(scorer.calibrator.to_dict() | chosen)


def tuning_record(name: str, spec: TrainingSpec, tuning: Tuning) -> TuningRecord:
    """Return the tuning stage's record, with the lines to put into the configuration."""
    verdict = tuning.verdict
    trials = tuple(
        _trial(trial, apart, tuning.constant_cost)
        for trial, apart in zip(tuning.trials, verdict.differences, strict=True)
    )
    return TuningRecord(
        name,
        LearnerSummary(spec.model.kind, declaration(spec.model.kind).resolve(spec.model.params)),
        tuning.rows,
        TuningFolds(spec.tune.folds, spec.split.by or spec.tune.group or "class"),
        tuning.constant_cost,
        tuning.references,
        trials,
        trials[tuning.trials.index(verdict.best)],
        trials[tuning.trials.index(verdict.chosen)],
        verdict.effect,
        _chosen_settings(spec, tuning),
        versions(),
    )


def _trial(trial: Trial, apart: Difference, constant_cost: float) -> TrialSummary:
    """Return a candidate's cost, and its savings against the best constant decision."""
    return TrialSummary(
        ratio=trial.settings.ratio,
        params=trial.settings.params,
        cost=trial.cost,
        standard_error=trial.standard_error,
        interval=trial.interval,
        savings=1 - trial.cost / constant_cost if constant_cost > 0 else None,
        fold_costs=trial.costs,
        difference=apart.cost,
        difference_error=apart.error,
    )


def _chosen_settings(spec: TrainingSpec, tuning: Tuning) -> dict[str, object]:
    """Return the chosen settings as sections of the configuration."""
    weights = spec.weights.model_dump(mode="json", exclude_defaults=True)
    if tuning.weights is not None:
        largest = max(tuning.weights.values()) / min(tuning.weights.values())
        cap = {"cap": math.ceil(largest)} if largest > Weights().cap else {}
        is_uniform = largest == 1
        weights = (
            {"scheme": "none"}
            if is_uniform
            else {"scheme": "manual", "manual": dict(tuning.weights), **cap}
        )
    params = {**spec.model.params, **tuning.verdict.chosen.settings.params}
    model = spec.model.model_dump(mode="json", exclude_defaults=True)
    model |= {"kind": spec.model.kind, "params": params}
    return {"weights": weights, "model": model}


def backtest_record(name: str, spec: TrainingSpec, result: Backtest) -> BacktestRecord:
    """Return the backtest's record."""
    return BacktestRecord(
        name=name,
        model=LearnerSummary(spec.model.kind, spec.model.params),
        by=result.by,
        origins=tuple(map(_origin, result.origins)),
        trends={name: _trend(trend) for name, trend in result.trends.items()},
        costs=spec.problem.matrix.to_dict(),
        versions=versions(),
    )


def _origin(origin: Origin) -> OriginSummary:
    return OriginSummary(
        after=origin.after,
        rows=origin.rows,
        cost=origin.cost,
        cost_interval=origin.cost_interval,
        savings=origin.savings,
        savings_interval=origin.savings_interval,
        classes={
            name: OriginClass(
                evaluation.share,
                evaluation.mean_probability,
                evaluation.auc,
                evaluation.intervals["auc"],
            )
            for name, evaluation in origin.evaluation.classes.items()
        },
    )


def _trend(trend: Trend | None) -> TrendSummary | None:
    return None if trend is None else TrendSummary(**asdict(trend), shown=trend.shown)
