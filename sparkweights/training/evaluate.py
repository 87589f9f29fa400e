"""What a scorer's decisions cost on rows with known outcomes, beside the alternatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column, sample_weight
from sparkweights.costs.expression import constant
from sparkweights.costs.review import collect_review_cutoff, is_reviewed
from sparkweights.evaluation.collect import Scored, collect_segments
from sparkweights.evaluation.curves import class_curves
from sparkweights.evaluation.operating_points import binary_rule
from sparkweights.models.base import LABEL
from sparkweights.records.evaluation import (
    DOUBLE_COUNT,
    MODEL,
    THRESHOLD_HALF,
    WITH_REVIEW,
    EvaluationSummary,
)
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.scoring.scorer import natural_probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.costs.policy import DecisionPolicy
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.scoring.scorer import ProbabilityScorer
    from sparkweights.spec.problem import DecisionProblem, ReviewTerms
    from sparkweights.weights.frequencies import ClassSummary

DECISION, ORDER, BLOCK = "__decision", "__order", "__block"


def evaluate(
    test_df: DataFrame,
    scorer: ProbabilityScorer,
    problem: DecisionProblem,
    least_cost: Mapping[str, str],
    *,
    grouped: bool = False,
    decision: Column | None = None,
    exact: bool = False,
) -> Evaluation:
    """Evaluate the model's decisions beside constant decisions, threshold 1/2 and the double count.

    Parameters
    ----------
    test_df
        Rows with `LABEL`, `ORDER` and `BLOCK`, and what the scorer, costs and weights read.
    least_cost
        Class name -> its least-cost decision; see `least_cost_decisions`.
    grouped
        Whether `BLOCK` keeps several rows together, so that they are no independent draws.
    decision
        The decision taken; by default that of least expected cost.
    exact
        Whether to keep every distinct score instead of bins.
    """
    return evaluate_segments(
        test_df, scorer, problem, least_cost, grouped=grouped, decision=decision, exact=exact
    )[()]


def evaluate_segments(
    test_df: DataFrame,
    scorer: ProbabilityScorer,
    problem: DecisionProblem,
    least_cost: Mapping[str, str],
    *,
    grouped: bool = False,
    by: Sequence[str] = (),
    decision: Column | None = None,
    exact: bool = False,
) -> dict[tuple[str | None, ...], Evaluation]:
    """Evaluate as `evaluate` does, as a whole, under the key (), and by segment.

    The double count takes least-cost decisions by probabilities that are still weighted. It is a
    mistake, evaluated for comparison, and only where there are weights.
    """
    policy, index = problem.policy, F.col(LABEL).cast("int")
    scorer.ledger.require_natural()
    decisions = _decisions(scorer, policy, least_cost)
    if decision is not None:
        decisions[MODEL] = decision
    # Costs read decisions as columns, so that each is planned and computed once.
    names = {name: f"{DECISION}_{i}" for i, name in enumerate(decisions)} | {MODEL: DECISION}
    scored_df = scorer.score(test_df).withColumns(
        {names[name]: taken for name, taken in decisions.items()}
    )
    policy_costs = {name: policy.realised_cost(F.col(names[name]), index) for name in decisions}
    if problem.review is not None:
        reviewed = _reviewed(scored_df, scorer, problem, problem.review)
        looked_at = policy.realised_review_cost(index)
        policy_costs[WITH_REVIEW] = F.when(reviewed, looked_at).otherwise(policy_costs[MODEL])
    scored = Scored(
        probability_cols=dict(zip(scorer.classes, scorer.probability_cols, strict=True)),
        class_col=LABEL,
        decision_col=DECISION,
        right_decisions=least_cost,
        constant_costs={
            name: policy.realised_cost(name, index) for name in problem.matrix.decisions
        },
        policy_costs=policy_costs,
        order=F.col(BLOCK),
        clustered=grouped,
        weight=sample_weight(problem.roles),
        weighted_cols=dict(zip(scorer.classes, scorer.weighted_cols, strict=False)),  # if known
        costs=policy.costs(),
    )
    return collect_segments(scored_df, scored, by=by, exact=exact)


def summarise_evaluation(
    evaluation: Evaluation, matrix: CostMatrix, cost_tolerance: float
) -> EvaluationSummary:
    """Return the record of an evaluation: its numbers, and points of its curves."""
    cost_calibration = evaluation.cost_calibration
    calibration = None
    if cost_calibration is not None:
        warnings = cost_calibration.warnings(cost_tolerance)
        calibration = {
            **cost_calibration.to_dict(),
            "tolerance": cost_tolerance,
            "warnings": warnings,
        }
    return EvaluationSummary.from_dict({
        **evaluation.to_dict(),
        "cost_calibration": calibration,
        "right_decisions": evaluation.right_decisions,
        "curves": {
            name: class_curves(evaluation, name, **_threshold_and_slope(evaluation, matrix, c))
            for c, name in enumerate(evaluation.tables)
        },
    })  # fmt: skip


def _threshold_and_slope(evaluation: Evaluation, matrix: CostMatrix, c: int) -> dict[str, float]:
    """Return the threshold of a class's probability and the slope of equal cost, if defined."""
    rows, names = matrix.numbers(), matrix.classes
    if rows is None or len(names) != 2:  # a threshold needs two classes
        return {}
    decision, alternative = (evaluation.right_decisions[names[k]] for k in (c, 1 - c))
    costs, alternative_costs = (
        rows[matrix.decisions.index(name)] for name in (decision, alternative)
    )
    rule = binary_rule(alternative_costs[1 - c], alternative_costs[c], costs[1 - c], costs[c])
    prior = evaluation.tables[names[c]].prior
    if rule.threshold is None or not 0 < prior < 1:
        return {}
    odds = rule.threshold / (1 - rule.threshold)
    return {"threshold": rule.threshold, "iso_cost_slope": odds * (1 - prior) / prior}


def _decisions(
    scorer: ProbabilityScorer, policy: DecisionPolicy, least_cost: Mapping[str, str]
) -> dict[str, Column]:
    """Return the decision of each policy."""
    natural = natural_probabilities(scorer)
    decisions = {
        MODEL: policy.decide(natural),
        THRESHOLD_HALF: _of_likeliest(
            natural, [least_cost[name] for name in policy.matrix.classes]
        ),
    }
    weighted = not all(entry.rule.is_uniform for entry in scorer.ledger.reweightings)
    if weighted and scorer.weighted_cols:
        decisions[DOUBLE_COUNT] = policy.decide([column(name) for name in scorer.weighted_cols])
    return decisions


def _reviewed(
    scored_df: DataFrame, scorer: ProbabilityScorer, problem: DecisionProblem, review: ReviewTerms
) -> Column:
    """Return which test rows are reviewed."""
    gain = problem.policy.review_gain(natural_probabilities(scorer))
    weight = None if problem.roles.weight is None else sample_weight(problem.roles)
    cutoff = collect_review_cutoff(scored_df, gain, review.capacity, weight)
    return is_reviewed(gain, F.col(ORDER), cutoff)


def block_order(unit_columns: Sequence[str], seed: int) -> Column:
    """Return the number that assigns rows to bootstrap blocks; rows of a group share it."""
    return uniform(unit_columns, seed, Stream.BLOCKS)


def least_cost_decisions(matrix: CostMatrix, summary: ClassSummary) -> dict[str, str]:
    """Return, per class, the decision that is cheapest on most of its rows, by weight."""
    return {
        name: max(matrix.decisions, key=lambda decision: summary.taken[name][decision])
        for name in matrix.classes
    }


def constant_least_cost_decisions(matrix: CostMatrix) -> dict[str, str] | None:
    """Return, per class, its least-cost decision where that is the same on every row, else None.

    Costs are >= 0: a decision that is free for a class is its least-cost one whatever the others
    cost.
    """
    chosen = {}
    for c, name in enumerate(matrix.classes):
        costs = {
            decision: constant(row[c])
            for decision, row in zip(matrix.decisions, matrix.cells, strict=True)
        }
        known = {decision: cost for decision, cost in costs.items() if cost is not None}
        least = min(known, key=known.__getitem__, default=None)
        if least is None or (len(known) < len(costs) and known[least] > 0):
            return None
        chosen[name] = least
    return chosen


def _of_likeliest(probabilities: list[Column], decisions: list[str]) -> Column:
    largest = F.greatest(*probabilities)
    chosen = F.lit(None).cast("string")
    for probability, decision in reversed(list(zip(probabilities, decisions, strict=True))):
        chosen = F.when(probability == largest, decision).otherwise(chosen)
    return chosen
