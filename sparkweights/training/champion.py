"""Comparison of the new model with the champion, on rows that neither was fitted on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.bundle.bundle import open_bundle
from sparkweights.bundle.integrity import read_bundle
from sparkweights.core.columns import class_index, column, kind_of
from sparkweights.core.errors import ModelError
from sparkweights.evaluation.paired import BETTER, Decided, PairedCosts, collect_paired_costs
from sparkweights.records.training import ChampionComparison, ComparisonCosts
from sparkweights.sampling.split import MIN_ROWS, TEST
from sparkweights.scoring.scorer import natural_probabilities
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows
from sparkweights.training.cross_fit import CrossFittedScorer, held_out_scorer
from sparkweights.training.data import FOLD, PART, split_obstacle, with_parts, with_parts_of_bundle
from sparkweights.training.evaluate import block_order

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.train import TrainingResult

CHAMPION, CHALLENGER = "__champion", "__challenger"
_COST = "_cost"  # of the decision; appended to its column's name


def compare_with_champion(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    trained: TrainingResult,
    artifacts: Location,
    rule: str,
    *,
    key: bytes | None = None,
) -> ChampionComparison:
    """Compare the new model with the champion, and decide whether to promote it.

    One pass over the labelled table if there is a champion, and one over kept rows if folds tested
    it. Only test rows of both splits count, so no model is evaluated on rows that it was fitted or
    calibrated on.

    Parameters
    ----------
    artifacts
        Folder of the bundles.
    rule
        ``always``, ``if_better`` or ``never``.
    key
        Of the champion's signature; None if none is asked for.
    """
    with ExitStack() as stack:
        try:
            verified = read_bundle(artifacts, key=key)
            champion = stack.enter_context(open_bundle(verified, Location.of(spec.scratch)))
        except ModelError as error:
            # There is no usable champion, so the new model cannot be worse than it.
            return ChampionComparison(None, None, error.message, promoted=rule != "never")
        return _compare(labelled_df, spec, trained, champion, rule)


def _compare(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    trained: TrainingResult,
    champion: ModelBundle,
    rule: str,
) -> ChampionComparison:
    obstacle = _obstacle(labelled_df, spec, champion)
    if obstacle is not None:
        return ChampionComparison(champion.version, None, obstacle, promoted=rule == "always")
    costs, obstacle = _collect_costs(labelled_df, spec, trained, champion)
    better = costs is not None and costs.verdict == BETTER
    promote = rule == "always" or (rule == "if_better" and better)
    summary = None if costs is None else ComparisonCosts.from_dict(costs.to_dict())
    return ChampionComparison(champion.version, summary, obstacle, promoted=promote)


def _obstacle(labelled_df: DataFrame, spec: TrainingSpec, champion: ModelBundle) -> str | None:
    """Return why the champion cannot score these rows, or None."""
    classes = champion.manifest.classes
    if classes != spec.problem.roles.class_names:
        return f"its classes are {', '.join(classes)}"
    for name, kind in champion.manifest.schema.items():
        kind_now = (
            kind_of(labelled_df.schema[name].dataType) if name in labelled_df.columns else None
        )
        if kind_now != kind:
            return f"its feature '{name}' is not in the table any more as {kind}"
    for name in champion.ledger.columns:
        if name not in labelled_df.columns:
            return f"column '{name}', which its weights read, is not in the table any more"
    return split_obstacle(labelled_df.schema, spec.problem.roles, champion)


def _collect_costs(
    labelled_df: DataFrame, spec: TrainingSpec, trained: TrainingResult, champion: ModelBundle
) -> tuple[PairedCosts | None, str | None]:
    weight = spec.problem.roles.weight
    # Filter before scoring: Spark does not push a filter below a model's function.
    parted_df = with_parts(labelled_df, spec.problem.roles, trained.split, spec.seed)
    tested_df = parted_df.filter(F.col(PART) == TEST).drop(PART, FOLD)
    champion_df = with_parts_of_bundle(tested_df, spec.problem.roles, champion).filter(
        F.col(PART) == TEST
    )
    champion_scorer = held_out_scorer(champion)
    decided_df = _append_decision_cost(champion_df, champion_scorer, spec, CHAMPION)
    with ExitStack() as stack:
        if isinstance(champion_scorer, CrossFittedScorer):
            # The challenger's folds are others, so that five folds of each would make 25 plans.
            decided_df = stack.enter_context(keep_rows(decided_df, Location.of(spec.scratch)))
        challenger_df = with_parts(
            decided_df.drop(PART, FOLD), spec.problem.roles, trained.split, spec.seed
        )
        costs = collect_paired_costs(
            _append_decision_cost(challenger_df, trained.held_out_scorer, spec, CHALLENGER),
            *[Decided(F.col(name), F.col(name + _COST)) for name in (CHAMPION, CHALLENGER)],
            index=class_index(spec.problem.roles),
            classes=spec.problem.roles.class_names,
            order=block_order(spec.unit_columns, spec.seed),
            weight=None if weight is None else column(weight).cast("double"),
        )
    needed = MIN_ROWS * len(spec.problem.roles.class_names)
    if costs.rows < needed:
        return None, f"only {costs.rows} rows are unseen by both models; {needed} are needed"
    return costs, None


def _append_decision_cost(
    df: DataFrame, scorer: RowScorer, spec: TrainingSpec, name: str
) -> DataFrame:
    """Append a scorer's decision and its realised cost, without the scorer's other columns."""
    policy = spec.problem.policy
    # The cost reads the decision as a column, which is then computed once.
    scored_df = (
        scorer.score(df)
        .withColumn(name, policy.decide(natural_probabilities(scorer)))
        .withColumn(
            name + _COST, policy.realised_cost(F.col(name), class_index(spec.problem.roles))
        )
    )
    return scored_df.drop(*scorer.weighted_cols, *scorer.probability_cols)
