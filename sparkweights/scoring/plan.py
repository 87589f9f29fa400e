"""The scoring plan: every incoming row gets a decision, a reason why not, or quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType, StringType

from sparkweights.core.columns import MALFORMED_RECORD, column, unless_nan
from sparkweights.core.roles import reason_cols
from sparkweights.costs.matrix import REVIEW
from sparkweights.costs.review import is_reviewed, review_gain
from sparkweights.models.base import POSITIONS
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.scoring.reason_codes import append_reasons
from sparkweights.scoring.scorer import natural_probabilities
from sparkweights.spec.outputs import UNSCORABLE, expected_col

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructType

    from sparkweights.costs.review import ReviewCutoff
    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.quality.compile import CompiledSuite
    from sparkweights.scoring.reason_codes import ReasonRule
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.problem import DecisionProblem
    from sparkweights.spec.scoring import ScoringSpec

FOUND, SET_ASIDE, FAULT, DECISION = "__found", "__set_aside", "__fault", "__decision"
INFINITE, MISSING = "__infinite", "__missing"
WHY = {INFINITE: "infinite ", MISSING: "missing "}
KEYS_PRESENT, RECORD_READABLE = "keys are present", "record is readable"


@dataclass(frozen=True)
class RunMetadata:
    """The metadata columns of every row of a run."""

    model_version: str
    run_id: str
    run_date: date
    scored_at: datetime


@dataclass(frozen=True)
class ScoringContext:
    """Estimates from the whole table of a scoring run; see `scoring.context.prepare_context`.

    Attributes
    ----------
    scorer
        Its probabilities are those of the target prior.
    shift
        The estimate of the table's class shares; None if not configured.
    cutoff
        The cutoff of reviewed rows; None without a review.
    reasons
        How adverse decisions are explained; None if not configured.
    """

    scorer: Scorer
    shift: LabelShift | None = None
    cutoff: ReviewCutoff | None = None
    reasons: ReasonRule | None = None


@dataclass(frozen=True)
class ScoringPlan:
    """From an incoming row to a row of the scored table or of the quarantine.

    Every method is row-wise and runs no Spark job, so that batch and stream share it.

    Attributes
    ----------
    spec
        The settings of the run.
    suite
        The checks of incoming rows; None without checks.
    """

    spec: ScoringSpec
    suite: CompiledSuite | None = None

    def mark(self, incoming_df: DataFrame) -> DataFrame:
        """Append the results of the suite, if there is one, and whether a row is set aside.

        A row without a key is set aside, and so is one whose record could not be parsed, and one
        that fails a critical expectation.
        """
        aside = self.unreadable(incoming_df.schema)
        if self.suite is None:
            return incoming_df.withColumn(SET_ASIDE, aside)
        columns = {FOUND: self.suite.matched_conditions, SET_ASIDE: aside | self.suite.critical}
        return incoming_df.withColumns(columns)

    def unreadable(self, schema: StructType) -> Column:
        """Return whether a row's record could not be parsed, or it lacks a key."""
        return is_malformed(schema) | self.without_key(schema)

    def without_key(self, schema: StructType) -> Column:
        """Return whether a row that was parsed lacks a key; NaN and blank text are none."""
        lacks = [_lacks(key, schema[key].dataType) for key in self.spec.problem.roles.keys]
        return ~is_malformed(schema) & reduce(or_, lacks)

    def price(self, passing_df: DataFrame, scorer: Scorer) -> DataFrame:
        """Append probabilities, expected costs by decision, and faults.

        Where a feature or a cost cannot be used, `FAULT` holds the reason and the costs are null.
        """
        policy = self.spec.problem.policy
        scorer.ledger.require_natural()
        # Computed before scoring, it shares a projection with the margin; later rows are narrower.
        unusable = {INFINITE: scorer.plan.unusable()}
        if self.spec.refuse_missing:
            unusable[MISSING] = scorer.plan.first_missing()
        scored_df = scorer.score(passing_df.withColumns(unusable))
        probabilities = natural_probabilities(scorer)
        fault = F.coalesce(
            *[F.concat(F.lit(why), F.col(name)) for name, why in WHY.items() if name in unusable],
            *policy.faults(),
            F.when(~_all_proper(probabilities), F.lit("undefined probability")),
        )
        scored_df = scored_df.withColumn(FAULT, fault)
        expected = policy.expected_costs(probabilities)
        if self.spec.problem.review is not None:
            expected[REVIEW] = policy.expected_review_cost(probabilities)
        usable = F.col(FAULT).isNull()
        return scored_df.withColumns(
            {expected_col(name): F.when(usable, cost) for name, cost in expected.items()}
        )

    def gain_of_review(self) -> Column:
        """Return the expected savings of a review of a priced row, net of its cost."""
        least = F.least(*self._expected().values())
        gain: Column = review_gain(least, column(expected_col(REVIEW)))
        return gain

    def is_reviewed(self, cutoff: ReviewCutoff) -> Column:
        """Return whether a priced row is reviewed."""
        order = review_order(self.spec.problem, self.spec.seed)
        return is_reviewed(self.gain_of_review(), order, cutoff)

    def review_weight(self, incoming_df: DataFrame) -> Column | None:
        """Return the number of reviews that an incoming row counts as; None where each is one.

        If the incoming table has the sample weight, a row counts by it, as in training. A row whose
        weight is not a finite number >= 0 counts as one review.
        """
        name = self.spec.problem.roles.weight
        if name is None or name not in incoming_df.columns:
            return None
        weight = column(name).cast("double")
        return F.when((weight >= 0) & (weight < float("inf")), weight).otherwise(1.0)

    def cheapest_decision(self) -> Column:
        """Return the decision of least expected cost of a priced row, without review."""
        return self.spec.problem.policy.cheapest(self._expected())

    def _expected(self) -> dict[str, Column]:
        names = self.spec.problem.matrix.decisions
        return {name: column(expected_col(name)) for name in names}

    def decide(self, priced_df: DataFrame, context: ScoringContext) -> DataFrame:
        """Return the decisions about priced rows.

        Rows with a fault are kept, with null numbers and a null `DECISION`.
        """
        usable, problem = F.col(FAULT).isNull(), self.spec.problem
        decision, least = self.cheapest_decision(), F.least(*self._expected().values())
        if context.cutoff is not None:
            reviewed = self.is_reviewed(context.cutoff)
            decision = F.when(reviewed, F.lit(REVIEW)).otherwise(decision)
            least = F.when(reviewed, column(expected_col(REVIEW))).otherwise(least)
        decided_df, reasons = priced_df.withColumn(DECISION, decision), list[str]()
        if context.reasons is not None:
            sources = context.scorer.plan.sources
            decided_df = append_reasons(decided_df, context.reasons, sources, F.col(DECISION))
            reasons = [*reason_cols(context.reasons.top)]
        probabilities = context.scorer.probability_cols
        return decided_df.select(
            *map(column, problem.roles.keys),
            *[F.when(usable, column(name)).alias(name) for name in probabilities],
            *[column(expected_col(name)) for name in problem.decisions],
            least.alias("expected_cost"),
            *reasons,
            FAULT,
            DECISION,
        )

    def score(self, passing_df: DataFrame, context: ScoringContext, run: RunMetadata) -> DataFrame:
        """Return the rows of the scored table."""
        if context.reasons is not None:
            passing_df = passing_df.withColumn(POSITIONS, context.scorer.plan.array())
        return append_run_columns(self.decide(self.price(passing_df, context.scorer), context), run)

    def quarantine(
        self, incoming_df: DataFrame, run: RunMetadata, failing: Collection[str]
    ) -> DataFrame:
        """Return the rows set aside, whole, with the checks they failed and the run.

        Parameters
        ----------
        failing
            Ids of the critical expectations that some rows fail. Others are not evaluated again,
            which halves the time of this pass where few of many fail.
        """
        schema, nothing = incoming_df.schema, F.array().cast("array<string>")
        aside = self.unreadable(schema)
        failed = F.when(is_malformed(schema), F.array(F.lit(RECORD_READABLE)))
        failed = failed.when(self.without_key(schema), F.array(F.lit(KEYS_PRESENT)))
        failed = failed.otherwise(nothing)
        if self.suite is not None:
            failed = F.concat(failed, self.suite.failed(self.suite.matched_conditions))
            aside |= self.suite.failing(failing)
        # The failed checks are computed after an exchange. In the same stage as the filter, the
        # generated method is too large for Java to compile, and every partition gets a file.
        return (
            incoming_df.filter(aside)
            .hint("rebalance")
            .withColumn("failed_checks", failed)
            .withColumn("run_id", F.lit(run.run_id))
        )


def _lacks(key: str, data_type: DataType) -> Column:
    value = column(key)
    match data_type:
        case DoubleType() | FloatType():
            return unless_nan(value).isNull()
        case StringType():
            return F.coalesce(F.trim(value) == "", F.lit(col=True))
        case _:
            return value.isNull()


def review_order(problem: DecisionProblem, seed: int) -> Column:
    """Return the number that orders rows of equal gain, where not all of them can be reviewed.

    It is independent of the split's order, which test rows share.
    """
    return uniform(problem.roles.keys, seed, Stream.REVIEW)


def is_malformed(schema: StructType) -> Column:
    """Return whether a row's record could not be parsed.

    Spark parses only the values that a pass needs, and a pass that does not need the wrong one
    would take the record for a row. All passes need all values, so that they agree.
    """
    if MALFORMED_RECORD not in schema.names:
        return F.lit(col=False)
    others = [column(name) for name in schema.names if name != MALFORMED_RECORD]
    is_read = F.to_json(F.struct(*others)).isNotNull()
    return F.when(column(MALFORMED_RECORD).isNotNull(), is_read).otherwise(F.lit(col=False))


def passing(marked_df: DataFrame) -> DataFrame:
    """Return the rows that are not set aside."""
    return marked_df.filter(~F.col(SET_ASIDE))


def is_usable(scorer: Scorer) -> Column:
    """Return whether a marked row has a usable probability.

    Rows that are set aside or cannot be scored do not enter estimates of class shares.
    """
    return ~F.col(SET_ASIDE) & scorer.plan.unusable().isNull()


def append_status(decided_df: DataFrame) -> DataFrame:
    """Append whether decided rows were scored, and the decision; `FAULT` and `DECISION` go."""
    return _with_status(decided_df, ())


def append_run_columns(decided_df: DataFrame, run: RunMetadata) -> DataFrame:
    """Append the status and the run's metadata to decided rows, as the scored table has them."""
    metadata = (
        F.lit(run.model_version).alias("model_version"),
        F.lit(run.run_id).alias("run_id"),
        F.lit(run.scored_at).alias("scored_at"),
    )
    return _with_status(decided_df, metadata)


def _with_status(decided_df: DataFrame, metadata: Sequence[Column]) -> DataFrame:
    """Return decided rows with the status, the metadata, and the decision or `UNSCORABLE`."""
    names = [name for name in decided_df.columns if name not in {FAULT, DECISION}]
    reason = F.concat(F.lit(f"{UNSCORABLE}:"), F.col(FAULT))
    return decided_df.select(
        *map(column, names),
        F.coalesce(reason, F.lit("scored")).alias("score_status"),
        *metadata,
        F.coalesce(F.col(DECISION), F.lit(UNSCORABLE)).alias("decision"),
    )


def _all_proper(probabilities: Sequence[Column]) -> Column:
    proper = [F.coalesce((p >= 0) & (p <= 1), F.lit(col=False)) for p in probabilities]
    return reduce(lambda a, b: a & b, proper)
