"""Permutation importance as a cost: the cost of losing one column (Breiman 2001, sec. 10).

A column's values are replaced by those of another row, a donor; the increase in the cost of the
decisions is the column's importance. All columns are permuted in one pass over the rows: each row
is scored once as it is and once per column. Where the weights that scoring inverts depend on the
column, they are computed from the donor's value too: otherwise the probabilities of a model that
has learned the weights would be corrected by the weights of another row. The costs stay those of
the row.

The rows are a sample, and so are the donors, which many rows share. With h(i, d) the increase in
the cost of row i with the value of donor d, the mean over rows and donors has the variance
var_i / rows + var_d / donors + the rest / rows (the first order of a two-sample U-statistic,
Hoeffding 1948). Each row has one donor, so sums by donor hold all three: it is the variance of a
mean of clusters (Liang & Zeger 1986, eq. 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.models.base import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import Column, DataFrame

    Transform = Callable[[DataFrame], DataFrame]

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

MAX_DONORS = 1_000  # a random sample of the rows; it never leaves the executors
MAX_SCORED = 20_000_000  # rows times columns; of more rows a random part is used
DONORS, DONOR, VALUES, TURN = "__donors", "__donor", "__values", "__turn"
DONOR_POSITION, PAIR_WEIGHT = "__donor_position", "__pair_weight"
BASE_COST, COST = "__base_cost", "__cost"


@dataclass(frozen=True)
class Importance:
    """The importance of one column to a model.

    Attributes
    ----------
    name
        The column.
    cost
        How much more a row costs on average when the column's values come from other rows, in
        the currency of the table.
    standard_error
        Of that mean, over other rows and other donors.
    share
        The column's share of the model's own importance measure (see
        `sparkweights.models.base.FittedModel.importances`).
    """

    name: str
    cost: float
    standard_error: float
    share: float


def ranks(values: Sequence[float]) -> tuple[int, ...]:
    """Return each value's rank, 1 for the largest; equal values share the better rank.

    Examples
    --------
    >>> ranks([0.5, 2.0, 0.5, 0.1])
    (2, 1, 2, 4)
    """
    return tuple(1 + sum(other > value for other in values) for value in values)


def collect_standard_deviations(df: DataFrame, size: int) -> Array:
    """Return the standard deviation of each position of `FEATURES`, in one Spark job."""
    values_df = df.select(F.posexplode(vector_to_array(F.col(FEATURES))).alias("at", "value"))
    rows = values_df.groupBy("at").agg(F.stddev("value").alias("deviation")).collect()
    deviations = np.zeros(size)
    for row in rows:
        deviations[row["at"]] = row["deviation"] or 0.0
    return deviations


def before_and_after(
    cost_of: Callable[[DataFrame, str], DataFrame],
) -> Callable[[DataFrame, Transform], DataFrame]:
    """Return what `collect_importance` calls, for a model that is the same for all rows.

    Parameters
    ----------
    cost_of
        Appends the cost of the model's decision on the row under a name.
    """
    return lambda df, permute: cost_of(permute(cost_of(df, BASE_COST)), COST)


def collect_importance(
    df: DataFrame,
    append_costs: Callable[[DataFrame, Transform], DataFrame],
    sources: Sequence[str],
    shares: Array,
    *,
    rows: int,
    orders: tuple[Column, Column],
    weight: Column,
    correction_cols: Sequence[str] = (),
) -> list[Importance]:
    """Return the importance of every column, in one Spark job, and one more for the donors.

    Parameters
    ----------
    df
        Prepared rows with known outcomes that the model was not fitted on.
    append_costs
        Appends `BASE_COST`, the cost of the model's decision on the row, calls its second argument,
        which permutes columns, and appends the cost of the decision then as `COST`. A cost reads
        `FEATURES` and ``correction_cols``, and leaves all other columns; what it depends on beside
        the decision must have been computed before.
    sources
        Per position of the vector, the column it was made from.
    shares
        Per position, the model's own importance.
    rows
        How many rows ``df`` has.
    orders
        Two random numbers in [0, 1) per row: the first samples donors, the second assigns them.
    weight
        Sample weight of the row; 2 is the row twice, as a row and as a donor.
    correction_cols
        Columns of ``df`` that the corrections read (`Ledger.columns`).
    """
    names = tuple(dict.fromkeys(sources))
    sample_order, donor_order = orders
    part = min(1.0, MAX_SCORED / (rows * len(names)))
    moved = [name for name in correction_cols if name in names]
    weighted_df = df.withColumn(PAIR_WEIGHT, weight)
    paired_df = _pair(weighted_df, sample_order, donor_order, rows=rows, part=part, moved=moved)
    permute = partial(_permute_each, names=names, sources=sources, moved=moved)
    sums = _collect_sums(append_costs(paired_df, permute))
    total = shares.sum() or 1.0
    result = []
    for turn, name in enumerate(names):
        mean, error = sums[turn]
        model_importance = sum(
            share for share, source in zip(shares.tolist(), sources, strict=True) if source == name
        )
        result.append(Importance(name, mean, error, model_importance / total))
    return result


def _collect_sums(costed_df: DataFrame) -> dict[int, tuple[float, float]]:
    """Return, per column index, the mean difference of a pair and its standard error.

    Sums by donor are aggregated on the executors; a row per column reaches the driver.
    """
    difference = F.col(PAIR_WEIGHT) * (F.col(COST) - F.col(BASE_COST))
    by_donor_df = costed_df.groupBy(TURN, DONOR_POSITION).agg(
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
    sums = {}
    for row in by_donor_df.groupBy(TURN).agg(*aggregates).collect():
        mean = row["sum"] / row["weight"]
        square_sum = row["sum_sum"] - 2 * mean * row["sum_weight"] + mean**2 * row["weight_weight"]
        correction = row["donors"] / max(row["donors"] - 1, 1)  # n / (n - 1) for the estimated mean
        sums[row[TURN]] = mean, math.sqrt(max(correction * square_sum, 0.0)) / row["weight"]
    return sums


def _pair(
    df: DataFrame,
    sample_order: Column,
    donor_order: Column,
    *,
    rows: int,
    part: float,
    moved: Sequence[str],
) -> DataFrame:
    """Append to a share ``part`` of the rows their `VALUES` and those of a donor."""
    values_df = df.withColumn(VALUES, vector_to_array(F.col(FEATURES)))
    fields = [F.col(VALUES), F.col(PAIR_WEIGHT), *map(column, moved)]
    row = F.struct(*fields).alias("row")
    donors = F.sort_array(F.collect_list(F.struct(sample_order.alias("order"), row)))
    donors_df = values_df.filter(sample_order < MAX_DONORS / rows).agg(donors.alias(DONORS))
    position = F.floor(donor_order / part * F.size(DONORS)).cast("int")
    # Join the donor before rows are repeated, so that the sample of donors is not repeated.
    paired_df = (
        values_df.filter(donor_order < part)
        .crossJoin(F.broadcast(donors_df))
        .withColumn(DONOR_POSITION, position)
        .withColumn(DONOR, F.col(DONORS).getItem(F.col(DONOR_POSITION)).getField("row"))
    )
    weight = F.col(PAIR_WEIGHT) * F.col(DONOR).getField(PAIR_WEIGHT)
    return paired_df.withColumn(PAIR_WEIGHT, weight).drop(DONORS)


def _permute_each(
    paired_df: DataFrame, names: Sequence[str], sources: Sequence[str], moved: Sequence[str]
) -> DataFrame:
    """Return every row once per column, with that column's values from the donor.

    These are its positions in the vector, and the column itself if it is one of ``moved``.
    """
    owner = F.array(*[F.lit(names.index(source)) for source in sources])
    values = F.col(DONOR).getField(VALUES)
    permuted = F.transform(
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
        .withColumns({FEATURES: array_to_vector(permuted), **columns})
        .drop(VALUES, DONOR)
    )
