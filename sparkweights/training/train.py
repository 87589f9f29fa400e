"""The training stage: split, features, fit, invert weights, calibrate, evaluate, gate."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import sample_weight
from sparkweights.evaluation.drift import collect_bins
from sparkweights.models.base import FEATURES, LABEL
from sparkweights.models.registry import AUTO
from sparkweights.probability.corrections import RESAMPLING, WEIGHTS, Ledger
from sparkweights.probability.label_shift import collect_histogram
from sparkweights.quality.gates import gate_base_rate, gate_costs
from sparkweights.records.learner import LearnerChoice
from sparkweights.sampling.split import (
    CALIBRATE,
    FIT,
    TEST,
    Split,
    require_crossed_rows,
    require_rows,
)
from sparkweights.scoring.reason_rules import reference_of, typical_of
from sparkweights.storage.location import Location
from sparkweights.training.choose_learner import candidates, simplest_adequate
from sparkweights.training.cross_fit import (
    CrossFit,
    CrossFittedScorer,
    CrossFitting,
    choose_refit,
    cross_fit,
    fit_scorer,
    keep_scores,
)
from sparkweights.training.data import (
    PART,
    count_folds,
    count_parts,
    cross,
    learn_plan,
    plan_resampling,
    prepare_rows,
    with_parts,
)
from sparkweights.training.evaluate import evaluate, least_cost_decisions
from sparkweights.training.select import SelectedModel, select_and_calibrate
from sparkweights.training.targets import OUTCOMES, PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import DataFrame

    from sparkweights.core.progress import Progress
    from sparkweights.evaluation.drift import ColumnBins
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.probability.calibration_fit import Choice
    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.records.training import Refit
    from sparkweights.sampling.resample import Resampling
    from sparkweights.scoring.scorer import RowScorer, Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import PartCounts, WeightingResult
    from sparkweights.training.targets import HardTargets

CALIBRATES = "__calibrates"


@dataclass(frozen=True)
class TrainingResult:
    """The train stage's result: a scorer, the split of its rows, and its evaluation.

    Attributes
    ----------
    finished
        The model that is published.
    split, rows
        How the labelled rows were split for the evaluation, and how many each part has.
    evaluation
        On rows that the evaluated models were not fitted on.
    scores
        Histogram of their probabilities by class, the reference of label shift estimates.
    reference
        Feature vector that a linear model's reasons compare a row with; empty without reasons.
    typical
        Column -> the value that reasons compare a row's costs with.
    bins
        Binned reference columns, for `monitor`.
    refit
        Which rows the published model was fitted on.
    held_out
        The evaluated models, where they differ from the published one: one per fold, or, with a
        split by time, the model of earlier rows. Empty otherwise.
    learner_choice
        Of ``model.kind: auto``; None where the configuration names the learner.
    """

    finished: SelectedModel
    split: Split
    rows: Mapping[str, int]
    evaluation: Evaluation
    scores: ScoreHistogram
    reference: tuple[float, ...]
    bins: tuple[ColumnBins, ...]
    resampling: Resampling | None
    typical: Mapping[str, float]
    refit: Refit
    held_out: tuple[Scorer, ...] = ()
    learner_choice: LearnerChoice | None = None

    @property
    def scorer(self) -> Scorer:
        """The scorer that is published."""
        return self.finished.scorer

    @property
    def held_out_scorer(self) -> RowScorer:
        """The scorer of labelled rows by models that were not fitted on them."""
        if self.split.crossed:
            return CrossFittedScorer(self.held_out)
        return self.held_out[0] if self.held_out else self.scorer


def train(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    progress: Progress,
    targets: HardTargets = OUTCOMES,
) -> TrainingResult:
    """Fit, correct, calibrate and evaluate a model on disjoint rows of the labelled table.

    If `choose_refit` returns ``all``, the published model is fitted on all rows afterwards. With
    ``model.kind: auto`` candidates are trained, and one of them is returned; see
    `sparkweights.training.choose_learner`.

    Parameters
    ----------
    targets
        What is learned from a row, and how the rows are split. Calibration and evaluation are by
        outcomes whatever the targets.

    Raises
    ------
    InputError
        If a part holds too few rows of a class, or a feature cannot be used.
    QualityGateError
        If the calibrated probabilities miss the base rate, or decisions cost far more or less
        than they are expected to.
    """
    if spec.model.kind != AUTO:
        trained = _train_and_evaluate(labelled_df, spec, class_weights, progress, targets)
        return _gate_and_refit(labelled_df, spec, class_weights, trained, progress)

    def attempt(candidate: TrainingSpec) -> TrainingResult:
        return _train_and_evaluate(labelled_df, candidate, class_weights, progress)

    found = simplest_adequate(candidates(spec, labelled_df.sparkSession), attempt)
    progress.step(f"chose {found.name}")
    model = found.spec.model
    choice = LearnerChoice(model.kind, model.params, found.losses, found.standard_error)
    trained = replace(found.trained, learner_choice=choice)
    return _gate_and_refit(labelled_df, found.spec, class_weights, trained, progress)


def _train_and_evaluate(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    progress: Progress,
    targets: HardTargets = OUTCOMES,
) -> TrainingResult:
    refit = choose_refit(spec, class_weights.summary.rows)
    if refit.rows == "all" and spec.split.by is None:
        return _train_crossed(labelled_df, spec, class_weights, refit, progress, targets)
    return _train_parts(labelled_df, spec, class_weights, refit, progress, targets)


def _gate_and_refit(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    trained: TrainingResult,
    progress: Progress,
) -> TrainingResult:
    _gate(trained, spec)
    if trained.refit.rows == "fit" or spec.split.by is None:
        return trained
    return _refit_later(labelled_df, spec, class_weights, trained, progress)


def _warn(calibration: Choice | None, progress: Progress) -> None:
    if calibration is not None and calibration.warning is not None:
        progress.warn(calibration.warning)


def _gate(trained: TrainingResult, spec: TrainingSpec) -> None:
    split, rows = trained.split, trained.rows
    # Across folds, the errors of the calibration cancel out.
    alone = spec.calibration != "none" and not split.crossed
    gate_base_rate(
        trained.evaluation,
        spec.base_rate_tolerance,
        stratified=split.by is None and not split.group,
        calibration_share=rows[TEST] / rows[CALIBRATE] if alone else 0.0,
        prior=trained.scorer.ledger.prior if split.by is not None else None,
    )
    gate_costs(trained.evaluation, spec.cost_tolerance)


@dataclass(frozen=True)
class FitOnParts:
    """A calibrated model of the fit rows, and the test rows."""

    finished: SelectedModel
    counts: PartCounts
    test_df: DataFrame
    resampling: Resampling | None


@contextmanager
def fit_parts(
    divided_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    progress: Progress,
    targets: HardTargets = OUTCOMES,
) -> Iterator[FitOnParts]:
    """Fit on the fit rows of `PART` and calibrate on its calibration rows."""
    rule = class_weights.weighting.rule
    progress.step("learning the features")
    plan = learn_plan(divided_df, spec)
    resampling = plan_resampling(spec, class_weights)
    with (
        prepare_rows(
            targets.append(divided_df),
            spec,
            rule,
            plan,
            resampling_plan=resampling,
            also=targets.columns(spec, rule),
        ) as prepared_df,
        targets.keep_unlabelled({FEATURES: plan.vector()}, spec, rule) as kept,
    ):
        counts = count_parts(prepared_df, spec)
        require_rows(counts.by_class, spec.problem.roles, table=class_weights.summary.rows_by_class)
        progress.step(f"fitting {spec.model.kind}")
        ledger = training_ledger(
            _natural_prior(counts, spec, class_weights), class_weights, resampling
        )
        fit_df = kept.expand(prepared_df.filter(F.col(PART) == FIT), PUBLISHED)
        bare = fit_scorer(fit_df, spec, plan, ledger, progress)
        progress.step("calibrating on held-out rows")
        finished = select_and_calibrate(bare, prepared_df, spec, counts.size(CALIBRATE))
        _warn(finished.calibration, progress)
        test_df = prepared_df.filter(F.col(PART) == TEST)
        yield FitOnParts(finished, counts, test_df, resampling)


def _train_parts(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    refit: Refit,
    progress: Progress,
    targets: HardTargets,
) -> TrainingResult:
    roles = spec.problem.roles
    split, divided_df = targets.divide(labelled_df, spec, class_weights)
    with fit_parts(divided_df, spec, class_weights, progress, targets) as model:
        progress.step("evaluating on the test rows")
        scorer = model.finished.scorer
        measures = _measure(model.test_df, scorer, spec, class_weights)
    tested_df = divided_df.filter(F.col(PART) == TEST)
    bins = collect_bins(tested_df, roles.numeric, roles.categorical, sample_weight(roles))
    return TrainingResult(
        model.finished,
        split,
        model.counts.rows,
        bins=bins,
        resampling=model.resampling,
        refit=refit,
        **vars(measures),
    )


def _train_crossed(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    refit: Refit,
    progress: Progress,
    targets: HardTargets,
) -> TrainingResult:
    """Cross-fit; evaluate every row by the model that was fitted without it."""
    roles = spec.problem.roles
    split, divided_df = targets.cross(labelled_df, spec, class_weights, refit.folds)
    fitted = _fit_folds(split, divided_df, spec, class_weights, progress, targets)
    with fitted as (prepared_df, fits, rows):
        progress.step("evaluating on the held-out folds")
        folder = Location.of(spec.scratch)
        with keep_scores(prepared_df, fits.held_out, folder) as (scored_df, scorer):
            measures = _measure(scored_df, scorer, spec, class_weights)
    bins = collect_bins(divided_df, roles.numeric, roles.categorical, sample_weight(roles))
    return TrainingResult(
        SelectedModel(fits.published, None, None, fits.choice),
        split,
        {"cross-fit": rows},
        bins=bins,
        resampling=None,
        refit=refit,
        held_out=fits.held_out.scorers,
        **vars(measures),
    )


def _refit_later(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    earlier: TrainingResult,
    progress: Progress,
) -> TrainingResult:
    """Publish a model of all rows, after one of earlier rows was evaluated on later ones.

    Its calibration is cross-fitted, on the rows after the fit rows of the evaluated model alone:
    class shares change with time, and the latest rows resemble most those that will be scored.
    """
    timed_df = with_parts(labelled_df, spec.problem.roles, earlier.split, spec.seed)
    split, divided_df = cross(
        timed_df.withColumn(CALIBRATES, F.col(PART).isin(CALIBRATE, TEST)),
        spec,
        class_weights,
        earlier.refit.folds,
    )
    with _fit_folds(split, divided_df, spec, class_weights, progress) as (_, fits, _rows):
        pass
    finished = SelectedModel(fits.published, None, None, fits.choice)
    return replace(earlier, finished=finished, held_out=(earlier.scorer,))


@contextmanager
def _fit_folds(
    split: Split,
    divided_df: DataFrame,
    spec: TrainingSpec,
    class_weights: WeightingResult,
    progress: Progress,
    targets: HardTargets = OUTCOMES,
) -> Iterator[tuple[DataFrame, CrossFit, int]]:
    progress.step("learning the features")
    fitting = CrossFitting.of(split, divided_df, spec, targets)
    timed = CALIBRATES in divided_df.columns
    calibrates = F.col(CALIBRATES) if timed else F.lit(col=True)
    rule = class_weights.weighting.rule
    also = {**fitting.columns(spec), CALIBRATES: calibrates, **targets.columns(spec, rule)}
    with (
        prepare_rows(
            targets.append(divided_df), spec, rule, fitting.plan, also=also
        ) as prepared_df,
        targets.keep_unlabelled(fitting.new_vectors(), spec, rule) as kept,
    ):
        counts = count_folds(prepared_df, spec, F.col(CALIBRATES))
        require_crossed_rows(counts.by_class, spec.problem.roles.class_names, split.crossed)
        progress.step(f"fitting {split.crossed + 1} {spec.model.kind} models, one per fold")
        fits = cross_fit(
            prepared_df,
            replace(fitting, targets=kept),
            spec,
            training_ledger(
                counts.prior if timed else class_weights.weighting.prior, class_weights, None
            ),
            calibrates=F.col(CALIBRATES),
            progress=progress,
        )
        _warn(fits.choice, progress)
        yield prepared_df, fits, counts.rows


@dataclass(frozen=True)
class _Measures:
    """Measures on rows that a model was not fitted on; see `TrainingResult`."""

    evaluation: Evaluation
    scores: ScoreHistogram
    reference: tuple[float, ...]
    typical: Mapping[str, float]


def _measure(
    test_df: DataFrame, scorer: RowScorer, spec: TrainingSpec, class_weights: WeightingResult
) -> _Measures:
    least_cost = least_cost_decisions(spec.problem.matrix, class_weights.summary)
    return _Measures(
        evaluate(test_df, scorer, spec.problem, least_cost, grouped=bool(spec.split.group)),
        collect_histogram(
            scorer.score(test_df),
            scorer.probability_cols,
            index=F.col(LABEL).cast("int"),
            weight=sample_weight(spec.problem.roles),
        ),
        reference_of(test_df, scorer, spec.problem, spec.reasons),
        typical_of(test_df, spec.problem.matrix, class_weights.weighting.rule),
    )


def training_ledger(
    prior: Mapping[str, float], class_weights: WeightingResult, resampling: Resampling | None
) -> Ledger:
    """Return the ledger of the training's corrections of probabilities."""
    ledger = Ledger(prior).with_reweighting(WEIGHTS, class_weights.weighting.inverse_rule)
    return ledger if resampling is None else ledger.with_reweighting(RESAMPLING, resampling.rule())


def _natural_prior(
    counts: PartCounts, spec: TrainingSpec, class_weights: WeightingResult
) -> Mapping[str, float]:
    """Return the class shares that corrected and calibrated probabilities refer to.

    A split by hash gives every part the shares of the table. The parts of a split by time differ:
    then the shares are those of the rows that were used last, to calibrate or to fit.
    """
    if spec.split.by is None:
        return class_weights.weighting.prior
    if spec.calibration != "none":
        return counts.shares(CALIBRATE)
    return class_weights.weighting.prior if spec.resample is not None else counts.shares(FIT)
