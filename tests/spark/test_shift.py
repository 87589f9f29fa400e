"""Histograms of scores that Spark counts are those of the arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.probability.label_shift import collect_histogram
from sparkweights.probability.score_cells import level_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("classes", [2, 3])
def test_collect_histogram_uses_the_levels_of_the_arithmetic(
    spark: SparkSession, classes: int
) -> None:
    """Rows per occupied cell, for probabilities of 0, of 1e-6 and up, and of 1."""
    rng = np.random.default_rng(1)
    odds = np.exp(rng.normal(-4, 3, (500, classes - 1)))
    p = np.column_stack([np.ones(500), odds])
    p /= p.sum(axis=1, keepdims=True)
    p[0], p[1] = np.eye(classes)[0], np.eye(classes)[1]
    names = [f"p{c}" for c in range(classes)]
    scored_df = spark.createDataFrame(pd.DataFrame(p, columns=names))
    found = collect_histogram(scored_df, names)
    cells = level_of(p[:, 1:], classes)
    _, counts = np.unique(cells, axis=0, return_counts=True)
    assert found.of_cell.tolist() == counts.tolist()
    assert found.of_cell @ found.probabilities == pytest.approx(p.sum(axis=0))


def test_collect_histogram_keeps_the_squares_of_the_weights(spark: SparkSession) -> None:
    """Two rows of weights 1 and 3 in one cell: 4 rows, squares 10, 1.6 effective rows."""
    frame = pd.DataFrame({"p0": [0.9, 0.9], "p1": [0.1, 0.1], "w": [1.0, 3.0]})
    found = collect_histogram(spark.createDataFrame(frame), ["p0", "p1"], weight=F.col("w"))
    assert found.of_cell.tolist() == [4.0]
    assert found.effective_rows == pytest.approx(1.6)
