"""Intervals from compact sums, without another pass over the rows.

What each row cost differs from row to row, so money is resampled by blocks: rows are dealt into
blocks at random, and blocks are drawn with replacement. What depends on the scores alone is
resampled from the table of scores: to draw rows with replacement is to draw the weights of its
entries from a multinomial distribution, which is exact for rows of equal weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparkweights.evaluate.table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkweights.evaluate.table import Array

Interval = tuple[float, float]

BLOCKS = 1_000
BLOCK_REPLICATES, TABLE_REPLICATES = 1_000, 200
LEVEL = 0.95


def block_replicates(sums: Sequence[Array], seed: int = 0) -> list[Array]:
    """Return what sums over the blocks would be if blocks were drawn with replacement.

    Parameters
    ----------
    sums
        Any number of ``[block]`` arrays of the same blocks; all are drawn together.

    Returns
    -------
    list
        A ``[replicate]`` array for each.
    """
    blocks = len(sums[0])
    drawn = np.random.default_rng(seed).integers(
        0, blocks, (BLOCK_REPLICATES, blocks), dtype=np.int32
    )
    return [own[drawn].sum(axis=1) for own in sums]


def percentile_interval(replicates: Array, level: float = LEVEL) -> Interval:
    """Return the percentile interval (Efron & Tibshirani 1993, ch. 13); NaN where some are."""
    if np.isnan(replicates).any():
        return (float("nan"), float("nan"))
    # The expected rank of a quantile; others are too narrow when replicates are few.
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(replicates, ends, method="weibull")
    return float(low), float(high)


def table_replicates(
    table: ScoreTable,
    positives: float,
    negatives: float,
    replicates: int = TABLE_REPLICATES,
    seed: int = 0,
) -> Iterator[ScoreTable]:
    """Yield tables of as many rows, drawn with replacement.

    Parameters
    ----------
    positives, negatives
        The effective number of rows of each side; of equal weights, their number.
    """
    held = table.weight > 0
    sides = np.array([table.positives[held], table.negatives[held]])
    weight = sides.sum(axis=1, keepdims=True)  # what a side weighs, in the rows that it counts for
    rows = np.where(weight > 0, np.array([[positives], [negatives]]), 0.0)
    per_row = np.divide(weight, rows, out=np.zeros_like(weight), where=rows > 0)
    cells = np.divide(sides, per_row, out=np.zeros_like(sides), where=per_row > 0)
    count = max(round(float(rows.sum())), 1)
    generator = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = generator.multinomial(count, (cells / cells.sum()).ravel()).reshape(sides.shape)
        yield ScoreTable(table.mean_score[held], *(drawn * per_row))
