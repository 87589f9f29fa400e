"""Standardised rows in blocks, kept for the many passes of a training in rounds.

A block is one row of a table: the numbers of up to `BLOCK_ROWS` rows as bytes. A pass then moves
bytes between Java and Python and no single values, which takes a fraction of the time.

Rows are assigned to blocks, and ordered within them, by a hash of their own numbers and the seed.
Blocks are thus random samples of the rows, and the same rows give the same blocks, however they
were ordered or partitioned before. That takes one shuffle. Where many rows repeat others, whose
hashes are equal, the repetitions are numbered first, which takes another one: equal rows belong
into all blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import Window
from pyspark.sql import functions as F

from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.models.rounds import Block, BlockResult, block_round

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.models.losses import Array
    from sparkweights.models.optimizers import State
    from sparkweights.models.rounds import RoundSettings
    from sparkweights.models.row_sample import RowSample

BLOCK_ROWS, BLOCK_BYTES = 131_072, 32 << 20  # a block has no more than either
MAX_REPEATED = 0.1  # share of the rows; with more, repetitions are numbered
_HASH, _VALUES = "hash", "values"
_BLOCK_TYPES = {
    "key": pa.int64(),
    "features": pa.binary(),
    "labels": pa.binary(),
    "weights": pa.binary(),
}
_RESULT_TYPES = {
    "key": pa.int64(),
    "rows": pa.int64(),
    "arrays": pa.binary(),
    "losses": pa.binary(),
    "weights": pa.binary(),
    "gradient_sum": pa.binary(),
    "square_sum": pa.float64(),
    "largest": pa.float64(),
    "clipped": pa.int64(),
}


@dataclass(frozen=True)
class Moments:
    """Counts and moments of weighted rows, to some seven digits.

    The last digits of a sum depend on the order in which Spark adds its parts. Rounded moments do
    not; any numbers near the moments standardise as well.

    Attributes
    ----------
    rows
        How many there are.
    weights
        Sum of the training weights per class.
    mean, deviation
        ``[position]``: weighted mean and standard deviation of the features, where a weight counts
        as a repetition.
    repeated
        Whether many rows repeat others.
    class_rows
        How many rows there are of each class; empty where nothing asks.
    """

    rows: int
    weights: Array
    mean: Array
    deviation: Array
    repeated: bool = False
    class_rows: tuple[int, ...] = ()


def collect_moments(fit_df: DataFrame, classes: int) -> Moments:
    """Compute the moments of the rows, in one Spark job."""
    content = F.xxhash64(vector_to_array(F.col(FEATURES)), LABEL, WEIGHT)
    weight = F.col(WEIGHT)
    measures = ("mean", "variance", "min", "max")
    summary = Summarizer.metrics(*measures).summary(F.col(FEATURES), weight)
    groups = (
        fit_df.groupBy(LABEL)
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(weight).alias("weight"),
            F.sum(weight * weight).alias("square"),
            F.approx_count_distinct(content, 0.02).alias("distinct"),
            summary.alias("summary"),
        )
        .select(
            LABEL,
            "rows",
            "weight",
            "square",
            "distinct",
            *[vector_to_array(F.col(f"summary.{name}")).alias(name) for name in measures],
        )
        .orderBy(LABEL)
        .collect()
    )
    weights, class_rows = np.zeros(classes), [0] * classes
    for row in groups:
        weights[int(row[LABEL])] = row["weight"]
        class_rows[int(row[LABEL])] = row["rows"]
    shares = np.array([row["weight"] for row in groups]) / weights.sum()
    means, variances, lowest, highest = (
        np.array([row[name] for row in groups]) for name in measures
    )
    # MLlib's variance is that of reliability weights, whose divisor is not the sum of weights.
    divisors = np.array([1 - row["square"] / row["weight"] ** 2 for row in groups])
    mean = shares @ means
    variance = shares @ (variances * divisors[:, None] + (means - mean) ** 2)
    # The sums of a feature without variance give one of some last digits.
    varies = lowest.min(axis=0) < highest.max(axis=0)
    deviation = _rounded(np.where(varies, np.sqrt(variance), 0.0))
    unit = np.where(deviation > 0, deviation / 1_024, 1.0)
    mean = np.round(mean / unit) * unit
    rows = sum(class_rows)
    repeated = sum(row["distinct"] for row in groups) < (1 - MAX_REPEATED) * rows
    return Moments(rows, _rounded(weights), mean, deviation, repeated, tuple(class_rows))


def _rounded(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def count_blocks(rows: int, positions: int) -> int:
    """Return into how many blocks rows are packed; it depends on nothing else."""
    row_bytes = 4 * positions
    return max(1, math.ceil(rows / BLOCK_ROWS), math.ceil(rows * row_bytes / BLOCK_BYTES))


def pack_rows(
    fit_df: DataFrame, moments: Moments, seed: int, sample: RowSample | None = None
) -> DataFrame:
    """Return standardised rows in blocks: a table of keys and bytes, one row per block.

    Features are standardised in 64-bit numbers and kept in 32-bit numbers. Those without variance
    become 0. Rows that a sample leaves out are not shuffled.
    """
    mean, deviation = moments.mean, moments.deviation
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)

    def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pack_block(batches, mean, scale)

    values_df = fit_df.select(vector_to_array(F.col(FEATURES)).alias(_VALUES), LABEL, WEIGHT)
    hashed_df = values_df.withColumn(_HASH, F.xxhash64(_VALUES, LABEL, WEIGHT, F.lit(seed)))
    rows = moments.rows if sample is None else sample.rows
    blocks = count_blocks(rows, len(mean))
    if moments.repeated and (blocks > 1 or rows < moments.rows):
        number = F.row_number().over(Window.partitionBy(_HASH).orderBy(_HASH))
        hashed_df = hashed_df.withColumn(_HASH, F.xxhash64(_HASH, number))
    if sample is not None:
        hashed_df = sample.draw(hashed_df, _HASH)
    return hashed_df.repartition(blocks, _HASH).mapInArrow(
        pack, "key long, features binary, labels binary, weights binary"
    )


def pack_block(
    batches: Iterable[pa.RecordBatch], mean: Array, scale: Array
) -> Iterator[pa.RecordBatch]:
    """Pack the rows of a partition into one block, in the order of their hashes."""
    features, others = list[np.ndarray](), list[pa.RecordBatch]()
    for batch in batches:
        if batch.num_rows:
            values = np.asarray(batch.column(_VALUES).flatten()).reshape(batch.num_rows, -1)
            features.append(((values - mean) * scale).astype(np.float32))
            others.append(batch.select([LABEL, WEIGHT, _HASH]))
    if not features:
        return
    table = pa.Table.from_batches(others)
    hashes = np.asarray(table[_HASH])
    order = np.argsort(hashes, kind="stable")
    columns = [np.concatenate(features), *(np.asarray(table[name]) for name in (LABEL, WEIGHT))]
    contents = [np.ascontiguousarray(column[order]).tobytes() for column in columns]
    yield _record(_BLOCK_TYPES, [int(hashes[order[0]]), *contents])


def collect_round(
    packed_df: DataFrame, state: State, number: int, settings: RoundSettings
) -> list[BlockResult]:
    """Run a round on every block, in one Spark job; a small row per block comes back."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for stated in batch.to_pylist():
                result = block_round(_block(stated), state, number, settings)
                yield _record(_RESULT_TYPES, list(map(_plain, result)))

    rows = packed_df.mapInArrow(
        run,
        "key long, rows long, arrays binary, losses binary, weights binary, gradient_sum binary, "
        "square_sum double, largest double, clipped long",
    ).collect()
    return [_result(row.asDict(), state.parameters.shape) for row in rows]


def _block(stated: Mapping[str, Any]) -> Block:
    labels, weights = (np.frombuffer(stated[name]) for name in ("labels", "weights"))
    features = np.frombuffer(stated["features"], dtype=np.float32)
    return Block(stated["key"], features.reshape(len(labels), -1), labels, weights)


def _result(stated: Mapping[str, Any], shape: tuple[int, ...]) -> BlockResult:
    arrays = {
        name: np.frombuffer(stated[name])
        for name, kind in _RESULT_TYPES.items()
        if kind == pa.binary()
    }
    arrays["arrays"] = arrays["arrays"].reshape(-1, *shape)
    arrays["gradient_sum"] = arrays["gradient_sum"].reshape(shape)
    return BlockResult(**{**stated, **arrays})


def _plain(value: object) -> object:
    return value.tobytes() if isinstance(value, np.ndarray) else value


def _record(types: Mapping[str, pa.DataType], values: Sequence[object]) -> pa.RecordBatch:
    """Return a batch of one row."""
    arrays = [pa.array([value], kind) for kind, value in zip(types.values(), values, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))
