"""One pass over the labelled table: class frequencies, costs, faults and split boundaries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, sample_weight
from sparkweights.core.errors import InputError, join_names
from sparkweights.costs.expression import constant, render
from sparkweights.costs.spark import cost_columns, to_column
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.rule import UNGROUPED, Grouping
from sparkweights.weights.schemes import regret_cells
from sparkweights.weights.spark import group_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.costs.expression import Expression
    from sparkweights.costs.matrix import CostMatrix

CLASS, REGRET, GROUP, BIN = "__class", "__regret", "__group", "__bin"  # columns of the pass
BINS_PER_OCTAVE = 32  # a bin spans 2.2 %; only the bins that contain a bound are approximate
NO_REGRET = -100_000  # below every bin of a double
MAX_GROUPS = 1_000
MAX_LISTED_LABELS = 20  # of a message
ORDER_STEPS = 32  # counts at fixed steps are the same on every run; sketches of quantiles are not


class Cell(NamedTuple):
    """Rows of one class in one group, and in one narrow range of regrets where requested.

    u is the sample weight of a row and r its regret, the unscaled weight of scheme cost_by_row;
    the sums of r are 0 where ranges of regrets are not requested.
    """

    group: str | None
    class_index: int
    rows: int
    weight: float  # sum of u
    weight_square: float  # sum of u^2
    costs: tuple[float, ...] = ()  # per decision: sum of u times its cost for the row's class
    cheapest: tuple[float, ...] = ()  # per decision: sum of u where none is cheaper for the class
    regret: float = 0.0  # sum of u r
    regret_square: float = 0.0  # sum of (u r)^2
    regret_moment: float = 0.0  # sum of u r^2
    smallest: float = 0.0  # least r
    largest: float = 0.0  # greatest r


@dataclass(frozen=True)
class ClassSummary:
    """The result of one pass over the labelled table.

    Attributes
    ----------
    frequencies
        One entry per class, in index order, also for classes without rows.
    cells
        The rows by class, and by group and range of regret where requested.
    steps
        Class name -> rows below each of `ORDER_STEPS` equal steps of the split order, with 0 and
        the end.
    cheapest
        Class name -> decision -> rows on which it is strictly the cheapest for that class.
    taken
        Class name -> decision -> weight of the rows on which it would be taken for that class.
    always_best
        A decision that costs no more than the others for every class on every row, or None.
    """

    frequencies: tuple[ClassFrequency, ...]
    cells: tuple[Cell, ...]
    steps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    cheapest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    taken: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    always_best: str | None = None

    @property
    def rows(self) -> int:
        """Rows in the table."""
        return sum(frequency.rows for frequency in self.frequencies)

    @property
    def rows_by_class(self) -> dict[str, int]:
        """Class name -> rows in the table."""
        return {frequency.name: frequency.rows for frequency in self.frequencies}

    def order_quantiles(
        self, shares: Sequence[float], *, pooled: bool = False
    ) -> dict[str, tuple[float, ...]]:
        """Return quantiles of the split order per class, straight lines between its steps.

        Parameters
        ----------
        shares
            Each in (0, 1).
        pooled
            Whether the quantiles are those of all rows, the same for each class.
        """
        steps = {name: np.array(below, dtype=float) for name, below in self.steps.items()}
        if pooled and steps:
            steps = dict.fromkeys(steps, np.sum(list(steps.values()), axis=0))
        ends = np.arange(ORDER_STEPS + 1) / ORDER_STEPS
        return {
            name: tuple(np.interp(np.array(shares) * below[-1], below, ends).tolist())
            for name, below in steps.items()
        }


def summarise_classes(
    labelled_df: DataFrame,
    roles: ColumnRoles,
    matrix: CostMatrix,
    *,
    grouping: Grouping = UNGROUPED,
    regret_bins: bool = False,
    order: Column | None = None,
) -> ClassSummary:
    """Run the aggregation that weights and splits are computed from.

    Parameters
    ----------
    labelled_df
        Rows with known outcomes; one Spark job reads it once.
    grouping
        The groups of rows, where weights differ by group.
    regret_bins
        Whether to bin rows by their regret, on a log scale, for scheme cost_by_row: the mean of
        its weights within bounds needs these bins.
    order
        A number that orders rows for the split, uniform in [0, 1).

    Raises
    ------
    InputError
        If the table is empty, a label is null or names no class, a sample weight is null, NaN,
        infinite or negative, a cost is undefined, infinite or negative, or there are too many
        groups.
    """
    weight = sample_weight(roles)
    measures = [
        *_frequency_measures(weight),
        *_cost_measures(matrix, weight),
        *(_regret_measures(weight) if regret_bins else []),
        *_fault_measures(matrix),
        *_dominance_measures(matrix, weight),
        *([] if order is None else _order_measures(order)),
    ]
    key = group_key(grouping) if grouping else F.lit(None).cast("string")
    classed_df = labelled_df.withColumns({CLASS: class_index(roles), GROUP: key, BIN: F.lit(0)})
    if regret_bins:
        regret = _of_own_class(regret_cells(matrix))
        classed_df = classed_df.withColumn(REGRET, regret).withColumn(BIN, _log_bin(F.col(REGRET)))
    summary_rows = _collect(classed_df, measures, by_cell=bool(grouping) or regret_bins)
    class_rows = [row for row in summary_rows if row["whole"]]
    by_class = {row[CLASS]: row for row in class_rows}
    _refuse_labels(by_class, roles, labelled_df)
    _refuse_weights(class_rows, roles)
    _refuse_costs(class_rows, matrix)
    by_cell = [row for row in summary_rows if not row["whole"]] or class_rows
    cells = [_cell(row, len(matrix.decisions)) for row in by_cell]
    _refuse_groups(cells, grouping)
    return replace(_summary(by_class, cells, roles, matrix), steps=_steps(by_class, roles))


def _collect(classed_df: DataFrame, measures: Sequence[Column], *, by_cell: bool) -> list[Row]:
    """Aggregate by class (``whole`` rows) and, in the same pass, by class, group and bin."""
    if not by_cell:
        return classed_df.groupBy(CLASS).agg(F.lit(col=True).alias("whole"), *measures).collect()
    keys = [F.col(name) for name in (CLASS, GROUP, BIN)]
    grouped = classed_df.groupingSets([keys[:1], keys], *keys)
    return grouped.agg((F.grouping_id() > 0).alias("whole"), *measures).collect()


def _log_bin(regret: Column) -> Column:
    """Return the logarithm of a regret in steps of 1 / BINS_PER_OCTAVE; one bin for 0."""
    octaves = F.log2(F.when(regret > 0, regret))
    return F.coalesce(F.floor(octaves * BINS_PER_OCTAVE), F.lit(NO_REGRET)).cast("int")


def _of_own_class(cells: Sequence[Expression]) -> Column:
    """Return the cell of the row's own class."""
    chosen = F.lit(None).cast("double")
    for c, cell in reversed(list(enumerate(cells))):
        chosen = F.when(F.col(CLASS) == c, to_column(cell)).otherwise(chosen)
    return chosen


def _frequency_measures(weight: Column) -> list[Column]:
    usable = (weight >= 0) & (weight < float("inf"))
    return [
        F.count(F.lit(1)).alias("rows"),
        F.sum(weight).alias("weight"),
        F.sum(weight * weight).alias("weight_square"),
        F.count_if(~F.coalesce(usable, F.lit(col=False))).alias("weight_faults"),
    ]


def _order_measures(order: Column) -> list[Column]:
    return [
        F.count_if(order < step / ORDER_STEPS).alias(f"below_{step}")
        for step in range(1, ORDER_STEPS)
    ]


def _cost_measures(matrix: CostMatrix, weight: Column) -> list[Column]:
    costs = [_of_own_class(row) for row in matrix.cells]
    least = F.least(*costs)
    sums = [F.sum(weight * cost).alias(f"cost_{d}") for d, cost in enumerate(costs)]
    ties = [F.when(cost == least, weight).otherwise(0.0) for cost in costs]
    return [*sums, *(F.sum(tie_weight).alias(f"cheapest_{d}") for d, tie_weight in enumerate(ties))]


def _regret_measures(weight: Column) -> list[Column]:
    regret = F.col(REGRET)
    return [
        F.sum(weight * regret).alias("regret"),
        F.sum((weight * regret) * (weight * regret)).alias("regret_square"),
        F.sum(weight * regret * regret).alias("regret_moment"),
        F.min(regret).alias("regret_min"),
        F.max(regret).alias("regret_max"),
    ]


def _cell(row: Row, decisions: int) -> Cell:
    values = row.asDict()
    regrets = ("regret", "regret_square", "regret_moment", "regret_min", "regret_max")
    return Cell(
        values.get(GROUP),
        row[CLASS],
        row["rows"],
        row["weight"],
        row["weight_square"],
        tuple(row[f"cost_{d}"] for d in range(decisions)),
        tuple(row[f"cheapest_{d}"] for d in range(decisions)),
        *(values[name] for name in regrets if name in values),
    )


def _fault_measures(matrix: CostMatrix) -> list[Column]:
    measures = []
    for d, row in enumerate(cost_columns(matrix)):
        for c, cost in enumerate(row):
            if constant(matrix.cells[d][c]) is None:
                sound = F.coalesce((cost >= 0) & (cost < float("inf")), F.lit(col=False))
                measures += [
                    F.count_if(~sound).alias(f"fault_{d}_{c}"),
                    F.count_if(cost.isNull() | F.isnan(cost)).alias(f"undefined_{d}_{c}"),
                ]
    return measures


def _dominance_measures(matrix: CostMatrix, weight: Column) -> list[Column]:
    costs = cost_columns(matrix)
    measures = []
    for d, decision_costs in enumerate(costs):
        others = [other for e, other in enumerate(costs) if e != d]
        wins = [
            decision_costs[c] <= other[c] for other in others for c in range(len(decision_costs))
        ]
        measures.append(F.every(reduce(and_, wins)).alias(f"best_{d}"))
    for c in range(len(matrix.classes)):
        for d in range(len(matrix.decisions)):
            rivals = [costs[e][c] for e in range(len(matrix.decisions)) if e != d]
            strictly = reduce(and_, [costs[d][c] < rival for rival in rivals])
            measures.append(F.count_if(strictly).alias(f"right_{d}_{c}"))
            # The decision rule: of decisions that tie, the one declared first.
            before = [costs[d][c] < costs[e][c] for e in range(d)]
            behind = [costs[d][c] <= costs[e][c] for e in range(d + 1, len(costs))]
            taken = F.when(reduce(and_, [*before, *behind]), weight).otherwise(0.0)
            measures.append(F.sum(taken).alias(f"taken_{d}_{c}"))
    return measures


def _refuse_labels(by_class: Mapping[int, Row], roles: ColumnRoles, labelled_df: DataFrame) -> None:
    total = sum(row["rows"] for row in by_class.values())
    if total == 0:
        raise InputError(
            "The labelled table holds 0 rows; weights need at least one of every class.",
            hint="check the table's location and the job that fills it.",
        )
    if -2 in by_class:  # see class_index
        known = join_names(f"{name}: {value!r}" for name, value in roles.classes.items())
        raise InputError(
            f"Label column '{roles.label}' holds {by_class[-2]['rows']} rows that no class names "
            f"({_count_unknown_labels(labelled_df, roles)}); columns.classes has {known}.",
            hint="name the values under columns.classes (a class may list several), or leave the "
            "rows out by columns.outside: drop.",
        )
    if -1 in by_class:
        raise InputError(
            f"Label column '{roles.label}' holds {by_class[-1]['rows']} null labels in "
            f"{total} rows; every row of the labelled table needs its outcome.",
            hint="leave rows whose outcome is not known yet out of the labelled table, or set "
            "columns.outside: drop.",
        )


def _count_unknown_labels(labelled_df: DataFrame, roles: ColumnRoles) -> str:
    """Return the values that are no class with their rows, by another job; few are codes."""
    unknown_df = labelled_df.filter(class_index(roles) == -2)
    counts = unknown_df.groupBy(column(roles.label).cast("string").alias("value")).count()
    rows = counts.orderBy(F.desc("count"), "value").limit(MAX_LISTED_LABELS + 1).collect()
    if len(rows) > MAX_LISTED_LABELS:  # values of rows rather than outcomes
        return f"more than {MAX_LISTED_LABELS} distinct values, which are not listed"
    return join_names(f"{row['value']!r} on {row['count']}" for row in rows)


def _refuse_weights(class_rows: Sequence[Row], roles: ColumnRoles) -> None:
    faults = sum(row["weight_faults"] for row in class_rows)
    if faults:
        raise InputError(
            f"Sample weight column '{roles.weight}' holds {faults} values that are null, NaN, "
            "infinite or negative; weights must be finite and >= 0.",
            hint="fill or drop these rows where the table is made.",
        )


def _refuse_costs(class_rows: Sequence[Row], matrix: CostMatrix) -> None:
    for d, decision in enumerate(matrix.decisions):
        for c, name in enumerate(matrix.classes):
            key = f"{d}_{c}"
            if constant(matrix.cells[d][c]) is not None:
                continue
            faults = sum(row[f"fault_{key}"] for row in class_rows)
            if faults:
                undefined = sum(row[f"undefined_{key}"] for row in class_rows)
                raise InputError(
                    f"Cost costs.{decision}.{name} = {render(matrix.cells[d][c])!r} is not a "
                    f"finite number >= 0 on {faults} rows of the labelled table ({undefined} null "
                    f"or NaN, {faults - undefined} negative or infinite).",
                    hint="use coalesce(column, number) for missing values and max(0, ...) for "
                    "negative ones, or drop these rows.",
                )


def _refuse_groups(cells: Sequence[Cell], grouping: Grouping) -> None:
    groups = {cell.group for cell in cells}
    if len(groups) > MAX_GROUPS:
        raise InputError(
            f"weights.by and weights.window: {join_names(grouping.columns)} have {len(groups)} "
            f"groups; at most {MAX_GROUPS} are allowed.",
            hint="group by a coarser column or a longer window; weights of tiny groups are noise.",
        )


def _summary(
    by_class: Mapping[int, Row], cells: Sequence[Cell], roles: ColumnRoles, matrix: CostMatrix
) -> ClassSummary:
    frequencies = []
    for index, name in enumerate(roles.class_names):
        row = by_class.get(index)
        if row is None:
            frequencies.append(ClassFrequency(name, 0, 0.0, 0.0))
            continue
        frequencies.append(ClassFrequency(name, row["rows"], row["weight"], row["weight_square"]))
    best = [
        decision
        for d, decision in enumerate(matrix.decisions)
        if all(row[f"best_{d}"] for row in by_class.values())
    ]

    def summed(what: str) -> dict[str, dict[str, float]]:
        return {
            name: {
                decision: sum(row[f"{what}_{d}_{c}"] for row in by_class.values())
                for d, decision in enumerate(matrix.decisions)
            }
            for c, name in enumerate(matrix.classes)
        }

    return ClassSummary(
        tuple(frequencies),
        tuple(cells),
        cheapest=summed("right"),
        taken=summed("taken"),
        always_best=best[0] if best else None,
    )


def _steps(by_class: Mapping[int, Row], roles: ColumnRoles) -> dict[str, tuple[int, ...]]:
    rows_below = {}
    for index, name in enumerate(roles.class_names):
        row = by_class.get(index)
        if row is not None and "below_1" in row:
            below = (row[f"below_{step}"] for step in range(1, ORDER_STEPS))
            rows_below[name] = (0, *below, row["rows"])
    return rows_below
