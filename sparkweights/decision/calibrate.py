"""Calibration on held-out rows that carry no class weights: isotonic, sigmoid, temperature.

Each method maps the natural probabilities of a row to better ones. Two classes share one map (of
the second class); more are calibrated one against the rest and normalised, except by
temperature, which keeps the ranking of classes within a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector
from pyspark.ml.regression import IsotonicRegression, IsotonicRegressionModel
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column
from sparkweights.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

CALIBRATIONS = ("none", "isotonic", "sigmoid", "temperature")
LEAST = 1e-12  # probabilities are kept this far from 0 and 1 before a logarithm
_NEWTON_STEPS = 50


class Calibrator(Protocol):
    """A fitted calibration."""

    @property
    def models(self) -> tuple[IsotonicRegressionModel, ...]:
        """The native models to save beside `to_dict`."""

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its numbers, ready for JSON."""


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Isotonic models: one for two classes (the second), else one per class.

    Attributes
    ----------
    margin
        Calibrated probabilities are kept this far from 0 and 1: a block of n rows without an
        event does not prove that events cannot happen (Laplace's rule, 1 / (n + 2)).
    """

    models: tuple[IsotonicRegressionModel, ...]
    margin: float

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        targets = _targets(probability_cols)
        for model, name in zip(self.models, targets, strict=True):
            out = f"{name}__calibrated"
            df = model.setFeaturesCol(name).setPredictionCol(out).transform(df)
        mapped = [
            F.greatest(
                F.least(column(f"{name}__calibrated"), F.lit(1 - self.margin)), F.lit(self.margin)
            )
            for name in targets
        ]
        own = [f"{name}__calibrated" for name in targets]
        return _normalised(df, probability_cols, mapped).drop(*own)

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its numbers, ready for JSON."""
        return {"method": "isotonic", "models": len(self.models), "margin": self.margin}


@dataclass(frozen=True)
class SigmoidCalibrator:
    """logit p' = slope * logit p + intercept, per class as for `IsotonicCalibrator`."""

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    @property
    def models(self) -> tuple[IsotonicRegressionModel, ...]:
        """None: the numbers say all."""
        return ()

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        targets = _targets(probability_cols)
        mapped = [
            1 / (1 + F.exp(-(F.lit(slope) * logit(column(name)) + F.lit(intercept))))
            for name, slope, intercept in zip(targets, self.slopes, self.intercepts, strict=True)
        ]
        return _normalised(df, probability_cols, mapped)

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its numbers, ready for JSON."""
        return {
            "method": "sigmoid",
            "slopes": list(self.slopes),
            "intercepts": list(self.intercepts),
        }


@dataclass(frozen=True)
class TemperatureCalibrator:
    """p'_c proportional to p_c ^ (1 / temperature) (Guo et al. 2017)."""

    temperature: float

    @property
    def models(self) -> tuple[IsotonicRegressionModel, ...]:
        """None: the number says all."""
        return ()

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        powers = _powers(probability_cols, F.lit(1 / self.temperature))
        total = reduce(add, powers)
        return df.withColumns({
            name: power / total for name, power in zip(probability_cols, powers, strict=True)
        })  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its numbers, ready for JSON."""
        return {"method": "temperature", "temperature": self.temperature}


def calibrator_from_dict(
    record: Mapping[str, Any], models: Sequence[IsotonicRegressionModel]
) -> Calibrator:
    """Rebuild a calibrator from its numbers and its native models."""
    match record["method"]:
        case "isotonic":
            return IsotonicCalibrator(tuple(models), record["margin"])
        case "sigmoid":
            return SigmoidCalibrator(tuple(record["slopes"]), tuple(record["intercepts"]))
        case _:
            return TemperatureCalibrator(record["temperature"])


def fit_calibrator(
    method: str,
    calibration_df: DataFrame,
    probability_cols: Sequence[str],
    *,
    class_col: str,
    weight_col: str | None,
    rows: float,
) -> Calibrator:
    """Fit a calibration of natural probabilities.

    Parameters
    ----------
    method
        ``isotonic``, ``sigmoid`` or ``temperature``.
    calibration_df
        Rows the model was not fitted on, with a natural probability per class, the class index
        in ``class_col`` and, optionally, an incoming *sample* weight. Class weights have no
        place here: they would move the probabilities away from the population again.
    rows
        Rows of ``calibration_df``, or the sum of their weights where that is more: a probability
        stays as far from 0 and 1 as one event among so many and two more.
    """
    weight = F.lit(1.0) if weight_col is None else column(weight_col).cast("double")
    if method == "temperature":
        return TemperatureCalibrator(
            _fit_temperature(calibration_df, probability_cols, column(class_col), weight)
        )
    samples = [
        calibration_df.select(
            column(name).alias("x"),
            (column(class_col) == probability_cols.index(name)).cast("double").alias("y"),
            weight.alias("w"),
        )
        for name in _targets(probability_cols)
    ]
    if method == "sigmoid":
        fitted = [_fit_sigmoid(sample_df) for sample_df in samples]
        return SigmoidCalibrator(tuple(a for a, _ in fitted), tuple(b for _, b in fitted))
    estimator = IsotonicRegression(featuresCol="x", labelCol="y", weightCol="w")
    models = tuple(estimator.fit(sample_df) for sample_df in samples)
    return IsotonicCalibrator(models, 1.0 / (rows + 2))


def logit(probability: Column) -> Column:
    """Return the log odds of a probability, finite at 0 and 1."""
    held = F.greatest(F.least(probability, F.lit(1 - LEAST)), F.lit(LEAST))
    return F.log(held / (1 - held))


def _fit_sigmoid(sample_df: DataFrame) -> tuple[float, float]:
    """Fit slope and intercept by maximum likelihood towards Platt's targets.

    Targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2) instead of 1 and 0 (Platt 1999, eq. 10-11):
    a sample of N events is no proof of certainty. A soft target t is the row twice, as an event of
    weight t and as none of weight 1 - t.
    """
    totals = sample_df.agg(
        F.sum(F.col("w") * F.col("y")).alias("events"), F.sum("w").alias("all")
    ).first()
    events = 0.0 if totals is None else float(totals["events"] or 0.0)
    others = 0.0 if totals is None else float(totals["all"] or 0.0) - events
    if events <= 0 or others <= 0:
        raise ModelError(
            f"Sigmoid calibration saw {events:g} events and {others:g} others; it needs both.",
            hint="hold out more rows under split.calibrate, or use calibration isotonic.",
        )
    target = F.when(F.col("y") == 1, (events + 1) / (events + 2)).otherwise(1 / (others + 2))
    both = F.array(
        F.struct(F.lit(1.0).alias("label"), (F.col("w") * target).alias("weight")),
        F.struct(F.lit(0.0).alias("label"), (F.col("w") * (1 - target)).alias("weight")),
    )
    twice_df = sample_df.select(
        array_to_vector(F.array(logit(F.col("x")))).alias("features"), F.inline(both)
    )
    model = LogisticRegression(weightCol="weight", standardization=False, tol=1e-10).fit(twice_df)
    return float(model.coefficients[0]), float(model.intercept)


def _fit_temperature(
    df: DataFrame, probability_cols: Sequence[str], index: Column, weight: Column
) -> float:
    """Minimise the log loss over b = 1 / T by Newton's method; one small pass a step.

    With z_c = log p_c, the gradient is the mean of E_b[z] - z_y and the curvature that of
    Var_b[z], so the loss is convex and a step that overshoots is halved.
    """
    inverse = 1.0
    for _ in range(_NEWTON_STEPS):
        powers = _powers(probability_cols, F.lit(inverse))
        total = reduce(add, powers)
        shares = [power / total for power in powers]
        logs = [_log(name) for name in probability_cols]
        mean = reduce(add, [p * z for p, z in zip(shares, logs, strict=True)])
        square = reduce(add, [p * z * z for p, z in zip(shares, logs, strict=True)])
        own = reduce(add, [F.when(index == c, z).otherwise(0.0) for c, z in enumerate(logs)])
        row = df.agg(
            F.sum(weight * (mean - own)).alias("gradient"),
            F.sum(weight * (square - mean * mean)).alias("curvature"),
        ).first()
        if row is None or not row["curvature"] or row["curvature"] <= 0:
            break
        step = row["gradient"] / row["curvature"]
        step = min(max(step, -inverse), inverse / 2)  # b stays above half, below twice itself
        inverse -= step
        if abs(step) < 1e-10 * inverse:
            break
    if not math.isfinite(inverse) or inverse <= 0:
        raise ModelError(
            f"Temperature calibration did not converge (1 / T reached {inverse}).",
            hint="use calibration sigmoid or isotonic.",
        )
    return 1 / inverse


def _is_known(probability: Column) -> Column:
    return probability.isNotNull() & ~F.isnan(probability)


def _log(name: str) -> Column:
    return F.when(_is_known(column(name)), F.log(F.greatest(column(name), F.lit(LEAST))))


def _powers(probability_cols: Sequence[str], inverse: Column) -> list[Column]:
    # Relative to the largest, so that no sharpening underflows all of them.
    logs = [_log(name) for name in probability_cols]
    largest = F.greatest(*logs)
    return [F.exp((z - largest) * inverse) for z in logs]


def _targets(probability_cols: Sequence[str]) -> Sequence[str]:
    two = len(probability_cols) == 2  # noqa: PLR2004 (the first class is the complement)
    return probability_cols[1:] if two else probability_cols


def _normalised(
    df: DataFrame, probability_cols: Sequence[str], mapped: Sequence[Column]
) -> DataFrame:
    targets = _targets(probability_cols)
    # greatest and least skip nulls, and a row without a probability must stay without one.
    held = [
        F.when(_is_known(column(name)), value) for name, value in zip(targets, mapped, strict=True)
    ]
    df = df.withColumns(dict(zip(targets, held, strict=True)))
    if len(targets) == 1:
        return df.withColumn(probability_cols[0], 1 - column(probability_cols[1]))
    total = reduce(add, [column(name) for name in targets])
    return df.withColumns({name: column(name) / total for name in targets})
