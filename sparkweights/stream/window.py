"""The window of rows with known outcomes, and that of recent scores: sums by micro-batch.

A row is in the window of outcomes once its outcome is known, and not before: a row without one is
no good outcome. Every number is a sum over rows, so batches are merged and forgotten without a pass
over rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparkweights.probability.priors import ScoreHistogram
from sparkweights.probability.score_cells import level_of
from sparkweights.weights.class_frequencies import ClassFrequencies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkweights.probability.score_cells import Array

MAX_BUCKETS = 32  # older ones are merged: a window then ends within 1/16 of its length
FORGOTTEN = 1e-3  # weight below which a bucket is left out


@dataclass(frozen=True)
class WindowLimits:
    """How long a row counts; at most one is not None.

    Attributes
    ----------
    rows
        The latest rows, at least so many.
    start
        Returns the event time of the oldest rows that count, given that of the latest row with
        outcome. The latest incoming row does not matter: outcomes are of rows that are older.
    half_life
        Every row counts half as much when so many more have come (exponential forgetting).
    """

    rows: int | None = None
    start: Callable[[float], float] | None = None
    half_life: int | None = None


@dataclass(frozen=True, eq=False)
class Bucket:
    """Sums over the rows of some consecutive batches.

    Attributes
    ----------
    batch
        The last of the batches.
    time
        The latest event time, as `sparkweights.sampling.split.time_order` counts.
    frequencies
        Of the classes; of rows without outcome, of none.
    scores
        The rows' natural probabilities, by class if outcomes are known.
    costs
        ``[class, decision]``: sums of the rows' costs; empty without outcomes.
    """

    batch: int
    time: float
    frequencies: ClassFrequencies
    scores: ScoreHistogram
    costs: Array

    def __add__(self, later: Bucket) -> Bucket:
        return Bucket(
            later.batch,
            max(self.time, later.time),
            self.frequencies + later.frequencies,
            merge_histograms([self.scores, later.scores]),
            self.costs + later.costs,
        )

    @property
    def rows(self) -> float:
        """How many rows there are, by weight."""
        return float(self.scores.rows.sum())

    def decayed(self, factor: float) -> Bucket:
        """Return the sums of rows that count ``factor`` times as much."""
        squares = (
            self.scores.rows if self.scores.weight_squares is None else (self.scores.weight_squares)
        )
        scores = replace(
            self.scores, rows=self.scores.rows * factor, weight_squares=squares * factor**2
        )
        return replace(
            self,
            frequencies=self.frequencies.decayed(factor),
            scores=scores,
            costs=self.costs * factor,
        )

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON; `from_dict` reads it back."""
        squares = self.scores.weight_squares
        return {
            "batch": self.batch,
            "time": self.time,
            "classes": list(self.frequencies.names),
            "rows": self.frequencies.rows.tolist(),
            "weight": self.frequencies.weight.tolist(),
            "weight_square": self.frequencies.weight_square.tolist(),
            "probabilities": self.scores.probabilities.tolist(),
            "score_rows": self.scores.rows.tolist(),
            "score_squares": None if squares is None else squares.tolist(),
            "costs": self.costs.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Bucket:
        """Read what `to_dict` wrote."""
        squares = record["score_squares"]
        return cls(
            record["batch"],
            record["time"],
            ClassFrequencies.of(
                record["classes"], record["rows"], record["weight"], record["weight_square"]
            ),
            ScoreHistogram(
                np.array(record["probabilities"], dtype=float),
                np.array(record["score_rows"], dtype=float),
                None if squares is None else np.array(squares, dtype=float),
            ),
            np.array(record["costs"], dtype=float),
        )


@dataclass(frozen=True, eq=False)
class Window:
    """The buckets of a window, the oldest first."""

    buckets: tuple[Bucket, ...] = ()

    def add(self, bucket: Bucket, limits: WindowLimits) -> Self:
        """Return the window with a batch, without what is too old."""
        buckets = self.buckets
        if limits.half_life is not None:
            factor = 0.5 ** (bucket.rows / limits.half_life)
            decayed = [old.decayed(factor) for old in buckets]
            buckets = tuple(old for old in decayed if old.rows > FORGOTTEN)
        buckets = (*buckets, bucket)
        if limits.start is not None:
            start = limits.start(max(each.time for each in buckets))
            buckets = tuple(each for each in buckets if each.time >= start)
        if limits.rows is not None:
            buckets = _latest(buckets, limits.rows)
        return replace(self, buckets=_compress(buckets))

    def since(self, batch: int) -> Self:
        """Return the window without the batches up to one."""
        return replace(self, buckets=tuple(b for b in self.buckets if b.batch > batch))

    @property
    def total(self) -> Bucket | None:
        """The sums over all rows; None without any."""
        if not self.buckets:
            return None
        last = self.buckets[-1]
        return Bucket(
            last.batch,
            max(bucket.time for bucket in self.buckets),
            sum((bucket.frequencies for bucket in self.buckets[:-1]), last.frequencies),
            merge_histograms([bucket.scores for bucket in self.buckets]),
            np.sum([bucket.costs for bucket in self.buckets], axis=0),
        )

    @property
    def rows(self) -> float:
        """How many rows there are, by weight."""
        return sum(bucket.rows for bucket in self.buckets)

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON; `from_dict` reads it back."""
        return {"buckets": [bucket.to_dict() for bucket in self.buckets]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(tuple(map(Bucket.from_dict, record["buckets"])))


def _latest(buckets: tuple[Bucket, ...], rows: int) -> tuple[Bucket, ...]:
    """Return the latest buckets that hold at least so many rows together."""
    held = 0.0
    for count, bucket in enumerate(reversed(buckets), start=1):
        held += bucket.rows
        if held >= rows:
            return buckets[-count:]
    return buckets


def _compress(buckets: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
    """Merge neighbours of the fewest rows until there are at most `MAX_BUCKETS`."""
    while len(buckets) > MAX_BUCKETS:
        sizes = [a.rows + b.rows for a, b in pairwise(buckets)]
        i = int(np.argmin(sizes))
        buckets = (*buckets[:i], buckets[i] + buckets[i + 1], *buckets[i + 2 :])
    return buckets


def merge_histograms(histograms: Sequence[ScoreHistogram]) -> ScoreHistogram:
    """Return the histogram of the rows of several, each cell at its rows' mean probability."""
    probabilities = np.concatenate([each.probabilities for each in histograms])
    rows = np.concatenate([each.rows for each in histograms])
    squares = np.concatenate([
        each.rows if each.weight_squares is None else each.weight_squares for each in histograms
    ])  # fmt: skip
    classes = probabilities.shape[1]
    levels = level_of(probabilities[:, 1:], classes)
    cells, index = np.unique(levels, axis=0, return_inverse=True)
    index = index.ravel()

    def summed(values: Array) -> Array:
        total = np.zeros((len(cells), values.shape[1]))
        np.add.at(total, index, values)
        return total

    total = summed(rows)
    means = summed(probabilities * rows.sum(axis=1, keepdims=True))
    plain = all(each.weight_squares is None for each in histograms)
    return ScoreHistogram(
        means / total.sum(axis=1, keepdims=True), total, None if plain else summed(squares)
    )
