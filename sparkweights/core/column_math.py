"""Arithmetic on Columns: sums that stay shallow, and probabilities from log odds."""

from __future__ import annotations

from functools import lru_cache, reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column


def literal_array(values: Sequence[float]) -> Column:
    """Return doubles as one literal array.

    Making it takes the engine a call per value, so the same values are made once in a process.
    """
    return _literal_array(np.array(values, dtype=np.float64).tobytes(), remote=is_remote())


@lru_cache(maxsize=256)
def _literal_array(doubles: bytes, *, remote: bool) -> Column:  # noqa: ARG001 (a key)
    return F.lit(np.frombuffer(doubles, dtype=np.float64))


def binary(log_odds: Column) -> list[Column]:
    """Return both probabilities of a log odds of the second class."""
    return [1 / (1 + F.exp(log_odds)), 1 / (1 + F.exp(-log_odds))]


def softmax(margin: Column, classes: int) -> list[Column]:
    """Return exp(m_c) / sum exp(m_k), without overflow."""
    largest = F.array_max(margin)
    return normalised([F.exp(margin.getItem(c) - largest) for c in range(classes)])


def balanced_sum(terms: Sequence[Column]) -> Column:
    """Return the sum as a binary tree, whose depth is the logarithm of the number of terms."""
    level = list(terms)
    while len(level) > 1:
        pairs = [level[i] + level[i + 1] for i in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def normalised(values: list[Column]) -> list[Column]:
    """Return values divided by their sum."""
    total = reduce(add, values)
    return [value / total for value in values]
