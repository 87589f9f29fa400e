"""Decisions equal brute force on random prices and probabilities, whatever the numbers of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.policy import DecisionPolicy

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")


def test_what_is_no_number_gets_no_decision(spark: SparkSession) -> None:
    """NaN equals NaN in Spark, and would be the least cost of the decision declared first."""
    df = spark.createDataFrame(
        [(1.0, 2.0), (math.nan, math.nan), (math.nan, 2.0), (None, 2.0)], "a double, b double"
    )
    policy = DecisionPolicy(CostMatrix.zero_one(["good", "bad"]))
    found = df.select(policy.cheapest({"approve": F.col("a"), "decline": F.col("b")})).collect()
    assert [row[0] for row in found] == ["approve", None, None, None]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_decisions_equal_brute_force(spark: SparkSession, seed: int) -> None:
    """Up to 6 classes and 7 decisions, prices per row, ties, and prices that are missing."""
    rng = np.random.default_rng(seed)
    classes, decisions = int(rng.integers(2, 7)), int(rng.integers(2, 8))
    rows = 200
    p = rng.dirichlet(np.ones(classes), rows)
    amount = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(1, 9, rows) * 10.0)
    fixed = rng.integers(0, 4, (decisions, classes)).astype(float)
    rate = rng.integers(0, 3, (decisions, classes)) * (rng.random((decisions, classes)) < 0.5)
    names = [f"class {c}" for c in range(classes)]
    cells = {
        f"d{d}": {name: f"{fixed[d, c]} + {rate[d, c]} * amount" for c, name in enumerate(names)}
        for d in range(decisions)
    }
    matrix = CostMatrix.parse(cells, names)
    y = (p.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    frame = pd.DataFrame(p, columns=[f"p{c}" for c in range(classes)])
    frame = frame.assign(amount=amount, y=y, id=np.arange(rows))
    df = spark.createDataFrame(frame)
    policy = DecisionPolicy(matrix)
    expected = policy.expected_costs([F.col(f"p{c}") for c in range(classes)])
    chosen = policy.cheapest(expected)
    paid = policy.realised_cost(chosen, F.col("y"))
    found = df.select("id", chosen.alias("d"), paid.alias("paid"), *expected.values()).toPandas()
    found = found.sort_values("id", ignore_index=True)
    price = fixed[None] + rate[None] * amount[:, None, None]
    brute = np.einsum("nc,ndc->nd", p, price)
    ours = found.iloc[:, 3:].to_numpy()
    whole = ~np.isnan(amount)
    assert ours[whole] == pytest.approx(brute[whole], rel=1e-12)
    # The first of those that tie: argmin's own rule, on the numbers that Spark compared.
    best = np.argmin(ours[whole], axis=1)
    assert found["d"][whole].tolist() == [f"d{d}" for d in best]
    assert found["paid"][whole].to_numpy() == pytest.approx(
        price[whole][np.arange(whole.sum()), best, y[whole]]
    )
    undefined = np.isnan(brute).any(axis=1)
    assert found["d"][undefined].isna().all()
