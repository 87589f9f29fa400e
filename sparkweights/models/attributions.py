"""What each position of a row's features adds to its margin, exactly.

A linear margin differs from a reference's by a sum over positions. A sum of trees is taken apart
by Shapley values with the training weights of the nodes as background (Lundberg et al. 2020,
path-dependent TreeSHAP), as XGBoost computes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.arrow_batches import per_batch
from sparkweights.models.xgboost_library import open_booster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

    from sparkweights.trees.xgboost_json import AdditiveTrees

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Explainer(ABC):
    """A fitted model as a sum over the positions of a row's features."""

    @abstractmethod
    def contributions(
        self, features: Column, asked: Column, contrast: Column | None = None
    ) -> Column:
        """Return what each position adds to the margin that speaks for a class, and last the base.

        Of two classes that is the margin of the one against the other. Of many it is the class's
        own margin less the mean of the others', by their probabilities: to first order, what
        moves the log odds of the class (the gradient of log(p_k / (1 - p_k)) by the margins of a
        softmax). A class's own margin alone says nothing, as what is added to all of them changes
        no probability.

        Parameters
        ----------
        features
            The positions of the row, array<double>.
        asked
            Whether the row is to be explained; others get null and cost next to nothing.
        contrast
            Of more than two classes, how often each class's margin counts; see `contrast_of`.

        Returns
        -------
        Column
            array<double>, one longer than the features; its sum is the margin.
        """


def contrast_of(probabilities: Sequence[Column], against: int) -> Column:
    """Return how often the margin of each class counts in that of one against the others.

    Parameters
    ----------
    probabilities
        Of each class, in index order.
    against
        Index of the class, which counts 1; the others count minus their share of the rest of the
        probability.
    """
    others = [own for c, own in enumerate(probabilities) if c != against]
    if len(others) == 1:
        return F.array(*[F.lit(1.0 if c == against else -1.0) for c in range(2)])
    rest = reduce(add, others)
    even = F.lit(1.0 / len(others))  # nothing is left to the others
    return F.array(*[
        F.lit(1.0) if c == against else -F.coalesce(F.try_divide(own, rest), even)
        for c, own in enumerate(probabilities)
    ])  # fmt: skip


@dataclass(frozen=True)
class LinearExplainer(Explainer):
    """Coefficients times the distance from a reference; the base is the reference's margin."""

    intercept: float
    coefficients: tuple[float, ...]
    reference: tuple[float, ...]

    def contributions(
        self,
        features: Column,
        asked: Column,
        contrast: Column | None = None,  # noqa: ARG002 (one margin)
    ) -> Column:
        """Return coefficient times distance, as arithmetic."""
        base = self.intercept + float(np.dot(self.coefficients, self.reference))
        weights, means = F.lit(list(self.coefficients)), F.lit(list(self.reference))
        # One small expression for however many positions: written out, they make the method that
        # scores a row too large for Java to compile, and every row would pay.
        own = F.transform(features, lambda x, at: (x - F.get(means, at)) * F.get(weights, at))
        return F.when(asked, F.concat(own, F.array(F.lit(base))))


@dataclass(frozen=True)
class LinearContrast(Explainer):
    """Of many classes, the coefficients of one less the mean of the others', times the distance.

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
        self, features: Column, asked: Column, contrast: Column | None = None
    ) -> Column:
        """Return the contrast of the coefficients times distance, as arithmetic."""
        counts = _needed(contrast)
        starts = np.asarray(self.intercepts) + np.asarray(self.coefficients) @ self.reference
        means = F.lit(list(self.reference))
        rows = [F.lit(list(row)) for row in self.coefficients]

        def mixed(values: Sequence[Column]) -> Column:
            return reduce(add, [F.get(counts, c) * value for c, value in enumerate(values)])

        own = F.transform(
            features,
            lambda x, at: (x - F.get(means, at)) * mixed([F.get(row, at) for row in rows]),
        )
        base = mixed([F.lit(start) for start in starts.tolist()])
        return F.when(asked, F.concat(own, F.array(base)))


@dataclass(frozen=True)
class TreeExplainer(Explainer):
    """XGBoost's Shapley values of a sum of trees; the base is the margin of the training rows.

    Attributes
    ----------
    json
        The trees, as XGBoost has them.
    sign
        -1 where the margin speaks for the other class.
    trees
        Where the trees are MLlib's: how to ask them.
    """

    json: bytes
    sign: float = 1.0
    trees: AdditiveTrees | None = None

    @cached_property
    def booster(self) -> Any:  # noqa: ANN401 (xgboost is optional)
        """The booster, read once per process."""
        return open_booster(self.json)

    def contributions(
        self,
        features: Column,
        asked: Column,
        contrast: Column | None = None,  # noqa: ARG002 (one margin)
    ) -> Column:
        """Ask for a batch of rows at a time, leaving out those that nobody asks about."""

        def explain(batch: pa.Array) -> pa.Array:
            return self.of_batch(batch)

        return per_batch(explain, "array<double>")(F.when(asked, features))

    def of_batch(self, features: pa.Array) -> pa.Array:
        """Return the contributions of a batch; null where the features are null."""
        asked = _matrix(features)
        found = self.sign * self.margins(asked)[:, 0] if len(asked) else np.zeros((0, 0))
        return _as_lists(features, found)

    def margins(self, rows: Array) -> Array:
        """Return ``[row, margin, position]``: what each position adds, and last the base.

        XGBoost has a margin per class where there are more than two.
        """
        from xgboost import DMatrix  # noqa: PLC0415 (optional: loaded only when asked for)

        asked = rows if self.trees is None else self.trees.exceeded(rows)
        matrix = DMatrix(asked.astype(np.float32), nthread=1)
        found = np.asarray(self.booster.predict(matrix, pred_contribs=True), dtype=np.float64)
        margin = self._margin(matrix)
        width = found.shape[-1]
        settled = _settled(found.reshape(-1, width), margin.reshape(-1))
        return settled.reshape(len(rows), -1, width)

    def _margin(self, matrix: Any) -> Array:  # noqa: ANN401 (xgboost's matrix)
        """Return the margins that the contributions must add up to."""
        if self.trees is not None:
            leaves = self.booster.predict(matrix, pred_leaf=True).astype(np.int64)
            leaves = leaves.reshape(matrix.num_row(), -1)  # one tree comes without its axis
            values = self.trees.values
            return np.asarray(values[np.arange(len(values)), leaves].sum(axis=1))
        return np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)


@dataclass(frozen=True)
class TreeContrast(Explainer):
    """Of many classes, the Shapley values of one class's margin less the mean of the others'.

    Shapley values are linear in the margin, so those of the contrast are the contrast of those.

    Attributes
    ----------
    parts
        The margins of all classes, in index order: one sum of trees each, or XGBoost's one
        booster that has them all.
    """

    parts: tuple[TreeExplainer, ...]

    def contributions(
        self, features: Column, asked: Column, contrast: Column | None = None
    ) -> Column:
        """Ask for a batch of rows at a time, as `TreeExplainer` does."""

        def explain(batch: pa.Array, counts: pa.Array) -> pa.Array:
            return self.of_batch(batch, counts)

        ask = per_batch(explain, "array<double>")
        return ask(F.when(asked, features), F.when(asked, _needed(contrast)))

    def of_batch(self, features: pa.Array, contrast: pa.Array) -> pa.Array:
        """Return the contributions of a batch; null where the features are null."""
        asked = _matrix(features)
        found = np.zeros((0, 0))
        if len(asked):
            margins = np.concatenate([part.margins(asked) for part in self.parts], axis=1)
            found = np.einsum("rc,rcp->rp", _matrix(contrast), margins)
        return _as_lists(features, found)


def _needed(contrast: Column | None) -> Column:
    assert contrast is not None  # noqa: S101 (whoever asks about many classes gives it)
    return contrast


def _matrix(lists: pa.Array) -> Array:
    """Return the lists of a batch that are not null as rows of a matrix."""
    given = lists.drop_null()
    if not len(given):
        return np.zeros((0, 0))
    return np.asarray(given.flatten(), dtype=np.float64).reshape(len(given), -1)


def _as_lists(features: pa.Array, found: Array) -> pa.Array:
    """Return the rows of a matrix as lists, at the places where the features are not null."""
    lengths = np.where(np.asarray(features.is_valid()), found.shape[1], 0)
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(found.ravel()), mask=features.is_null()
    )


def _settled(found: Array, margin: Array) -> Array:
    """Return contributions that add up to the margin to the last digits of a float64.

    XGBoost adds in float32; what that loses, some 1e-6, goes to the positions by their size.
    """
    sizes = np.abs(found[:, :-1])
    total = sizes.sum(axis=1, keepdims=True)
    lost = margin[:, None] - found.sum(axis=1, keepdims=True)
    shares = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    settled = found.copy()
    settled[:, :-1] += lost * shares
    settled[:, -1:] += np.where(total > 0, 0.0, lost)
    return settled
