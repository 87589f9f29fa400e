"""The training stage: split, features, fit, undo, calibrate, evaluate, gate."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import class_index, column
from sparkweights.costs import CostMatrix, cost_columns
from sparkweights.decision import (
    Ledger,
    cheapest_decision,
    expected_costs,
    fit_calibrator,
    realised_cost,
)
from sparkweights.evaluate import Evaluation, collect_evaluation
from sparkweights.models import FeaturePlan, learn_features, learner
from sparkweights.models.learners import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.scoring import Scorer
from sparkweights.quality import gate_base_rate
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
    from sparkweights.pipeline.progress import Progress

PART, DECISION = "__part", "__decision"
CUT_AT_HALF, DOUBLE_COUNT, OURS = "cut_at_half", "double_count", "ours"


@dataclass(frozen=True)
class Weighed:
    """The weights stage's record: what the one pass found, and the weights chosen from it."""

    summary: ClassSummary
    weighting: Weighting


@dataclass(frozen=True)
class Trained:
    """The train stage's record: a scorer, how its rows were split, and what it is worth."""

    scorer: Scorer
    split: Split
    rows: Mapping[str, int]
    evaluation: Evaluation


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
    plan = learn_features(divided_df.filter(F.col(PART) == FIT), roles)
    with _prepared(divided_df, config, weighed, plan) as prepared_df:
        counts = _count_parts(prepared_df, config)
        require_rows(counts, roles)
        progress.step(f"fitting {config.model.kind}")
        estimator = learner(config.model.kind).make(config.model.params, config.seed)
        fit_df = prepared_df.filter(F.col(PART) == FIT).select(FEATURES, LABEL, WEIGHT)
        ledger = Ledger(weighed.weighting.prior, rule)
        model = estimator.fit(fit_df)
        bare = Scorer(config.model.kind, model, plan, roles.class_names, ledger)
        scorer = _calibrated(bare.with_undone(), prepared_df, config, counts, progress)
        progress.step("evaluating on the test rows")
        evaluation = evaluate(prepared_df.filter(F.col(PART) == TEST), scorer, config, weighed)
    gate_base_rate(evaluation, config.decision.base_rate_tolerance)
    rows = {
        which: sum(n for (p, _), n in counts.items() if p == which)
        for which in (FIT, CALIBRATE, TEST)
    }
    return Trained(scorer, split, rows, evaluation)


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
    divided_df: DataFrame, config: Config, weighed: Weighed, plan: FeaturePlan
) -> Iterator[DataFrame]:
    """Keep what fitting, calibrating and testing read, once per row, for their many passes."""
    roles, rule = config.roles, weighed.weighting.rule
    kept = dict.fromkeys([*config.matrix.columns, *rule.columns])
    if roles.weight is not None:
        kept[roles.weight] = None
    prepared_df = divided_df.select(
        PART,
        class_index(roles).cast("double").alias(LABEL),
        training_weight(rule, roles).alias(WEIGHT),
        plan.vector().alias(FEATURES),
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
        scorer.score(prepared_df.filter(F.col(PART) == CALIBRATE)),
        scorer.probability_cols,
        class_col=LABEL,
        weight_col=config.roles.weight,
        rows=sum(n for (which, _), n in counts.items() if which == CALIBRATE),
    )
    return scorer.with_calibrator(calibrator, method)


def evaluate(test_df: DataFrame, scorer: Scorer, config: Config, weighed: Weighed) -> Evaluation:
    """Evaluate our decisions beside the constant ones, the cut at 1/2 and the double count.

    The double count prices probabilities that still carry the weights; it is shown as the
    mistake that it is, and only where there are weights.
    """
    matrix = config.matrix
    scorer.ledger.require_natural()
    scored_df = scorer.score(test_df)
    costs = cost_columns(matrix)
    natural = [column(name) for name in scorer.probability_cols]
    right = right_decisions(matrix, weighed.summary)
    policies = {
        OURS: cheapest_decision(expected_costs(natural, costs), matrix.decisions),
        CUT_AT_HALF: _of_likeliest(natural, [right[name] for name in matrix.classes]),
    }
    if not weighed.weighting.rule.even:
        weighted = [column(name) for name in scorer.weighted_cols]
        policies[DOUBLE_COUNT] = cheapest_decision(
            expected_costs(weighted, costs), matrix.decisions
        )
    decided_df = scored_df.withColumn(DECISION, policies[OURS])
    index = F.col(LABEL).cast("int")
    weight = config.roles.weight
    return collect_evaluation(
        decided_df,
        probability_cols=dict(zip(scorer.classes, scorer.probability_cols, strict=True)),
        class_col=LABEL,
        decision_col=DECISION,
        right_decisions=right,
        constant_costs={
            name: realised_cost(F.lit(name), index, matrix.decisions, costs)
            for name in matrix.decisions
        },
        policy_costs={
            name: realised_cost(decision, index, matrix.decisions, costs)
            for name, decision in policies.items()
        },
        weight=None if weight is None else column(weight).cast("double"),
    )


def right_decisions(matrix: CostMatrix, summary: ClassSummary) -> dict[str, str]:
    """Return, per class, the decision that is cheapest for it on most rows."""
    return {
        name: max(matrix.decisions, key=lambda decision: summary.cheapest[name][decision])
        for name in matrix.classes
    }


def _of_likeliest(probabilities: list[Column], decisions: list[str]) -> Column:
    largest = F.greatest(*probabilities)
    chosen = F.lit(None).cast("string")
    for probability, decision in reversed(list(zip(probabilities, decisions, strict=True))):
        chosen = F.when(probability == largest, decision).otherwise(chosen)
    return chosen
