"""Calibration on held-out rows that carry no class weights: isotonic, sigmoid, temperature.

Each method maps the natural probabilities of a row to better ones. Two classes share one map (of
the second class); more are calibrated one against the rest and normalised, except by
temperature, which keeps the ranking of classes within a row.

One Spark job sums the rows by score (`collect_calibration_table`); `calibration_fit` fits maps to
the sums, for all rows and without each fold. A fitted map is a few numbers, applied as Column
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.column_math import literal_array
from sparkweights.core.columns import column
from sparkweights.probability.calibration_fit import (
    CELL,
    MAX_TEMPERATURE,
    MIN_PROBABILITY,
    CalibrationTable,
    Choice,
    IsotonicMap,
    SigmoidMap,
    choose_method,
    fit_isotonic,
    fit_sigmoid,
    fit_temperature,
    no_temperature,
    refuse_older_forms,
    require_classes,
    targets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

_PREFIX = "probability_"  # of the columns that a scorer names by class
_NEWTON_STEPS = 30  # a dozen suffice, unless the classes are separated


class Calibrator(Protocol):
    """A fitted calibration."""

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""

    def to_dict(self) -> dict[str, object]:
        """Return the method and its numbers, ready for JSON."""


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Monotone maps of logit p: one for two classes (the second), else one per class."""

    maps: tuple[IsotonicMap, ...]

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        names = _targets(probability_cols)
        # A separate column, so that the logarithm is computed once per row.
        positions = {
            f"{name}__position": _knot_position(map_, logit(column(name)))
            for map_, name in zip(self.maps, names, strict=True)
        }
        pairs = zip(self.maps, positions, strict=True)
        mapped = [_interpolate(map_, column(position)) for map_, position in pairs]
        return _normalise(df.withColumns(positions), probability_cols, mapped).drop(*positions)

    def to_dict(self) -> dict[str, object]:
        """Return the method and its numbers, ready for JSON."""
        return {"method": "isotonic", "maps": [map_.to_dict() for map_ in self.maps]}


@dataclass(frozen=True)
class SigmoidCalibrator:
    """logit p' = slope * logit p + intercept, per class as for `IsotonicCalibrator`."""

    maps: tuple[SigmoidMap, ...]

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        scores = [logit(column(name)) for name in _targets(probability_cols)]
        mapped = [_sigmoid(map_, z) for map_, z in zip(self.maps, scores, strict=True)]
        return _normalise(df, probability_cols, mapped)

    def to_dict(self) -> dict[str, object]:
        """Return the method and its numbers, ready for JSON."""
        return {"method": "sigmoid", "maps": [map_.to_dict() for map_ in self.maps]}


@dataclass(frozen=True)
class TemperatureCalibrator:
    """p'_c proportional to p_c ^ (1 / temperature) (Guo et al. 2017)."""

    temperature: float

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        powers = _powers(probability_cols, F.lit(1 / self.temperature))
        total = reduce(add, powers)
        return df.withColumns({
            name: power / total for name, power in zip(probability_cols, powers, strict=True)
        })  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """Return the method and its numbers, ready for JSON."""
        return {"method": "temperature", "temperature": self.temperature}


@dataclass(frozen=True)
class CalibrationFit:
    """A calibration, its method, and the calibrations without each fold.

    Attributes
    ----------
    choice
        The method, its reason, and the rows of each class.
    calibrator
        Fitted on all rows.
    by_fold
        Fitted without the rows of fold 0, 1, ... in turn; empty where rows have no folds.
    """

    choice: Choice
    calibrator: Calibrator
    by_fold: tuple[Calibrator, ...] = ()


def calibrator_from_dict(record: Mapping[str, Any]) -> Calibrator:
    """Rebuild a calibrator from its numbers.

    Raises
    ------
    ModelError
        If the record lacks them, as those of older versions do.
    """
    method = record["method"]
    with refuse_older_forms(method):
        match method:
            case "isotonic":
                return IsotonicCalibrator(tuple(map(IsotonicMap.from_dict, record["maps"])))
            case "sigmoid":
                return SigmoidCalibrator(tuple(map(SigmoidMap.from_dict, record["maps"])))
            case _:
                return TemperatureCalibrator(record["temperature"])


def calibrate_scores(
    df: DataFrame,
    probability_cols: Sequence[str],
    method: str,
    *,
    class_col: str,
    weight_col: str | None,
    fold_col: str | None = None,
) -> CalibrationFit:
    """Choose and fit a calibration of natural probabilities, in one Spark job.

    Temperature with more than two classes takes a job per step of Newton's method besides.

    Parameters
    ----------
    df
        Rows that the model was not fitted on, with a natural probability per class, the class
        index in ``class_col`` and, optionally, an incoming *sample* weight. Class weights are
        not allowed: they would move the probabilities away from the population again.
    method
        ``auto``, ``isotonic``, ``sigmoid`` or ``temperature``.
    fold_col
        The fold of each row, 0, 1, ...: its rows were scored by a model that had not seen them.

    Raises
    ------
    ModelError
        If a class has no row, among all or without one of the folds.
    """
    table = collect_calibration_table(
        df, probability_cols, class_col=class_col, weight_col=weight_col, fold_col=fold_col
    )
    choice = choose_method(method, table)
    without = [None] if fold_col is None else [None, *range(max(table.folds, default=-1) + 1)]
    fitted: Sequence[Calibrator]
    if choice.method == "temperature" and len(probability_cols) > 2:
        for fold in without:
            require_classes(choice.method, table.without(fold))
        fitted = fit_multiclass_temperatures(
            df,
            probability_cols,
            class_col=class_col,
            weight_col=weight_col,
            fold_col=fold_col,
            without=without,
        )
    else:
        fitted = [fit_calibrator(choice.method, table.without(fold)) for fold in without]
    return CalibrationFit(choice, fitted[0], tuple(fitted[1:]))


def collect_calibration_table(
    df: DataFrame,
    probability_cols: Sequence[str],
    *,
    class_col: str,
    weight_col: str | None,
    fold_col: str | None = None,
) -> CalibrationTable:
    """Sum rows by fold, class and cell of logit p, in one Spark job.

    At most 5,500 cells can be occupied per class and fold; some hundreds are. Rows without
    a probability are left out.
    """
    weight = F.lit(1.0) if weight_col is None else column(weight_col).cast("double")
    fold = F.lit(0) if fold_col is None else column(fold_col)
    entries = F.array(*[
        F.struct(
            F.lit(c).alias("target"),
            F.when(_is_known(column(probability_cols[c])), logit(column(probability_cols[c])))
            .alias("logit"),
            (column(class_col) == c).alias("event"),
        )
        for c in targets(len(probability_cols))
    ])  # fmt: skip
    event, score, w = F.col("event"), F.col("logit"), F.col("w")
    sums = {
        "weight": F.sum(w),
        "moment": F.sum(w * score),
        "positives": F.sum(F.when(event, w).otherwise(0.0)),
        "positive_squares": F.sum(F.when(event, w * w).otherwise(0.0)),
        "squares": F.sum(w * w),
        "positive_rows": F.count_if(event),
        "rows": F.count(F.lit(1)),
    }
    cells = (
        df.select(fold.cast("long").alias("fold"), weight.alias("w"), F.inline(entries))
        .filter(score.isNotNull() & (w > 0))
        .groupBy("fold", "target", F.floor(score / CELL).alias("cell"))
        .agg(*[value.alias(name) for name, value in sums.items()])
        .toArrow()
    )
    at = {name: cells[name].to_numpy() for name in cells.column_names}
    return CalibrationTable(
        classes=tuple(name.removeprefix(_PREFIX) for name in probability_cols),
        fold=at["fold"].astype(np.int64),
        target=at["target"].astype(np.int64),
        cell=at["cell"].astype(np.int64),
        logit=at["moment"] / at["weight"],
        positives=at["positives"],
        negatives=at["weight"] - at["positives"],
        positive_squares=at["positive_squares"],
        negative_squares=at["squares"] - at["positive_squares"],
        positive_rows=at["positive_rows"].astype(float),
        negative_rows=(at["rows"] - at["positive_rows"]).astype(float),
    )


def fit_calibrator(method: str, table: CalibrationTable) -> Calibrator:
    """Fit a calibration to a table of sums: arithmetic on the driver, no Spark job.

    Parameters
    ----------
    method
        ``isotonic``, ``sigmoid``, or ``temperature`` of two classes.

    Raises
    ------
    ModelError
        If a class has no row, or temperature has no answer.
    """
    require_classes(method, table)
    match method:
        case "isotonic":
            return IsotonicCalibrator(tuple(fit_isotonic(table, c) for c in table.targets))
        case "sigmoid":
            return SigmoidCalibrator(tuple(fit_sigmoid(table, c) for c in table.targets))
        case _:
            return TemperatureCalibrator(fit_temperature(table))


def logit(probability: Column) -> Column:
    """Return the log odds of a probability, finite at 0 and 1."""
    inside = F.greatest(F.least(probability, F.lit(1 - MIN_PROBABILITY)), F.lit(MIN_PROBABILITY))
    return F.log(inside / (1 - inside))


def fit_multiclass_temperatures(
    df: DataFrame,
    probability_cols: Sequence[str],
    *,
    class_col: str,
    weight_col: str | None,
    fold_col: str | None = None,
    without: Sequence[int | None] = (None,),
) -> list[TemperatureCalibrator]:
    """Minimise the log loss over b = 1 / T by Newton's method, in one Spark job per step.

    With z_c = log p_c, the gradient is the mean of E_b[z] - z_y and the curvature that of
    Var_b[z], so the loss is convex and a step that overshoots is halved. All fits take their steps
    in the same job, until each has converged.

    Parameters
    ----------
    without
        For each fit, the fold whose rows are left out; None for none.

    Raises
    ------
    ModelError
        If a fit has no least loss at a T between 0.001 and 1,000.
    """
    log_df = _relative_logs(df, probability_cols, class_col, weight_col, fold_col)
    inverses, active = dict.fromkeys(range(len(without)), 1.0), set(range(len(without)))
    for _ in range(_NEWTON_STEPS):
        steps = _newton_steps(log_df, {i: (without[i], inverses[i]) for i in sorted(active)})
        for i, step in steps.items():
            b = inverses[i]
            move = min(max(step, -b), b / 2)  # b stays above half, below twice itself
            inverses[i] = b - move
            if abs(move) < 1e-10 * b:
                active.discard(i)
            elif not 1 / MAX_TEMPERATURE < inverses[i] < MAX_TEMPERATURE:
                raise no_temperature()
        # Probabilities that are the same on every row have no curvature, and stay as they are.
        active &= {i for i in active if i in steps or inverses[i] != 1.0}
        if not active:
            return [TemperatureCalibrator(1 / inverse) for inverse in inverses.values()]
    raise no_temperature()


def _relative_logs(
    df: DataFrame,
    probability_cols: Sequence[str],
    class_col: str,
    weight_col: str | None,
    fold_col: str | None,
) -> DataFrame:
    """Return ``fold``, ``w``, ``z0``, ``z1``, ... (log p_c above the largest) and ``zy``."""
    places = range(len(probability_cols))
    log_df = df.select(
        (F.lit(0) if fold_col is None else column(fold_col)).alias("fold"),
        (F.lit(1.0) if weight_col is None else column(weight_col).cast("double")).alias("w"),
        column(class_col).alias("y"),
        *[_log(name).alias(f"l{c}") for c, name in enumerate(probability_cols)],
    )
    largest = F.greatest(*[F.col(f"l{c}") for c in places])
    relative_df = log_df.select(
        "fold", "w", "y", *[(F.col(f"l{c}") - largest).alias(f"z{c}") for c in places]
    )
    observed = F.coalesce(*[F.when(F.col("y") == c, F.col(f"z{c}")) for c in places])
    return relative_df.select("fold", "w", *[f"z{c}" for c in places], observed.alias("zy"))


def _newton_steps(
    log_df: DataFrame, fits: Mapping[int, tuple[int | None, float]]
) -> dict[int, float]:
    """Return the step of each fit, gradient over curvature, where the loss has a curvature.

    Parameters
    ----------
    fits
        Place of a fit -> the fold that it leaves out, and its b.
    """
    entries = F.array(*[
        F.struct(
            F.lit(i).alias("fit"),
            F.lit(fold).cast("long").alias("left_out"),
            F.lit(inverse).alias("b"),
        )
        for i, (fold, inverse) in fits.items()
    ])  # fmt: skip
    z = [F.col(name) for name in log_df.columns if name.startswith("z") and name != "zy"]
    fit_df = log_df.select("fold", "w", *z, "zy", F.inline(entries)).filter(
        F.col("left_out").isNull() | (F.col("fold") != F.col("left_out"))
    )
    powers = [F.exp(one * F.col("b")).alias(f"e{c}") for c, one in enumerate(z)]
    power_df = fit_df.select("fit", "w", *z, "zy", *powers)
    e = [F.col(f"e{c}") for c in range(len(z))]
    total = reduce(add, e)
    mean = reduce(add, [p * one for p, one in zip(e, z, strict=True)]) / total
    square = reduce(add, [p * one * one for p, one in zip(e, z, strict=True)]) / total
    moment_df = power_df.select("fit", "w", "zy", mean.alias("mean"), square.alias("square"))
    variance = F.col("square") - F.col("mean") * F.col("mean")
    sums = moment_df.groupBy("fit").agg(
        F.sum(F.col("w") * (F.col("mean") - F.col("zy"))).alias("gradient"),
        F.sum(F.col("w") * variance).alias("curvature"),
    )
    return {
        row["fit"]: row["gradient"] / row["curvature"]
        for row in sums.collect()
        if row["curvature"] is not None and row["curvature"] > 0
    }


def _sigmoid(fitted: SigmoidMap, score: Column) -> Column:
    limited = F.greatest(F.least(score, F.lit(fitted.bound)), F.lit(-fitted.bound))
    return 1 / (1 + F.exp(-(F.lit(fitted.slope) * limited + F.lit(fitted.intercept))))


def _knot_position(fitted: IsotonicMap, score: Column) -> Column:
    """Return the position of a score on the scale of the uniform knots, 0 being the first."""
    last = len(fitted.probabilities) - 1
    position = (score - fitted.low) / fitted.step
    return F.greatest(F.least(position, F.lit(float(last))), F.lit(0.0))


def _interpolate(fitted: IsotonicMap, position: Column) -> Column:
    """Return the map's value at a position; the knots are one literal array."""
    values = literal_array(fitted.probabilities)
    knot = F.least(F.floor(position), F.lit(len(fitted.probabilities) - 2)).cast("int")
    below, above = F.get(values, knot), F.get(values, knot + 1)
    return below + (position - knot) * (above - below)


def _is_known(probability: Column) -> Column:
    return probability.isNotNull() & ~F.isnan(probability)


def _log(name: str) -> Column:
    return F.when(_is_known(column(name)), F.log(F.greatest(column(name), F.lit(MIN_PROBABILITY))))


def _powers(probability_cols: Sequence[str], inverse: Column) -> list[Column]:
    # Relative to the largest, so that no sharpening underflows all of them.
    logs = [_log(name) for name in probability_cols]
    largest = F.greatest(*logs)
    return [F.exp((z - largest) * inverse) for z in logs]


def _targets(probability_cols: Sequence[str]) -> list[str]:
    return [probability_cols[c] for c in targets(len(probability_cols))]


def _normalise(
    df: DataFrame, probability_cols: Sequence[str], mapped: Sequence[Column]
) -> DataFrame:
    names = _targets(probability_cols)
    # greatest and least skip nulls, and a row without a probability must stay without one.
    known = [
        F.when(_is_known(column(name)), value) for name, value in zip(names, mapped, strict=True)
    ]
    df = df.withColumns(dict(zip(names, known, strict=True)))
    if len(names) == 1:
        return df.withColumn(probability_cols[0], 1 - column(probability_cols[1]))
    total = reduce(add, [column(name) for name in names])
    return df.withColumns({name: column(name) / total for name in names})
