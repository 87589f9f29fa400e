"""One distributed pass over scored rows with known outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column
from sparkweights.evaluate.curves import (
    ReliabilityBin,
    area_under_roc,
    average_precision,
    reliability,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

BINS = 8_192  # per class; bounds what reaches the driver and the error of the areas


@dataclass(frozen=True)
class ClassEvaluation:
    """One class against the others on the test rows, by its natural probability.

    Attributes
    ----------
    share, mean_probability
        What happened, and what was predicted on average; the base-rate gate compares them.
    auc, average_precision, brier
        Of the class's probability; ``brier`` is the mean of (p - y)^2.
    recall
        Share of the class's rows that got the decision that is cheapest for the class.
    reliability
        What was predicted and what happened, by tenths of the rows.
    """

    share: float
    mean_probability: float
    auc: float
    average_precision: float
    brier: float
    recall: float
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What a set of decisions cost on rows with known outcomes.

    Attributes
    ----------
    rows
        Test rows.
    classes
        Class name -> its numbers.
    constant_costs
        Decision -> the total cost had every row got it, in the money of the table.
    policy_costs
        Policy -> the total cost of its decisions.
    decisions
        Decision -> class name -> rows, for the policy ``ours``.
    """

    rows: int
    classes: Mapping[str, ClassEvaluation]
    constant_costs: Mapping[str, float]
    policy_costs: Mapping[str, float]
    decisions: Mapping[str, Mapping[str, int]]

    def savings(self, policy: str) -> float:
        """Return 1 - cost / (cost of the best constant decision); 0 is doing nothing."""
        best = min(self.constant_costs.values())
        return 1 - self.policy_costs[policy] / best if best > 0 else 0.0


def collect_evaluation(
    scored_df: DataFrame,
    *,
    probability_cols: Mapping[str, str],
    class_col: str,
    decision_col: str,
    right_decisions: Mapping[str, str],
    constant_costs: Mapping[str, Column],
    policy_costs: Mapping[str, Column],
    weight: Column | None = None,
) -> Evaluation:
    """Evaluate decisions in one Spark job.

    Parameters
    ----------
    probability_cols
        Class name -> column of its natural probability, in index order.
    class_col, decision_col
        The row's class index, and the decision it got.
    right_decisions
        Class name -> the decision that counts as right for it in the recall.
    constant_costs, policy_costs
        Decision, or policy, -> what it cost on the row.
    weight
        Incoming sample weight of the row; class weights never enter an evaluation.
    """
    own = F.lit(1.0) if weight is None else weight
    exploded_df = scored_df.withColumn("__w", own).withColumn(
        "__one", _one_per_class(probability_cols, class_col)
    )
    one = F.col("__one")
    bins = F.least(F.floor(one["p"] * BINS), F.lit(BINS - 1))
    first = one["c"] == 0  # every row appears once per class; totals count it once
    measures = _score_measures(one, first)
    costs = {**constant_costs, **policy_costs}
    measures += [
        F.sum(F.when(first, F.col("__w") * cost)).alias(f"cost_{i}")
        for i, cost in enumerate(costs.values())
    ]
    decisions = tuple(constant_costs)
    measures += [
        F.count_if(first & (column(decision_col) == name) & (column(class_col) == c)).alias(
            f"count_{d}_{c}"
        )
        for d, name in enumerate(decisions)
        for c in range(len(probability_cols))
    ]
    found = exploded_df.groupBy(one["c"].alias("c"), bins.alias("bin")).agg(*measures).collect()
    return _evaluation(
        found, tuple(probability_cols), decisions, tuple(policy_costs), right_decisions
    )


def _score_measures(one: Column, first: Column) -> list[Column]:
    return [
        F.sum(F.when(one["y"], F.col("__w"))).alias("positives"),
        F.sum(F.when(~one["y"], F.col("__w"))).alias("negatives"),
        F.sum(F.col("__w") * one["p"]).alias("p"),
        F.sum(F.col("__w") * (one["p"] - one["y"].cast("double")) ** 2).alias("squares"),
        F.count_if(first).alias("rows"),
    ]


def _one_per_class(probability_cols: Mapping[str, str], class_col: str) -> Column:
    return F.explode(
        F.array(
            *[
                F.struct(
                    F.lit(c).alias("c"),
                    column(name).alias("p"),
                    (column(class_col) == c).alias("y"),
                )
                for c, name in enumerate(probability_cols.values())
            ]
        )
    )


def _evaluation(
    found: Sequence[Row],
    classes: Sequence[str],
    decisions: Sequence[str],
    policies: Sequence[str],
    right_decisions: Mapping[str, str],
) -> Evaluation:
    totals = [
        sum(row[f"cost_{i}"] or 0.0 for row in found) for i in range(len(decisions) + len(policies))
    ]
    counts = {
        decision: {
            name: sum(row[f"count_{d}_{c}"] for row in found) for c, name in enumerate(classes)
        }
        for d, decision in enumerate(decisions)
    }
    by_class = {}
    for c, name in enumerate(classes):
        bins = [row for row in found if row["c"] == c]
        right = counts[right_decisions[name]][name]
        of_class = sum(counts[decision][name] for decision in decisions)
        by_class[name] = _class_evaluation(bins, right / of_class if of_class else 0.0)
    return Evaluation(
        rows=sum(row["rows"] for row in found),
        classes=by_class,
        constant_costs=dict(zip(decisions, totals, strict=False)),
        policy_costs=dict(zip(policies, totals[len(decisions) :], strict=True)),
        decisions=counts,
    )


def _class_evaluation(unordered: Sequence[Row], recall: float) -> ClassEvaluation:
    bins = sorted(unordered, key=lambda row: row["bin"])
    scores = [row["bin"] for row in bins]
    positives = [row["positives"] or 0.0 for row in bins]
    negatives = [row["negatives"] or 0.0 for row in bins]
    total = sum(positives) + sum(negatives)
    return ClassEvaluation(
        share=sum(positives) / total,
        mean_probability=sum(row["p"] for row in bins) / total,
        auc=area_under_roc(scores, positives, negatives),
        average_precision=average_precision(scores, positives, negatives),
        brier=sum(row["squares"] for row in bins) / total,
        recall=recall,
        reliability=reliability([row["p"] for row in bins], positives, negatives),
    )
