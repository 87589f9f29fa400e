"""Permutation importance in money: what it costs to know one column less (Breiman 2001, sec. 10).

A column's values are replaced by those of another row, a donor; what the decisions then cost more
is the column's importance. Every column takes its turn in one pass over the rows: each row is
scored once as it is and once per column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.models.learner import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import Column, DataFrame

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

MOST_DONORS = 1_000  # a random sample of the rows; it never leaves the executors
MOST_SCORED = 20_000_000  # rows times columns; of more rows a random part takes part
DONORS, DONOR, VALUES, TURN = "__donors", "__donor", "__values", "__turn"
BASE_COST, COST = "__base_cost", "__cost"


@dataclass(frozen=True)
class Importance:
    """What one column is worth to a model.

    Attributes
    ----------
    name
        The column.
    cost
        How much more a row costs on average when the column's values come from other rows, in
        the money of the table.
    standard_error
        Of that mean, from the rows' own differences.
    share
        The column's share of what the model itself counts as importance (see
        `sparkweights.models.Learner.importances`).
    """

    name: str
    cost: float
    standard_error: float
    share: float


def ranks(values: Sequence[float]) -> tuple[int, ...]:
    """Return each value's place, 1 for the largest; equal values share the better place.

    Examples
    --------
    >>> ranks([0.5, 2.0, 0.5, 0.1])
    (2, 1, 2, 4)
    """
    return tuple(1 + sum(other > value for other in values) for value in values)


def collect_spread(df: DataFrame, size: int) -> Array:
    """Return the standard deviation of each position of `FEATURES`, in one Spark job."""
    one_df = df.select(F.posexplode(vector_to_array(F.col(FEATURES))).alias("at", "value"))
    found = one_df.groupBy("at").agg(F.stddev("value").alias("spread")).collect()
    spread = np.zeros(size)
    for row in found:
        spread[row["at"]] = row["spread"] or 0.0
    return spread


def collect_importance(
    df: DataFrame,
    cost_of: Callable[[DataFrame, str], DataFrame],
    sources: Sequence[str],
    shares: Array,
    *,
    rows: int,
    orders: tuple[Column, Column],
    weight: Column,
) -> list[Importance]:
    """Return the importance of every column, in one Spark job and the donors' own.

    Parameters
    ----------
    df
        Prepared rows with known outcomes that the model was not fitted on.
    cost_of
        Appends under a name what the model's decision cost on the row; it reads `FEATURES` and
        leaves all other columns.
    sources
        Per position of the vector, the column it was made from.
    shares
        Per position, the model's own importance.
    rows
        How many rows ``df`` has.
    orders
        Two numbers in [0, 1) per row: one chooses donors, the other deals them out.
    weight
        Sample weight of the row.
    """
    names = tuple(dict.fromkeys(sources))
    choosing, dealing = orders
    part = min(1.0, MOST_SCORED / (rows * len(names)))
    paired_df = _pair(df, choosing, dealing, rows=rows, part=part)
    turned_df = _take_turns(cost_of(paired_df, BASE_COST), names, sources)
    difference = F.col(COST) - F.col(BASE_COST)
    found = (
        cost_of(turned_df, COST)
        .groupBy(TURN)
        .agg(
            F.sum(weight).alias("weight"),
            F.sum(weight * weight).alias("weight_square"),
            F.sum(weight * difference).alias("sum"),
            F.sum(weight * difference * difference).alias("square"),
        )
        .collect()
    )
    by_turn = {row[TURN]: row for row in found}
    total = shares.sum() or 1.0
    result = []
    for turn, name in enumerate(names):
        row = by_turn[turn]
        mean = row["sum"] / row["weight"]
        variance = max(row["square"] / row["weight"] - mean * mean, 0.0)
        own = sum(
            share for share, source in zip(shares.tolist(), sources, strict=True) if source == name
        )
        error = math.sqrt(variance * row["weight_square"]) / row["weight"]  # Kish's rows
        result.append(Importance(name, mean, error, own / total))
    return result


def _pair(df: DataFrame, choosing: Column, dealing: Column, *, rows: int, part: float) -> DataFrame:
    """Append to a share ``part`` of the rows their own `VALUES` and those of a donor."""
    values_df = df.withColumn(VALUES, vector_to_array(F.col(FEATURES)))
    donors = F.sort_array(F.collect_list(F.struct(choosing.alias("order"), F.col(VALUES))))
    donors_df = values_df.filter(choosing < MOST_DONORS / rows).agg(donors.alias(DONORS))
    place = F.floor(dealing / part * F.size(DONORS)).cast("int")
    # The donor is taken before rows are repeated, so that the sample is not repeated with them.
    return (
        values_df.filter(dealing < part)
        .crossJoin(F.broadcast(donors_df))
        .withColumn(DONOR, F.col(DONORS).getItem(place).getField(VALUES))
        .drop(DONORS)
    )


def _take_turns(paired_df: DataFrame, names: Sequence[str], sources: Sequence[str]) -> DataFrame:
    """Return every row once per column, with that column's positions taken from its donor."""
    owner = F.array(*[F.lit(names.index(source)) for source in sources])
    turned = F.transform(
        F.col(VALUES),
        lambda value, at: F.when(
            F.get(owner, at) == F.col(TURN), F.get(F.col(DONOR), at)
        ).otherwise(value),
    )
    return (
        paired_df.withColumn(TURN, F.explode(F.sequence(F.lit(0), F.lit(len(names) - 1))))
        .withColumn(FEATURES, array_to_vector(turned))
        .drop(VALUES, DONOR)
    )
