"""What a scorer's decisions cost on rows with known outcomes, beside the alternatives."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.columns import column
from sparkweights.costs.matrix import REVIEW
from sparkweights.costs.policy import cheapest_decision, expected_costs, realised_cost
from sparkweights.costs.review import collect_review_cut, is_reviewed, review_cost, review_gain
from sparkweights.costs.spark import cost_columns, to_column
from sparkweights.evaluation.collect import Scored, collect_segments
from sparkweights.evaluation.curves import class_curves
from sparkweights.evaluation.evaluation import Evaluation
from sparkweights.evaluation.operating_points import binary_rule
from sparkweights.models.base import LABEL
from sparkweights.report import fragment, money_section
from sparkweights.sampling.hashing import Stream, uniform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.config.schema import Config
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.weights.frequencies import ClassSummary

DECISION, ORDER, BLOCK = "__decision", "__order", "__block"
OURS, WITH_REVIEW = "ours", "with_review"
CUT_AT_HALF, DOUBLE_COUNT = "cut_at_half", "double_count"


class JudgedRows(Evaluation):
    """An evaluation that a notebook shows as its key chart: what ways to decide cost."""

    @classmethod
    def of(cls, found: Evaluation) -> JudgedRows:
        """Return an evaluation as one that can be shown."""
        return cls(**{own.name: getattr(found, own.name) for own in fields(found)})

    def _repr_html_(self) -> str:
        return fragment(money_section(self.to_dict()))


def evaluate(
    test_df: DataFrame, scorer: RowScorer, config: Config, right: Mapping[str, str]
) -> JudgedRows:
    """Evaluate our decisions beside the constant ones, the cut at 1/2 and the double count.

    Parameters
    ----------
    test_df
        Rows with `LABEL`, `ORDER` and `BLOCK`, and what the scorer, costs and weights read.
    right
        Class name -> the decision that counts as right for it; see `right_decisions`.
    """
    return evaluate_segments(test_df, scorer, config, right)[()]


def evaluate_segments(
    test_df: DataFrame,
    scorer: RowScorer,
    config: Config,
    right: Mapping[str, str],
    *,
    by: Sequence[str] = (),
    exact: bool = False,
) -> dict[tuple[str | None, ...], JudgedRows]:
    """Evaluate as `evaluate` does, as a whole, under the key (), and by segment.

    The double count prices probabilities that still carry the weights; it is shown as the
    mistake that it is, and only where there are weights.
    """
    matrix = config.matrix
    scorer.ledger.require_natural()
    scored_df = scorer.score(test_df)
    costs, index = cost_columns(matrix), F.col(LABEL).cast("int")
    policies = _policies(scorer, matrix, right)
    policy_costs = {
        name: realised_cost(decision, index, matrix.decisions, costs)
        for name, decision in policies.items()
    }
    if config.review is not None:
        reviewed, looked_at = _reviewed(scored_df, scorer, config)
        policy_costs[WITH_REVIEW] = F.when(reviewed, looked_at).otherwise(policy_costs[OURS])
    constant = {
        name: realised_cost(F.lit(name), index, matrix.decisions, costs)
        for name in matrix.decisions
    }
    weight = config.roles.weight
    scored = Scored(
        probability_cols=dict(zip(scorer.classes, scorer.probability_cols, strict=True)),
        class_col=LABEL,
        decision_col=DECISION,
        right_decisions=right,
        constant_costs=constant,
        policy_costs=policy_costs,
        order=F.col(BLOCK),
        clustered=bool(config.split.group),
        weight=F.lit(1.0) if weight is None else column(weight),
        weighted_cols=dict(zip(scorer.classes, scorer.weighted_cols, strict=True)),
        costs=costs,
    )
    decided_df = scored_df.withColumn(DECISION, policies[OURS])
    found = collect_segments(decided_df, scored, by=by, exact=exact)
    return {key: JudgedRows.of(one) for key, one in found.items()}


def evaluation_record(
    evaluation: Evaluation, matrix: CostMatrix, cost_tolerance: float
) -> dict[str, Any]:
    """Return an evaluation's record, with savings beside every cost and curves to draw."""
    curves = {
        name: class_curves(evaluation, name, **_cutting(evaluation, matrix, c))
        for c, name in enumerate(evaluation.tables)
    }
    right = dict(evaluation.right_decisions)
    found = evaluation.cost_calibration
    calibration = None
    if found is not None:
        warnings = found.warnings(cost_tolerance)
        calibration = {**found.to_dict(), "tolerance": cost_tolerance, "warnings": warnings}
    return {
        **evaluation.to_dict(),
        "cost_calibration": calibration,
        "right_decisions": right,
        "curves": curves,
    }


def _cutting(evaluation: Evaluation, matrix: CostMatrix, c: int) -> dict[str, float]:
    """Return the cut of a class's probability and the slope of equal cost, if there is one."""
    rows, names = matrix.numbers(), matrix.classes
    if rows is None or len(names) != 2:  # noqa: PLR2004 (a cut is between two)
        return {}
    own, other = (evaluation.right_decisions[names[k]] for k in (c, 1 - c))
    for_own, for_other = (rows[matrix.decisions.index(name)] for name in (own, other))
    rule = binary_rule(for_other[1 - c], for_other[c], for_own[1 - c], for_own[c])
    prior = evaluation.tables[names[c]].prior
    if rule.threshold is None or not 0 < prior < 1:
        return {}
    odds = rule.threshold / (1 - rule.threshold)
    return {"cut": rule.threshold, "iso_cost_slope": odds * (1 - prior) / prior}


def _policies(scorer: RowScorer, matrix: CostMatrix, right: Mapping[str, str]) -> dict[str, Column]:
    costs = cost_columns(matrix)
    natural = [column(name) for name in scorer.probability_cols]
    policies = {
        OURS: cheapest_decision(expected_costs(natural, costs), matrix.decisions),
        CUT_AT_HALF: _of_likeliest(natural, [right[name] for name in matrix.classes]),
    }
    if not all(entry.rule.even for entry in scorer.ledger.bends):
        weighted = [column(name) for name in scorer.weighted_cols]
        policies[DOUBLE_COUNT] = cheapest_decision(
            expected_costs(weighted, costs), matrix.decisions
        )
    return policies


def _reviewed(scored_df: DataFrame, scorer: RowScorer, config: Config) -> tuple[Column, Column]:
    """Return which test rows would be looked at, and what a look costs in the end.

    That is its price and the cost of the decision that is right for the true class.
    """
    assert config.review is not None  # noqa: S101 (narrows the type)
    assert config.review_price is not None  # noqa: S101 (as above)
    price, least = to_column(config.review_price), [*map(to_column, config.matrix.least)]
    natural = [column(name) for name in scorer.probability_cols]
    best = F.least(*expected_costs(natural, cost_columns(config.matrix)))
    gain = review_gain(best, review_cost(natural, least, price))
    weight = None if config.roles.weight is None else column(config.roles.weight)
    cut = collect_review_cut(scored_df, gain, config.review.capacity, weight)
    index = F.col(LABEL).cast("int")
    right = realised_cost(F.lit(REVIEW), index, [REVIEW], [least])
    return is_reviewed(gain, F.col(ORDER), cut), price + right


def decided(scorer: RowScorer, matrix: CostMatrix) -> Column:
    """Return the cheapest decision by a scorer's probabilities on a scored row."""
    natural = [column(name) for name in scorer.probability_cols]
    return cheapest_decision(expected_costs(natural, cost_columns(matrix)), matrix.decisions)


def paid(scorer: RowScorer, matrix: CostMatrix, index: Column) -> Column:
    """Return what the cheapest decision by a scorer's probabilities costs on a scored row.

    Parameters
    ----------
    index
        The row's class.
    """
    return realised_cost(decided(scorer, matrix), index, matrix.decisions, cost_columns(matrix))


def review_order(config: Config) -> Column:
    """Return what tells rows of equal gain apart; not the split's order, which test rows share."""
    return uniform(config.roles.keys, config.seed, Stream.REVIEW)


def block_order(config: Config) -> Column:
    """Return what deals rows into the blocks that intervals draw; rows of a group share it."""
    names = config.split.group or config.roles.keys
    return uniform(names, config.seed, Stream.BLOCKS)


def right_decisions(matrix: CostMatrix, summary: ClassSummary) -> dict[str, str]:
    """Return, per class, the decision that is cheapest for it on most rows by their weight."""
    return {
        name: max(matrix.decisions, key=lambda decision: summary.taken[name][decision])
        for name in matrix.classes
    }


def _of_likeliest(probabilities: list[Column], decisions: list[str]) -> Column:
    largest = F.greatest(*probabilities)
    chosen = F.lit(None).cast("string")
    for probability, decision in reversed(list(zip(probabilities, decisions, strict=True))):
        chosen = F.when(probability == largest, decision).otherwise(chosen)
    return chosen
