"""Counts that ride on the scoring pass: every row is accounted for without being read again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column
from sparkweights.errors import InputError
from sparkweights.pipeline.deciding import DECISION, FOUND, SET_ASIDE, expected_col

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from sparkweights.config import Config
    from sparkweights.quality import CompiledSuite

MOST_REASONS = 20  # that a manifest lists


def observe_found(
    df: DataFrame, suite: CompiledSuite | None
) -> tuple[DataFrame, Observation | None]:
    """Measure what a suite asks for, while the rows pass by with what it found as `FOUND`."""
    if suite is None:
        return df, None
    observation = Observation()
    return df.observe(observation, *suite.measures(F.col(FOUND))), observation


def observe_decided(decided_df: DataFrame, config: Config) -> tuple[DataFrame, Observation]:
    """Count rows and decisions, and sum probabilities and costs, while the rows pass by."""
    observation = Observation()
    matrix = config.matrix
    undecided = F.col(DECISION).isNull() & ~F.col(SET_ASIDE)
    measures = [
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col(SET_ASIDE)).alias("quarantined"),
        F.count_if(undecided).alias("unscorable"),
    ]
    measures += [
        F.count_if(F.col(DECISION) == name).alias(f"decision_{i}")
        for i, name in enumerate(config.decisions)
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
    if config.reasons is not None:
        first = F.call_function("approx_top_k", F.col("reason_1"), F.lit(MOST_REASONS))
        measures.append(first.alias("reasons"))
    return decided_df.observe(observation, *measures), observation


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


def counted(observation: Observation, config: Config) -> Counted:
    """Read the observation of a finished write."""
    found, matrix = observation.get, config.matrix
    return Counted(
        rows=found["rows"],
        quarantined=found["quarantined"],
        unscorable=found["unscorable"],
        decisions={name: found[f"decision_{i}"] for i, name in enumerate(config.decisions)},
        expected_classes={
            name: found[f"class_{i}"] or 0.0 for i, name in enumerate(matrix.classes)
        },
        expected_costs={name: found[f"cost_{i}"] or 0.0 for i, name in enumerate(matrix.decisions)},
        expected_cost=found["cost"] or 0.0,
        reasons={
            entry["item"]: entry["count"]
            for entry in found.get("reasons") or ()
            if entry["item"] is not None
        },
    )
