"""Which rows a training keeps of a table that is larger than it needs.

The same number of rows is drawn of each class, as far as it has so many, and a row counts for those
that were left out: its weight is divided by the share of its class that is kept. The objective is
then the same in expectation (case-control sampling with inverse probability weights; Horvitz and
Thompson 1952, "A generalization of sampling without replacement from a finite universe"). A rare
class keeps all its rows, and with it most of what the table says about the classes' difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.models.base import LABEL, WEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from sparkweights.models.losses import Array


@dataclass(frozen=True, eq=False)
class RowSample:
    """A share of the rows of each class.

    Attributes
    ----------
    shares
        ``[class]``, above 0.
    rows
        How many rows are kept, in expectation.
    """

    shares: Array
    rows: int

    @classmethod
    def of(cls, rows_by_class: Sequence[int], max_rows: int) -> RowSample:
        """Return the sample of about ``max_rows`` rows; of all rows if there are not more.

        Examples
        --------
        >>> RowSample.of([90_000, 1_000], 5_000)
        RowSample(shares=array([0.04444444, 1.        ]), rows=5000)
        """
        counts = np.asarray(rows_by_class, dtype=np.float64)
        kept = np.zeros(len(counts))
        left = float(max_rows)
        for done, index in enumerate(np.argsort(counts, kind="stable")):
            kept[index] = min(counts[index], left / (len(counts) - done))
            left -= kept[index]
        shares = np.divide(kept, counts, out=np.ones(len(counts)), where=counts > 0)
        return cls(shares, round(kept.sum()))

    def draw(self, df: DataFrame, hash_name: str) -> DataFrame:
        """Return the rows that are kept, with their weights; a hash decides about each."""
        if (self.shares == 1).all():
            return df
        share = F.get(F.lit(self.shares.tolist()), F.col(LABEL).cast("int"))
        # The hash is uniform on the 64-bit integers, whose upper half makes a number in [0, 1).
        place = F.shiftrightunsigned(F.col(hash_name), 32) / float(1 << 32)
        return df.filter(place < share).withColumn(WEIGHT, F.col(WEIGHT) / share)
