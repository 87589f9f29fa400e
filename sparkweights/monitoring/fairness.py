"""How a model's decisions differ between groups of people: for `evaluate` and for `monitor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column, is_number
from sparkweights.core.errors import InputError, join_names
from sparkweights.evaluation.fairness import (
    Cells,
    ColumnFairness,
    measure_column,
    unfair_differences,
)
from sparkweights.evaluation.fairness_cells import MAX_CELLS, Grouping, collect_cells
from sparkweights.spec.settings import Fairness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.spec.problem import DecisionProblem

_TOO_MANY = f"hold more than {MAX_CELLS:,} values by decision and outcome"
_ABSENT = "is not in the table"


@dataclass(frozen=True)
class FairnessResult:
    """How decisions differ between the groups of each column.

    Attributes
    ----------
    favourable
        The decision that is a favour to whoever gets it.
    positive
        The classes whose least-cost decision it is: true and false positive rates are about them.
    columns
        One record per column.
    unmeasured
        Column -> why its groups could not be compared, or not as stated.
    exceeded
        A sentence per limit that is passed.
    """

    favourable: str
    positive: tuple[str, ...]
    columns: tuple[ColumnFairness, ...]
    unmeasured: Mapping[str, str]
    exceeded: tuple[str, ...]

    def to_dict(self, settings: Fairness) -> dict[str, object]:
        """Return the record, ready for JSON."""
        return {
            "favourable": self.favourable,
            "positive": list(self.positive),
            "min_rows": settings.min_rows,
            "limits": {"ratio": settings.ratio, "difference": settings.difference},
            "columns": [measured.to_dict() for measured in self.columns],
            "unmeasured": dict(self.unmeasured),
            "exceeded": list(self.exceeded),
        }


def fairness_columns(stated: Fairness | None, roles: ColumnRoles) -> tuple[str, ...]:
    """Return the columns whose groups are compared: those stated, or the sensitive ones."""
    return (stated or Fairness()).columns or roles.sensitive


def favourable_decision(
    settings: Fairness, least_cost: Mapping[str, str], prior: Mapping[str, float]
) -> str:
    """Return the favourable decision: the stated one, or the least-cost decision of most rows."""
    commonest = max(prior, key=lambda name: prior[name])
    return settings.favourable or least_cost[commonest]


def collect_fairness(
    scored_df: DataFrame,
    problem: DecisionProblem,
    stated: Fairness | None,
    *,
    seed: int,
    natural: Sequence[Column],
    index: Column,
    least_cost: Mapping[str, str],
    prior: Mapping[str, float],
) -> FairnessResult | None:
    """Count decisions by group in one Spark job, and compare the groups.

    If every class or none has the favourable decision as its least-cost one, only acceptance
    differs.

    Parameters
    ----------
    scored_df
        Rows that get a decision.
    stated
        Which groups, and how far they may differ; None for the sensitive columns.
    seed
        Of the intervals.
    natural
        The probability of each class, as decisions are priced by.
    index
        The row's class, negative where it is not known.
    least_cost
        Class name -> its least-cost decision.
    prior
        Class name -> its share.

    Returns
    -------
    FairnessResult or None
        None where no column is named.

    Raises
    ------
    InputError
        If a column with ranges holds no numbers, or stated columns have too many values.
    """
    settings, named = stated or Fairness(), fairness_columns(stated, problem.roles)
    if not named:
        return None
    favourable = favourable_decision(settings, least_cost, prior)
    classes = problem.classes
    positive = tuple(name for name in classes if least_cost[name] == favourable)
    groupings = _groupings(scored_df.schema, named, settings)
    positive_indices = [classes.index(name) for name in positive]
    weight = problem.roles.weight
    weighted = weight is not None and weight in scored_df.columns
    cells = collect_cells(
        scored_df,
        groupings,
        favourable=problem.policy.decide(natural) == favourable,
        positive=F.when(
            index >= 0, index.isin(*positive_indices) if positive_indices else F.lit(col=False)
        ),
        weight=column(weight) if weighted and weight is not None else F.lit(1.0),
    )
    if cells is None and stated is not None:
        raise InputError(
            f"fairness.columns: {join_names(group.column for group in groupings)} {_TOO_MANY}.",
            hint="state fairness.ranges for numeric columns, or name fewer under fairness.columns.",
        )
    columns = _measure(cells or {}, settings, seed)
    exceeded = _exceeded(columns, favourable, settings)
    unmeasured = {
        name: _TOO_MANY if name in scored_df.columns else _ABSENT
        for name in named
        if cells is None or name not in cells
    }
    unmeasured |= _without_reference(columns, settings)
    return FairnessResult(favourable, positive, columns, unmeasured, exceeded)


def _without_reference(columns: Sequence[ColumnFairness], settings: Fairness) -> dict[str, str]:
    """Return a note on columns whose stated reference group has too few rows, or none."""
    stated = {measured.column: settings.reference.get(measured.column) for measured in columns}
    return {
        measured.column: f"has no group '{stated[measured.column]}' of {settings.min_rows:,} rows, "
        f"which fairness.reference names; its groups are compared with {measured.reference}"
        for measured in columns
        if stated[measured.column] not in {None, measured.reference}
    }


def _exceeded(
    columns: Sequence[ColumnFairness], favourable: str, settings: Fairness
) -> tuple[str, ...]:
    return tuple(
        sentence
        for measured in columns
        for sentence in unfair_differences(
            measured, favourable, ratio=settings.ratio, difference=settings.difference
        )
    )


def _measure(
    cells: Mapping[str, Mapping[str, Cells]], settings: Fairness, seed: int
) -> tuple[ColumnFairness, ...]:
    return tuple(
        measure_column(
            name,
            groups,
            min_rows=settings.min_rows,
            reference=settings.reference.get(name),
            seed=seed,
        )
        for name, groups in cells.items()
    )


def _groupings(schema: StructType, named: Sequence[str], settings: Fairness) -> list[Grouping]:
    """Return the groupings of the columns that the table has."""
    groupings = [
        Grouping(name, settings.ranges.get(name, ())) for name in named if name in schema.names
    ]
    for grouping in groupings:
        kind = schema[grouping.column].dataType
        if grouping.edges and not is_number(kind):
            raise InputError(
                f"fairness.ranges: column '{grouping.column}' is {kind.simpleString()}; ranges "
                "are of numbers.",
                hint=f"remove fairness.ranges.{grouping.column}: its values are the groups.",
            )
    return groupings
