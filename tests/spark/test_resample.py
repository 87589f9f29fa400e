"""Resampled rows are the same on every run, and optimise what weights optimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, InputError, ModelError
from sparkweights.core.roles import ColumnRoles
from sparkweights.probability.corrections import RESAMPLING, Ledger
from sparkweights.sampling.resample import Resampling, resample, resampling
from sparkweights.weights.choose import weigh_frequencies
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROLES = ColumnRoles(("id",), "y", {"repay": 0, "default": 1}, ("x1", "x2"), ())
ROWS = 40_000


@pytest.fixture(scope="module")
def people(unobserved: SparkSession) -> DataFrame:
    """Rows drawn from a known logistic model with one default in ten."""
    rng = np.random.default_rng(8)
    x1, x2 = rng.normal(size=ROWS), rng.normal(size=ROWS)
    p = 1 / (1 + np.exp(-(-2.8 + 0.9 * x1 - 0.6 * x2)))
    frame = pd.DataFrame({
        "id": np.arange(ROWS),
        "x1": x1,
        "x2": x2,
        "p": p,
        "y": (rng.random(ROWS) < p).astype(int),
    })  # fmt: skip
    return VectorAssembler(inputCols=["x1", "x2"], outputCol="features").transform(
        unobserved.createDataFrame(frame)
    )


def _plan(df: DataFrame, method: str, ratio: float) -> Resampling:
    counts = {row["y"]: row["count"] for row in df.groupBy("y").count().collect()}
    frequencies = [
        ClassFrequency(name, counts[c], counts[c], counts[c])
        for c, name in enumerate(ROLES.class_names)
    ]
    return resampling(frequencies, method=method, ratio=ratio)


def _ids(df: DataFrame) -> list[int]:
    return sorted(row["id"] for row in df.select("id").collect())


@pytest.mark.parametrize(
    ("method", "ratio"),
    [("under", 0.5), ("over", 0.5), pytest.param("over", 1.0, marks=pytest.mark.slow)],
)
def test_resample_meets_the_ratio_it_states(people: DataFrame, method: str, ratio: float) -> None:
    """The sampled prior is what was asked for, and what the rows then hold."""
    plan = _plan(people, method, ratio)
    kept_df = resample(people, ROLES, plan, seed=1, weight_col="w")
    share = plan.sampled_prior["default"]
    assert share / (1 - share) == pytest.approx(ratio)
    rows = kept_df.count()
    found = kept_df.filter("y = 1").count() / rows
    assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / rows))


def test_resampling_with_weights_says_the_ratio_that_training_has() -> None:
    """Of 900 and 100 rows, thinned to 1 : 1 and weighted 9 : 1, the rare class carries .9."""
    rows = [ClassFrequency("repay", 900, 900, 900), ClassFrequency("default", 100, 100, 100)]
    plan = resampling(rows, method="under").with_weights(
        weigh_frequencies(rows, WeightSpec("balanced")).trained_shares
    )
    assert plan.sampled_prior == pytest.approx({"repay": 0.5, "default": 0.5})
    assert plan.trained_prior == pytest.approx({"repay": 0.1, "default": 0.9})
    assert plan.to_dict()["trained_prior"] == plan.trained_prior
    assert "repay 10 %, default 90 %, a ratio of 9 of 'default' to 1" in plan.sentence("balanced")


def test_resample_same_seed_keeps_the_same_rows_under_any_partitioning(
    people: DataFrame,
) -> None:
    """On retry, and with 3 or 7 partitions; another seed keeps others."""
    plan = _plan(people, "under", 0.5)
    kept = [
        _ids(resample(df, ROLES, plan, seed=1, weight_col="w"))
        for df in (people, people.repartition(3), people.repartition(7, "x1"))
    ]
    assert kept[0] == kept[1] == kept[2]
    assert kept[0] != _ids(resample(people, ROLES, plan, seed=2, weight_col="w"))


def test_resample_correction_weights_give_the_population_back(people: DataFrame) -> None:
    """Weighted by 1 / rate, the sample holds what the table held, within sampling error."""
    plan = _plan(people, "under", 1.0)
    kept_df = resample(people, ROLES, plan, seed=3, weight_col="w")
    row = kept_df.agg(F.sum("w").alias("rows"), F.sum(F.expr("w * y")).alias("bad")).first()
    assert row is not None
    rate = plan.rates["repay"]
    error = np.sqrt(ROWS * (1 - rate) / rate)
    assert row["rows"] == pytest.approx(ROWS, abs=4 * error)
    assert row["bad"] == people.filter("y = 1").count()


@pytest.mark.slow
def test_resampling_and_weighting_optimise_the_same_objective(people: DataFrame) -> None:
    """Logistic coefficients agree within sampling error; undone, both meet the truth."""
    plan = _plan(people, "under", 1.0)
    sampled_df = resample(people, ROLES, plan, seed=3, weight_col="w")
    rates = [plan.rates[name] for name in ROLES.class_names]
    weighted_df = people.withColumn(
        "rate", F.element_at(F.array(*map(F.lit, rates)), F.col("y").cast("int") + 1)
    )
    maker: dict[str, Any] = {"labelCol": "y", "tol": 1e-10}
    by_weight = LogisticRegression(weightCol="rate", **maker).fit(weighted_df)
    by_rows = LogisticRegression(**maker).fit(sampled_df)
    ours = np.array([by_weight.intercept, *by_weight.coefficients])
    theirs = np.array([by_rows.intercept, *by_rows.coefficients])
    # A coefficient of a balanced sample of n rows has a standard error of about 2 / sqrt(n).
    error = 2.2 / np.sqrt(sampled_df.count())
    assert np.abs(ours - theirs).max() < 4 * error
    ledger = Ledger(plan.prior).with_reweighting(RESAMPLING, plan.rule())
    scored_df = by_rows.transform(people.withColumn("p_true", F.col("p")))
    with pytest.raises(ModelError, match="still carry the resampled resampling"):
        ledger.require_natural()
    array = vector_to_array(F.col("probability"))
    undone = ledger.invert_weights([array.getItem(0), array.getItem(1)])[1]
    found = scored_df.select(
        F.mean(undone), F.mean("y"), F.mean(F.abs(undone - F.col("p")))
    ).first()
    assert found is not None
    mean, share, distance = found
    assert mean == pytest.approx(share, rel=0.03)
    assert distance < 0.01


def test_resample_bad_input_is_one_sentence(people: DataFrame) -> None:
    """Method, ratio, an empty class, and a column that exists already."""
    plan = _plan(people, "under", 0.5)
    rows = [ClassFrequency("repay", 9, 9, 9), ClassFrequency("default", 0, 0, 0)]
    with pytest.raises(ConfigError, match=r"resample.method: 'smote'; allowed: under, over"):
        resampling(rows, method="smote")
    with pytest.raises(ConfigError, match=r"resample.ratio: 0; allowed: a number in \(0, 1\]"):
        resampling(rows, method="under", ratio=0)
    with pytest.raises(InputError, match="No rows of class default"):
        resampling(rows, method="under")
    with pytest.raises(InputError, match="would add column 'p'"):
        resample(people, ROLES, plan, seed=1, weight_col="p")
    with pytest.raises(InputError, match="has no column 'id'"):
        resample(people.drop("id"), ROLES, plan, seed=1, weight_col="w")
