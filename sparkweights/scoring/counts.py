"""Counts of a scoring run: every row is accounted for, and the incoming table is read once.

Input rows are counted with an `Observation` during the scoring pass. Output counts are queried from
the staged table: a query reads only the columns it needs, an observation processes every row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.features.missing import missing_measures
from sparkweights.scoring.plan import (
    FOUND,
    KEYS_PRESENT,
    RECORD_READABLE,
    SET_ASIDE,
    is_malformed,
)
from sparkweights.spec.outputs import UNSCORABLE, expected_col

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.quality.compile import CompiledSuite
    from sparkweights.quality.suite import CheckReport
    from sparkweights.scoring.plan import ScoringPlan
    from sparkweights.spec.problem import DecisionProblem
    from sparkweights.spec.scoring import ScoringSpec

    Measures = Mapping[str, Any]  # alias of an aggregate -> its value

MAX_TEXTS = 20  # that a manifest lists


def observe_marked(
    marked_df: DataFrame, plan: ScoringPlan, features: FeaturePlan
) -> tuple[DataFrame, Observation]:
    """Observe the number of rows and a suite's measures during the scoring pass.

    `FOUND` holds the result of the suite's row checks. Missing features are counted where the
    model's training counted them.
    """
    observation = Observation()
    measures = [
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col(SET_ASIDE)).alias("quarantined"),
        F.count_if(is_malformed(marked_df.schema)).alias("malformed"),
        F.count_if(plan.without_key(marked_df.schema)).alias("without_key"),
    ]
    if plan.suite is not None:
        measures += plan.suite.measures(F.col(FOUND))
    if features.missing is not None:
        measures += missing_measures(plan.spec.problem.roles.numeric, features.levels)
    return marked_df.observe(observation, *measures), observation


def collect_staged(
    staged_df: DataFrame, spec: ScoringSpec, suite: CompiledSuite | None
) -> Measures:
    """Count decisions, sum probabilities and costs, and compute a suite's measures, in one job.

    A second job counts the first reasons if there are any, a third the faults of rows without a
    decision.
    """
    matrix, decisions = spec.problem.matrix, spec.problem.decisions
    measures = [
        F.count_if(F.col("decision") == name).alias(f"decision_{i}")
        for i, name in enumerate((*decisions, UNSCORABLE))
    ]
    measures += [
        F.sum(column(f"probability_{name}")).alias(f"class_{i}")
        for i, name in enumerate(matrix.classes)
    ]
    measures += [
        F.sum(column(expected_col(name))).alias(f"cost_{i}")
        for i, name in enumerate(matrix.decisions)
    ]
    measures.append(F.sum("expected_cost").alias("cost"))
    if suite is not None:
        measures += suite.measures()
    measured = staged_df.agg(*measures).collect()[0].asDict()
    if spec.reasons is not None:
        measured["reasons"] = _collect_commonest(staged_df, F.col("reason_1"))
    if measured[f"decision_{len(decisions)}"]:
        unscorable_df = staged_df.filter(F.col("decision") == UNSCORABLE)  # a separate partition
        fault = F.substr("score_status", F.lit(len(f"{UNSCORABLE}:") + 1))
        measured["faults"] = _collect_commonest(unscorable_df, fault)
    return measured


def _collect_commonest(staged_df: DataFrame, text: Column) -> dict[str, int]:
    """Return the number of rows by text, in descending order; rows without a text are left out."""
    counts_df = staged_df.filter(text.isNotNull()).groupBy(text.alias("text")).count()
    commonest_df = counts_df.orderBy(F.desc("count"), "text").limit(MAX_TEXTS)
    return {row["text"]: row["count"] for row in commonest_df.collect()}


@dataclass(frozen=True)
class RunCounts:
    """The counts of a scoring run.

    Attributes
    ----------
    rows, quarantined, unscorable
        Incoming rows, and those that got no decision.
    malformed, without_key
        Of the quarantined, those whose record could not be parsed, and those that lack a key.
    quarantined_for
        Failed check -> rows, in descending order; a row may fail several.
    decisions
        Decision -> rows.
    expected_classes
        Class -> the sum of its probability, which is the expected number of its rows.
    expected_costs
        Decision -> the expected cost if every scored row got it.
    expected_cost
        The expected cost of the decisions taken.
    reasons
        First reason -> rows, in descending order; the `MAX_TEXTS` commonest.
    faults
        Fault of unscorable rows -> rows, in descending order.
    """

    rows: int
    quarantined: int
    unscorable: int
    malformed: int
    without_key: int
    decisions: Mapping[str, int]
    expected_classes: Mapping[str, float]
    expected_costs: Mapping[str, float]
    expected_cost: float
    reasons: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    quarantined_for: Mapping[str, int] = field(default_factory=dict)

    def explained(self, report: CheckReport | None, suite: CompiledSuite | None) -> RunCounts:
        """Return the counts with the quarantined rows by failed check."""
        rows_by_check = {RECORD_READABLE: self.malformed, KEYS_PRESENT: self.without_key}
        if report is not None and suite is not None:
            quarantining = [result for result in report.results if result.id in suite.quarantining]
            rows_by_check |= {result.id: result.unexpected or 0 for result in quarantining}
        worst = sorted(rows_by_check.items(), key=lambda item: -item[1])
        return replace(self, quarantined_for={name: count for name, count in worst if count})

    @property
    def scored(self) -> int:
        """Rows that got a decision."""
        return sum(self.decisions.values())


def run_counts(observed: Measures, staged: Measures, problem: DecisionProblem) -> RunCounts:
    """Return the counts of a finished write.

    Parameters
    ----------
    observed
        The measures of `observe_marked`.
    staged
        The measures of `collect_staged`.
    """
    matrix, decisions = problem.matrix, problem.decisions
    return RunCounts(
        rows=observed["rows"],
        quarantined=observed["quarantined"],
        malformed=observed["malformed"],
        without_key=observed["without_key"],
        unscorable=staged[f"decision_{len(decisions)}"],
        decisions={name: staged[f"decision_{i}"] for i, name in enumerate(decisions)},
        expected_classes={
            name: staged[f"class_{i}"] or 0.0 for i, name in enumerate(matrix.classes)
        },
        expected_costs={
            name: staged[f"cost_{i}"] or 0.0 for i, name in enumerate(matrix.decisions)
        },
        expected_cost=staged["cost"] or 0.0,
        reasons=staged.get("reasons", {}),
        faults=staged.get("faults", {}),
    )
