"""Calibration returns known distortions to the truth, for two classes and for three."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import _SigmoidCalibration

from sparkweights.decision import calibrator_from_dict, fit_calibrator
from sparkweights.errors import ModelError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 20_000


def _powered(classes: int, power: float) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Draw labels from true probabilities, and show the method their powers, normalised."""
    rng = np.random.default_rng(classes)
    true = rng.dirichlet(np.ones(classes), ROWS)
    y = (true.cumsum(axis=1) < rng.random((ROWS, 1))).sum(axis=1)
    bent = true**power
    bent /= bent.sum(axis=1, keepdims=True)
    names = [f"p{c}" for c in range(classes)]
    return true, y, pd.DataFrame(bent, columns=names).assign(y=y.astype(float))


def _fit_and_apply(df: DataFrame, method: str, names: list[str], rows: int) -> np.ndarray:
    calibrator = fit_calibrator(method, df, names, class_col="y", weight_col=None, rows=rows)
    record = json.loads(json.dumps(calibrator.to_dict()))
    again = calibrator_from_dict(record, calibrator.models)
    found = again.apply(df, names).select(*names).toPandas().to_numpy()
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-9)
    assert (found > 0).all()
    return np.asarray(found)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid", "temperature"])
@pytest.mark.parametrize("classes", [2, 3])
def test_calibrator_bent_probabilities_return_to_the_truth(
    spark: SparkSession, method: str, classes: int
) -> None:
    """Squared probabilities are sharpened ones; each method sees through that."""
    true, y, frame = _powered(classes, 2.0)
    names = [f"p{c}" for c in range(classes)]
    found = _fit_and_apply(spark.createDataFrame(frame), method, names, ROWS)
    for c in range(classes):
        assert found[:, c].mean() == pytest.approx((y == c).mean(), abs=0.01)
    bent = frame[names].to_numpy()
    # One against the rest is not exact for three classes; a power is, for the temperature.
    exact = method == "temperature" or (method == "sigmoid" and classes == 2)
    allowed = 0.05 if exact else 0.6
    assert np.abs(found - true).mean() < allowed * np.abs(bent - true).mean()


def test_calibrator_power_is_recovered(spark: SparkSession) -> None:
    """The inverse of p^2 is temperature 2, and slope 1/2 on the log odds with no intercept."""
    _, _, frame = _powered(3, 2.0)
    names = ["p0", "p1", "p2"]
    df = spark.createDataFrame(frame)
    fitted = fit_calibrator("temperature", df, names, class_col="y", weight_col=None, rows=ROWS)
    assert fitted.to_dict()["temperature"] == pytest.approx(2.0, rel=0.04)
    _, _, frame = _powered(2, 2.0)
    df = spark.createDataFrame(frame)
    fitted = fit_calibrator("sigmoid", df, ["p0", "p1"], class_col="y", weight_col=None, rows=ROWS)
    assert fitted.to_dict()["slopes"] == pytest.approx([0.5], rel=0.04)
    assert fitted.to_dict()["intercepts"] == pytest.approx([0.0], abs=0.05)


def test_sigmoid_calibrator_equals_scikit_learn(spark: SparkSession) -> None:
    """Platt's prior-corrected targets matter on few rows; scikit-learn uses the same ones."""
    rng = np.random.default_rng(5)
    p = rng.uniform(0.05, 0.95, 60)
    y = (rng.random(60) < p**2).astype(float)
    frame = pd.DataFrame({"p0": 1 - p, "p1": p, "y": y})
    df = spark.createDataFrame(frame)
    fitted = fit_calibrator("sigmoid", df, ["p0", "p1"], class_col="y", weight_col=None, rows=60)
    oracle = _SigmoidCalibration().fit(np.log(p / (1 - p)), y)
    assert fitted.to_dict()["slopes"] == pytest.approx([-oracle.a_], rel=1e-3)
    assert fitted.to_dict()["intercepts"] == pytest.approx([-oracle.b_], rel=1e-3, abs=1e-3)


def test_calibrator_weight_two_is_the_row_twice(spark: SparkSession) -> None:
    """Incoming sample weights count in each method as repeated rows do."""
    _, _, frame = _powered(2, 2.0)
    frame = frame.head(400).assign(w=np.where(np.arange(400) % 3 == 0, 2.0, 1.0))
    names = ["p0", "p1"]
    weighted_df = spark.createDataFrame(frame)
    twice_df = spark.createDataFrame(pd.concat([frame, frame[frame["w"] == 2]]))
    for method, within in (("isotonic", 1e-9), ("sigmoid", 1e-5), ("temperature", 1e-9)):
        by_weight = fit_calibrator(
            method, weighted_df, names, class_col="y", weight_col="w", rows=frame["w"].sum()
        )
        rows = twice_df.count()
        by_row = fit_calibrator(method, twice_df, names, class_col="y", weight_col=None, rows=rows)
        a = by_weight.apply(weighted_df, names).select("p1").toPandas()["p1"]
        b = by_row.apply(weighted_df, names).select("p1").toPandas()["p1"]
        assert a.to_numpy() == pytest.approx(b.to_numpy(), abs=within), method


def test_sigmoid_calibrator_one_class_is_refused(spark: SparkSession) -> None:
    """Without an event there is nothing to fit."""
    df = spark.createDataFrame([(0.4, 0.6, 0.0)] * 5, "p0 double, p1 double, y double")
    with pytest.raises(ModelError, match="saw 0 events and 5 others"):
        fit_calibrator("sigmoid", df, ["p0", "p1"], class_col="y", weight_col=None, rows=5)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid", "temperature"])
def test_calibrator_row_without_a_probability_stays_without_one(
    spark: SparkSession, method: str
) -> None:
    """Null and NaN are no certain events, which Spark's greatest and least would make of them."""
    _, _, frame = _powered(2, 2.0)
    df, names = spark.createDataFrame(frame.head(400)), ["p0", "p1"]
    calibrator = fit_calibrator(method, df, names, class_col="y", weight_col=None, rows=400)
    rows = [(0.25, 0.75), (None, None), (float("nan"), float("nan"))]
    shown = spark.createDataFrame(rows, "p0 double, p1 double")
    known, *unknown = calibrator.apply(shown, names).collect()
    assert known["p0"] + known["p1"] == pytest.approx(1)
    assert unknown == [(None, None), (None, None)]
