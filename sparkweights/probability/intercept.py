"""The effect of weights on the intercept and slopes of logistic models.

In a well-specified logistic model class weights change only the intercept, by log(w1 / w0)
(Prentice & Pyke 1979; King & Zeng 2001, eq. 7). On real data the slopes change as well;
`compare_slopes` measures that, with an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import vector_to_array

from sparkweights.core.columns import column
from sparkweights.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.ml.classification import LogisticRegressionModel
    from pyspark.sql import DataFrame, Row

    from sparkweights.probability.priors import Array
    from sparkweights.weights.rule import WeightRule


@dataclass(frozen=True)
class LogisticLine:
    """A binary logistic model: log odds of the second class = intercept + slopes x."""

    intercept: float
    slopes: tuple[float, ...]

    @classmethod
    def of(cls, model: LogisticRegressionModel) -> LogisticLine:
        """Read MLlib's fitted model.

        Raises
        ------
        ModelError
            If it has more than two classes.
        """
        if model.numClasses != 2:  # one log odds
            raise ModelError(
                f"The model has {model.numClasses} classes; a single intercept needs two.",
                hint="invert the weights on the probabilities, with ProbabilityCorrector.",
            )
        return cls(float(model.intercept), tuple(float(b) for b in model.coefficients.toArray()))

    def without_weights(self, rule: WeightRule) -> LogisticLine:
        """Return the line of a model trained with the rule, as if trained without it."""
        return LogisticLine(self.intercept - log_weight_ratio(rule), self.slopes)

    def with_weights(self, rule: WeightRule) -> LogisticLine:
        """Return the line of a model trained without weights, as if trained with the rule."""
        return LogisticLine(self.intercept + log_weight_ratio(rule), self.slopes)

    def probability(self, features: Sequence[float]) -> float:
        """Return the probability of the second class."""
        products = [b * x for b, x in zip(self.slopes, features, strict=True)]
        return 1 / (1 + math.exp(-self.intercept - math.fsum(products)))


def log_weight_ratio(rule: WeightRule) -> float:
    """Return log(w1 / w0), the shift of the intercept by class weights.

    Raises
    ------
    ModelError
        If the weights differ from row to row: then no single number inverts them.
    """
    if rule.constants is None or len(rule.constants) != 2:  # one ratio
        raise ModelError(
            f"The {rule.scheme} weights differ from row to row, or are of "
            f"{len(rule.classes)} classes; only two constant weights shift an intercept.",
            hint="invert the weights on the probabilities, row by row.",
        )
    return math.log(rule.constants[1] / rule.constants[0])


@dataclass(frozen=True)
class SlopeShift:
    """The difference of one coefficient between the weighted and the unweighted fit.

    Attributes
    ----------
    unweighted, weighted
        The coefficient in each fit.
    standard_error
        Of their difference, on the same rows.
    """

    name: str
    unweighted: float
    weighted: float
    standard_error: float

    @property
    def shift(self) -> float:
        """The difference, weighted - unweighted."""
        return self.weighted - self.unweighted

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the asymptotic interval of the difference."""
        half_width = NormalDist().inv_cdf(0.5 + level / 2) * self.standard_error
        return (self.shift - half_width, self.shift + half_width)


def compare_slopes(
    fit_df: DataFrame,
    unweighted: LogisticLine,
    weighted: LogisticLine,
    *,
    features_col: str,
    label_col: str,
    weight_col: str,
    names: Sequence[str],
) -> list[SlopeShift]:
    """Measure the change of intercept and slopes by weights, in one Spark job.

    The two fits share their rows, so their difference varies less than either: its covariance is
    the sandwich of both influence functions (White 1982), sums of d x d matrices over the rows.

    Parameters
    ----------
    fit_df
        The rows that both were fitted on, with feature vector, label (0 or 1) and the weight.
    names
        Feature names; the record begins with ``(intercept)``.
    """
    rows = _collect_sandwich(fit_df, unweighted, weighted, features_col, label_col, weight_col)
    size = len(unweighted.slopes) + 1
    sums = np.sum([np.asarray(row["sums"]) for row in rows], axis=0).reshape(5, size, size)
    unweighted_inverse, weighted_inverse = np.linalg.pinv(sums[0]), np.linalg.pinv(sums[1])
    cross = weighted_inverse @ sums[4] @ unweighted_inverse
    covariance = (
        unweighted_inverse @ sums[2] @ unweighted_inverse
        + weighted_inverse @ sums[3] @ weighted_inverse
        - cross
        - cross.T
    )
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    before = (unweighted.intercept, *unweighted.slopes)
    after = (weighted.intercept, *weighted.slopes)
    return [
        SlopeShift(name, b, a, float(error))
        for name, b, a, error in zip(("(intercept)", *names), before, after, errors, strict=True)
    ]


def _collect_sandwich(
    df: DataFrame,
    unweighted: LogisticLine,
    weighted: LogisticLine,
    features_col: str,
    label_col: str,
    weight_col: str,
) -> list[Row]:
    """Return per partition: sum H_u, sum H_w, and the products of both score functions."""
    lines = np.array([
        [unweighted.intercept, *unweighted.slopes],
        [weighted.intercept, *weighted.slopes],
    ])  # fmt: skip

    def partial(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total: Array | None = None
        for batch in batches:
            sums = _batch_sums(batch, lines)
            total = sums if total is None else total + sums
        if total is not None:
            yield pa.RecordBatch.from_pydict({"sums": [total.ravel().tolist()]})

    narrow_df = df.select(
        vector_to_array(column(features_col)).alias("x"),
        column(label_col).cast("double").alias("y"),
        column(weight_col).cast("double").alias("w"),
    )
    return narrow_df.mapInArrow(partial, "sums array<double>").collect()


def _batch_sums(batch: pa.RecordBatch, lines: Array) -> Array:
    count = batch.num_rows
    x = np.asarray(batch.column("x").flatten()).reshape(count, -1)
    x = np.hstack([np.ones((count, 1)), x])
    y, w = np.asarray(batch.column("y")), np.asarray(batch.column("w"))
    margins = x @ lines.T
    p = 1 / (1 + np.exp(-margins))
    curvature = p * (1 - p)
    unweighted_scores, weighted_scores = (
        (y - p[:, 0])[:, None] * x,
        (w * (y - p[:, 1]))[:, None] * x,
    )
    return np.stack([
        (x * curvature[:, :1]).T @ x,
        (x * (w * curvature[:, 1])[:, None]).T @ x,
        unweighted_scores.T @ unweighted_scores,
        weighted_scores.T @ weighted_scores,
        weighted_scores.T @ unweighted_scores,
    ])  # fmt: skip
