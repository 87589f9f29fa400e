"""The score stage: every incoming row gets a decision, a reason why not, or quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import DoubleType, FloatType

from sparkweights.config.validate import UNSCORABLE
from sparkweights.core.columns import column, unless_nan
from sparkweights.core.roles import reason_cols
from sparkweights.costs.expression import constant
from sparkweights.costs.matrix import REVIEW
from sparkweights.costs.policy import cheapest_decision, expected_costs
from sparkweights.costs.review import is_reviewed, review_cost, review_gain
from sparkweights.costs.spark import cost_columns, to_column
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.scoring.reason_codes import append_reasons

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

    from sparkweights.config.schema import Config
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.costs.review import ReviewCut
    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.quality.compile import CompiledSuite
    from sparkweights.scoring.reason_codes import ReasonRule
    from sparkweights.scoring.scorer import Scorer

FOUND, SET_ASIDE, FAULT, DECISION = "__found", "__set_aside", "__fault", "__decision"
INFINITE = "__infinite"
KEYS_PRESENT = "keys are present"


@dataclass(frozen=True)
class Stamp:
    """What every row of a run carries to tell where it came from."""

    model_version: str
    run_id: str
    run_date: date
    scored_at: datetime


@dataclass(frozen=True)
class Adapted:
    """A scorer fitted to tonight's table.

    Attributes
    ----------
    scorer
        Its probabilities speak of the shares that were asked for.
    shift
        The estimate of tonight's shares, where one was asked for.
    cut
        Which rows a human looks at, where there is a review.
    reasons
        How adverse decisions are explained, where that is asked for.
    """

    scorer: Scorer
    shift: LabelShift | None = None
    cut: ReviewCut | None = None
    reasons: ReasonRule | None = None


def mark(incoming_df: DataFrame, config: Config, suite: CompiledSuite | None) -> DataFrame:
    """Append what a suite finds about each row, if there is one, and whether it is set aside.

    A row is set aside that lacks a key, or fails a critical expectation.
    """
    aside = without_key(incoming_df.schema, config)
    if suite is None:
        return incoming_df.withColumn(SET_ASIDE, aside)
    return incoming_df.withColumns({FOUND: suite.found, SET_ASIDE: aside | suite.critical})


def without_key(schema: StructType, config: Config) -> Column:
    """Return whether a row lacks a key, which sets it aside; NaN is none."""
    keys = [
        unless_nan(column(key))
        if isinstance(schema[key].dataType, (DoubleType, FloatType))
        else column(key)
        for key in config.roles.keys
    ]
    return reduce(or_, [key.isNull() for key in keys])


def passing(marked_df: DataFrame) -> DataFrame:
    """Return the rows that are not set aside."""
    return marked_df.filter(~F.col(SET_ASIDE))


def is_usable(scorer: Scorer) -> Column:
    """Return whether a marked row has a probability that means something.

    What is set aside, or cannot be scored, says nothing of class shares, whatever the model makes
    of it.
    """
    return ~F.col(SET_ASIDE) & scorer.plan.unusable().isNull()


def quarantined_rows(
    incoming_df: DataFrame,
    config: Config,
    suite: CompiledSuite | None,
    stamp: Stamp,
    failing: Collection[str],
) -> DataFrame:
    """Return the rows set aside, whole, with the checks they failed and the run.

    Parameters
    ----------
    failing
        Ids of the critical expectations that rows are known to fail; the others are not asked of
        each row again, which halves this second look where few of many fail.
    """
    nothing = F.array().cast("array<string>")
    aside = without_key(incoming_df.schema, config)
    failed = F.when(aside, F.array(F.lit(KEYS_PRESENT))).otherwise(nothing)
    if suite is not None:
        failed = F.concat(failed, suite.failed(suite.found))
        aside |= suite.failing(failing)
    # The few rows are told apart behind an exchange, which adaptive execution makes: in one step
    # with the filter, naming their checks makes a method that Java does not compile, and every
    # part of the table would get a file.
    return (
        incoming_df.filter(aside)
        .hint("rebalance")
        .withColumn("failed_checks", failed)
        .withColumn("run_id", F.lit(stamp.run_id))
    )


def price(passing_df: DataFrame, scorer: Scorer, config: Config) -> DataFrame:
    """Append probabilities, what each decision is expected to cost, and what is wrong, if anything.

    Where a feature or a cost cannot be used, `FAULT` says why and the costs are null.
    """
    matrix = config.matrix
    scorer.ledger.require_natural()
    costs = cost_columns(matrix)
    # Asked for before the score, it shares a step with the margin, behind which rows are narrow.
    scored_df = scorer.score(passing_df.withColumn(INFINITE, scorer.plan.unusable()))
    probabilities = [column(name) for name in scorer.probability_cols]
    fault = F.coalesce(
        F.concat(F.lit("infinite "), F.col(INFINITE)),
        *_cost_faults(matrix, costs),
        *_price_faults(config),
        F.when(~_all_proper(probabilities), F.lit("undefined probability")),
    )
    scored_df = scored_df.withColumn(FAULT, fault)
    usable = F.col(FAULT).isNull()
    expected = [F.when(usable, cost) for cost in expected_costs(probabilities, costs)]
    expected_cols = [expected_col(name) for name in matrix.decisions]
    priced = dict(zip(expected_cols, expected, strict=True))
    if config.review_price is not None:
        least = [to_column(cell) for cell in matrix.least]
        looked_at = review_cost(probabilities, least, to_column(config.review_price))
        priced[expected_col(REVIEW)] = F.when(usable, looked_at)
    return scored_df.withColumns(priced)


def expected_col(decision: str) -> str:
    """Return the name of a decision's expected cost."""
    return f"expected_cost_{decision}"


def gain_of_review(config: Config) -> Column:
    """Return what a look at a priced row is expected to save, net of its price."""
    least = F.least(*[column(expected_col(name)) for name in config.matrix.decisions])
    return review_gain(least, column(expected_col(REVIEW)))


def review_weight(incoming_df: DataFrame, config: Config) -> Column | None:
    """Return how many looks an incoming row takes; None where each takes one.

    Where the incoming table holds the sample weight, a row stands for that many rows here as it
    does in training. A weight that is no number >= 0 is no reason to leave a row out of the
    count: such a row takes one look.
    """
    name = config.roles.weight
    if name is None or name not in incoming_df.columns:
        return None
    own = column(name).cast("double")
    return F.when((own >= 0) & (own < float("inf")), own).otherwise(1.0)


def decide(priced_df: DataFrame, adapted: Adapted, config: Config) -> DataFrame:
    """Return what is decided about priced rows.

    Rows without a usable price keep their place with null numbers and a null `DECISION`.
    """
    usable = F.col(FAULT).isNull()
    expected = [column(expected_col(name)) for name in config.matrix.decisions]
    decision, least = cheapest_decision(expected, config.matrix.decisions), F.least(*expected)
    if adapted.cut is not None:
        reviewed = is_reviewed(
            gain_of_review(config),
            uniform(config.roles.keys, config.seed, Stream.REVIEW),
            adapted.cut,
        )
        decision = F.when(reviewed, F.lit(REVIEW)).otherwise(decision)
        least = F.when(reviewed, column(expected_col(REVIEW))).otherwise(least)
    decided_df, told = priced_df.withColumn(DECISION, decision), list[str]()
    if adapted.reasons is not None:
        sources = adapted.scorer.plan.sources
        decided_df = append_reasons(decided_df, adapted.reasons, sources, F.col(DECISION))
        told = [*reason_cols(adapted.reasons.top)]
    return decided_df.select(
        *map(column, config.roles.keys),
        *[F.when(usable, column(name)).alias(name) for name in adapted.scorer.probability_cols],
        *[column(expected_col(name)) for name in config.decisions],
        least.alias("expected_cost"),
        *told,
        FAULT,
        DECISION,
    )


def publishable(decided_df: DataFrame, stamp: Stamp) -> DataFrame:
    """Return the scored table of decided rows, with their status and run."""
    own = [name for name in decided_df.columns if name not in {FAULT, DECISION}]
    return decided_df.select(
        *map(column, own),
        F.coalesce(F.concat(F.lit(f"{UNSCORABLE}:"), F.col(FAULT)), F.lit("scored")).alias(
            "score_status"
        ),
        F.lit(stamp.model_version).alias("model_version"),
        F.lit(stamp.run_id).alias("run_id"),
        F.lit(stamp.scored_at).alias("scored_at"),
        F.coalesce(F.col(DECISION), F.lit(UNSCORABLE)).alias("decision"),
    )


def _cost_faults(matrix: CostMatrix, costs: Sequence[Sequence[Column]]) -> list[Column]:
    faults = []
    for decision, cells, row in zip(matrix.decisions, matrix.cells, costs, strict=True):
        for name, cell, cost in zip(matrix.classes, cells, row, strict=True):
            if constant(cell) is None:
                sound = F.coalesce((cost >= 0) & (cost < float("inf")), F.lit(col=False))
                faults.append(F.when(~sound, F.lit(f"cost {decision}.{name}")))
    return faults


def _price_faults(config: Config) -> list[Column]:
    if config.review_price is None:
        return []
    amount = to_column(config.review_price)
    sound = F.coalesce((amount >= 0) & (amount < float("inf")), F.lit(col=False))
    return [F.when(~sound, F.lit("cost review"))]


def _all_proper(probabilities: Sequence[Column]) -> Column:
    proper = [F.coalesce((p >= 0) & (p <= 1), F.lit(col=False)) for p in probabilities]
    return reduce(lambda a, b: a & b, proper)
