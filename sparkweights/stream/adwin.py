"""ADWIN: a window of measures that is as long as their mean is constant, in buckets.

Bifet & Gavalda 2007, "Learning from time-changing data with adaptive windowing". The elements here
are micro-batches and not single rows, so the driver keeps a few numbers whatever the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DELTA = 0.002  # probability of a false alarm per test, as the paper and its implementations have it
MAX_BUCKETS = 5  # of one size; a larger number finds the moment of a change more exactly
MIN_ROWS = 30.0  # on each side of a split: the bound uses an estimated variance


@dataclass(frozen=True)
class Moments:
    """Rows with the sum of a measure and of its square, up to a batch.

    Attributes
    ----------
    batch
        The last batch in it.
    batches
        How many batches are in it.
    rows, total, square_total
        The number of rows, the sum of the measure and that of its square.
    """

    batch: int
    batches: int
    rows: float
    total: float
    square_total: float

    def __add__(self, later: Moments) -> Moments:
        return Moments(
            later.batch,
            self.batches + later.batches,
            self.rows + later.rows,
            self.total + later.total,
            self.square_total + later.square_total,
        )

    @property
    def mean(self) -> float:
        """Of the measure."""
        return self.total / self.rows

    @property
    def variance(self) -> float:
        """Of the measure between rows."""
        return max(self.square_total / self.rows - self.mean**2, 0.0)


@dataclass(frozen=True)
class Change:
    """A change of the mean.

    Attributes
    ----------
    after
        The last batch before it.
    before, since
        The means on both sides.
    """

    after: int
    before: float
    since: float


@dataclass(frozen=True)
class Adwin:
    """The buckets of a window, the oldest first; a measure lies in [0, 1].

    Attributes
    ----------
    buckets
        Their sizes in batches are powers of 2 that fall with time.
    """

    buckets: tuple[Moments, ...] = ()

    def add(self, moments: Moments) -> tuple[Adwin, Change | None]:
        """Return the window with a batch, without what came before a change, and that change.

        The batches before the latest change are left out: a window that is split once more, because
        a part of the old ones is still in it, reports the same change again.
        """
        if moments.rows <= 0:
            return self, None
        buckets = _compress((*self.buckets, moments))
        change = _find_change(buckets)
        if change is None:
            return replace(self, buckets=buckets), None
        first = change
        while (again := _find_change(kept := _since(buckets, change.after))) is not None:
            change = Change(again.after, first.before, again.since)
        return replace(self, buckets=kept), change

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON; `from_dict` reads it back."""
        return {"buckets": [list(vars(bucket).values()) for bucket in self.buckets]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Adwin:
        """Read what `to_dict` wrote."""
        return cls(tuple(Moments(*bucket) for bucket in record["buckets"]))


def _since(buckets: Sequence[Moments], batch: int) -> tuple[Moments, ...]:
    return tuple(bucket for bucket in buckets if bucket.batch > batch)


def _compress(buckets: tuple[Moments, ...]) -> tuple[Moments, ...]:
    """Merge the two oldest of more than `MAX_BUCKETS` buckets of one size, for every size."""
    size = 1
    while True:
        positions = [i for i, bucket in enumerate(buckets) if bucket.batches == size]
        if len(positions) <= MAX_BUCKETS:
            return buckets
        i = positions[0]
        buckets = (*buckets[:i], buckets[i] + buckets[i + 1], *buckets[i + 2 :])
        size *= 2


def _find_change(buckets: Sequence[Moments]) -> Change | None:
    """Return the split whose means differ most beyond what chance explains (theorem 3.2)."""
    if len(buckets) < 2:
        return None
    ahead = list(accumulate(buckets))
    behind = list(accumulate(reversed(buckets), lambda later, earlier: earlier + later))[::-1]
    whole = ahead[-1]
    level = math.log(2 * math.log(max(whole.rows, math.e)) / DELTA)
    best, excess = None, 0.0
    for old, new in zip(ahead, behind[1:], strict=False):
        if min(old.rows, new.rows) < MIN_ROWS:
            continue
        inverse = 1 / old.rows + 1 / new.rows
        bound = math.sqrt(2 * inverse * whole.variance * level) + 2 / 3 * inverse * level
        distance = abs(old.mean - new.mean) - bound
        if distance > excess:
            best, excess = Change(old.batch, old.mean, new.mean), distance
    return best
