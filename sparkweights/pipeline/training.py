"""The training stage: split, features, fit, undo, calibrate, evaluate, gate."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import class_index, column
from sparkweights.costs.language import names
from sparkweights.decision import (
    RESAMPLING,
    WEIGHTS,
    Ledger,
    collect_histogram,
    fit_calibrator,
)
from sparkweights.models import FeaturePlan, learn_features, learner
from sparkweights.models.learner import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.evaluating import ORDER, evaluate, review_order
from sparkweights.pipeline.pruning import PruningRecord, prune_tree
from sparkweights.pipeline.scoring import Scorer
from sparkweights.quality import gate_base_rate
from sparkweights.resample import Resampling, copies, repeat_rows, resampling
from sparkweights.split import (
    CALIBRATE,
    FIT,
    TEST,
    Split,
    hash_order,
    part,
    require_rows,
    summarise_time_cuts,
    time_order,
)
from sparkweights.storage.files import make_folder, remove
from sparkweights.weights import (
    ClassSummary,
    Weighting,
    summarise_classes,
    training_weight,
    weigh_classes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.config import Config
    from sparkweights.decision.priors import ScoreHistogram
    from sparkweights.evaluate import Evaluation
    from sparkweights.pipeline.progress import Progress

PART, COPIES = "__part", "__copies"


@dataclass(frozen=True)
class Weighed:
    """The weights stage's record: what the one pass found, and the weights chosen from it."""

    summary: ClassSummary
    weighting: Weighting


@dataclass(frozen=True)
class Trained:
    """The train stage's record: a scorer, how its rows were split, and what it is worth.

    ``reference`` holds the scores of the test rows by class, for label shift to start from.
    """

    scorer: Scorer
    split: Split
    rows: Mapping[str, int]
    evaluation: Evaluation
    reference: ScoreHistogram
    resampling: Resampling | None
    pruning: PruningRecord | None


def weigh(labelled_df: DataFrame, config: Config) -> Weighed:
    """Summarise the labelled table in one pass and choose the weights."""
    shares = config.split
    quantiles = (1 - shares.calibrate - shares.test, 1 - shares.test)
    order = None if shares.by is not None else hash_order(config.roles, config.seed)
    spec = config.weight_spec
    summary = summarise_classes(
        labelled_df,
        config.roles,
        config.matrix,
        grouping=spec.grouping,
        regret_bins=spec.per_row,
        order=order,
        cuts=quantiles,
    )
    weighting = weigh_classes(config.matrix, summary, spec)
    return Weighed(summary, weighting)


def train(labelled_df: DataFrame, config: Config, weighed: Weighed, progress: Progress) -> Trained:
    """Fit, undo, calibrate and evaluate a model on disjoint rows of the labelled table.

    Raises
    ------
    InputError
        If a part holds too few rows of a class, or a feature cannot be used.
    QualityGateError
        If the calibrated probabilities miss the base rate.
    """
    roles, rule = config.roles, weighed.weighting.rule
    split = _split(labelled_df, config, weighed)
    divided_df = labelled_df.withColumn(PART, part(split, roles, _order(labelled_df, config)))
    progress.step("learning the features")
    plan = learn_features(divided_df.filter(F.col(PART) == FIT), roles, _encoding(config))
    thinning = _resampling(config, weighed)
    with _prepared(divided_df, config, weighed, plan, thinning) as prepared_df:
        counts = _count_parts(prepared_df, config)
        require_rows(counts, roles)
        progress.step(f"fitting {config.model.kind}")
        fit_df = prepared_df.filter(F.col(PART) == FIT).select(FEATURES, LABEL, WEIGHT)
        ledger = Ledger(weighed.weighting.prior).after_bending(WEIGHTS, rule)
        if thinning is not None:
            ledger = ledger.after_bending(RESAMPLING, thinning.rule())
        model = learner(config.model.kind).fit(
            fit_df, config.model.params, seed=config.seed, classes=len(roles.class_names)
        )
        bare = Scorer(config.model.kind, model, plan, roles.class_names, ledger)
        bare, pruning = _pruned(bare, prepared_df, config, progress)
        scorer = _calibrated(bare.with_undone(), prepared_df, config, counts, progress)
        progress.step("evaluating on the test rows")
        test_df = prepared_df.filter(F.col(PART) == TEST)
        evaluation = evaluate(test_df, scorer, config, weighed)
        reference = collect_histogram(
            scorer.score(test_df), scorer.probability_cols, index=F.col(LABEL).cast("int")
        )
    gate_base_rate(evaluation, config.decision.base_rate_tolerance)
    rows = {
        which: sum(n for (p, _), n in counts.items() if p == which)
        for which in (FIT, CALIBRATE, TEST)
    }
    return Trained(scorer, split, rows, evaluation, reference, thinning, pruning)


def _encoding(config: Config) -> str:
    """Return how numbers are encoded: by itself only a linear learner minds heavy tails."""
    wanted = config.features.numeric
    return "plain" if wanted == "auto" and not learner(config.model.kind).linear else wanted


def _resampling(config: Config, weighed: Weighed) -> Resampling | None:
    wanted = config.resample
    if wanted is None:
        return None
    frequencies = weighed.weighting.frequencies
    return resampling(frequencies, method=wanted.method, ratio=wanted.ratio)


def _split(labelled_df: DataFrame, config: Config, weighed: Weighed) -> Split:
    shares = config.split
    if shares.by is None:
        cuts = {name: (found[0], found[1]) for name, found in weighed.summary.cuts.items()}
        return Split(None, cuts)
    quantiles = (1 - shares.calibrate - shares.test, 1 - shares.test)
    return summarise_time_cuts(labelled_df, config.roles, shares.by, quantiles)


def _order(df: DataFrame, config: Config) -> Column:
    if config.split.by is None:
        return hash_order(config.roles, config.seed)
    return time_order(df, config.split.by)


@contextmanager
def _prepared(
    divided_df: DataFrame,
    config: Config,
    weighed: Weighed,
    plan: FeaturePlan,
    thinning: Resampling | None,
) -> Iterator[DataFrame]:
    """Keep what fitting, calibrating and testing read, once per row, for their many passes."""
    roles, rule = config.roles, weighed.weighting.rule
    kept = dict.fromkeys([*config.matrix.columns, *rule.columns])
    if roles.weight is not None:
        kept[roles.weight] = None
    if config.review_price is not None:
        kept |= dict.fromkeys(name.name for name in names(config.review_price))
    if thinning is not None:
        own = F.when(F.col(PART) == FIT, copies(roles, thinning, seed=config.seed)).otherwise(1)
        divided_df = repeat_rows(divided_df.withColumn(COPIES, own), COPIES)
    prepared_df = divided_df.select(
        PART,
        class_index(roles).cast("double").alias(LABEL),
        training_weight(rule, roles).alias(WEIGHT),
        plan.vector().alias(FEATURES),
        review_order(config).alias(ORDER),
        *map(column, kept),
    ).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield prepared_df
    finally:
        prepared_df.unpersist()


def _count_parts(prepared_df: DataFrame, config: Config) -> dict[tuple[str, str], int]:
    """Count rows per part and class; the first job over the kept rows, so it also fills them."""
    names = config.roles.class_names
    found = prepared_df.groupBy(PART, LABEL).count().collect()
    return {(row[PART], names[int(row[LABEL])]): row["count"] for row in found}


def _pruned(
    scorer: Scorer, prepared_df: DataFrame, config: Config, progress: Progress
) -> tuple[Scorer, PruningRecord | None]:
    if config.model.prune == "none":
        return scorer, None
    progress.step("pruning the tree")
    workspace = config.path(config.artifacts) / "_pruning"
    make_folder(workspace)
    try:
        held_out_df = prepared_df.filter(F.col(PART) == CALIBRATE)
        return prune_tree(scorer, held_out_df, config, workspace)
    finally:
        remove(workspace)


def _calibrated(
    scorer: Scorer,
    prepared_df: DataFrame,
    config: Config,
    counts: Mapping[tuple[str, str], int],
    progress: Progress,
) -> Scorer:
    method = config.decision.calibration
    if method == "none":
        return scorer
    progress.step("calibrating on held-out rows")
    calibrator = fit_calibrator(
        method,
        scorer.score(prepared_df.filter(F.col(PART) == CALIBRATE)),
        scorer.probability_cols,
        class_col=LABEL,
        weight_col=config.roles.weight,
        rows=sum(n for (which, _), n in counts.items() if which == CALIBRATE),
    )
    return scorer.with_calibrator(calibrator, method)
