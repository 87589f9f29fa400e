"""Rounds on executors: the same model whatever the partitions, MLlib's optimum, and corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from sparkweights.models import packed_rows
from sparkweights.models.base import FEATURES, LABEL, MARGIN, WEIGHT, learner
from sparkweights.models.mini_batch import MiniBatchModel
from sparkweights.models.packed_rows import BLOCK_BYTES, BLOCK_ROWS, count_blocks
from sparkweights.models.registry import declaration
from sparkweights.probability.corrections import Ledger
from sparkweights.probability.focal import invert_focal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


EXACT = {
    "batch_rows": 0,
    "optimizer": "sgd",
    "learning_rate": 2.0,
    "momentum": 0.8,
    "schedule": "constant",
    "rounds": 150,
}


def _frame(classes: int, seed: int, rows: int = 1_500) -> pd.DataFrame:
    """Return correlated features in unlike units, classes and weights."""
    rng = np.random.default_rng([seed, classes])
    x = rng.normal(size=(rows, 3)) @ (np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
    score = x @ rng.normal(size=(3, classes)) + rng.normal(size=classes)
    y = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    frame = pd.DataFrame(x * [1, 100, 0.01] + [50, 0, -1], columns=["a", "b", "c"])
    return frame.assign(constant=7.0, y=y.astype(float), w=rng.uniform(0.5, 3.0, rows))


def _vectors(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(frame).select(
        array_to_vector(F.array("a", "b", "c", "constant")).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.col("w").alias(WEIGHT),
    )


def _fit(df: DataFrame, params: dict[str, Any], classes: int, kind: str = "mini_batch") -> Any:
    return learner(kind).fit(df, params, seed=1, classes=classes)


def test_model_is_the_same_to_the_last_bit_for_other_partitions_and_order(
    spark: SparkSession,
) -> None:
    """The rows' own numbers decide which block and batch they are in."""
    frame = _frame(3, 1)
    params = {"rounds": 2, "sampling": "loss", "batch_rows": 100}
    one = _fit(_vectors(spark, frame).coalesce(1), params, 3)
    shuffled = _vectors(spark, frame.sample(frac=1, random_state=2)).repartition(3)
    other: MiniBatchModel = _fit(shuffled, params, 3)
    assert (one.parameters == other.parameters).all()
    assert one.rounds == other.rounds
    assert (one.parameters[:, 3] == 0).all()  # a feature without variance says nothing


def test_focal_correction_of_columns_is_that_of_arrays(spark: SparkSession) -> None:
    """From certainty to certainty, with weights and factors, for two classes and three."""
    rng = np.random.default_rng(3)
    for classes in (2, 3):
        q = rng.dirichlet(np.full(classes, 0.05), 60)
        q[:2] = np.eye(classes)[:2]
        names = [f"class {c}" for c in range(classes)]
        alpha = dict(zip(names, [0.5, 3.0, 1.0][:classes], strict=True))
        ledger = Ledger.by_hand(
            dict.fromkeys(names, 1 / classes), {n: 1.0 + c for c, n in enumerate(names)}
        ).with_focal_loss(2.0, alpha)
        df = spark.createDataFrame(pd.DataFrame(q, columns=names))
        natural = ledger.invert_weights([F.col(f"`{name}`") for name in names])
        found = df.select(*[p.alias(str(c)) for c, p in enumerate(natural)]).toPandas().to_numpy()
        eta = invert_focal(list(q.T), 2.0, tuple(alpha.values()))
        expected = np.stack(eta, axis=1) / (1.0 + np.arange(classes))
        expected /= expected.sum(axis=1, keepdims=True)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_slope_of_a_focal_model_is_that_of_its_distortion(spark: SparkSession) -> None:
    """Against the derivative of the inverse in arrays; of cross-entropy it is 1."""
    q = np.array([0.05, 0.3, 0.5, 0.9])
    model = MiniBatchModel(declaration("mini_batch"), 2, np.zeros((1, 2)), 2.0)
    df = spark.createDataFrame(pd.DataFrame({"q": q}))
    found = [row[0] for row in df.select(model.slope(F.col("q"))).collect()]

    def log_odds(margin: np.ndarray) -> np.ndarray:
        low, high = invert_focal([1 / (1 + np.exp(margin)), 1 / (1 + np.exp(-margin))], 2.0)
        return np.log(high / low)

    margin = np.log(q / (1 - q))
    rise = (log_odds(margin + 1e-5) - log_odds(margin - 1e-5)) / 2e-5
    assert found == pytest.approx(1 / rise, rel=1e-4)
    assert (rise > 1).all()  # focal loss learns margins that are too small


def test_rows_that_repeat_are_in_all_blocks(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four kinds of rows, 300 of each, in blocks of 100: none is a block of its own."""
    monkeypatch.setattr(packed_rows, "BLOCK_ROWS", 100)
    frame = pd.DataFrame({"a": [0.0, 1.0] * 600, "b": 1.0, "c": 2.0, "constant": 0.0, "w": 1.0})
    df = _vectors(spark, frame.assign(y=np.repeat([0.0, 1.0], 600))).coalesce(1)
    moments = packed_rows.collect_moments(df, 2)
    assert moments.repeated
    blocks = packed_rows.pack_rows(df, moments, seed=1).collect()
    labels = [np.frombuffer(block["labels"]) for block in blocks]
    assert sum(map(len, labels)) == 1_200
    assert len(labels) == 12
    assert all(60 < len(of_block) < 140 for of_block in labels)
    assert all(0.2 < of_block.mean() < 0.8 for of_block in labels)


def test_blocks_are_small_and_depend_on_the_rows_alone() -> None:
    """Neither too many rows, nor too many bytes, however wide the rows are."""
    assert count_blocks(1, 20) == 1
    assert count_blocks(4_000_000, 20) == -(-4_000_000 // BLOCK_ROWS)
    assert count_blocks(100_000, 4_000) * BLOCK_BYTES >= 100_000 * 4_000 * 4


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_all_rows_reach_the_optimum_of_mllib(spark: SparkSession, classes: int, seed: int) -> None:
    """Coefficients per standard deviation within 1e-3, without and with a penalty.

    But for the constant position: MLlib takes the last digits of its variance for a spread.
    """
    df = _vectors(spark, _frame(classes, seed)).cache()
    l2 = 0.02 if seed % 2 else 0.0
    found: MiniBatchModel = _fit(df, {**EXACT, "l2": l2}, classes)
    oracle = _fit(df, {"regParam": l2, "tol": 1e-10, "maxIter": 500}, classes, "logistic")
    unit = np.array([1, 100, 0.01])
    expected, slopes = oracle.slopes[:, :3], found.slopes[:, :3]
    if classes > 2:
        expected = expected - expected.mean(axis=0)
    assert np.abs((slopes - expected) * unit).max() < 1e-3
    df.unpersist()


@pytest.mark.slow
def test_focal_model_is_as_near_the_truth_as_cross_entropy_once_inverted(
    spark: SparkSession,
) -> None:
    """Data of a known law: 1.5 times cross-entropy's error, and a third of the distorted one's."""
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 8, 30_000)
    truth = rng.uniform(0.02, 0.6, 8)
    frame = pd.DataFrame({"cell": cells, "y": (rng.random(len(cells)) < truth[cells]) * 1.0})
    one_hot = [(F.col("cell") == c).cast("double") for c in range(8)]
    df = spark.createDataFrame(frame).select(
        array_to_vector(F.array(*one_hot)).alias(FEATURES),
        F.col("y").alias(LABEL),
        F.lit(1.0).alias(WEIGHT),
        "cell",
    )
    ledger = Ledger.by_hand({"good": 0.7, "bad": 0.3})
    errors = {}
    for gamma in (0.0, 2.0):
        model: MiniBatchModel = _fit(df.drop("cell"), {**EXACT, "focal_gamma": gamma}, 2)
        learned = model.scores(F.col(MARGIN))
        natural = ledger.with_focal_loss(model.focal_gamma).invert_weights(learned)
        scored_df = model.append_margin(df).groupBy("cell")
        means = scored_df.agg(F.avg(learned[1]), F.avg(natural[1])).orderBy("cell").collect()
        errors[gamma] = np.abs(np.array([row[1:] for row in means]) - truth[:, None]).mean(axis=0)
    assert errors[2.0][1] <= 1.5 * errors[0.0][1]
    assert errors[2.0][1] <= errors[2.0][0] / 3
