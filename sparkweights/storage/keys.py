"""Counts of distinct and of repeated keys, exact, each in one Spark job."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

PACKED_BITS = 6  # a long has one bit for each of 64 neighbouring keys


class KeyCounts(NamedTuple):
    """How many rows there are, and how many distinct keys."""

    rows: int
    distinct: int


class Repeats(NamedTuple):
    """How many keys occur on more than one row, and on how many rows together."""

    values: int
    rows: int


def count_keys(df: DataFrame, keys: Sequence[str]) -> KeyCounts:
    """Count rows and distinct keys, in one Spark job; no key may be null.

    Keys are usually consecutive integers: 64 neighbouring ones share a group, and one bit of a long
    marks each key that occurs. Without an integer key, rows are grouped by key.
    """
    groups, bit = _packed(df, keys)
    counts = (
        df.groupBy(*groups)
        .agg(F.count(F.lit(1)).alias("__rows"), F.bit_or(bit).alias("__bits"))
        .agg(F.sum("__rows").alias("rows"), F.sum(F.bit_count("__bits")).alias("distinct"))
        .collect()[0]  # an aggregate without groups has one row
    )
    return KeyCounts(counts["rows"] or 0, counts["distinct"] or 0)


def _packed(df: DataFrame, keys: Sequence[str]) -> tuple[list[Column], Column]:
    """Return the columns to group by, and a row's bit in its group."""
    integers = [key for key in keys if isinstance(df.schema[key].dataType, T.IntegralType)]
    if not integers:
        return [column(key) for key in keys], F.lit(1).cast("long")
    last = column(integers[-1]).cast("long")
    others = [column(key) for key in keys if key != integers[-1]]
    position = last.bitwiseAND(F.lit(2**PACKED_BITS - 1)).cast("int")
    bit = F.call_function("shiftleft", F.lit(1).cast("long"), position)
    return [*others, F.shiftright(last, PACKED_BITS)], bit


def count_repeats(df: DataFrame, keys: Sequence[str]) -> Repeats:
    """Count the keys that occur on more than one row, in one Spark job."""
    repeats = (
        df.groupBy(*map(column, keys))
        .agg(F.count(F.lit(1)).alias("__n"))
        .filter(F.col("__n") > 1)
        .agg(F.count(F.lit(1)).alias("values"), F.sum("__n").alias("rows"))
        .collect()[0]
    )
    return Repeats(repeats["values"], repeats["rows"] or 0)
