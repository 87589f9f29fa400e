"""One distributed pass that counts decisions by group and outcome."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import is_number, number, text
from sparkweights.evaluation.fairness import UNKNOWN, Cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

MISSING, OTHER = "missing", "other values"
MAX_CODES = 12  # distinct numbers of a column that are groups; with more, groups are quartiles
MAX_GROUPS = 50  # of text; the rarer values share a group
MAX_CELLS = 100_000  # of values, decisions and outcomes, that are collected to the driver


@dataclass(frozen=True)
class Grouping:
    """The grouping of a column's values.

    Attributes
    ----------
    column
        Its name.
    edges
        Of ranges, for numbers. Where empty, each text and each of few distinct numbers is a group,
        and more numbers are grouped by their quartiles.
    """

    column: str
    edges: tuple[float, ...] = ()

    @property
    def value(self) -> Column:
        """The value that rows are counted by: the text, or the number of a range."""
        if not self.edges:
            return text(self.column)
        value = number(self.column)
        return reduce(add, [(value >= F.lit(edge)).cast("int") for edge in self.edges]).cast(
            "string"
        )


def collect_cells(
    df: DataFrame,
    groupings: Sequence[Grouping],
    *,
    favourable: Column,
    positive: Column,
    weight: Column,
) -> dict[str, dict[str, Cells]] | None:
    """Count rows by the groups of each column, by decision and by outcome, in one Spark job.

    Parameters
    ----------
    favourable
        Whether the row gets the favourable decision; rows without a decision (null) are left out.
    positive
        Whether it is the row's least-cost decision; null where the outcome is not known.
    weight
        Sample weight of the row.

    Returns
    -------
    dict or None
        Column -> group -> its rows, numbers and texts in their order; None where there are more
        than `MAX_CELLS` combinations of values, decisions and outcomes.
    """
    if not groupings:
        return {}
    entries = [
        F.struct(F.lit(at).alias("at"), grouping.value.alias("value"))
        for at, grouping in enumerate(groupings)
    ]
    w = F.col("weight")
    # Rows without a decision are dropped below: Spark would push a filter here through the
    # projections of the score, and repeat their expressions at each use.
    long_df = df.select(
        F.explode(F.array(*entries)).alias("entry"),
        favourable.cast("int").alias("decision"),
        F.coalesce(positive.cast("int"), F.lit(UNKNOWN)).alias("outcome"),
        weight.cast("double").alias("weight"),
    )
    sums = (F.count(F.lit(1)).alias("rows"), F.sum(w).alias("weight"), F.sum(w * w).alias("square"))
    counted_df = long_df.groupBy("entry.at", "entry.value", "decision", "outcome").agg(*sums)
    cell_rows = counted_df.limit(MAX_CELLS + 1).collect()
    if len(cell_rows) > MAX_CELLS:
        return None
    return {
        grouping.column: _group_cells(
            [row for row in cell_rows if row["at"] == at],
            grouping,
            numeric=is_number(df.schema[grouping.column].dataType),
        )
        for at, grouping in enumerate(groupings)
    }


def _group_cells(rows: Sequence[Row], grouping: Grouping, *, numeric: bool) -> dict[str, Cells]:
    """Return the rows of a column's values by group."""
    by_value: dict[str | None, Cells] = {}
    for row in rows:
        if row["decision"] is None:
            continue
        cells = by_value.setdefault(row["value"], Cells.empty())
        cell = row["decision"], row["outcome"]
        cells.rows[cell] += row["rows"]
        cells.weight[cell] += row["weight"] or 0.0
        cells.square[cell] += row["square"] or 0.0
    missing = by_value.pop(None, None)
    values = {value: cells for value, cells in by_value.items() if value is not None}
    names = _group_names(values, grouping, numeric=numeric)
    groups: dict[str, Cells] = {}
    for value in names:  # in the order of the groups
        groups[names[value]] = groups.get(names[value], Cells.empty()) + values[value]
    return groups if missing is None else {**groups, MISSING: missing}


def _group_names(
    values: Mapping[str, Cells], grouping: Grouping, *, numeric: bool
) -> dict[str, str]:
    """Return the group of each value."""
    if grouping.edges:
        labels = range_labels(grouping.edges)
        return {value: labels[int(value)] for value in sorted(values, key=int)}
    if not numeric:
        rows = {value: float(cells.rows.sum()) for value, cells in values.items()}
        common = set(sorted(rows, key=lambda value: (-rows[value], value))[:MAX_GROUPS])
        rare = dict.fromkeys(sorted(set(values) - common), OTHER)
        return {**{value: value for value in sorted(common)}, **rare}
    ordered = sorted(values, key=float)
    if len(ordered) <= MAX_CODES:
        return {value: value for value in ordered}
    edges = quartile_edges({float(value): cells.rows.sum() for value, cells in values.items()})
    labels = range_labels(edges)
    return {value: labels[sum(float(value) >= edge for edge in edges)] for value in ordered}


def range_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the ranges between edges; an edge belongs to the range above it.

    Examples
    --------
    >>> range_labels((25, 40))
    ('below 25', '25 to below 40', '40 and above')
    """
    between = (f"{low:g} to below {high:g}" for low, high in pairwise(edges))
    return (f"below {edges[0]:g}", *between, f"{edges[-1]:g} and above")


def quartile_edges(rows: Mapping[float, float]) -> tuple[float, ...]:
    """Return the values at a quarter, a half and three quarters of the rows, as edges of ranges.

    Parameters
    ----------
    rows
        Value -> how many rows hold it; at least two values.

    Examples
    --------
    >>> quartile_edges({18: 1, 30: 1, 40: 1, 70: 1})
    (30, 40, 70)
    """
    values = sorted(rows)
    below = np.cumsum([0.0, *(rows[value] for value in values)])[:-1] / sum(rows.values())
    quartiles = (next(v for v, part in zip(values, below, strict=True) if part >= q) for q in
             (0.25, 0.5, 0.75) if below[-1] >= q)  # fmt: skip
    return tuple(sorted(set(quartiles))) or (values[-1],)
