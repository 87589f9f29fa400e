"""What each position of a row's features adds to its margin, exactly.

A linear margin differs from a reference's by a sum over positions. A sum of trees is taken apart
by Shapley values with the training weights of the nodes as background (Lundberg et al. 2020,
path-dependent TreeSHAP), as XGBoost computes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.functions import arrow_udf

from sparkweights.models.booster import open_booster

if TYPE_CHECKING:
    from pyspark.sql import Column

    from sparkweights.trees import AdditiveTrees

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Explainer(ABC):
    """A fitted model as a sum over the positions of a row's features."""

    @abstractmethod
    def contributions(self, features: Column, asked: Column) -> Column:
        """Return what each position adds to the margin of a class, and last the base.

        Parameters
        ----------
        features
            The positions of the row, array<double>.
        asked
            Whether the row is to be explained; others get null and cost next to nothing.

        Returns
        -------
        Column
            array<double>, one longer than the features; its sum is the margin.
        """


@dataclass(frozen=True)
class LinearExplainer(Explainer):
    """Coefficients times the distance from a reference; the base is the reference's margin."""

    intercept: float
    coefficients: tuple[float, ...]
    reference: tuple[float, ...]

    def contributions(self, features: Column, asked: Column) -> Column:
        """Return coefficient times distance, as arithmetic."""
        base = self.intercept + float(np.dot(self.coefficients, self.reference))
        weights, means = F.lit(list(self.coefficients)), F.lit(list(self.reference))
        # One small expression for however many positions: written out, they make the method that
        # scores a row too large for Java to compile, and every row would pay.
        own = F.transform(features, lambda x, at: (x - F.get(means, at)) * F.get(weights, at))
        return F.when(asked, F.concat(own, F.array(F.lit(base))))


@dataclass(frozen=True)
class TreeExplainer(Explainer):
    """XGBoost's Shapley values of a sum of trees; the base is the margin of the training rows.

    Attributes
    ----------
    json
        The trees, as XGBoost has them.
    group
        Which of the margins of a model of several classes; None where there is one.
    sign
        -1 where the margin speaks for the other class.
    trees
        Where the trees are MLlib's: how to ask them.
    """

    json: bytes
    group: int | None = None
    sign: float = 1.0
    trees: AdditiveTrees | None = None

    @cached_property
    def booster(self) -> Any:  # noqa: ANN401 (xgboost is optional)
        """The booster, read once per process."""
        return open_booster(self.json)

    def contributions(self, features: Column, asked: Column) -> Column:
        """Ask for a batch of rows at a time, leaving out those that nobody asks about."""

        def explain(batch: pa.Array) -> pa.Array:
            return self.of_batch(batch)

        as_udf: Any = arrow_udf  # its stubs know iterators only
        found: Column = as_udf(explain, "array<double>")(F.when(asked, features))
        return found

    def of_batch(self, features: pa.Array) -> pa.Array:
        """Return the contributions of a batch; null where the features are null."""
        width = 0
        found = np.zeros((0, 0))
        asked = features.drop_null()
        if len(asked):
            rows = np.asarray(asked.flatten(), dtype=np.float64).reshape(len(asked), -1)
            found = self.sign * self._explain(rows)
            width = found.shape[1]
        lengths = np.where(np.asarray(features.is_valid()), width, 0)
        offsets = np.r_[0, np.cumsum(lengths)].astype(np.int32)
        return pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(found.ravel()), mask=features.is_null()
        )

    def _explain(self, rows: Array) -> Array:
        from xgboost import DMatrix  # noqa: PLC0415 (optional: loaded only when asked for)

        asked = rows if self.trees is None else self.trees.exceeded(rows)
        matrix = DMatrix(asked.astype(np.float32), nthread=1)
        found = np.asarray(self.booster.predict(matrix, pred_contribs=True), dtype=np.float64)
        if self.group is not None:
            found = found[:, self.group]
        return _settled(found, self._margin(matrix))

    def _margin(self, matrix: Any) -> Array:  # noqa: ANN401 (xgboost's matrix)
        """Return the margin that the contributions must add up to."""
        if self.trees is not None:
            leaves = self.booster.predict(matrix, pred_leaf=True).astype(np.int64)
            leaves = leaves.reshape(matrix.num_row(), -1)  # one tree comes without its axis
            values = self.trees.values
            return np.asarray(values[np.arange(len(values)), leaves].sum(axis=1))
        margin = np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)
        return margin if self.group is None else margin[:, self.group]


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
