"""Does every row have keys of its own? Counted exactly, in one small job."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from sparkweights.core.columns import column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

PACKED_BITS = 6  # a long holds one bit for each of 64 neighbouring keys


class KeyCounts(NamedTuple):
    """Rows, and values of their keys together."""

    rows: int
    distinct: int


class Repeats(NamedTuple):
    """Values of the keys that occur more than once, and the rows that hold them."""

    values: int
    rows: int


def count_keys(df: DataFrame, keys: Sequence[str]) -> KeyCounts:
    """Count rows and distinct keys, in one Spark job; no key may be null.

    Keys are usually numbered, so that neighbours exist: 64 of them share a group, whose bits say
    which there are. Where there are no neighbours this is a grouping by key, as ever.
    """
    groups, bit = _packed(df, keys)
    found = (
        df.groupBy(*groups)
        .agg(F.count(F.lit(1)).alias("__rows"), F.bit_or(bit).alias("__bits"))
        .agg(F.sum("__rows").alias("rows"), F.sum(F.bit_count("__bits")).alias("distinct"))
        .first()
    )
    assert found is not None  # noqa: S101 (an aggregate without groups has its row)
    return KeyCounts(found["rows"] or 0, found["distinct"] or 0)


def _packed(df: DataFrame, keys: Sequence[str]) -> tuple[list[Column], Column]:
    """Return what to group by, and the bit of a row in its group."""
    whole = [key for key in keys if isinstance(df.schema[key].dataType, T.IntegralType)]
    if not whole:
        return [column(key) for key in keys], F.lit(1).cast("long")
    last = column(whole[-1]).cast("long")
    others = [column(key) for key in keys if key != whole[-1]]
    place = last.bitwiseAND(F.lit(2**PACKED_BITS - 1)).cast("int")
    bit = F.call_function("shiftleft", F.lit(1).cast("long"), place)
    return [*others, F.shiftright(last, PACKED_BITS)], bit


def count_repeats(df: DataFrame, keys: Sequence[str]) -> Repeats:
    """Count the keys that rows share, in one Spark job."""
    found = (
        df.groupBy(*map(column, keys))
        .agg(F.count(F.lit(1)).alias("__n"))
        .filter(F.col("__n") > 1)
        .agg(F.count(F.lit(1)).alias("values"), F.sum("__n").alias("rows"))
        .first()
    )
    assert found is not None  # noqa: S101 (as above)
    return Repeats(found["values"], found["rows"] or 0)
