"""What each position of a row's features adds to its margin, exactly.

A linear margin differs from a reference's by a sum over positions. The margin of a sum of trees is
attributed by Shapley values with the training weights of the nodes as background (Lundberg et al.
2020, path-dependent TreeSHAP), as XGBoost computes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from sparkweights.core.arrow_batches import per_batch
from sparkweights.core.column_math import literal_array
from sparkweights.trees.xgboost_json import open_booster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column
    from xgboost import Booster, DMatrix

    from sparkweights.trees.xgboost_json import AdditiveTrees

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Explainer(ABC):
    """A fitted model as a sum over the positions of a row's features."""

    @abstractmethod
    def contributions(
        self, features: Column, explained: Column, contrast: Column | None = None, /
    ) -> Column:
        """Return what each position adds to the margin of a class, and last the base.

        With two classes it is the margin of one class against the other. With more it is the
        class's margin minus the mean of the others', weighted by their probabilities: to first
        order, the change of the class's log odds (the gradient of log(p_k / (1 - p_k)) by the
        margins of a softmax). A class's margin alone is no measure, as a number that is added to
        the margins of all classes changes no probability.

        Parameters
        ----------
        features
            The positions of the row, array<double>.
        explained
            Whether the row is to be explained; other rows get null and cost next to nothing.
        contrast
            With more than two classes, the weight of each class's margin; see `contrast_of`.

        Returns
        -------
        Column
            array<double>, one longer than the features; its sum is the margin.
        """


def contrast_of(probabilities: Sequence[Column], against: int) -> Column:
    """Return the weight of each class's margin in the margin of one class against the others.

    Parameters
    ----------
    probabilities
        Of each class, in index order.
    against
        Index of the class, whose weight is 1; another class's weight is minus its share of the
        probability of the others.
    """
    others = [probability for c, probability in enumerate(probabilities) if c != against]
    if len(others) == 1:
        return F.array(*[F.lit(1.0 if c == against else -1.0) for c in range(2)])
    rest = reduce(add, others)
    equal = F.lit(1.0 / len(others))  # where the probability of the others is 0
    return F.array(*[
        F.lit(1.0) if c == against else -F.coalesce(F.try_divide(probability, rest), equal)
        for c, probability in enumerate(probabilities)
    ])  # fmt: skip


@dataclass(frozen=True)
class LinearExplainer(Explainer):
    """Coefficients times the distance from a reference; the base is the reference's margin."""

    intercept: float
    coefficients: tuple[float, ...]
    reference: tuple[float, ...]

    def contributions(
        self, features: Column, explained: Column, _contrast: Column | None = None, /
    ) -> Column:
        """Return coefficient times distance, as arithmetic on Columns."""
        base = self.intercept + float(np.dot(self.coefficients, self.reference))
        weights, means = literal_array(self.coefficients), literal_array(self.reference)
        # One small expression for any number of positions: one term per position makes the
        # generated method too large for Java to compile, which slows down every row.
        contributions = F.transform(
            features, lambda x, at: (x - F.get(means, at)) * F.get(weights, at)
        )
        return F.when(explained, F.concat(contributions, F.array(F.lit(base))))


@dataclass(frozen=True)
class LinearContrast(Explainer):
    """With many classes, the coefficients of one minus the others' mean, times the distance.

    Attributes
    ----------
    intercepts
        ``[class]``.
    coefficients
        ``[class][position]``.
    reference
        The positions that a row is compared with.
    """

    intercepts: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    reference: tuple[float, ...]

    def contributions(
        self, features: Column, explained: Column, contrast: Column | None = None, /
    ) -> Column:
        """Return the contrast of the coefficients times distance, as arithmetic on Columns."""
        weights = _required(contrast)
        starts = np.asarray(self.intercepts) + np.asarray(self.coefficients) @ self.reference
        means = literal_array(self.reference)
        rows = [literal_array(row) for row in self.coefficients]

        def mixed(values: Sequence[Column]) -> Column:
            return reduce(add, [F.get(weights, c) * value for c, value in enumerate(values)])

        contributions = F.transform(
            features,
            lambda x, at: (x - F.get(means, at)) * mixed([F.get(row, at) for row in rows]),
        )
        base = mixed([F.lit(start) for start in starts.tolist()])
        return F.when(explained, F.concat(contributions, F.array(base)))


@dataclass(frozen=True)
class TreeExplainer(Explainer):
    """XGBoost's Shapley values of a sum of trees; the base is the margin of the training rows.

    Attributes
    ----------
    json
        The trees, as XGBoost has them.
    sign
        -1 where the margin is that of the other class.
    trees
        For MLlib's trees: their thresholds and the exact values of their leaves.
    """

    json: bytes
    sign: float = 1.0
    trees: AdditiveTrees | None = None

    @cached_property
    def booster(self) -> Booster:
        """The booster, read once per process."""
        return open_booster(self.json)

    def contributions(
        self, features: Column, explained: Column, _contrast: Column | None = None, /
    ) -> Column:
        """Explain a batch of rows at a time, without those that are not to be explained."""

        def explain(batch: pa.Array) -> pa.Array:
            return self.of_batch(batch)

        return per_batch(explain, "array<double>")(F.when(explained, features))

    def of_batch(self, features: pa.Array) -> pa.Array:
        """Return the contributions of a batch; null where the features are null."""
        rows = _matrix(features)
        contributions = self.sign * self.margins(rows)[:, 0] if len(rows) else np.zeros((0, 0))
        return _as_lists(features, contributions)

    def margins(self, rows: Array) -> Array:
        """Return ``[row, margin, position]``: what each position adds, and last the base.

        XGBoost has a margin per class where there are more than two.
        """
        from xgboost import DMatrix  # noqa: PLC0415 (optional: imported when used)

        values = rows if self.trees is None else self.trees.exceeded(rows)
        matrix = DMatrix(values.astype(np.float32), nthread=1)
        contributions = np.asarray(
            self.booster.predict(matrix, pred_contribs=True), dtype=np.float64
        )
        margin = self._margin(matrix)
        width = contributions.shape[-1]
        exact = _with_exact_sums(contributions.reshape(-1, width), margin.reshape(-1))
        return exact.reshape(len(rows), -1, width)

    def _margin(self, matrix: DMatrix) -> Array:
        """Return the margins that the contributions must add up to."""
        if self.trees is not None:
            leaves = self.booster.predict(matrix, pred_leaf=True).astype(np.int64)
            leaves = leaves.reshape(matrix.num_row(), -1)  # one tree comes without its axis
            values = self.trees.values
            return np.asarray(values[np.arange(len(values)), leaves].sum(axis=1))
        return np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)


@dataclass(frozen=True)
class TreeContrast(Explainer):
    """With many classes, the Shapley values of one class's margin minus the others' mean.

    Shapley values are linear in the margin, so the values of a contrast of margins are the same
    contrast of the margins' values.

    Attributes
    ----------
    parts
        The margins of all classes, in index order: one sum of trees each, or XGBoost's one
        booster that has them all.
    """

    parts: tuple[TreeExplainer, ...]

    def contributions(
        self, features: Column, explained: Column, contrast: Column | None = None, /
    ) -> Column:
        """Explain a batch of rows at a time, as `TreeExplainer` does."""

        def explain(batch: pa.Array, weights: pa.Array) -> pa.Array:
            return self.of_batch(batch, weights)

        by_batch = per_batch(explain, "array<double>")
        return by_batch(F.when(explained, features), F.when(explained, _required(contrast)))

    def of_batch(self, features: pa.Array, contrast: pa.Array) -> pa.Array:
        """Return the contributions of a batch; null where the features are null."""
        rows = _matrix(features)
        contributions = np.zeros((0, 0))
        if len(rows):
            margins = np.concatenate([part.margins(rows) for part in self.parts], axis=1)
            contributions = np.einsum("rc,rcp->rp", _matrix(contrast), margins)
        return _as_lists(features, contributions)


def _required(contrast: Column | None) -> Column:
    if contrast is None:
        raise TypeError("An explanation of more than two classes needs a contrast.")
    return contrast


def _matrix(lists: pa.Array) -> Array:
    """Return the lists of a batch that are not null as rows of a matrix."""
    valid = lists.drop_null()
    if not len(valid):
        return np.zeros((0, 0))
    return np.asarray(valid.flatten(), dtype=np.float64).reshape(len(valid), -1)


def _as_lists(features: pa.Array, contributions: Array) -> pa.Array:
    """Return the rows of a matrix as lists, at the positions where the features are not null."""
    lengths = np.where(np.asarray(features.is_valid()), contributions.shape[1], 0)
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(contributions.ravel()), mask=features.is_null()
    )


def _with_exact_sums(contributions: Array, margin: Array) -> Array:
    """Return contributions whose sum is the margin to the last digits of a float64.

    XGBoost adds in float32; the error, some 1e-6, is distributed to the positions by their size.
    """
    sizes = np.abs(contributions[:, :-1])
    total = sizes.sum(axis=1, keepdims=True)
    error = margin[:, None] - contributions.sum(axis=1, keepdims=True)
    shares = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    exact = contributions.copy()
    exact[:, :-1] += error * shares
    exact[:, -1:] += np.where(total > 0, 0.0, error)
    return exact
