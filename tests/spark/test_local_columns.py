"""What numpy computes of a table's columns on one machine is what Spark computes of them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.core.columns import text
from sparkweights.costs.expression import parse
from sparkweights.features.encoders import (
    BinnedFeature,
    CategoricalFeature,
    NumericBlock,
    NumericFeature,
    OrderedFeature,
    TargetFeature,
)
from sparkweights.features.plan import FeaturePlan
from sparkweights.local.columns import InputColumns
from sparkweights.local.corrections import class_weights
from sparkweights.local.encoders import LocalPlan
from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule
from sparkweights.weights.spark import class_weight_columns, group_key

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")

SCHEMA = (
    "id int, x double, y float, town string, code double, price decimal(12,2), n bigint, "
    "flag boolean, day date, at timestamp_ntz"
)
TOWNS = ["oslo", "bergen", None, "", 'a"b\\c\nd\u0001é', "unseen"]
NUMBERS = [None, math.nan, 0.0, -0.0, 1.0, 1.5, -2.0, 1e7, 12345678.5, 0.00025, 3e21, 1e-19]
EDGES = (-1.0, 0.0, 1.5)
LEVELS = ("bergen", "oslo")
PLAN = FeaturePlan((
    NumericFeature("x", 0.5, flag_missing=True),
    NumericFeature("x", 0.5, flag_missing=False, knots=((-1.0, -2.0), (0.0, 0.1), (1.5, 3.0))),
    NumericFeature("y", None, flag_missing=False, knots=((-1.0, -2.0), (2.0, 3.0))),
    NumericBlock(("y", "n"), (None, 4.0), ("n",)),
    CategoricalFeature("town", LEVELS),
    CategoricalFeature("flag", ("true",)),
    OrderedFeature("code", ("0", "1", "1.5", "10000000")),
    TargetFeature("town", ((1.0, 5.0), (2.0, 6.0), (3.0, 7.0), (4.0, 8.0)), ("b", "c"), LEVELS),
    BinnedFeature("x", tuple((float(i), -float(i)) for i in range(5)), ("b", "c"), EDGES),
))  # fmt: skip


def _rows() -> list[tuple[Any, ...]]:
    days = pd.date_range("2023-12-30", periods=40, freq="17D")
    return [
        (
            i,
            NUMBERS[i % len(NUMBERS)],
            None if i % 7 == 0 else float(np.float32(i / 8 - 2)),
            TOWNS[i % len(TOWNS)],
            NUMBERS[(i * 5 + 1) % len(NUMBERS)],
            None if i % 9 == 0 else Decimal(i) / 4,
            None if i % 5 == 0 else i - 3,
            None if i % 4 == 0 else i % 3 == 0,
            None if i % 11 == 0 else days[i].date(),
            days[i].to_pydatetime(),
        )
        for i in range(40)
    ]


def _rule(window: str, time: str, keys: list[str], by: tuple[str, ...]) -> WeightRule:
    factors = {key: (1.0 + i, 2.0 * i) for i, key in enumerate(keys)}
    groups = GroupFactors(Grouping(by, time, window), factors, (0.25, 0.5))
    cells = (parse("1"), parse("max(coalesce(x, 2), price / n)"))
    return WeightRule("manual", ("a", "b"), cells, 0.7, 0.1, 6.0, groups)


def test_columns_in_numpy_equal_those_of_spark(spark: SparkSession) -> None:
    """Encodings, texts of categories and weights of groups, over null, NaN, unseen and odd text."""
    df = spark.createDataFrame(_rows(), SCHEMA)
    columns = InputColumns(pd.DataFrame(_rows(), columns=[field.name for field in df.schema]))
    groupings = [
        Grouping(("town", "code"), "day", "week"),
        Grouping(("flag",), "at", "quarter"),
        Grouping((), "day", "year"),
        Grouping(("n",), "at", "day"),
        Grouping(("price",), "day", "month"),
    ]
    keyed = df.select(*[group_key(one).alias(f"g{i}") for i, one in enumerate(groupings)]).collect()
    rules = [
        _rule(str(one.window), str(one.time), sorted({row[i] for row in keyed[::2]}), one.by)
        for i, one in enumerate(groupings)
    ]
    names = ("town", "code", "price", "n", "flag", "y")
    found = (
        df.select(
            "id",
            PLAN.array().alias("positions"),
            F.array(*[text(name) for name in names]).alias("texts"),
            F.array(*[F.array(*class_weight_columns(rule)) for rule in rules]).alias("weights"),
        )
        .orderBy("id")
        .collect()
    )
    plan = LocalPlan.from_dict(PLAN.to_dict())
    assert plan.matrix(columns) == pytest.approx(
        np.array([row["positions"] for row in found]), rel=1e-12, nan_ok=True
    )
    texts = [columns.text(name).tolist() for name in names]
    assert list(map(list, zip(*texts, strict=True))) == [row["texts"] for row in found]
    weights = np.array([class_weights(rule, columns) for rule in rules])
    of_spark = np.array([row["weights"] for row in found], dtype=float)
    assert np.moveaxis(weights, 2, 0) == pytest.approx(of_spark, rel=1e-12, nan_ok=True)
