"""A compact table of scores: the sums over the rows that every metric is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

BINS = 8_192  # per class; bounds the rows on the driver and the error of the areas
OFFSET = 1e-6  # bins are equal in log odds down to this, and equal in the probability below it
BIN_SCALE = BINS / (2 * math.log1p(1 / OFFSET))  # bins per unit of log odds
CLIP = float(np.finfo(np.float64).eps)  # of probabilities in a logarithm, as scikit-learn does
ADVICE = "build it with ScoreTable.from_rows, or group the rows by score or by bin."


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Weighted rows with known outcomes, summed by distinct score or by bin of scores.

    Without ``score_sum`` an entry is one distinct score. With it an entry is a bin, which holds
    the scores from its own ``score`` up to the next entry's; the last one ends at 1.

    Attributes
    ----------
    score
        ``[entry]``, ascending: the score, or the lower edge of the bin, so that "at or above
        ``score[k]``" is a threshold that can be applied to rows with the same result.
    positives, negatives
        Weight of the rows of the class, and of the others; an entry may be empty.
    score_sum
        Weighted sum of the scores of a bin; it gives the mean of the bin.
    square_sum, positive_score_sum
        Weighted sums of the squared scores, and of the scores of the positive rows. With both,
        the Brier score of bins is exact; without, it is off by at most `brier_bound`.
    log_loss_sum
        Weighted sum of -log(probability of the outcome). With it, the log loss of bins is
        exact; without, it is off by at most `log_loss_bound`.
    cost_positive, cost_negative
        ``[decision, entry]``: weighted sums over the rows of each class of the costs of two
        decisions: below a threshold (approve), then at or above it (decline).
    greatest
        The greatest score of a bin's rows; of an empty bin, its lower edge. With it, a bin of one
        score is known to be no more than a tie, and `complement` keeps every row in its bin.

    Raises
    ------
    InputError
        If arrays differ in length, scores do not ascend, a number is not finite, a weight is
        negative, or the mean of a bin is outside of it.

    Examples
    --------
    >>> table = ScoreTable(score=[0.2, 0.6], positives=[1, 3], negatives=[4, 2])
    >>> table.weight.tolist(), table.prior
    ([5.0, 5.0], 0.4)
    """

    score: Array
    positives: Array
    negatives: Array
    score_sum: Array | None = None
    square_sum: Array | None = None
    positive_score_sum: Array | None = None
    log_loss_sum: Array | None = None
    cost_positive: Array | None = None
    cost_negative: Array | None = None
    greatest: Array | None = None

    def __post_init__(self) -> None:
        for name, value in self._given():
            object.__setattr__(self, name, np.array(value, dtype=np.float64))
        self._check_numbers()
        self._check_companions()

    @classmethod
    def from_rows(
        cls,
        score: ArrayLike,
        positive: ArrayLike,
        weight: ArrayLike | None = None,
        *,
        edges: ArrayLike | None = None,
        costs: ArrayLike | None = None,
    ) -> ScoreTable:
        """Sum rows in memory into a table, as a distributed pass does.

        Parameters
        ----------
        score, positive, weight
            Per row; whether it is of the class; its sample weight.
        edges
            Lower edges of bins, ascending, the first at or below every score, for instance
            `least_scores`. Without them there is one entry per distinct score.
        costs
            ``[decision, row]``: the cost of each of the two decisions on the row.

        Raises
        ------
        InputError
            If a row is below the first edge, or the sums are not a valid table.

        Examples
        --------
        >>> ScoreTable.from_rows([0.1, 0.7, 0.7], [0, 0, 1]).negatives.tolist()
        [1.0, 1.0]
        """
        p, y = np.asarray(score, dtype=np.float64), np.asarray(positive, dtype=bool)
        w = np.ones(len(p)) if weight is None else np.asarray(weight, dtype=np.float64)
        names = np.unique(p) if edges is None else np.asarray(edges, dtype=np.float64)
        entry = np.searchsorted(names, p, side="right") - 1
        if entry.min(initial=0) < 0:
            raise InputError(
                f"edges: the first is {names[:1]}, and a row scores {p.min()}; every row needs a "
                "bin.",
                hint="start the edges at 0.",
            )

        def summed(values: Array) -> Array:
            return np.bincount(entry, weights=values, minlength=len(names)).astype(np.float64)

        sums = {"positives": summed(w * y), "negatives": summed(w * ~y)}
        if edges is not None:
            sums |= {"score_sum": summed(w * p), "square_sum": summed(w * p * p)}
            sums |= {"positive_score_sum": summed(w * p * y)}
            happened = np.clip(np.where(y, p, 1 - p), CLIP, 1 - CLIP)
            sums |= {"log_loss_sum": summed(-w * np.log(happened))}
            greatest = names.copy()
            np.maximum.at(greatest, entry, p)
            sums |= {"greatest": greatest}
        if costs is not None:
            prices = np.asarray(costs, dtype=np.float64)
            sums |= {"cost_positive": np.array([summed(w * y * price) for price in prices])}
            sums |= {"cost_negative": np.array([summed(w * ~y * price) for price in prices])}
        return cls(score=names, **sums)

    def __add__(self, other: ScoreTable) -> ScoreTable:
        """Return the table of the rows of both; entries of the same score become one.

        Raises
        ------
        InputError
            If one table holds sums that the other lacks, or both are of bins that differ.

        Examples
        --------
        >>> (ScoreTable([0.2], [1], [0]) + ScoreTable([0.1, 0.2], [0, 1], [2, 3])).positives
        array([0., 2.])
        """
        first, second = dict(self._given()), dict(other._given())
        if first.keys() != second.keys():
            raise InputError(
                f"Score tables to be added hold {sorted(first)} and {sorted(second)}; both need "
                "the same sums.",
            )
        if self.binned and not np.array_equal(self.score, other.score):
            raise InputError(
                f"Score tables to be added have {len(self.score)} and {len(other.score)} bins "
                "of different edges; rows of one bin cannot be divided.",
                hint="bin both with the same edges, and keep the empty bins.",
            )
        score = np.union1d(self.score, other.score)
        sums = {}
        for name in first.keys() - {"score"}:
            sums[name] = np.zeros((*first[name].shape[:-1], len(score)))
            for values in (first, second):
                sums[name][..., np.searchsorted(score, values["score"])] += values[name]
        if self.greatest is not None and other.greatest is not None:  # both have the same bins
            sums["greatest"] = np.maximum(self.greatest, other.greatest)
        return ScoreTable(score=score, **sums)

    def complement(self) -> ScoreTable:
        """Return the table of the other class, of two: every score p becomes 1 - p.

        Of bins without ``greatest``, a row on an edge is then in the bin below it. Costs change
        sides: the decision at or above a threshold of p is the one below a threshold of 1 - p.

        Examples
        --------
        >>> other = ScoreTable([0.25, 0.5], [1, 3], [4, 2]).complement()
        >>> other.score.tolist(), other.positives.tolist()
        ([0.5, 0.75], [2.0, 4.0])
        """
        tops = self.greatest
        if tops is None:
            tops = self.score if self.score_sum is None else np.r_[self.score[1:], 1.0]
        sums = {"positives": self.negatives, "negatives": self.positives}
        if self.score_sum is not None:
            sums["score_sum"] = self.weight - self.score_sum
            if self.square_sum is not None and self.positive_score_sum is not None:
                sums["square_sum"] = self.weight - 2 * self.score_sum + self.square_sum
                others = self.score_sum - self.positive_score_sum
                sums["positive_score_sum"] = self.negatives - others
            if self.log_loss_sum is not None:
                sums["log_loss_sum"] = self.log_loss_sum
        if self.cost_positive is not None and self.cost_negative is not None:
            sums["cost_positive"] = self.cost_negative[::-1]
            sums["cost_negative"] = self.cost_positive[::-1]
        turned = {name: values[..., ::-1] for name, values in sums.items()}
        score, entry = np.unique(1 - tops[::-1], return_inverse=True)
        if len(score) < len(entry):  # scores that differ near 0 may be equal near 1
            turned = {
                name: np.apply_along_axis(partial(np.bincount, entry), -1, values)
                for name, values in turned.items()
            }
        if self.greatest is not None:
            turned["greatest"] = np.full(len(score), -np.inf)
            np.maximum.at(turned["greatest"], entry, 1 - self.score[::-1])
        return ScoreTable(score=score, **turned)

    @property
    def binned(self) -> bool:
        """Whether an entry may hold scores that differ."""
        return self.score_sum is not None

    @property
    def weight(self) -> Array:
        """Weight of the rows of each entry."""
        return self.positives + self.negatives

    @property
    def prior(self) -> float:
        """Share of the weight that is of the class; NaN without any weight."""
        return ratio(float(self.positives.sum()), float(self.weight.sum()))

    @property
    def mean_score(self) -> Array:
        """Mean score of each entry; of an empty bin, its lower edge."""
        if self.score_sum is None:
            return self.score
        weight = self.weight
        return np.where(weight > 0, self.score_sum / np.where(weight > 0, weight, 1), self.score)

    def at_or_above(self) -> tuple[Array, Array, Array]:
        """Return the thresholds of the table, descending, and the weights at or above each.

        Returns
        -------
        tuple
            The thresholds, first infinity (above every row), then the score of each entry that is
            not empty; positive weight at or above each; negative weight.

        Examples
        --------
        >>> [part.tolist() for part in ScoreTable([0.2, 0.6], [1, 3], [4, 2]).at_or_above()]
        [[inf, 0.6, 0.2], [0.0, 3.0, 4.0], [0.0, 2.0, 6.0]]
        """
        occupied = np.flatnonzero(self.weight > 0)[::-1]
        return (
            np.r_[np.inf, self.score[occupied]],
            np.r_[0.0, np.cumsum(self.positives[occupied])],
            np.r_[0.0, np.cumsum(self.negatives[occupied])],
        )

    def area_bound(self) -> float:
        """Return the largest error of the area under the ROC curve from binning.

        Pairs of one bin count one half each; their true value is between 0 and 1. The bound is
        ``sum_k positives_k negatives_k / (2 P N)`` over the bins of several scores. It is 0 for
        distinct scores, whose ties are no error, and NaN with one class.

        Examples
        --------
        >>> ScoreTable([0.0, 0.5], [1, 3], [4, 0], score_sum=[1, 2]).area_bound()
        0.125
        """
        total, others = self.positives.sum(), self.negatives.sum()
        if not total or not others:
            return float("nan")
        if not self.binned:
            return 0.0
        several = 1.0 if self.greatest is None else self.greatest > self.score
        return float((self.positives / total * several) @ (self.negatives / others) / 2)

    def _given(self) -> Iterator[tuple[str, Array]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value

    def _check_numbers(self) -> None:
        count = self.score.size
        for name, value in self._given():
            shape = (2, count) if name.startswith("cost_") else (count,)
            if value.shape != shape:
                raise InputError(
                    f"Score table: {name} has shape {value.shape}; allowed: {shape}.", hint=ADVICE
                )
            bad = ~np.isfinite(value)
            if name in {"positives", "negatives"}:
                bad |= value < 0
            if bad.any():
                raise InputError(
                    f"Score table: {name} holds {bad.sum()} values like {value[bad][0]}; scores, "
                    "sums and costs are finite, and weights also >= 0.",
                    hint="leave out rows without a score, an outcome or a cost.",
                )
        if not (np.diff(self.score) > 0).all():
            raise InputError(
                "Score table: the scores do not ascend; each occurs once, in ascending order.",
                hint=ADVICE,
            )

    def _check_companions(self) -> None:
        if (self.cost_positive is None) != (self.cost_negative is None):
            raise InputError("Score table: costs of one class; both classes need costs.")
        if (self.square_sum is None) != (self.positive_score_sum is None):
            raise InputError("Score table: square_sum and positive_score_sum go together.")
        extra = (self.square_sum, self.log_loss_sum)
        if self.score_sum is None and any(value is not None for value in extra):
            raise InputError(
                "Score table: sums of bins without score_sum; a bin needs its mean.", hint=ADVICE
            )
        if self.greatest is not None:
            low = self.greatest < self.score
            if low.any() or (self.greatest[:-1] >= self.score[1:]).any() or not self.binned:
                raise InputError(
                    "Score table: greatest holds scores outside of their bins; of a bin from one "
                    "score up to the next it is the greatest score within.",
                    hint=ADVICE,
                )
        mean, slack = self.mean_score, 1e-9 * (1 + np.abs(self.score))
        outside = (mean < self.score - slack) | (mean > np.r_[self.score[1:], np.inf] + slack)
        if outside.any():
            raise InputError(
                f"Score table: {outside.sum()} bins like the one from {self.score[outside][0]} "
                f"have means like {mean[outside][0]}, outside of the bin.",
                hint="name a bin by its lower edge, not by its number.",
            )


def bin_numbers(score: ArrayLike) -> Array:
    """Return the bin, from 0 to `BINS` - 1, of each probability.

    Bins are equal in ``log((p + OFFSET) / (1 - p + OFFSET))``: scores of a bin are within 1 % at a
    probability of one in a million, within .4 % at one in ten thousand, and within .001 at 1/2.
    Equal bins of the probability put the scores of a model of base rate .01 % into a hundred bins
    (area .747 instead of .808); bins equal in asin(sqrt p) are 38 % wide at one in a million; bins
    equal in the log odds alone are mostly at probabilities that no model predicts, and are three
    times as wide at 1/2.

    The function is monotone also in floating point, as each of its steps is. A bin is identified by
    its least score, so that no edge has to be computed from its number.

    Examples
    --------
    >>> bin_numbers([0.0, 1e-6, 0.5, 1.0]).tolist()
    [0.0, 205.0, 4096.0, 8191.0]
    """
    p = np.clip(np.asarray(score, dtype=np.float64), 0.0, 1.0)
    scaled = np.log((p + OFFSET) / (1 - p + OFFSET)) * BIN_SCALE + BINS / 2
    return np.clip(np.floor(scaled), 0, BINS - 1)


def least_scores(score: ArrayLike) -> Array:
    """Return the lower edges of the bins of `bin_numbers` that hold a row: their least scores."""
    p = np.sort(np.asarray(score, dtype=np.float64))
    first = np.r_[True, np.diff(bin_numbers(p)) > 0][: len(p)]
    return np.asarray(p[first])


def ratio(part: float, whole: float) -> float:
    """Return part / whole; NaN where the whole is 0.

    Examples
    --------
    >>> ratio(1, 4), ratio(0, 0)
    (0.25, nan)
    """
    return float(part) / float(whole) if whole else float("nan")
