"""Calibration returns known distortions to the truth, for two classes and for three."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from sparkweights.core.errors import ModelError
from sparkweights.local.corrections import calibrate
from sparkweights.probability.calibration import (
    calibrate_scores,
    calibrator_from_dict,
    collect_calibration_table,
    fit_calibrator,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 20_000
METHODS = ["isotonic", "sigmoid", "temperature"]


def _powered(classes: int, power: float) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Draw labels from true probabilities, and show the method their powers, normalised."""
    rng = np.random.default_rng(classes)
    true = rng.dirichlet(np.ones(classes), ROWS)
    y = (true.cumsum(axis=1) < rng.random((ROWS, 1))).sum(axis=1)
    bent = true**power
    bent /= bent.sum(axis=1, keepdims=True)
    names = [f"p{c}" for c in range(classes)]
    return true, y, pd.DataFrame(bent, columns=names).assign(y=y.astype(float))


def _fit_and_apply(df: DataFrame, method: str, names: list[str]) -> np.ndarray:
    fit = calibrate_scores(df, names, method, class_col="y", weight_col=None)
    again = calibrator_from_dict(json.loads(json.dumps(fit.calibrator.to_dict())))
    found = again.apply(df, names).select(*names).toPandas().to_numpy()
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-9)
    assert (found > 0).all()
    local = calibrate(again.to_dict(), list(df.select(*names).toPandas().to_numpy().T))
    assert np.stack(local, axis=1) == pytest.approx(found, rel=1e-9)
    return np.asarray(found)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 3])
def test_calibrator_bent_probabilities_return_to_the_truth(
    spark: SparkSession, method: str, classes: int
) -> None:
    """Squared probabilities are sharpened ones; each method sees through that."""
    true, y, frame = _powered(classes, 2.0)
    names = [f"p{c}" for c in range(classes)]
    found = _fit_and_apply(spark.createDataFrame(frame), method, names)
    for c in range(classes):
        assert found[:, c].mean() == pytest.approx((y == c).mean(), abs=0.01)
    bent = frame[names].to_numpy()
    # One against the rest is not exact for three classes; a power is, for the temperature.
    exact = method == "temperature" or (method == "sigmoid" and classes == 2)
    allowed = 0.05 if exact else 0.6
    assert np.abs(found - true).mean() < allowed * np.abs(bent - true).mean()


@pytest.mark.slow
def test_calibrator_power_is_recovered(spark: SparkSession) -> None:
    """The inverse of p^2 is temperature 2, and slope 1/2 on the log odds with no intercept."""
    for classes in (2, 3):
        _, _, frame = _powered(classes, 2.0)
        df, names = spark.createDataFrame(frame), [f"p{c}" for c in range(classes)]
        fit = calibrate_scores(df, names, "temperature", class_col="y", weight_col=None)
        assert fit.calibrator.to_dict()["temperature"] == pytest.approx(2.0, rel=0.04)
        if classes == 2:
            table = collect_calibration_table(df, names, class_col="y", weight_col=None)
            (line,) = fit_calibrator("sigmoid", table).to_dict()["maps"]
            assert line["slope"] == pytest.approx(0.5, rel=0.04)
            assert line["intercept"] == pytest.approx(0.0, abs=0.05)


def test_calibrator_columns_equal_the_maps_of_numpy(spark: SparkSession) -> None:
    """A fitted map says the same as a Column and as a function, inside its range and outside."""
    _, _, frame = _powered(2, 2.0)
    df, names = spark.createDataFrame(frame.head(2_000)), ["p0", "p1"]
    table = collect_calibration_table(df, names, class_col="y", weight_col=None)
    p = np.r_[0.0, 1.0, 1e-9, np.linspace(0.001, 0.999, 500)]
    shown_df = spark.createDataFrame(pd.DataFrame({"p0": 1 - p, "p1": p}))
    for method in ("isotonic", "sigmoid"):
        calibrator = fit_calibrator(method, table)
        found = calibrator.apply(shown_df, names).select("p1").toPandas()["p1"].to_numpy()
        (one,) = calibrator.maps  # type: ignore[attr-defined]
        assert found == pytest.approx(one(logit(np.clip(p, 1e-12, 1 - 1e-12))), rel=1e-9)
        assert (np.diff(found[3:]) >= 0).all()


def test_calibration_table_folds_leave_out_their_rows(spark: SparkSession) -> None:
    """The calibrator of a fold is the one fitted on the rows of the other folds alone."""
    _, _, frame = _powered(2, 2.0)
    frame = frame.head(3_000).assign(fold=np.arange(3_000) % 3)
    df, names = spark.createDataFrame(frame), ["p0", "p1"]
    fit = calibrate_scores(df, names, "sigmoid", class_col="y", weight_col=None, fold_col="fold")
    assert len(fit.by_fold) == 3
    others_df = df.filter("fold <> 1")
    alone = calibrate_scores(others_df, names, "sigmoid", class_col="y", weight_col=None)
    (found,), (wanted,) = fit.by_fold[1].to_dict()["maps"], alone.calibrator.to_dict()["maps"]
    assert found == pytest.approx(wanted, abs=1e-9)
    assert fit.by_fold[0].to_dict() != fit.by_fold[1].to_dict()


def test_temperature_of_many_classes_is_fitted_without_each_fold_in_the_same_jobs(
    spark: SparkSession,
) -> None:
    """Each fold's is that of the other rows alone; classes that are separated have none."""
    from benchmarks.harness import count_jobs

    _, _, frame = _powered(3, 2.0)
    frame = frame.head(900).assign(fold=np.arange(900) % 3)
    df, names = spark.createDataFrame(frame), ["p0", "p1", "p2"]
    fits = []
    jobs = count_jobs(
        spark,
        lambda: fits.append(
            calibrate_scores(
                df, names, "temperature", class_col="y", weight_col=None, fold_col="fold"
            )
        ),
    )
    others_df = df.filter("fold <> 2")
    alone = calibrate_scores(others_df, names, "temperature", class_col="y", weight_col=None)
    found, wanted = fits[0].by_fold[2].to_dict(), alone.calibrator.to_dict()
    assert found["temperature"] == pytest.approx(wanted["temperature"], rel=1e-9)
    assert len({each.to_dict()["temperature"] for each in fits[0].by_fold}) == 3
    assert jobs <= 10
    certain = pd.DataFrame(np.eye(3) * 0.4 + 0.2, columns=names).assign(y=[0.0, 1.0, 2.0])
    with pytest.raises(ModelError, match="no temperature between"):
        calibrate_scores(
            spark.createDataFrame(certain), names, "temperature", class_col="y", weight_col=None
        )


def test_calibrate_scores_takes_one_job_whatever_the_folds(spark: SparkSession) -> None:
    """Fits for all rows and without each fold share the one table of sums."""
    from benchmarks.harness import count_jobs

    _, _, frame = _powered(3, 2.0)
    df = spark.createDataFrame(frame.head(600).assign(fold=np.arange(600) % 5))
    adaptive = spark.conf.get("spark.sql.adaptive.enabled")
    spark.conf.set("spark.sql.adaptive.enabled", "false")  # it counts a shuffle as a job
    try:
        jobs = count_jobs(
            spark,
            lambda: calibrate_scores(
                df, ["p0", "p1", "p2"], "isotonic", class_col="y", weight_col=None, fold_col="fold"
            ),
        )
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    assert jobs == 1


@pytest.mark.slow
def test_calibrator_weight_two_is_the_row_twice(spark: SparkSession) -> None:
    """A joint temperature counts incoming sample weights as repeated rows."""
    _, _, frame = _powered(3, 2.0)
    frame = frame.head(400).assign(w=np.where(np.arange(400) % 3 == 0, 2.0, 1.0))
    names = ["p0", "p1", "p2"]
    weighted_df = spark.createDataFrame(frame)
    twice_df = spark.createDataFrame(pd.concat([frame, frame[frame["w"] == 2]]))
    by_weight = calibrate_scores(
        weighted_df, names, "temperature", class_col="y", weight_col="w"
    ).calibrator.to_dict()
    by_row = calibrate_scores(
        twice_df, names, "temperature", class_col="y", weight_col=None
    ).calibrator.to_dict()
    assert by_weight["temperature"] == pytest.approx(by_row["temperature"], abs=1e-9)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_calibrator_one_class_is_refused(spark: SparkSession, method: str) -> None:
    """Without a row of a class there is nothing to fit, whatever the method."""
    df = spark.createDataFrame([(0.4, 0.6, 0.0)] * 5, "probability_a double, p1 double, y double")
    with pytest.raises(ModelError, match=r"saw 0 rows of class 'p1' .* 5 others"):
        calibrate_scores(df, ["probability_a", "p1"], method, class_col="y", weight_col=None)


@pytest.mark.parametrize("method", METHODS)
def test_calibrator_row_without_a_probability_stays_without_one(
    spark: SparkSession, method: str
) -> None:
    """Null and NaN are no certain events, which Spark's greatest and least would make of them."""
    _, _, frame = _powered(2, 2.0)
    df, names = spark.createDataFrame(frame.head(400)), ["p0", "p1"]
    calibrator = calibrate_scores(df, names, method, class_col="y", weight_col=None).calibrator
    rows = [(0.25, 0.75), (None, None), (float("nan"), float("nan"))]
    shown = spark.createDataFrame(rows, "p0 double, p1 double")
    known, *unknown = calibrator.apply(shown, names).collect()
    assert known["p0"] + known["p1"] == pytest.approx(1)
    assert unknown == [(None, None), (None, None)]
