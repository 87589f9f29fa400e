"""Rows that a training in rounds leaves out, and the weights of those that stand for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweights.models import packed_rows
from sparkweights.models.base import FEATURES, LABEL, WEIGHT, learner
from sparkweights.models.row_sample import RowSample

ROWS = 40_000


@pytest.mark.parametrize(
    ("counts", "most", "kept"),
    [
        ([90_000, 1_000], 5_000, [4_000, 1_000]),
        ([90_000, 60_000], 5_000, [2_500, 2_500]),
        ([900, 50, 200], 450, [200, 50, 200]),
        ([900, 50, 100], 450, [300, 50, 100]),
        ([40, 60], 100, [40, 60]),
        ([40, 60], 5_000, [40, 60]),
        ([40, 0], 20, [20, 0]),
    ],
)
def test_classes_get_equal_numbers_as_far_as_they_go(
    counts: list[int], most: int, kept: list[int]
) -> None:
    """What a rare class cannot use goes to the others; no share is 0 or above 1."""
    sample = RowSample.of(counts, most)
    assert sample.shares * counts == pytest.approx(kept)
    assert sample.rows == sum(kept)
    assert ((sample.shares > 0) & (sample.shares <= 1)).all()


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Return rows of a logistic law, 4 % of them positive, with weights."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(ROWS, 2))
    y = rng.random(ROWS) < 1 / (1 + np.exp(3.9 - x @ [1.0, -0.6]))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(
        y=y.astype(float), w=rng.uniform(0.5, 1.5, ROWS)
    )
    return (
        spark.createDataFrame(frame)
        .select(
            array_to_vector(F.array("a", "b")).alias(FEATURES),
            F.col("y").alias(LABEL),
            F.col("w").alias(WEIGHT),
        )
        .coalesce(1)
        .cache()
    )


def _packed(df: DataFrame, most: int) -> tuple[np.ndarray, np.ndarray, packed_rows.Moments]:
    """Return labels and weights of the kept rows."""
    moments = packed_rows.collect_moments(df, 2)
    sample = RowSample.of(moments.class_rows, most)
    blocks = packed_rows.pack_rows(df, moments, 1, sample).collect()
    labels, weights = (
        np.concatenate([np.frombuffer(block[name]) for block in blocks])
        for name in ("labels", "weights")
    )
    return labels, weights, moments


def test_kept_rows_stand_for_those_left_out(table: DataFrame) -> None:
    """Each class keeps its number of rows, within its own standard error, and its weight."""
    labels, weights, moments = _packed(table, 5_000)
    rare, rows = moments.class_rows[1], np.bincount(labels.astype(int))
    assert rows[1] == rare
    share = (5_000 - rare) / moments.class_rows[0]
    noise = np.sqrt(moments.class_rows[0] * share * (1 - share))
    assert abs(rows[0] - (5_000 - rare)) < 4 * noise
    totals = np.bincount(labels.astype(int), weights)
    assert totals[1] == pytest.approx(moments.weights[1], rel=1e-6)
    assert totals[0] == pytest.approx(moments.weights[0], rel=4 * noise / (5_000 - rare))


def test_repeated_rows_are_drawn_one_by_one(spark: SparkSession) -> None:
    """Four kinds of rows, 300 of each: a kind is not kept or left out as a whole."""
    frame = pd.DataFrame({"a": [0.0, 1.0] * 600, "y": np.repeat([0.0, 1.0], 600)})
    df = spark.createDataFrame(frame).select(
        array_to_vector(F.array("a")).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.lit(1.0).alias(WEIGHT),
    )
    labels, weights, _ = _packed(df, 400)
    assert np.bincount(labels.astype(int)) == pytest.approx([200, 200], abs=50)
    assert weights == pytest.approx(3.0)


def test_a_tenth_of_the_rows_teaches_nearly_what_all_do(table: DataFrame) -> None:
    """Coefficients within four of the standard errors that the sample's size gives them.

    The intercept is that of the whole table and not of the sample, where a third is positive. The
    model is the same however the rows are partitioned.
    """
    params = {
        "batch_rows": 0,
        "optimizer": "sgd",
        "learning_rate": 2.0,
        "momentum": 0.8,
        "schedule": "constant",
        "rounds": 25,
    }
    full = learner("mini_batch").fit(table, params, seed=1, classes=2)
    drawn = params | {"max_rows": 4_000}
    some = learner("mini_batch").fit(table, drawn, seed=1, classes=2)
    difference = np.abs(some.parameters - full.parameters).ravel()  # type: ignore[attr-defined]
    # Simulated: 60 such samples of the same rows.
    assert (difference < 4 * np.array([0.039, 0.039, 0.030])).all()
    assert (difference > 0).all()
    once = drawn | {"rounds": 1}
    first, other = (
        learner("mini_batch").fit(df, once, seed=1, classes=2)
        for df in (table, table.repartition(3))
    )
    assert (first.parameters == other.parameters).all()  # type: ignore[attr-defined]
