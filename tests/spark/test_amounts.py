"""The whole pipeline on heavy-tailed amounts, against the true probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.rightness.weights import draw_rows, fit, measure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.slow  # a training on 40,000 rows
def test_train_with_cost_weights_keeps_probabilities_of_large_amounts(spark: SparkSession) -> None:
    """Mean p over true p near 1 also in the top 1 % of amounts, and decisions near the best.

    With weights by the row's own amount it was about a half there.
    """
    df = spark.createDataFrame(draw_rows(40_000, seed=0)).repartition(2)
    new_df = spark.createDataFrame(draw_rows(100_000, seed=999)).repartition(2)
    found = measure(fit(df, "xgboost", {"scheme": "cost"}, 0), new_df)
    assert 0.8 <= found.ratios[-1] <= 1.25
    assert all(0.85 <= ratio <= 1.15 for ratio in found.ratios[:-1])
    assert found.cost <= 1.035
    assert 0.9 <= found.claimed <= 1.05
