"""Human review: rows where a review lowers the expected cost, within the capacity.

A review has a price and determines the true class (Chow 1970). The least-cost decision of this
class follows, which may still cost something: min_d C[d][c] for the true class c. So the expected
cost of a review is price + sum_c p_c min_d C[d][c], and its gain is the least expected cost without
review minus that (the expected value of perfect information, Raiffa & Schlaifer 1961, less its
price). Where more rows gain than the capacity allows, those of largest gain are reviewed. The
threshold of the gain comes from one histogram of gains; within the histogram's bin at the
threshold, a hash of the keys chooses the rows. So the same rows are chosen on every run, under any
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
class ReviewCutoff:
    """The threshold of the gain above which rows are reviewed.

    Attributes
    ----------
    bin
        Rows whose gain is above this bin are reviewed; rows below it are not.
    share
        Within the bin, rows whose order is below this are reviewed.
    rows, gaining
        Rows in the table, and rows whose gain is positive.
    saving
        Expected saving of the chosen reviews, net of their price.
    """

    bin: int
    share: float
    rows: int
    gaining: int
    saving: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Return the record, ready for JSON."""
        return {
            "least_gain": 2.0 ** (self.bin / BINS_PER_OCTAVE),
            "share_at_least_gain": self.share,
            "rows": self.rows,
            "gaining": self.gaining,
            "saving": self.saving,
        }


def review_cost(probabilities: Sequence[T], least_costs: Sequence[T], price: T) -> T:
    """Return the expected cost of a review of a row: price + sum_c p_c min_d C[d][c].

    Written with operators only, so it works on numbers, arrays and Spark Columns alike.

    Parameters
    ----------
    probabilities
        Natural probability per class.
    least_costs
        Per class, the cost of its least-cost decision (`CostMatrix.least`).
    price
        Price of the review itself, in the currency of the table.

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
    """Return the expected saving of a review, net of its price.

    Parameters
    ----------
    least_expected_cost
        Expected cost of the least-cost decision without review.
    expected_review_cost
        Expected cost of the review and the decision that follows; see `review_cost`.
    """
    saved: T = least_expected_cost - expected_review_cost
    return saved


def collect_review_cutoff(
    df: DataFrame, gain: Column, capacity: float, weight: Column | None = None
) -> ReviewCutoff:
    """Find the gain above which at most ``capacity`` of the rows are reviewed, in one Spark job.

    Parameters
    ----------
    gain
        `review_gain`; rows where it is null or <= 0 are not reviewed.
    capacity
        Share of all rows of ``df``, in (0, 1).
    weight
        Sample weight of a row, >= 0: a row of weight 2 uses the capacity of two reviews. None where
        each row counts once.
    """
    times = F.lit(1.0) if weight is None else weight.cast("double")
    histogram = (
        df.groupBy(_bin(gain).alias("bin"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(times).alias("weight"),
            F.sum(times * gain).alias("gain"),
        )
        .collect()
    )
    rows = sum(row["rows"] for row in histogram)
    bins = sorted((row for row in histogram if row["bin"] is not None), key=lambda row: -row["bin"])
    gaining = sum(row["rows"] for row in bins)
    left = capacity * sum(row["weight"] for row in histogram)
    if weight is None:
        left = int(left)  # a row is reviewed or not
    saving = 0.0
    for row in bins:
        if row["weight"] > left:
            share = left / row["weight"]
            return ReviewCutoff(row["bin"], share, rows, gaining, saving + share * row["gain"])
        left -= row["weight"]
        saving += row["gain"]
    # The capacity covers every row of positive gain.
    return ReviewCutoff(bins[-1]["bin"] if bins else 0, 1.0, rows, gaining, saving)


def is_reviewed(gain: Column, order: Column, threshold: ReviewCutoff) -> Column:
    """Whether a row is reviewed.

    Parameters
    ----------
    order
        A number in [0, 1) from the row's keys.
    """
    gain_bin = _bin(gain)
    chosen = (gain_bin > threshold.bin) | ((gain_bin == threshold.bin) & (order < threshold.share))
    return F.coalesce(chosen, F.lit(col=False))


def _bin(gain: Column) -> Column:
    return F.floor(F.log2(F.when(gain > 0, gain)) * BINS_PER_OCTAVE)
