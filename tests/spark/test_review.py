"""The review band: the rows that gain most, within the capacity, the same ones every time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.config.load import load_config
from sparkweights.config.resolve import scoring_spec, training_spec
from sparkweights.costs.review import ReviewCutoff, collect_review_cutoff, is_reviewed, review_gain
from sparkweights.models.base import LABEL
from sparkweights.probability.corrections import Ledger
from sparkweights.scoring.plan import ScoringPlan
from sparkweights.training.evaluate import BLOCK, ORDER, evaluate

if TYPE_CHECKING:
    from pathlib import Path

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


def _reviewed(df: DataFrame, capacity: float) -> tuple[pd.DataFrame, ReviewCutoff]:
    gain = review_gain(F.col("least"), F.lit(PRICE))
    cut = collect_review_cutoff(df, gain, capacity)
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
    cut = collect_review_cutoff(priced, gain, 0.1)
    assert cut.gaining == 0
    assert priced.filter(is_reviewed(gain, F.col("place"), cut)).count() == 0


CONFIG = """
name: loans
columns: {keys: [id], label: y, classes: {good: 0, bad: 1}, numeric: [x], weight: w}
costs: {approve: {good: 0, bad: 1000}, decline: {good: 200, bad: 150}}
review: {cost: 40, capacity: 0.5}
"""


@pytest.fixture
def plan(tmp_path: Path) -> ScoringPlan:
    """Declining costs money whatever comes true, so a look at a row does too."""
    (tmp_path / "loans.yaml").write_text(CONFIG, encoding="utf-8")
    config = load_config(tmp_path / "loans.yaml")
    return ScoringPlan(scoring_spec(config, training_spec(config, ["id", "x"])))


class _Scored:
    """A scorer of rows that hold their natural probabilities already."""

    classes = ("good", "bad")
    probability_cols = weighted_cols = ("probability_good", "probability_bad")
    ledger = Ledger({"good": 0.5, "bad": 0.5})
    plan = SimpleNamespace(unusable=lambda: F.lit(None).cast("string"))

    def score(self, df: DataFrame) -> DataFrame:
        return df


def _probable(spark: SparkSession, bad: list[float], **more: list[float]) -> DataFrame:
    frame = pd.DataFrame({"id": range(len(bad)), "probability_bad": bad, **more})
    return spark.createDataFrame(frame.assign(probability_good=1 - frame["probability_bad"]))


def test_review_gain_counts_what_the_right_decision_still_costs(
    spark: SparkSession, plan: ScoringPlan
) -> None:
    """P = .7: declining costs .3 x 200 + .7 x 150 = 165, a look 40 + .7 x 150 = 145; gain 20."""
    priced_df = plan.price(_probable(spark, [0.7]), _Scored())
    row = priced_df.select("expected_cost_review", plan.gain_of_review()).first()
    assert tuple(row) == pytest.approx((145.0, 20.0))


def test_review_realised_cost_is_the_price_and_the_right_decision(
    spark: SparkSession, plan: ScoringPlan
) -> None:
    """Two of four rows are looked at: 40 + 150 for the bad one, 40 for the good; others decline.

    Gains are 165 - 145 = 20 at p = .7 and 190 - 70 = 120 at p = .2 (where approving costs 200);
    at p = .95 and .9 they are below 0 (152.5 - 182.5, 155 - 175).
    """
    scored = {
        LABEL: [1.0, 0.0, 1.0, 1.0],
        ORDER: [0.1, 0.2, 0.3, 0.4],
        BLOCK: [0.1, 0.2, 0.3, 0.4],
        "w": [1.0] * 4,
    }
    df = _probable(spark, [0.7, 0.2, 0.95, 0.9], **scored)
    found = evaluate(df, _Scored(), plan.spec.problem, {"good": "approve", "bad": "decline"})
    assert found.cost("ours") == pytest.approx(150 + 200 + 150 + 150)
    assert found.cost("with_review") == pytest.approx(190 + 40 + 150 + 150)


def test_review_capacity_counts_sample_weight(priced: DataFrame) -> None:
    """Weight 3 takes the time of three looks; the stated saving is that of the chosen rows."""
    weighted_df = priced.withColumn("w", F.when(F.col("id") % 2 == 0, 3.0).otherwise(1.0))
    gain = review_gain(F.col("least"), F.lit(PRICE))
    cut = collect_review_cutoff(weighted_df, gain, 0.1, F.col("w"))
    frame = weighted_df.filter(is_reviewed(gain, F.col("place"), cut)).toPandas()
    looks = frame["w"].sum()
    assert looks == pytest.approx(0.1 * 2 * ROWS, abs=0.005 * 2 * ROWS)
    saved = (frame["w"] * (frame["least"] - PRICE)).sum()
    assert cut.saving == pytest.approx(saved, rel=0.02)
    assert cut.rows == ROWS


def test_review_of_a_weighted_row_equals_that_of_the_row_twice(priced: DataFrame) -> None:
    """Weight 2 is the row twice, in the cut, its share and the saving."""
    gain = review_gain(F.col("least"), F.lit(PRICE))
    weighted = collect_review_cutoff(priced, gain, 0.1, F.lit(2.0))
    twice = collect_review_cutoff(priced.union(priced), gain, 0.1)
    assert (weighted.bin, weighted.share) == (twice.bin, pytest.approx(twice.share))
    assert weighted.saving == pytest.approx(twice.saving)


def test_review_weight_of_an_incoming_row(spark: SparkSession, plan: ScoringPlan) -> None:
    """The table's weight where it holds one; a row without a usable weight takes one look."""
    df = _probable(spark, [0.5] * 4, w=[2.0, np.nan, -1.0, 0.0])
    weight = plan.review_weight(df)
    assert [row[0] for row in df.select(weight).collect()] == [2.0, 1.0, 1.0, 0.0]
    assert plan.review_weight(df.drop("w")) is None
