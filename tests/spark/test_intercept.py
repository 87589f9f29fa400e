"""What weights do to a logistic model: the theory's shift, and the shifts that are measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import functions as F

from sparkweights.core.errors import InputError, ModelError
from sparkweights.evaluation.ranking import compare_areas
from sparkweights.probability.intercept import LogisticLine, compare_slopes, log_weight_ratio
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 30_000
RULE = WeightRule.fixed("manual", {"repay": 1, "default": 8})


@pytest.fixture(scope="module")
def people(spark: SparkSession) -> DataFrame:
    """Rows of a logistic model, and the same outcomes with a bend that the model cannot see."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(ROWS, 2))
    straight = -2.3 + 0.8 * x[:, 0] - 0.5 * x[:, 1]
    bent = straight + 0.5 * (x[:, 0] ** 2 - 1) + 0.6 * x[:, 0] * x[:, 1]
    draw = rng.random(ROWS)
    frame = pd.DataFrame({
        "x1": x[:, 0],
        "x2": x[:, 1],
        "straight": (draw < 1 / (1 + np.exp(-straight))).astype(float),
        "bent": (draw < 1 / (1 + np.exp(-bent))).astype(float),
    })  # fmt: skip
    return (
        VectorAssembler(inputCols=["x1", "x2"], outputCol="features")
        .transform(spark.createDataFrame(frame))
        .cache()
    )


def _lines(df: DataFrame, label: str) -> tuple[LogisticLine, LogisticLine, DataFrame]:
    weighted_df = df.withColumn("w", F.when(F.col(label) == 1, 8.0).otherwise(1.0))
    plain = LogisticRegression(labelCol=label, tol=1e-10).fit(weighted_df)
    bent = LogisticRegression(labelCol=label, weightCol="w", tol=1e-10).fit(weighted_df)
    return LogisticLine.of(plain), LogisticLine.of(bent), weighted_df


def test_line_weights_shift_the_intercept_by_their_log_ratio(people: DataFrame) -> None:
    """In both directions, and to the model that was fitted without them."""
    plain, weighted, _ = _lines(people, "straight")
    assert log_weight_ratio(RULE) == pytest.approx(math.log(8))
    corrected = weighted.without_weights(RULE)
    assert corrected.intercept == pytest.approx(plain.intercept, abs=0.1)
    assert corrected.with_weights(RULE).intercept == pytest.approx(weighted.intercept)
    assert corrected.probability([0.3, -0.2]) == pytest.approx(
        plain.probability([0.3, -0.2]), rel=0.1
    )


@pytest.mark.slow
def test_compare_slopes_intervals_hold_zero_only_where_the_model_is_right(
    people: DataFrame,
) -> None:
    """A well-specified model keeps its slopes; a misspecified one is told by its interval."""
    for label, moved in (("straight", False), ("bent", True)):
        plain, weighted, df = _lines(people, label)
        found = compare_slopes(
            df,
            plain,
            weighted,
            features_col="features",
            label_col=label,
            weight_col="w",
            names=["x1", "x2"],
        )
        assert [entry.name for entry in found] == ["(intercept)", "x1", "x2"]
        low, high = found[0].interval(0.999)
        assert (low <= math.log(8) <= high) != moved
        held = [entry.interval(0.999)[0] <= 0 <= entry.interval(0.999)[1] for entry in found[1:]]
        assert all(held) != moved


@pytest.mark.slow
def test_compare_slopes_standard_error_is_that_of_repeated_samples(spark: SparkSession) -> None:
    """The sandwich against the spread of 40 samples fitted by Newton's method in NumPy."""
    rng = np.random.default_rng(3)
    shifts, stated = [], []
    for draw in range(40):
        x = rng.normal(size=(1_500, 1))
        y = (rng.random(1_500) < 1 / (1 + np.exp(1.5 - x[:, 0]))).astype(float)
        w = np.where(y == 1, 5.0, 1.0)
        plain, weighted = _newton(x, y, np.ones(1_500)), _newton(x, y, w)
        shifts.append(weighted[1] - plain[1])
        if draw < 3:
            frame = pd.DataFrame({"x": x[:, 0], "y": y, "w": w})
            df = VectorAssembler(inputCols=["x"], outputCol="features").transform(
                spark.createDataFrame(frame)
            )
            lines = [LogisticLine(b[0], (b[1],)) for b in (plain, weighted)]
            found = compare_slopes(
                df, *lines, features_col="features", label_col="y", weight_col="w", names=["x"]
            )
            stated.append(found[1].standard_error)
    assert np.mean(stated) == pytest.approx(np.std(shifts), rel=0.4)


def _newton(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(len(x)), x])
    b = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ b))
        hessian = (design * (w * p * (1 - p))[:, None]).T @ design
        b = b + np.linalg.solve(hessian, design.T @ (w * (y - p)))
    return np.asarray(b)


def test_line_bad_input_is_one_sentence() -> None:
    """Weights that differ from row to row shift no intercept."""
    three = WeightRule.fixed("manual", {"a": 1, "b": 2, "c": 3})
    with pytest.raises(ModelError, match="only two constant weights shift an intercept"):
        log_weight_ratio(three)


def test_compare_areas_equals_delong_by_brute_force(spark: SparkSession) -> None:
    """Areas by counting pairs, and the variance from the placements of every row."""
    rng = np.random.default_rng(2)
    rows = 300
    y = rng.random(rows) < 0.3
    a = np.round(np.clip(rng.normal(0.4 + 0.15 * y, 0.15), 0, 0.998) * 512) / 512
    b = np.round(np.clip(a + rng.normal(0.03 * y, 0.1), 0, 0.998) * 512) / 512
    df = spark.createDataFrame(pd.DataFrame({"a": a, "b": b, "y": y}))
    found = compare_areas(df, F.col("a"), F.col("b"), F.col("y"))
    v10, v01 = [], []
    for score in (a, b):
        wins = (score[y][:, None] > score[~y][None]) + 0.5 * (score[y][:, None] == score[~y][None])
        v10.append(wins.mean(axis=1))
        v01.append(wins.mean(axis=0))
    assert found.before == pytest.approx(v10[0].mean())
    assert found.after == pytest.approx(v10[1].mean())
    variance = np.var(v10[1] - v10[0], ddof=1) / y.sum()
    variance += np.var(v01[1] - v01[0], ddof=1) / (~y).sum()
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    low, high = found.interval()
    assert low < found.shift < high
    w = rng.integers(0, 4, rows)
    weighted_df = spark.createDataFrame(pd.DataFrame({"a": a, "b": b, "y": y, "w": w}))
    repeated_df = weighted_df.filter("w > 0").withColumn("w", F.explode(F.sequence(F.lit(1), "w")))
    weighted = compare_areas(weighted_df, F.col("a"), F.col("b"), F.col("y"), F.col("w"))
    repeated = compare_areas(repeated_df, F.col("a"), F.col("b"), F.col("y"))
    assert weighted.before == pytest.approx(repeated.before)
    assert weighted.after == pytest.approx(repeated.after)
    assert weighted.standard_error > repeated.standard_error  # copies of a row are no more rows
    with pytest.raises(InputError, match="needs rows of both classes"):
        compare_areas(df.filter("y"), F.col("a"), F.col("b"), F.col("y"))
