"""Permutation importance in money: what it costs to know one column less (Breiman 2001, sec. 10).

A column's values are replaced by those of another row, a donor; what the decisions then cost more
is the column's importance. Every column takes its turn in one pass over the rows: each row is
scored once as it is and once per column. Where the weights that scoring undoes are told from the
column, they are told from the donor's value too: else a model that has learned the weights would
be undone by those of another row. Prices stay the row's own.

The rows are a sample, and so are the donors, whom many rows share. With h(i, d) what row i costs
more with the value of donor d, the mean over rows and donors has the variance
var_i / rows + var_d / donors + the rest / rows (the first order of a two-sample U-statistic,
Hoeffding 1948). Each row has one donor, so sums by donor hold all three: it is the variance of a
mean of clusters (Liang & Zeger 1986, eq. 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.models.base import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import Column, DataFrame

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

MAX_DONORS = 1_000  # a random sample of the rows; it never leaves the executors
MAX_SCORED = 20_000_000  # rows times columns; of more rows a random part takes part
DONORS, DONOR, VALUES, TURN = "__donors", "__donor", "__values", "__turn"
PLACE, PAIR_WEIGHT = "__place", "__pair_weight"
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
        Of that mean, over other rows and other donors.
    share
        The column's share of what the model itself counts as importance (see
        `sparkweights.models.base.FittedModel.importances`).
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
    undone: Sequence[str] = (),
) -> list[Importance]:
    """Return the importance of every column, in one Spark job and the donors' own.

    Parameters
    ----------
    df
        Prepared rows with known outcomes that the model was not fitted on.
    cost_of
        Appends under a name what the model's decision cost on the row; it reads `FEATURES` and
        the columns of ``undone``, and leaves all other columns. Prices that read one of these
        must have been worked out before.
    sources
        Per position of the vector, the column it was made from.
    shares
        Per position, the model's own importance.
    rows
        How many rows ``df`` has.
    orders
        Two numbers in [0, 1) per row: one chooses donors, the other deals them out.
    weight
        Sample weight of the row; 2 is the row twice, as a row and as a donor.
    undone
        Columns of ``df`` that the undone weights are told from (`Ledger.columns`).
    """
    names = tuple(dict.fromkeys(sources))
    choosing, dealing = orders
    part = min(1.0, MAX_SCORED / (rows * len(names)))
    moved = [name for name in undone if name in names]
    weighted_df = df.withColumn(PAIR_WEIGHT, weight)
    paired_df = _pair(weighted_df, choosing, dealing, rows=rows, part=part, moved=moved)
    turned_df = _take_turns(cost_of(paired_df, BASE_COST), names, sources, moved)
    found = _collect_sums(cost_of(turned_df, COST))
    total = shares.sum() or 1.0
    result = []
    for turn, name in enumerate(names):
        mean, error = found[turn]
        own = sum(
            share for share, source in zip(shares.tolist(), sources, strict=True) if source == name
        )
        result.append(Importance(name, mean, error, own / total))
    return result


def _collect_sums(costed_df: DataFrame) -> dict[int, tuple[float, float]]:
    """Return, per turn, the mean difference of a pair and its standard error.

    Sums by donor are added up where they lie; a row per column reaches the driver.
    """
    difference = F.col(PAIR_WEIGHT) * (F.col(COST) - F.col(BASE_COST))
    by_donor_df = costed_df.groupBy(TURN, PLACE).agg(
        F.sum(PAIR_WEIGHT).alias("weight"), F.sum(difference).alias("sum")
    )
    moments = {
        "donors": F.count(F.lit(1)),
        "weight": F.sum("weight"),
        "sum": F.sum("sum"),
        "sum_sum": F.sum(F.col("sum") * F.col("sum")),
        "sum_weight": F.sum(F.col("sum") * F.col("weight")),
        "weight_weight": F.sum(F.col("weight") * F.col("weight")),
    }
    aggregates = [value.alias(name) for name, value in moments.items()]
    found = {}
    for row in by_donor_df.groupBy(TURN).agg(*aggregates).collect():
        mean = row["sum"] / row["weight"]
        spread = row["sum_sum"] - 2 * mean * row["sum_weight"] + mean**2 * row["weight_weight"]
        few = row["donors"] / max(row["donors"] - 1, 1)  # as of any variance about its own mean
        found[row[TURN]] = mean, math.sqrt(max(few * spread, 0.0)) / row["weight"]
    return found


def _pair(
    df: DataFrame,
    choosing: Column,
    dealing: Column,
    *,
    rows: int,
    part: float,
    moved: Sequence[str],
) -> DataFrame:
    """Append to a share ``part`` of the rows their own `VALUES` and those of a donor."""
    values_df = df.withColumn(VALUES, vector_to_array(F.col(FEATURES)))
    given = [F.col(VALUES), F.col(PAIR_WEIGHT), *map(column, moved)]
    own = F.struct(*given).alias("row")
    donors = F.sort_array(F.collect_list(F.struct(choosing.alias("order"), own)))
    donors_df = values_df.filter(choosing < MAX_DONORS / rows).agg(donors.alias(DONORS))
    place = F.floor(dealing / part * F.size(DONORS)).cast("int")
    # The donor is taken before rows are repeated, so that the sample is not repeated with them.
    paired_df = (
        values_df.filter(dealing < part)
        .crossJoin(F.broadcast(donors_df))
        .withColumn(PLACE, place)
        .withColumn(DONOR, F.col(DONORS).getItem(F.col(PLACE)).getField("row"))
    )
    weight = F.col(PAIR_WEIGHT) * F.col(DONOR).getField(PAIR_WEIGHT)
    return paired_df.withColumn(PAIR_WEIGHT, weight).drop(DONORS)


def _take_turns(
    paired_df: DataFrame, names: Sequence[str], sources: Sequence[str], moved: Sequence[str]
) -> DataFrame:
    """Return every row once per column, with that column taken from its donor.

    Its positions of the vector are, and the column itself where it is one of ``moved``.
    """
    owner = F.array(*[F.lit(names.index(source)) for source in sources])
    values = F.col(DONOR).getField(VALUES)
    turned = F.transform(
        F.col(VALUES),
        lambda value, at: F.when(F.get(owner, at) == F.col(TURN), F.get(values, at)).otherwise(
            value
        ),
    )
    columns = {
        name: F.when(F.col(TURN) == names.index(name), F.col(DONOR).getField(name)).otherwise(
            column(name)
        )
        for name in moved
    }
    return (
        paired_df.withColumn(TURN, F.explode(F.sequence(F.lit(0), F.lit(len(names) - 1))))
        .withColumns({FEATURES: array_to_vector(turned), **columns})
        .drop(VALUES, DONOR)
    )
