"""The review band: rows where a look by a human lowers the expected cost, within the capacity.

A look costs a price and settles which class is true (Chow 1970). The decision that is then taken
is the right one, which may still cost something: min_d C[d][c] for the true class c. So a look
is expected to cost price + sum_c p_c min_d C[d][c], and a row gains from it what its best decision
is expected to cost above that (the expected value of perfect information, Raiffa & Schlaifer 1961,
less its price). Where more rows gain than there is time for, those that gain most are looked at;
the cut between them is found from one histogram of gains, and rows whose gains are as good as
equal are told apart by a hash of their keys. So the same rows are chosen on every run, under any
partitioning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

T = TypeVar("T", bound=Any)

BINS_PER_OCTAVE = 256  # gains within 0.3 % of each other count as equal


@dataclass(frozen=True)
class ReviewCut:
    """Which gains are looked at.

    Attributes
    ----------
    bin
        Gains above this bin are; those below are not.
    share
        Within the bin, rows whose order is below this are.
    rows, gaining
        Rows in the table, and those that would gain from a look.
    saving
        What the chosen looks are expected to save, net of their price.
    """

    bin: int
    share: float
    rows: int
    gaining: int
    saving: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the record, ready for JSON."""
        return {
            "least_gain": 2.0 ** (self.bin / BINS_PER_OCTAVE),
            "share_at_least_gain": self.share,
            "rows": self.rows,
            "gaining": self.gaining,
            "saving": self.saving,
        }


def review_cost(probabilities: Sequence[T], least_costs: Sequence[T], price: T) -> T:
    """Return what a look at a row is expected to cost: price + sum_c p_c min_d C[d][c].

    Written with operators only, so it works on numbers, arrays and Spark Columns alike.

    Parameters
    ----------
    probabilities
        Natural probability per class.
    least_costs
        Per class, the cost of the decision that is right for it (`CostMatrix.least`).
    price
        Of the look itself, in the money of the table.

    Examples
    --------
    >>> round(review_cost([0.3, 0.7], [0.0, 150.0], 40.0), 9)
    145.0
    """
    total = price
    for probability, cost in zip(probabilities, least_costs, strict=True):
        total = total + probability * cost
    return total


def review_gain(least_expected_cost: T, expected_review_cost: T) -> T:
    """Return what a look is expected to save, net of its price.

    Parameters
    ----------
    least_expected_cost
        Of the best decision without a look.
    expected_review_cost
        Of the look and what follows from it; see `review_cost`.
    """
    saved: T = least_expected_cost - expected_review_cost
    return saved


def collect_review_cut(
    df: DataFrame, gain: Column, capacity: float, weight: Column | None = None
) -> ReviewCut:
    """Find the cut that sends at most ``capacity`` of the rows to review, in one Spark job.

    Parameters
    ----------
    gain
        `review_gain`; rows where it is null or <= 0 are not looked at.
    capacity
        Share of all rows of ``df``, in (0, 1).
    weight
        Sample weight of a row, >= 0: a row of weight 2 takes the time of two looks. None where
        each row counts once.
    """
    counted = F.lit(1.0) if weight is None else weight.cast("double")
    found = (
        df.groupBy(_bin(gain).alias("bin"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(counted).alias("weight"),
            F.sum(counted * gain).alias("gain"),
        )
        .collect()
    )
    rows = sum(row["rows"] for row in found)
    bins = sorted((row for row in found if row["bin"] is not None), key=lambda row: -row["bin"])
    gaining = sum(row["rows"] for row in bins)
    left = capacity * sum(row["weight"] for row in found)
    if weight is None:
        left = int(left)  # nobody looks at half a row
    saving = 0.0
    for row in bins:
        if row["weight"] > left:
            share = left / row["weight"]
            return ReviewCut(row["bin"], share, rows, gaining, saving + share * row["gain"])
        left -= row["weight"]
        saving += row["gain"]
    # There is time for every row that gains.
    return ReviewCut(bins[-1]["bin"] if bins else 0, 1.0, rows, gaining, saving)


def is_reviewed(gain: Column, order: Column, cut: ReviewCut) -> Column:
    """Whether a row is looked at.

    Parameters
    ----------
    order
        A number in [0, 1) from the row's keys.
    """
    place = _bin(gain)
    chosen = (place > cut.bin) | ((place == cut.bin) & (order < cut.share))
    return F.coalesce(chosen, F.lit(col=False))


def _bin(gain: Column) -> Column:
    return F.floor(F.log2(F.when(gain > 0, gain)) * BINS_PER_OCTAVE)
