"""The review band: rows whose best decision is dearer than a look, within what there is time for.

A look costs a price and settles the case (Chow 1970). A row gains from it what its best decision
is expected to cost above that price. Where more rows gain than there is time for, those that gain
most are looked at; the cut between them is found from one histogram of gains, and rows whose
gains are as good as equal are told apart by a hash of their keys. So the same rows are chosen on
every run, under any partitioning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

REVIEW = "review"  # the decision's name
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
    """

    bin: int
    share: float
    rows: int
    gaining: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record, ready for JSON."""
        return {
            "least_gain": 2.0 ** (self.bin / BINS_PER_OCTAVE),
            "share_at_least_gain": self.share,
            "rows": self.rows,
            "gaining": self.gaining,
        }


def review_gain(least_expected_cost: Column, price: Column) -> Column:
    """Return what a look saves: the best decision's expected cost minus the price."""
    return least_expected_cost - price


def collect_review_cut(df: DataFrame, gain: Column, capacity: float) -> ReviewCut:
    """Find the cut that sends at most ``capacity`` of the rows to review, in one Spark job.

    Parameters
    ----------
    gain
        `review_gain`; rows where it is null or <= 0 are not looked at.
    capacity
        Share of all rows of ``df``, in (0, 1).
    """
    found = df.groupBy(_bin(gain).alias("bin")).count().collect()
    rows = sum(row["count"] for row in found)
    bins = sorted((row["bin"], row["count"]) for row in found if row["bin"] is not None)
    gaining = sum(count for _, count in bins)
    left = int(capacity * rows)
    for place, count in reversed(bins):
        if count > left:
            return ReviewCut(place, left / count, rows, gaining)
        left -= count
    # There is time for every row that gains.
    return ReviewCut(bins[0][0] if bins else 0, 1.0, rows, gaining)


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
