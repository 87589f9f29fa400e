"""The score stage: every incoming row gets a decision, a reason why not, or quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column, kind_of, require_columns
from sparkweights.config.consistency import UNSCORABLE
from sparkweights.costs import check_costs, cost_columns
from sparkweights.costs.expressions import check_amount, to_column
from sparkweights.costs.language import constant
from sparkweights.decision import (
    REVIEW,
    cheapest_decision,
    expected_costs,
    is_reviewed,
    review_gain,
)
from sparkweights.errors import InputError, ModelError, listed
from sparkweights.explain import append_reasons, reason_cols
from sparkweights.pipeline.evaluating import review_order
from sparkweights.quality import RowCheck, failed_checks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

    from sparkweights.config import Config
    from sparkweights.costs import CostMatrix
    from sparkweights.decision import LabelShift, ReviewCut
    from sparkweights.explain import ReasonRule
    from sparkweights.pipeline.scoring import Scorer
    from sparkweights.quality import CompiledSuite

FLAG, FAILED, FAULT, DECISION = "__flag", "__failed", "__fault", "__decision"
MOST_REASONS = 20  # that a manifest lists
KEYS_PRESENT = "keys are present"
_QUARANTINE_COLUMNS = ("failed_checks", "run_id", "run_date")


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


def preflight(
    schema: StructType, config: Config, scorer: Scorer, trained_kinds: Mapping[str, str]
) -> None:
    """Refuse an incoming table that the model or the costs cannot read, before any job.

    Parameters
    ----------
    trained_kinds
        Feature column -> type family in the table that the model was trained on.

    Raises
    ------
    InputError
        If a column is missing, appears twice, or changed its type.
    ModelError
        If the model tells other classes apart than the configuration names.
    ConfigError
        If a cost reads an unknown column or one that is not a number.
    """
    if scorer.classes != config.roles.class_names:
        raise ModelError(
            f"The model tells apart {listed(scorer.classes)}; columns.classes names "
            f"{listed(config.roles.class_names)}.",
            hint="train again with these classes, or restore the configuration of the model.",
        )
    require_columns(schema, [*config.roles.keys, *trained_kinds], table="incoming")
    for name, trained in trained_kinds.items():
        found = kind_of(schema[name].dataType)
        if found != trained:
            raise InputError(
                f"Column '{name}' of table 'incoming' is {found}; the model was trained on "
                f"{trained}.",
                hint="cast it back where the table is made, or train again.",
            )
    check_costs(config.matrix, schema)
    require_columns(schema, scorer.ledger.columns, table="incoming")
    if config.review_price is not None:
        check_amount(config.review_price, schema, where="review.cost")
    clash = [name for name in schema.names if name in _QUARANTINE_COLUMNS]
    if clash:
        raise InputError(
            f"Table 'incoming' has a column {listed(clash)}, which the quarantine adds.",
            hint="rename it where the table is made.",
        )


def key_check(config: Config) -> RowCheck:
    """Return the check that a row has all of its keys."""
    missing = reduce(or_, [column(key).isNull() for key in config.roles.keys])
    return RowCheck(KEYS_PRESENT, missing)


def mark_failures(
    incoming_df: DataFrame, checks: Sequence[RowCheck], flag: Column | None = None
) -> DataFrame:
    """Append whether a row needs a closer look, and whether it fails a check.

    Parameters
    ----------
    checks
        Those whose rows are set aside.
    flag
        Whether a suite finds anything about the row; None where there is no suite.
    """
    fails = F.coalesce(reduce(or_, [check.fails for check in checks]), F.lit(col=False))
    if flag is None:
        return incoming_df.withColumns({FLAG: fails, FAILED: fails})
    marked_df = incoming_df.withColumn(FLAG, flag | F.coalesce(checks[0].fails, F.lit(col=False)))
    # A row without a flag answers here, whatever the number of checks.
    return marked_df.withColumn(FAILED, F.col(FLAG) & fails)


def passing(marked_df: DataFrame) -> DataFrame:
    """Return the rows that fail no check."""
    return marked_df.filter(~F.col(FAILED))


def quarantined_rows(marked_df: DataFrame, checks: Sequence[RowCheck], stamp: Stamp) -> DataFrame:
    """Return the failing rows, whole, with the checks they failed and the run."""
    return (
        marked_df.filter(F.col(FAILED))
        .withColumn("failed_checks", failed_checks(checks))
        .withColumn("run_id", F.lit(stamp.run_id))
        .drop(FLAG, FAILED)
    )


def price(marked_df: DataFrame, scorer: Scorer, config: Config) -> DataFrame:
    """Append probabilities, what each decision is expected to cost, and what is wrong, if anything.

    Only rows that fail no check are kept. Where a feature or a cost cannot be used, `FAULT` says
    why and the costs are null.
    """
    matrix = config.matrix
    scorer.ledger.require_natural()
    costs = cost_columns(matrix)
    scored_df = scorer.score(passing(marked_df))
    probabilities = [column(name) for name in scorer.probability_cols]
    fault = F.coalesce(
        F.concat(F.lit("infinite "), scorer.plan.unusable()),
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
        priced[expected_col(REVIEW)] = F.when(usable, to_column(config.review_price))
    return scored_df.withColumns(priced)


def expected_col(decision: str) -> str:
    """Return the name of a decision's expected cost."""
    return f"expected_cost_{decision}"


def gain_of_review(config: Config) -> Column:
    """Return what a look at a priced row saves."""
    least = F.least(*[column(expected_col(name)) for name in config.matrix.decisions])
    return review_gain(least, column(expected_col(REVIEW)))


def decide(priced_df: DataFrame, adapted: Adapted, config: Config, stamp: Stamp) -> DataFrame:
    """Return the scored table of priced rows.

    Rows that cannot be used keep their place with null numbers, the decision ``unscorable`` and a
    status that says why.
    """
    usable = F.col(FAULT).isNull()
    expected = [column(expected_col(name)) for name in config.matrix.decisions]
    decision, least = cheapest_decision(expected, config.matrix.decisions), F.least(*expected)
    if adapted.cut is not None:
        reviewed = is_reviewed(gain_of_review(config), review_order(config), adapted.cut)
        decision = F.when(reviewed, F.lit(REVIEW)).otherwise(decision)
        least = F.when(reviewed, column(expected_col(REVIEW))).otherwise(least)
    decided_df, told = priced_df.withColumn(DECISION, decision), list[str]()
    if adapted.reasons is not None:
        decided_df = append_reasons(
            decided_df, adapted.reasons, adapted.scorer.plan, F.col(DECISION)
        )
        told = [*reason_cols(adapted.reasons.top)]
    return decided_df.select(
        *map(column, config.roles.keys),
        *[F.when(usable, column(name)).alias(name) for name in adapted.scorer.probability_cols],
        *[column(expected_col(name)) for name in config.decisions],
        least.alias("expected_cost"),
        *told,
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


def observe_incoming(
    marked_df: DataFrame, suite: CompiledSuite | None
) -> tuple[DataFrame, Observation]:
    """Count rows and failures, and what a suite asks for, while the rows pass by."""
    observation = Observation()
    measures = [] if suite is None else suite.measures(F.col(FLAG))
    return marked_df.observe(
        observation,
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col(FAILED)).alias("quarantined"),
        *measures,
    ), observation


def observe_scored(
    scored_df: DataFrame, config: Config, suite: CompiledSuite | None
) -> tuple[DataFrame, Observation]:
    """Count decisions, sum probabilities and costs, and answer a suite, while rows pass by."""
    observation = Observation()
    matrix = config.matrix
    decisions = [*config.decisions, UNSCORABLE]
    measures = [
        F.count_if(F.col("decision") == name).alias(f"decision_{i}")
        for i, name in enumerate(decisions)
    ]
    measures += [
        F.sum(column(f"probability_{name}")).alias(f"class_{i}")
        for i, name in enumerate(matrix.classes)
    ]
    measures += [
        F.sum(column(f"expected_cost_{name}")).alias(f"cost_{i}")
        for i, name in enumerate(matrix.decisions)
    ]
    measures.append(F.sum("expected_cost").alias("cost"))
    if config.reasons is not None:
        first = F.call_function("approx_top_k", F.col("reason_1"), F.lit(MOST_REASONS))
        measures.append(first.alias("reasons"))
    if suite is None:
        return scored_df.observe(observation, *measures), observation
    flagged_df = scored_df.withColumn(FLAG, suite.flag)
    measures += suite.measures(F.col(FLAG))
    return flagged_df.observe(observation, *measures).drop(FLAG), observation


@dataclass(frozen=True)
class Counted:
    """What a scoring run counted while it wrote.

    Attributes
    ----------
    rows, quarantined, unscorable
        Incoming rows, and those that got no decision.
    decisions
        Decision -> rows.
    expected_classes
        Class -> the sum of its probability: how many rows of it to expect.
    expected_costs
        Decision -> the expected cost had every scored row got it.
    expected_cost
        The expected cost of the decisions taken.
    reasons
        The commonest first reasons -> rows, most first; exact unless there are very many.
    """

    rows: int
    quarantined: int
    unscorable: int
    decisions: Mapping[str, int]
    expected_classes: Mapping[str, float]
    expected_costs: Mapping[str, float]
    expected_cost: float
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """Rows that got a decision."""
        return sum(self.decisions.values())

    def require_balance(self) -> None:
        """Refuse to lose a row: incoming = scored + unscorable + quarantined.

        Raises
        ------
        InputError
            If the table changed while it was read.
        """
        if self.rows != self.scored + self.unscorable + self.quarantined:
            raise InputError(
                f"{self.rows} rows came in, but {self.scored} scored, {self.unscorable} "
                f"unscorable and {self.quarantined} quarantined rows came out.",
                hint="nothing was published; see that nothing writes to the incoming table "
                "while it is scored, then run again.",
            )


def counted(incoming: Observation, scored: Observation, config: Config) -> Counted:
    """Read the observations of a finished write."""
    before, after = incoming.get, scored.get
    matrix = config.matrix
    return Counted(
        rows=before["rows"],
        quarantined=before["quarantined"],
        unscorable=after[f"decision_{len(config.decisions)}"],
        decisions={name: after[f"decision_{i}"] for i, name in enumerate(config.decisions)},
        expected_classes={
            name: after[f"class_{i}"] or 0.0 for i, name in enumerate(matrix.classes)
        },
        expected_costs={name: after[f"cost_{i}"] or 0.0 for i, name in enumerate(matrix.decisions)},
        expected_cost=after["cost"] or 0.0,
        reasons={
            entry["item"]: entry["count"]
            for entry in after.get("reasons") or ()
            if entry["item"] is not None
        },
    )
