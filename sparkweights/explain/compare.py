"""The explain stage: the columns' importance to the model in use and to an unweighted baseline."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, sample_weight
from sparkweights.core.errors import ModelError
from sparkweights.evaluation.ranking import AreaShift, compare_areas
from sparkweights.explain.importance import (
    Importance,
    before_and_after,
    collect_importance,
    collect_standard_deviations,
    ranks,
)
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.models.registry import AUTO
from sparkweights.probability.corrections import WEIGHTS, Ledger
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.sampling.split import (
    CALIBRATE,
    FIT,
    TEST,
    Split,
    require_crossed_rows,
    require_rows,
)
from sparkweights.scoring.schema_checks import require_model, require_same_training
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.training.choose_learner import with_learner
from sparkweights.training.cross_fit import (
    CrossFitting,
    cross_fit,
    fit_scorer,
    held_out_rows,
    held_out_scorer,
    score_by_fold,
)
from sparkweights.training.data import (
    PART,
    count_folds,
    count_parts,
    learn_plan,
    prepare_rows,
    with_parts_of_bundle,
)
from sparkweights.training.select import select_and_calibrate
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.progress import Progress
    from sparkweights.costs.policy import DecisionPolicy
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.training import TrainingSpec

PERMUTATION_ORDER, SAMPLE_ORDER, PRICES = "__permutation_order", "__sample_order", "__prices"
_KEPT = "__kept"


@dataclass(frozen=True)
class ColumnInTwoModels:
    """The importance of one column to two models.

    Attributes
    ----------
    weighted, unweighted
        Its importance to the model in use, and to the same learner without weights.
    rank, unweighted_rank
        Its rank by cost among all columns, 1 for the most important.
    """

    weighted: Importance
    unweighted: Importance
    rank: int
    unweighted_rank: int

    @property
    def rank_change(self) -> int:
        """By how many ranks weighting moves the column up."""
        return self.unweighted_rank - self.rank


@dataclass(frozen=True)
class Explanation:
    """The explain stage's record.

    Attributes
    ----------
    columns
        The most important to the model in use first.
    areas
        Class -> the area under its ROC curve without and with weights; of two the second.
    coefficients
        Of a linear model of two classes: intercept and slopes, without and with weights.
    """

    rows: int
    columns: tuple[ColumnInTwoModels, ...]
    areas: Mapping[str, AreaShift]
    coefficients: Mapping[str, tuple[float, float]] | None


def explain(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    trained: TrainingSpec,
    bundle: ModelBundle,
    progress: Progress,
) -> Explanation:
    """Measure each column's importance to the model in use and to its unweighted baseline.

    The baseline is fitted on the rows and with the parameters of the model in use; both are
    evaluated on that model's test rows.

    Parameters
    ----------
    spec
        Of the present configuration.
    trained
        The specification that the model was trained with.

    Raises
    ------
    ModelError
        If the configuration has another kind of model or other classes, or differs from the
        training in a setting that the model depends on.
    """
    _require_same(spec, bundle)
    require_same_training(spec, trained, bundle.version)
    if spec.model.kind == AUTO:
        spec = with_learner(spec, bundle.kind, bundle.manifest.model.params)
    roles = spec.problem.roles
    seed = bundle.manifest.model.seed
    orders = {
        SAMPLE_ORDER: uniform(roles.keys, seed, Stream.SAMPLE),
        PERMUTATION_ORDER: uniform(roles.keys, seed, Stream.PERMUTATION),
    }
    require_model(
        labelled_df.schema,
        spec.problem,
        Scorer.of(bundle),
        bundle.manifest.schema,
        table="labelled",
    )
    known_df = labelled_df.filter(class_index(roles) >= 0)
    divided_df = with_parts_of_bundle(known_df, roles, bundle)
    crossed = bundle.manifest.split.crossed
    compared = _compared_across_folds if crossed else _compared_on_test_rows
    with compared(divided_df, spec, bundle, orders, progress) as (test_df, rows, unweighted):
        weighted = held_out_scorer(bundle)
        importances = []
        for text, scorer in (
            ("the model in use", weighted),
            ("its unweighted baseline", unweighted),
        ):
            progress.step(f"permuting columns for {text}")
            importances.append(_importance(test_df, spec, scorer, rows))
        progress.step("comparing the rankings")
        areas = _areas(test_df, weighted, unweighted, sample_weight(roles))
    return Explanation(
        rows, _side_by_side(*importances), areas, _coefficients(weighted, unweighted)
    )


@contextmanager
def _compared_on_test_rows(
    divided_df: DataFrame,
    spec: TrainingSpec,
    bundle: ModelBundle,
    orders: Mapping[str, Column],
    progress: Progress,
) -> Iterator[tuple[DataFrame, int, RowScorer]]:
    """Yield the model's test rows, their number, and the unweighted baseline."""
    plan = bundle.plan
    if plan.looks_at_outcomes:  # the baseline must not see a row's own outcome either
        plan = replace(plan, folds=learn_plan(divided_df, spec).folds)
    with prepare_rows(divided_df, spec, _weight_rule(bundle), plan, also=orders) as prepared_df:
        progress.step("counting rows")
        counts = count_parts(prepared_df, spec)
        require_rows(counts.by_class, spec.problem.roles)
        progress.step(f"fitting {bundle.kind} without weights")
        fit_df = _unweighted(prepared_df.filter(F.col(PART) == FIT), spec)
        fitted = fit_scorer(fit_df, spec, bundle.plan, _unweighted_ledger(bundle))
        unweighted = select_and_calibrate(fitted, prepared_df, spec, counts.size(CALIBRATE)).scorer
        yield prepared_df.filter(F.col(PART) == TEST), counts.rows[TEST], unweighted


@contextmanager
def _compared_across_folds(
    divided_df: DataFrame,
    spec: TrainingSpec,
    bundle: ModelBundle,
    orders: Mapping[str, Column],
    progress: Progress,
) -> Iterator[tuple[DataFrame, int, RowScorer]]:
    """Yield all rows with their folds, their number, and the unweighted baselines by fold."""
    split = Split.from_dict(bundle.manifest.split.to_dict())
    fitted_df = divided_df.withColumn(PART, F.lit(FIT))
    fitting = CrossFitting.of(split, fitted_df, spec)
    also = {**orders, **fitting.columns(spec)}
    with prepare_rows(
        fitted_df, spec, _weight_rule(bundle), fitting.plan, also=also
    ) as prepared_df:
        progress.step("counting rows")
        counts = count_folds(prepared_df, spec, F.lit(col=True))
        require_crossed_rows(counts.by_class, spec.problem.roles.class_names, split.crossed)
        progress.step(f"fitting {bundle.kind} without weights, one model per fold")
        unweighted = cross_fit(
            _unweighted(prepared_df, spec),
            fitting,
            spec,
            _unweighted_ledger(bundle),
            calibrates=F.lit(col=True),
        ).held_out
        yield held_out_rows(prepared_df), counts.rows, unweighted


def _unweighted(prepared_df: DataFrame, spec: TrainingSpec) -> DataFrame:
    return prepared_df.withColumn(WEIGHT, sample_weight(spec.problem.roles))


def _unweighted_ledger(bundle: ModelBundle) -> Ledger:
    rule = WeightRule.fixed("none", dict.fromkeys(bundle.manifest.classes, 1.0))
    return Ledger(bundle.ledger.prior).with_reweighting(WEIGHTS, rule)


def _require_same(spec: TrainingSpec, bundle: ModelBundle) -> None:
    classes = bundle.manifest.classes
    if spec.model.kind not in {AUTO, bundle.kind} or classes != spec.problem.roles.class_names:
        raise ModelError(
            f"The model in use is {bundle.kind} of the classes {', '.join(classes)}; the "
            f"configuration asks for {spec.model.kind} and "
            f"{', '.join(spec.problem.roles.class_names)}.",
            hint="train with this configuration first, or explain with the model's own.",
        )


def _weight_rule(bundle: ModelBundle) -> WeightRule:
    """Return the weights that the model in use was trained with."""
    (rule,) = [step.rule for step in bundle.ledger.reweightings if step.kind == WEIGHTS]
    return rule


def _areas(
    test_df: DataFrame, weighted: RowScorer, unweighted: RowScorer, weight: Column
) -> dict[str, AreaShift]:
    """Compare the areas under the ROC curves of both on the same rows, one Spark job per class."""
    names = {c: f"__unweighted_{c}" for c in range(len(unweighted.classes))}

    def append(df: DataFrame, scorers: Sequence[RowScorer]) -> DataFrame:
        first, second = scorers
        scored_df = first.score(df.withColumn(_KEPT, F.col(FEATURES))).withColumns(
            {names[c]: column(name) for c, name in enumerate(first.probability_cols)}
        )
        added = [*first.weighted_cols, *first.probability_cols]
        return second.score(scored_df.drop(*added).withColumn(FEATURES, F.col(_KEPT)))

    both_df = score_by_fold(test_df, [unweighted, weighted], append)
    first = 1 if len(unweighted.classes) == 2 else 0  # of two, each is the complement of the other
    return {
        name: compare_areas(
            both_df,
            F.col(names[c]),
            column(weighted.probability_cols[c]),
            F.col(LABEL) == c,
            weight,
        )
        for c, name in enumerate(unweighted.classes)
        if c >= first
    }


def _coefficients(
    weighted: RowScorer, unweighted: RowScorer
) -> dict[str, tuple[float, float]] | None:
    """Return coefficients without and with weights; of several folds, their means."""
    pairs = []
    for scorer in (unweighted, weighted):
        fits = [model.coefficients() for model in scorer.models]
        by_model = [coefficients for coefficients in fits if coefficients is not None]
        if not by_model:
            return None
        pairs.append(np.mean(by_model, axis=0).tolist())
    names = ("intercept", *weighted.plan.names)
    return {name: (pairs[0][i], pairs[1][i]) for i, name in enumerate(names)}


def _importance(
    test_df: DataFrame, spec: TrainingSpec, scorer: RowScorer, rows: int
) -> list[Importance]:
    models, sources = scorer.models, scorer.plan.sources
    # Only a linear model's coefficients depend on the columns' units.
    linear = models[0].capabilities.linear
    units = collect_standard_deviations(test_df, len(sources)) if linear else np.ones(len(sources))
    shares = np.mean([model.importances() * units for model in models], axis=0)
    prices = F.array(*[F.array(*row) for row in spec.problem.policy.costs()])
    policy = spec.problem.policy.reading(PRICES)

    def append_costs(df: DataFrame, permute: Callable[[DataFrame], DataFrame]) -> DataFrame:
        def append(fold_df: DataFrame, scorers: Sequence[RowScorer]) -> DataFrame:
            cost_of = partial(_append_cost, scorers[0], policy)
            return before_and_after(cost_of)(fold_df, permute)

        return score_by_fold(df, [scorer], append)

    return collect_importance(
        test_df.withColumn(PRICES, prices),
        append_costs,
        sources,
        shares,
        rows=rows,
        orders=(F.col(SAMPLE_ORDER), F.col(PERMUTATION_ORDER)),
        weight=sample_weight(spec.problem.roles),
        correction_cols=scorer.ledger.columns,
    )


def _append_cost(scorer: RowScorer, policy: DecisionPolicy, df: DataFrame, name: str) -> DataFrame:
    """Append the decision's cost by `PRICES`, which permuting a column does not change."""
    index = F.col(LABEL).cast("int")
    cost = policy.realised_cost_of(natural_probabilities(scorer), index)
    scored_df = scorer.score(df).withColumn(name, cost)
    return scored_df.drop(*scorer.weighted_cols, *scorer.probability_cols)


def _side_by_side(
    weighted: list[Importance], unweighted: list[Importance]
) -> tuple[ColumnInTwoModels, ...]:
    ranks_weighted = ranks([entry.cost for entry in weighted])
    ranks_unweighted = ranks([entry.cost for entry in unweighted])
    pairs = zip(weighted, unweighted, ranks_weighted, ranks_unweighted, strict=True)
    columns = [ColumnInTwoModels(*pair) for pair in pairs]
    return tuple(sorted(columns, key=lambda entry: (entry.rank, entry.weighted.name)))
