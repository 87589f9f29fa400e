"""Distinct keys are counted exactly, whatever their types, signs and neighbours."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from sparkweights.storage.keys import count_keys, count_repeats

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("ddl", "keys"),
    [
        ("id bigint", ["id"]),
        ("id int", ["id"]),
        ("id tinyint", ["id"]),
        ("id string", ["id"]),
        ("branch string, id bigint", ["branch", "id"]),
        ("id bigint, branch string", ["id", "branch"]),
        ("a smallint, b int", ["a", "b"]),
        ("day date, branch string", ["day", "branch"]),
        ("rows string, bits string, n date", ["rows", "bits", "n"]),
        ("`loan.id` decimal(20,0)", ["loan.id"]),
    ],
)
def test_count_keys_equals_pandas(spark: SparkSession, ddl: str, keys: list[str]) -> None:
    """On random tables with many repeats, counts are those of a plain grouping."""
    rng = np.random.default_rng(len(ddl))
    numbers = rng.integers(-100, 100, (400, 3))
    fields = spark.createDataFrame([], ddl).schema.fields
    frame = pd.DataFrame({
        field.name: [_value(field.dataType.typeName(), int(n)) for n in numbers[:, i]]
        for i, field in enumerate(fields)
    })  # fmt: skip
    df = spark.createDataFrame(frame.to_numpy(dtype=object).tolist(), ddl).repartition(3)
    sizes = frame.groupby(keys).size()
    assert count_keys(df, keys) == (400, len(sizes))
    assert count_repeats(df, keys) == ((sizes > 1).sum(), sizes[sizes > 1].sum())


def _value(kind: str, number: int) -> object:
    if kind == "string":
        return f"b{number % 7}"
    if kind == "date":
        return pd.Timestamp("2026-01-01").date() + pd.Timedelta(days=number)
    return number if not kind.startswith("decimal") else Decimal(number)


def test_count_keys_the_ends_of_a_long_are_apart(spark: SparkSession) -> None:
    """Neither sign nor the last bits are lost, and an empty table has no keys."""
    values = [LEAST, LEAST + 1, -64, -63, -1, 0, 1, 63, 64, MOST - 1, MOST, MOST]
    df = spark.createDataFrame([(value,) for value in values], "id bigint")
    assert count_keys(df, ["id"]) == (12, 11)
    assert count_keys(df.limit(0), ["id"]) == (0, 0)
    assert count_repeats(df, ["id"]) == (1, 2)
