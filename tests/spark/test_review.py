"""The review band: the rows that gain most, within the capacity, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.decision import ReviewCut, collect_review_cut, is_reviewed, review_gain

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 4_000
PRICE = 50.0


@pytest.fixture(scope="module")
def priced(spark: SparkSession) -> DataFrame:
    """Rows with the expected cost of their best decision; a tenth of them tie at 400."""
    rng = np.random.default_rng(6)
    cost = rng.lognormal(4, 1, ROWS)
    cost[:400] = 400.0
    cost[400:410] = np.nan
    frame = pd.DataFrame({"id": np.arange(ROWS), "least": cost, "place": rng.random(ROWS)})
    return spark.createDataFrame(frame).withColumn(
        "least", F.when(~F.isnan("least"), F.col("least"))
    )


def _reviewed(df: DataFrame, capacity: float) -> tuple[pd.DataFrame, ReviewCut]:
    gain = review_gain(F.col("least"), F.lit(PRICE))
    cut = collect_review_cut(df, gain, capacity)
    chosen = is_reviewed(gain, F.col("place"), cut)
    return df.withColumn("reviewed", chosen).toPandas().sort_values("id"), cut


@pytest.mark.parametrize("capacity", [0.001, 0.05, 0.1, 0.3])
def test_review_takes_the_rows_that_gain_most(priced: DataFrame, capacity: float) -> None:
    """As many as there is time for, within half a per cent of the rows, and the dearest."""
    frame, cut = _reviewed(priced, capacity)
    assert cut.rows == ROWS
    gaining = int((frame["least"] > PRICE).sum())
    assert cut.gaining == gaining
    wanted = min(capacity * ROWS, gaining)
    assert frame["reviewed"].sum() == pytest.approx(wanted, abs=0.005 * ROWS)
    taken, left = frame[frame["reviewed"]]["least"], frame[~frame["reviewed"]]["least"].dropna()
    # Gains within 0.3 % of each other count as equal.
    assert taken.min() - PRICE >= (left.max() - PRICE) / 1.003
    assert not frame.loc[frame["least"].isna(), "reviewed"].any()


def test_review_capacity_beyond_need_takes_every_row_that_gains(priced: DataFrame) -> None:
    """Time to spare is not spent on rows that a look makes dearer."""
    frame, _ = _reviewed(priced, 0.99)
    assert (frame["reviewed"] == (frame["least"] > PRICE)).all()


def test_review_same_rows_under_any_partitioning(priced: DataFrame) -> None:
    """Ties are told apart by the row's own order, not by where it lies."""
    one, _ = _reviewed(priced, 0.05)
    other, _ = _reviewed(priced.repartition(7, "place"), 0.05)
    assert (one["reviewed"].to_numpy() == other["reviewed"].to_numpy()).all()


def test_review_nobody_gains_nobody_is_looked_at(priced: DataFrame) -> None:
    """A price above every expected cost closes the band."""
    gain = review_gain(F.col("least"), F.lit(1e9))
    cut = collect_review_cut(priced, gain, 0.1)
    assert cut.gaining == 0
    assert priced.filter(is_reviewed(gain, F.col("place"), cut)).count() == 0
