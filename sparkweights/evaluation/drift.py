"""Population stability: the drift of a table from a model's reference, by bins.

``PSI = sum_b (a_b - e_b) ln(a_b / e_b)`` over the shares of a reference (e) and of the new rows
(a) is Jeffreys' divergence (Siddiqi 2006, ch. 6). On a feature it is called CSI. Missing values
have a bin of their own.

The index of two samples of one population is not 0: with n and m rows in B bins it is distributed
as (1/n + 1/m) chi-squared with B - 1 degrees of freedom (Yurdakul 2018, section 3), .18 on average
for ten bins of 50 rows. So an index has a p-value: the probability of an index at least as large
without drift.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F
from scipy.stats import chi2

from sparkweights.core.columns import number, text
from sparkweights.core.spark_releases import collect_commonest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.evaluation.score_table import Array

TENTHS = 10
MAX_LEVELS = 30  # of a category; rarer ones share a bin
TRACKED_LEVELS = 10_000  # rows of each level are exact where a column has no more
MAX_COLUMNS = 200  # that are monitored; of wide tables, only the scores are
MIN_ROWS_OF_CLASS = 0.5  # the count of an empty bin, so that its logarithm is defined
MIN_EXPECTED = 5.0  # expected rows of a bin in a chi-square test (Cochran 1954)


@dataclass(frozen=True)
class Stability:
    """The drift of the shares of bins, and its significance.

    Attributes
    ----------
    index
        The PSI, or CSI.
    p_value
        Probability of an index at least as large without drift, for so many effective rows.
    """

    index: float
    p_value: float


@dataclass(frozen=True)
class ColumnBins:
    """The bins of a column's values and their counts; bin 0 is missing.

    Attributes
    ----------
    name
        The column.
    edges
        Of a number: the bin of a value is that of the first edge >= value; the last bin is above
        all edges.
    levels
        Of a category: one bin each, and one for all others. None for a number.
    counts
        Reference rows per bin; a row counts as often as its weight.
    weight_square_sum
        Of the rows counted; None where each counts once.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] | None = None
    counts: tuple[float, ...] = ()
    weight_square_sum: float | None = None

    @property
    def effective_rows(self) -> float:
        """Return (sum w)^2 / sum w^2 of the rows counted (Kish 1965, section 11.7)."""
        total = sum(self.counts)
        squares = total if self.weight_square_sum is None else self.weight_square_sum
        return total**2 / squares if squares else 0.0

    @property
    def size(self) -> int:
        """Number of bins."""
        return 2 + len(self.edges if self.levels is None else self.levels)

    def bin_number(self) -> Column:
        """Return the bin of a row."""
        if self.levels is None:
            value, known = number(self.name), [*self.edges]
            bin_number = F.lit(self.size - 1)
            for i, edge in reversed(list(enumerate(known))):
                bin_number = F.when(value <= edge, i + 1).otherwise(bin_number)
        else:
            value = text(self.name)
            bin_number = F.lit(self.size - 1)
            for i, level in enumerate(self.levels):
                bin_number = F.when(value == level, i + 1).otherwise(bin_number)
        return F.when(value.isNull(), 0).otherwise(bin_number)

    def to_dict(self) -> dict[str, object]:
        """Return the bins, ready for JSON; `bins_from_dict` reads them back."""
        return asdict(self)


def bins_from_dict(record: Mapping[str, Any]) -> ColumnBins:
    """Read bins that `ColumnBins.to_dict` wrote."""
    levels = record["levels"]
    return ColumnBins(
        record["name"],
        tuple(record["edges"]),
        None if levels is None else tuple(levels),
        tuple(record["counts"]),
        record.get("weight_square_sum"),
    )


def collect_bins(
    df: DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
    weight: Column | None = None,
) -> tuple[ColumnBins, ...]:
    """Learn tenths and levels from reference rows and count them, in two Spark jobs.

    With more than `MAX_COLUMNS` columns none is monitored. Bins are those of the unweighted rows;
    their counts are weighted.
    """
    if len(numeric) + len(categorical) > MAX_COLUMNS:
        return ()
    steps = F.array(*[F.lit(i / TENTHS) for i in range(1, TENTHS)])
    measures = [F.percentile_approx(number(name), steps) for name in numeric]
    summary, commonest = collect_commonest(
        df,
        [text(name) for name in categorical],
        most=MAX_LEVELS,
        tracked=TRACKED_LEVELS,
        measures=[measure.alias(f"m{i}") for i, measure in enumerate(measures)],
    )
    bins = [
        ColumnBins(name, tuple(sorted(set(map(float, summary[i] or ())))))
        for i, name in enumerate(numeric)
    ]
    for name, counts in zip(categorical, commonest, strict=True):
        levels = sorted(level for level in counts if level is not None)
        bins.append(ColumnBins(name, levels=tuple(levels)))
    return count_bins(df, bins, weight)


def count_bins(
    df: DataFrame, bins: Sequence[ColumnBins], weight: Column | None = None
) -> tuple[ColumnBins, ...]:
    """Return the bins with the counts of these rows, in one Spark job."""
    if not bins:
        return ()
    entries = F.array(
        *[
            F.struct(F.lit(i).alias("c"), column_bins.bin_number().alias("bin"))
            for i, column_bins in enumerate(bins)
        ]
    )
    times = F.lit(1.0) if weight is None else weight
    one_df = df.select(times.alias("times"), F.explode(entries).alias("e")).select("times", "e.*")
    counts, squares = [[0.0] * column_bins.size for column_bins in bins], [0.0] * len(bins)
    sums = F.sum("times").alias("rows"), F.sum(F.col("times") ** 2).alias("squares")
    for row in one_df.groupBy("c", "bin").agg(*sums).orderBy("c", "bin").collect():
        counts[row["c"]][row["bin"]] = row["rows"]
        squares[row["c"]] += row["squares"]
    return tuple(
        ColumnBins(
            column_bins.name,
            column_bins.edges,
            column_bins.levels,
            tuple(rows),
            None if weight is None else square,
        )
        for column_bins, rows, square in zip(bins, counts, squares, strict=True)
    )


def column_stability(reference: ColumnBins, today: ColumnBins) -> Stability:
    """Return the CSI of a column, and its chance."""
    return _stability(
        reference.counts, today.counts, (reference.effective_rows, today.effective_rows)
    )


def _stability(
    reference: Sequence[float] | Array,
    rows: Sequence[float] | Array,
    effective: tuple[float, float],
) -> Stability:
    return Stability(
        stability_index(reference, rows), homogeneity_p_value(reference, rows, effective)
    )


def homogeneity_p_value(
    reference: Sequence[float] | Array,
    rows: Sequence[float] | Array,
    effective: tuple[float, float],
) -> float:
    """Return the p-value of "both counts are of one population", by Pearson's chi-square.

    To first order the statistic is the PSI over 1/n + 1/m; unlike that it stays near chi-squared
    where bins are small. Bins expected to hold fewer than `MIN_EXPECTED` rows are joined.

    Parameters
    ----------
    reference, rows
        Counts of the same bins.
    effective
        Effective rows (Kish) of both, n and m; with weights the statistic shrinks by the design
        effect (Rao & Scott 1981, section 3).

    Returns
    -------
    float
        1 where fewer than two bins remain, NaN where one of both has no rows.
    """
    counts = np.array([reference, rows], dtype=np.float64)
    totals = counts.sum(axis=1)
    if not totals.all():
        return float("nan")
    sizes = np.array(effective)
    scaled = counts / totals[:, None] * sizes[:, None]
    # By the reference alone: joins that depend on the tested rows would bias the test.
    expected = counts[0] / totals[0] * sizes.min()
    joined = expected < MIN_EXPECTED
    if joined.any() and expected[joined].sum() < MIN_EXPECTED and not joined.all():
        joined[np.where(joined, np.inf, expected).argmin()] = True
    scaled = np.column_stack([scaled[:, ~joined], scaled[:, joined].sum(axis=1)])
    scaled = scaled[:, scaled.any(axis=0)]
    if scaled.shape[1] < 2:  # nothing to compare
        return 1.0
    pooled = scaled.sum(axis=0) / sizes.sum()
    expected = pooled * sizes[:, None]
    statistic = float(((scaled - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, scaled.shape[1] - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, so that the family's level holds (Holm 1979).

    A p-value of NaN belongs to no test and is not changed.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = list(map(float, p_values)), 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = largest
    return adjusted


def stability_index(reference: Sequence[float] | Array, rows: Sequence[float] | Array) -> float:
    """Return the PSI of two counts by bin; 0 is no change, 0.25 is commonly called large.

    Parameters
    ----------
    reference, rows
        Counts of the same bins; a bin that is empty in both is left out.

    Examples
    --------
    >>> stability_index([50, 50], [50, 50])
    0.0
    >>> round(stability_index([50, 50], [75, 25]), 4)
    0.2747
    """
    counts = np.array([reference, rows], dtype=np.float64)
    counts = counts[:, counts.any(axis=0)]
    if not counts.sum(axis=1).all():
        return float("nan")
    expected, actual = np.maximum(counts, MIN_ROWS_OF_CLASS) / counts.sum(axis=1, keepdims=True)
    return float((actual - expected) @ np.log(actual / expected))


def score_stability(
    reference: Array,
    rows: Array,
    scores: tuple[Array, Array],
    effective: tuple[float, float] | None = None,
) -> Stability:
    """Return the PSI of a score, by tenths of the reference, and its chance.

    Parameters
    ----------
    reference, rows
        Rows per cell of each histogram.
    scores
        The score of each cell of both.
    effective
        Effective rows of both; None where each row counts once.
    """
    order = np.argsort(scores[0])
    known = scores[0][order]
    shares = np.cumsum(reference[order]) / reference.sum()
    ends = np.searchsorted(shares, np.arange(1, TENTHS) / TENTHS)
    # Halfway to the next score, so that rounding does not move equal scores across an edge.
    edges = np.unique((known[ends] + np.append(known[1:], 1.0)[ends]) / 2)

    def binned(score: Array, weight: Array) -> Array:
        bin_number = np.searchsorted(edges, score)
        return np.bincount(bin_number, weights=weight, minlength=len(edges) + 1).astype(np.float64)

    sizes = (float(reference.sum()), float(rows.sum())) if effective is None else effective
    return _stability(binned(scores[0], reference), binned(scores[1], rows), sizes)
