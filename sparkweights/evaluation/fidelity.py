"""Fidelity: how closely a student follows its teacher on the same rows, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from sparkweights.evaluation.score_table import Array

_STEP, _BOUND = 0.25, 10.0  # bins of log odds, for ranks; their number bounds what is collected
_SMALLEST = 1e-12  # lower probabilities are clipped before a logarithm
_SUMS = ("difference", "divergence", "teacher_loss", "student_loss", "equal", "teacher", "student")


class Predicted(NamedTuple):
    """What a model says about a row.

    Attributes
    ----------
    probabilities
        Natural, of each class.
    decision, cost
        The decision of least expected cost, and its realised cost.
    """

    probabilities: Sequence[Column]
    decision: Column
    cost: Column


@dataclass(frozen=True)
class Fidelity:
    """Agreement of a student with its teacher on some rows; means are by sample weight.

    Attributes
    ----------
    rows
        How many.
    mean_difference
        Mean |p_s - p_t| over rows and classes.
    divergence
        Mean Kullback-Leibler divergence sum_c p_t log(p_t / p_s), in nats.
    teacher_loss, student_loss
        Mean log loss against the outcomes, in nats.
    equal_decisions
        Share of the rows that both decide alike.
    teacher_cost, student_cost
        Mean realised cost of a row, in the currency of the table.
    teacher_savings, student_savings
        1 - cost / cost of the best constant decision on these rows; NaN where that is free.
    rank_correlation
        Spearman's, of the probability of the rarest class in bins of log odds with mid-ranks; NaN
        where one of the two is the same on all rows.
    """

    rows: int
    mean_difference: float
    divergence: float
    teacher_loss: float
    student_loss: float
    equal_decisions: float
    teacher_cost: float
    student_cost: float
    teacher_savings: float
    student_savings: float
    rank_correlation: float


@dataclass(frozen=True)
class FidelityResult:
    """Fidelity on all rows, on those of the rarest class, and by segment."""

    overall: Fidelity
    rare_class: Fidelity
    segments: Mapping[tuple[str | None, ...], Fidelity]


def collect_fidelity(
    df: DataFrame,
    teacher: Predicted,
    student: Predicted,
    *,
    index: Column,
    rare: int,
    constant_costs: Sequence[Column],
    by: Sequence[str] = (),
    weight: Column,
) -> FidelityResult:
    """Compare a student with its teacher in one Spark job.

    Rows without a cost under one of the two are left out.

    Parameters
    ----------
    index
        The row's class as a position.
    rare
        Position of the rarest class.
    constant_costs
        Of each decision, its realised cost on the row.
    by
        Columns whose values together are a segment.
    weight
        Sample weight of the row.
    """
    measures = _measures(teacher, student, index)
    sums = [F.sum(weight * value).alias(name) for name, value in measures.items()]
    sums += [F.sum(weight * cost).alias(f"constant_{i}") for i, cost in enumerate(constant_costs)]
    cells = (
        df.filter(teacher.cost.isNotNull() & student.cost.isNotNull())
        .groupBy(
            *[text(name).alias(f"by_{i}") for i, name in enumerate(by)],
            (index == rare).alias("rare"),
            _bin(teacher.probabilities[rare]).alias("teacher_bin"),
            _bin(student.probabilities[rare]).alias("student_bin"),
        )
        .agg(F.count(F.lit(1)).alias("rows"), F.sum(weight).alias("weight"), *sums)
        .toArrow()
    )
    every = np.ones(cells.num_rows, dtype=bool)
    is_rare = np.asarray(cells["rare"].combine_chunks().to_pylist(), dtype=bool)
    values = list(zip(*[cells[f"by_{i}"].to_pylist() for i in range(len(by))], strict=True))
    segments = {}
    for key in sorted(set(values), key=lambda key: [(part is None, part or "") for part in key]):
        segments[key] = _fidelity(cells, np.array([value == key for value in values], dtype=bool))
    return FidelityResult(_fidelity(cells, every), _fidelity(cells, is_rare), segments)


def _measures(teacher: Predicted, student: Predicted, index: Column) -> dict[str, Column]:
    pairs = list(zip(teacher.probabilities, student.probabilities, strict=True))
    logs = [(_log(p), _log(q)) for p, q in pairs]
    differences = reduce(add, [F.abs(p - q) for p, q in pairs]) / len(pairs)
    divergence = reduce(
        add, [p * (log_p - log_q) for (p, _), (log_p, log_q) in zip(pairs, logs, strict=True)]
    )
    losses = [-F.get(F.array(*of_model), index) for of_model in zip(*logs, strict=True)]
    equal = (teacher.decision == student.decision).cast("double")
    values = (differences, divergence, *losses, equal, teacher.cost, student.cost)
    return dict(zip(_SUMS, values, strict=True))


def _log(probability: Column) -> Column:
    return F.log(F.greatest(probability, F.lit(_SMALLEST)))


def _bin(probability: Column) -> Column:
    clipped = F.greatest(F.least(probability, F.lit(1 - _SMALLEST)), F.lit(_SMALLEST))
    log_odds = F.log(clipped / (1 - clipped))
    bounded = F.greatest(F.least(log_odds, F.lit(_BOUND)), F.lit(-_BOUND))
    return F.floor(bounded / _STEP).cast("int")


def _fidelity(cells: pa.Table, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Fidelity:
    def column(name: str) -> Array:
        return np.asarray(cells[name].to_numpy(), dtype=float)[chosen]

    weight = column("weight")
    total = float(weight.sum())
    means = {name: float(column(name).sum()) / total if total else math.nan for name in _SUMS}
    constants = [name for name in cells.column_names if name.startswith("constant_")]
    best = min(float(column(name).sum()) for name in constants) / total if total else 0.0
    teacher_savings, student_savings = (
        1 - means[name] / best if best > 0 else math.nan for name in ("teacher", "student")
    )
    return Fidelity(
        rows=int(column("rows").sum()),
        mean_difference=means["difference"],
        divergence=means["divergence"],
        teacher_loss=means["teacher_loss"],
        student_loss=means["student_loss"],
        equal_decisions=means["equal"],
        teacher_cost=means["teacher"],
        student_cost=means["student"],
        teacher_savings=teacher_savings,
        student_savings=student_savings,
        rank_correlation=rank_correlation(column("teacher_bin"), column("student_bin"), weight),
    )


def rank_correlation(first: Array, second: Array, weight: Array) -> float:
    """Return Spearman's correlation of two binned scores, from their cells; NaN if one is constant.

    It is Pearson's correlation of mid-ranks, in which rows of one bin share their mean rank
    (Kendall 1945).

    Parameters
    ----------
    first, second, weight
        ``[cell]``: the bin under each score, and the weight of the rows in the cell.

    Examples
    --------
    >>> round(rank_correlation(np.array([1, 2, 2]), np.array([5, 6, 7]), np.ones(3)), 3)
    0.866
    """
    if not len(weight):
        return math.nan
    ranks = np.stack([_mid_ranks(first, weight), _mid_ranks(second, weight)])
    centred = ranks - (ranks @ weight)[:, None] / weight.sum()
    covariance = (centred * weight) @ centred.T
    scale = math.sqrt(covariance[0, 0] * covariance[1, 1])
    return float(covariance[0, 1] / scale) if scale > 0 else math.nan


def _mid_ranks(values: Array, weight: Array) -> Array:
    _, position = np.unique(values, return_inverse=True)
    sums = np.bincount(position, weight)
    ranks: Array = (np.cumsum(sums) - sums / 2)[position]
    return ranks
