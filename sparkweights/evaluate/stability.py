"""Population stability: does a table still look like the one that a model was made for, by bins.

``PSI = sum_b (a_b - e_b) ln(a_b / e_b)`` over the shares of a reference (e) and of today's rows
(a), with Jeffreys' divergence as its other name (Siddiqi 2006, ch. 6). On a feature it is called
CSI. Missing values are a bin of their own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import number, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.evaluate.table import Array

TENTHS = 10
MOST_LEVELS = 30  # of a category; rarer ones share a bin
MOST_COLUMNS = 200  # that are followed; wide tables are followed by their scores alone
LEAST_ROWS = 0.5  # what an empty bin counts, so that its logarithm is defined


@dataclass(frozen=True)
class ColumnBins:
    """How the values of a column fall into bins; bin 0 is missing.

    Attributes
    ----------
    name
        The column.
    edges
        Of a number: value <= edge is the bin of the first edge that holds; more lie above.
    levels
        Of a category: one bin each, and one for all others. None for a number.
    counts
        Reference rows per bin; a row with a weight counts as often as that says.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] | None = None
    counts: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of bins."""
        return 2 + len(self.edges if self.levels is None else self.levels)

    def place(self) -> Column:
        """Return the bin of a row."""
        if self.levels is None:
            value, known = number(self.name), [*self.edges]
            place = F.lit(self.size - 1)
            for i, edge in reversed(list(enumerate(known))):
                place = F.when(value <= edge, i + 1).otherwise(place)
        else:
            value = text(self.name)
            place = F.lit(self.size - 1)
            for i, level in enumerate(self.levels):
                place = F.when(value == level, i + 1).otherwise(place)
        return F.when(value.isNull(), 0).otherwise(place)

    def to_dict(self) -> dict[str, Any]:
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
    )


def collect_bins(
    df: DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
    weight: Column | None = None,
) -> tuple[ColumnBins, ...]:
    """Learn tenths and levels from reference rows and count them, in two Spark jobs.

    Of more than `MOST_COLUMNS` columns none are followed. Bins are those of the rows; their counts
    are of the population that a weight makes of these.
    """
    if len(numeric) + len(categorical) > MOST_COLUMNS:
        return ()
    steps = F.array(*[F.lit(i / TENTHS) for i in range(1, TENTHS)])
    measures = [F.percentile_approx(number(name), steps) for name in numeric]
    measures += [
        F.call_function("approx_top_k", text(name), F.lit(MOST_LEVELS)) for name in categorical
    ]
    found = df.agg(*[one.alias(f"m{i}") for i, one in enumerate(measures)]).first()
    assert found is not None  # noqa: S101 (an aggregate without groups has its row)
    bins = [
        ColumnBins(name, tuple(sorted(set(map(float, found[i] or ())))))
        for i, name in enumerate(numeric)
    ]
    for i, name in enumerate(categorical, start=len(numeric)):
        levels = sorted(entry["item"] for entry in found[i] or () if entry["item"] is not None)
        bins.append(ColumnBins(name, levels=tuple(levels)))
    return count_bins(df, bins, weight)


def count_bins(
    df: DataFrame, bins: Sequence[ColumnBins], weight: Column | None = None
) -> tuple[ColumnBins, ...]:
    """Return the bins with the counts of these rows, in one Spark job."""
    if not bins:
        return ()
    entries = F.array(
        *[F.struct(F.lit(i).alias("c"), own.place().alias("bin")) for i, own in enumerate(bins)]
    )
    times = F.lit(1.0) if weight is None else weight
    one_df = df.select(times.alias("times"), F.explode(entries).alias("e")).select("times", "e.*")
    counts = [[0.0] * own.size for own in bins]
    for row in one_df.groupBy("c", "bin").agg(F.sum("times").alias("rows")).collect():
        counts[row["c"]][row["bin"]] = row["rows"]
    return tuple(
        ColumnBins(own.name, own.edges, own.levels, tuple(rows))
        for own, rows in zip(bins, counts, strict=True)
    )


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
    expected, actual = np.maximum(counts, LEAST_ROWS) / counts.sum(axis=1, keepdims=True)
    return float((actual - expected) @ np.log(actual / expected))


def score_stability(reference: Array, rows: Array, scores: tuple[Array, Array]) -> float:
    """Return the PSI of a score, by tenths of the reference.

    Parameters
    ----------
    reference, rows
        Rows per cell of each histogram.
    scores
        The score of each cell of both.
    """
    order = np.argsort(scores[0])
    known = scores[0][order]
    shares = np.cumsum(reference[order]) / reference.sum()
    ends = np.searchsorted(shares, np.arange(1, TENTHS) / TENTHS)
    # Halfway to the next score: rounding must not move a calibrated plateau across an edge.
    edges = np.unique((known[ends] + np.append(known[1:], 1.0)[ends]) / 2)

    def binned(score: Array, weight: Array) -> Array:
        place = np.searchsorted(edges, score)
        return np.bincount(place, weights=weight, minlength=len(edges) + 1).astype(np.float64)

    return stability_index(binned(scores[0], reference), binned(scores[1], rows))
