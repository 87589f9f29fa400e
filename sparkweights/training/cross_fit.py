"""Cross-fitting: every labelled row is scored once by a model that was fitted without it.

Where rows are few, setting some aside to calibrate and to test wastes them. With K folds, K models
are fitted, each without one fold, and score the fold that was left out. Those scores
fit the calibration and are evaluated; the model that is published is fitted on all rows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TYPE_CHECKING

from pyspark import inheritable_thread_target
from pyspark.sql import functions as F

from sparkweights.bundle.bundle import load_held_out
from sparkweights.core.errors import ConfigError
from sparkweights.features.fit import learn_outcomes
from sparkweights.features.plan import FeaturePlan
from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.probability.calibration import calibrate_scores
from sparkweights.records.training import Refit
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows, scratch_folder
from sparkweights.training.data import FOLD, constraints_of, learn_plan, outcome_order
from sparkweights.training.pruning import limit_leaves
from sparkweights.training.targets import OUTCOMES, PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.progress import Progress
    from sparkweights.models.base import FittedModel
    from sparkweights.probability.calibration_fit import Choice
    from sparkweights.probability.corrections import Ledger
    from sparkweights.sampling.split import Split
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.targets import HardTargets

# By `benchmarks.refit`, learning from all rows saves .01 to .02 more at 10,000 rows, .002 to .007
# more at 50,000, and nothing at 100,000.
AUTO_ROWS = 50_000
HELD_OUT_FEATURES, _FEATURES_KEPT = "__held_out_features", "__features_kept"


def choose_refit(spec: TrainingSpec, rows: int) -> Refit:
    """Return which rows the published model is fitted on: all, or the fit rows.

    Parameters
    ----------
    rows
        Of the labelled table.

    Raises
    ------
    ConfigError
        If the configuration also has a setting that needs rows set aside.
    """
    settings = spec.train
    if settings.refit == "none":
        return Refit("fit", 0, "train.refit is none")
    needs = {
        f"model.prune: {spec.model.prune}": spec.model.prune != "none",
        f"model.patience: {spec.model.patience}": spec.model.patience is not None,
        "resample": spec.resample is not None,
    }
    obstacle = next((name for name, holds in needs.items() if holds), None)
    if settings.refit == "all":
        if obstacle is not None:
            raise ConfigError(
                f"train.refit: 'all' and {obstacle} do not go together: the size of a model, or "
                "the sample it is fitted on, is chosen with rows that are set aside.",
                hint=f"leave {obstacle.split(':')[0]} out, or write train: {{refit: none}}.",
            )
        return Refit("all", settings.folds, "train.refit is all")
    if obstacle is not None:
        return Refit("fit", 0, f"{obstacle} needs rows that are set aside")
    if rows > AUTO_ROWS:
        return Refit("fit", 0, f"the table has more than {AUTO_ROWS:,} rows")
    return Refit("all", settings.folds, f"the table has at most {AUTO_ROWS:,} rows")


@dataclass(frozen=True)
class CrossFittedScorer:
    """Scores a row by the model that was fitted without the row's `FOLD`.

    It is a `RowScorer`.

    Attributes
    ----------
    scorers
        By fold.
    """

    scorers: tuple[Scorer, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.scorers[0].classes

    @property
    def ledger(self) -> Ledger:
        """The state of the probabilities, the same for every fold."""
        return self.scorers[0].ledger

    @property
    def kind(self) -> str:
        """The learner."""
        return self.scorers[0].kind

    @property
    def models(self) -> tuple[FittedModel, ...]:
        """The fitted models, by fold."""
        return tuple(scorer.model for scorer in self.scorers)

    @property
    def plan(self) -> FeaturePlan:
        """How rows become vectors; of the first fold where encodings differ by fold."""
        return self.scorers[0].plan

    @property
    def probability_cols(self) -> tuple[str, ...]:
        """The names of the natural probabilities, in index order."""
        return self.scorers[0].probability_cols

    @property
    def weighted_cols(self) -> tuple[str, ...]:
        """The names of the probabilities of the weighted training, in index order."""
        return self.scorers[0].weighted_cols

    def score(self, df: DataFrame) -> DataFrame:
        """Append `weighted_cols` and `probability_cols`, fold by fold."""
        return score_by_fold(df, [self], lambda fold_df, scorers: scorers[0].score(fold_df))


def score_by_fold(
    df: DataFrame,
    scorers: Sequence[RowScorer],
    append: Callable[[DataFrame, Sequence[RowScorer]], DataFrame],
) -> DataFrame:
    """Append columns that several scorers of the same folds compute, fold by fold.

    Spark plans what follows a union once per part of it: of two scorers in a row, with five folds
    each, 25 parts.

    Parameters
    ----------
    scorers
        Either all or none of them are `CrossFittedScorer`.
    append
        Appends the columns to rows of one fold, given the scorers of that fold.
    """
    crossed = [scorer for scorer in scorers if isinstance(scorer, CrossFittedScorer)]
    if not crossed:
        return append(df, scorers)
    df = held_out_rows(df)
    by_fold = zip(*(scorer.scorers for scorer in crossed), strict=True)
    parts = [append(df.filter(F.col(FOLD) == fold), own) for fold, own in enumerate(by_fold)]
    return reduce(lambda first, second: first.unionByName(second), parts)


class KeptScores(CrossFittedScorer):
    """A scorer of rows that already have their scores, from `keep_scores`."""

    def score(self, df: DataFrame) -> DataFrame:
        """Return the rows as they are."""
        return df


@contextmanager
def keep_scores(
    df: DataFrame, scorer: CrossFittedScorer, folder: Location
) -> Iterator[tuple[DataFrame, KeptScores]]:
    """Score rows fold by fold once, and keep them with their scores for many passes.

    Spark plans what follows a union once per part of it: an evaluation would be compiled as often
    as there are folds, in each of its passes.

    Parameters
    ----------
    folder
        Folder for the rows until they are released.
    """
    df = held_out_rows(df)
    columns = df.columns
    if FEATURES in columns:  # learners drop what they have read
        df = df.withColumn(_FEATURES_KEPT, F.col(FEATURES))
    scored_df = scorer.score(df)
    if FEATURES in columns:
        scored_df = scored_df.drop(FEATURES).withColumnRenamed(_FEATURES_KEPT, FEATURES)
    with keep_rows(scored_df, folder) as kept_df:
        yield kept_df, KeptScores(scorer.scorers)


def held_out_rows(prepared_df: DataFrame) -> DataFrame:
    """Return prepared rows with the features of their held-out fold."""
    if HELD_OUT_FEATURES not in prepared_df.columns:
        return prepared_df
    features = F.col(HELD_OUT_FEATURES)
    return prepared_df.withColumn(FEATURES, features).drop(HELD_OUT_FEATURES)


@dataclass(frozen=True)
class CrossFit:
    """The result of cross-fitting.

    Attributes
    ----------
    published
        Fitted on all rows, calibrated on the held-out scores of all.
    held_out
        The models of the folds; each calibrated on the held-out scores of the other folds.
    choice
        How the calibration was chosen; None without one.
    """

    published: Scorer
    held_out: CrossFittedScorer
    choice: Choice | None


def held_out_scorer(bundle: ModelBundle) -> RowScorer:
    """Return the scorer of a bundle's labelled rows by models that were not fitted on them.

    It reads `FOLD` and scores rows of part test; see
    `sparkweights.training.data.with_parts_of_bundle`.
    """
    published = Scorer.of(bundle)
    scorers = tuple(
        replace(published, model=model.model, calibrator=model.calibrator, plan=model.plan)
        for model in load_held_out(bundle)
    )
    if bundle.manifest.split.crossed:
        return CrossFittedScorer(scorers)
    return scorers[0] if scorers else published


def fit_scorer(
    fit_df: DataFrame,
    spec: TrainingSpec,
    plan: FeaturePlan,
    ledger: Ledger,
    progress: Progress | None = None,
) -> Scorer:
    """Fit the configured learner on rows of `FEATURES`, `LABEL` and `WEIGHT`.

    A tree with more leaves than ``model.max_leaves`` is pruned to them.

    Parameters
    ----------
    ledger
        How the training rows are reweighted; with what the learner's loss does to probabilities,
        it is inverted when rows are scored.
    progress
        Receives the steps of a long fit.
    """
    # A folder beside the bundles is readable by driver and executors.
    scratch = Location.of(spec.scratch)
    model = learner(spec.model.kind).fit(
        fit_df.select(FEATURES, LABEL, WEIGHT),
        spec.model.params,
        seed=spec.seed,
        classes=len(spec.problem.roles.class_names),
        constraints=constraints_of(plan, spec),
        progress=progress,
        scratch=scratch,
    )
    if spec.model.max_leaves is not None:
        with scratch_folder(scratch) as workspace:
            model = limit_leaves(model, spec.model.max_leaves, workspace)
    ledger = ledger.with_focal_loss(model.focal_gamma)
    return Scorer(model, plan, spec.problem.roles.class_names, ledger)


@dataclass(frozen=True)
class CrossFitting:
    """The folds of a labelled table, and the feature plans of their models.

    Attributes
    ----------
    split
        See `sparkweights.training.data.cross`.
    plan
        Learned from all rows.
    fold_plans
        Where encodings look at outcomes: by fold, learned without it. Empty otherwise: medians and
        levels do not depend on outcomes.
    targets
        What the models are fitted to.
    """

    split: Split
    plan: FeaturePlan
    fold_plans: tuple[FeaturePlan, ...]
    targets: HardTargets = OUTCOMES

    @classmethod
    def of(
        cls,
        split: Split,
        divided_df: DataFrame,
        spec: TrainingSpec,
        targets: HardTargets = OUTCOMES,
    ) -> CrossFitting:
        """Learn the feature plans: one Spark job, and one more for encodings by outcome."""
        plan, plans = learn_plan(divided_df, spec), list[FeaturePlan]()
        if plan.looks_at_outcomes:
            others = [F.col(FOLD) != fold for fold in range(split.crossed)]
            order = outcome_order(spec)
            plans = learn_outcomes(divided_df, spec.problem.roles, plan, order, others)
        return cls(split, plan, tuple(plans), targets)

    def columns(self, spec: TrainingSpec) -> dict[str, Column]:
        """Return the additional columns of prepared rows: the fold, and vectors by fold."""
        columns = {FOLD: F.col(FOLD)}
        if not self.fold_plans:
            return columns
        order, fold = outcome_order(spec), F.col(FOLD)
        held_out_vector = self.fold_plans[0].vector()
        for k, plan in enumerate(self.fold_plans):
            columns[_fold_features(k)] = plan.training_vector(fold != k, order)
            held_out_vector = F.when(fold == k, plan.vector()).otherwise(held_out_vector)
        return {**columns, HELD_OUT_FEATURES: held_out_vector}

    def rows_without(self, prepared_df: DataFrame, fold: int) -> DataFrame:
        """Return the rows that the model of a fold is fitted on."""
        rows_df = prepared_df.filter(F.col(FOLD) != fold)
        if not self.fold_plans:
            return self.targets.expand(rows_df, fold)
        features = _fold_features(fold)
        return self.targets.expand(rows_df.withColumn(FEATURES, F.col(features)), fold, features)

    def every_row(self, prepared_df: DataFrame) -> DataFrame:
        """Return the rows that the published model is fitted on."""
        return self.targets.expand(prepared_df, PUBLISHED)

    def new_vectors(self) -> dict[str, Column]:
        """Return the feature vectors of rows that no plan was learned from, by name."""
        by_fold = {_fold_features(k): plan.vector() for k, plan in enumerate(self.fold_plans)}
        return {FEATURES: self.plan.vector(), **by_fold}

    def plan_without(self, fold: int) -> FeaturePlan:
        """Return the feature plan of a fold's model."""
        return self.fold_plans[fold] if self.fold_plans else self.plan


def _fold_features(fold: int) -> str:
    return f"__features_{fold}"


def cross_fit(
    prepared_df: DataFrame,
    fitting: CrossFitting,
    spec: TrainingSpec,
    ledger: Ledger,
    *,
    calibrates: Column,
    progress: Progress | None = None,
) -> CrossFit:
    """Fit a model per fold and one on all rows, invert the weights, and calibrate across folds.

    Parameters
    ----------
    prepared_df
        Kept rows with the columns of `CrossFitting.columns`.
    ledger
        Of the training.
    calibrates
        Whether a row is used to calibrate.
    progress
        Receives the steps of the fit on all rows, which is as long as the others.
    """
    folds = fitting.split.crossed
    tasks: list[Callable[[], Scorer]] = [
        partial(fit_scorer, fitting.every_row(prepared_df), spec, fitting.plan, ledger, progress),
        *(
            partial(
                fit_scorer,
                fitting.rows_without(prepared_df, k),
                spec,
                fitting.plan_without(k),
                ledger,
            )
            for k in range(folds)
        ),
    ]
    published, *by_fold = (
        scorer.with_weights_inverted()
        for scorer in run_together(prepared_df, tasks, spec.train.parallelism)
    )
    held_out = CrossFittedScorer(tuple(by_fold))
    method = spec.calibration
    if method == "none":
        return CrossFit(published, held_out, None)
    scored_df = held_out.score(prepared_df.filter(calibrates))
    calibration = calibrate_scores(
        scored_df,
        held_out.probability_cols,
        method,
        class_col=LABEL,
        weight_col=spec.problem.roles.weight,
        fold_col=FOLD,
    )
    chosen = calibration.choice.method
    calibrated = [
        scorer.with_calibrator(calibrator, chosen)
        for scorer, calibrator in zip(by_fold, calibration.by_fold, strict=True)
    ]
    return CrossFit(
        published.with_calibrator(calibration.calibrator, chosen),
        replace(held_out, scorers=tuple(calibrated)),
        calibration.choice,
    )


def run_together(
    df: DataFrame, tasks: Sequence[Callable[[], Scorer]], parallelism: int
) -> list[Scorer]:
    """Run tasks on the session of a table, a few at a time; the first failure stops the rest."""
    # Each thread keeps the session's settings.
    carry: Callable[[Callable[[], Scorer]], Callable[[], Scorer]]
    carry = inheritable_thread_target(df.sparkSession)
    with ThreadPoolExecutor(parallelism) as pool:
        jobs = [pool.submit(carry(task)) for task in tasks]
        try:
            return [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
