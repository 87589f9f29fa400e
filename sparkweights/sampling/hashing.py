"""Random numbers that depend on a row's own columns: the same on every run and partitioning."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

_BITS = 53  # as many as a double holds exactly


class Stream(IntEnum):
    """The use of a random number; each use has its own salt, so that uses are independent.

    Test rows, for example, have split numbers above a boundary: blocks drawn by the same numbers
    would not be a random sample of them.
    """

    SPLIT = 0
    RESAMPLING = 0x5EED
    ENCODING_FOLDS = 0xF01D
    BLOCKS = 0xB10C
    REVIEW = 0x100C
    PERMUTATION = 0xDEA1
    SAMPLE = 0xC005
    TUNING_FOLDS = 0x7F01


def uniform(names: Sequence[str], seed: int, stream: Stream = Stream.SPLIT) -> Column:
    """Return a number in [0, 1) that depends on the values of columns, the seed and its use alone.

    Rows that share their values share the number: rows of one key or group stay together.
    """
    bits = F.xxhash64(*map(column, names), F.lit(seed ^ stream))
    return F.shiftrightunsigned(bits, 64 - _BITS).cast("double") / float(1 << _BITS)
