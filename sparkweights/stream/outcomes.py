"""Delayed outcomes: scored rows wait for one, and are summed up when it has come.

Rows wait in files of the stream's folder and not in Spark's own store of a stream-to-stream join:
that store is binary and its join emits rows later than the batch that completes them, while files
are committed with the batch, can be read, and hold what was decided and at which probabilities.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, optional_weight
from sparkweights.costs.matrix import REVIEW
from sparkweights.costs.spark import to_column
from sparkweights.probability.label_shift import collect_cells
from sparkweights.probability.priors import ScoreHistogram
from sparkweights.sampling.split import time_kind, time_order
from sparkweights.spec.outputs import UNSCORABLE, probability_col
from sparkweights.stream.adwin import Moments
from sparkweights.stream.window import Bucket
from sparkweights.weights.class_frequencies import ClassFrequencies

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.probability.corrections import Ledger
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.problem import DecisionProblem

TIME, CLASS, TIMES = "__time", "__class", "__times"  # event time, class index, sample weight
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)  # of event times that are dates
COSTS, PRICE, INPUTS, BASE, REFERENCE = "__costs", "__price", "__inputs", "__base", "__reference"


@dataclass(frozen=True)
class WaitingRows:
    """What is kept of scored rows until their outcome comes.

    Attributes
    ----------
    problem
        Roles and costs.
    published
        The scorer of the published model.
    learns
        Whether a learner needs the rows' features, and its scores differ from the published ones.
    """

    problem: DecisionProblem
    published: Scorer
    learns: bool

    def select(
        self, passing_df: DataFrame, scored_df: DataFrame, ledger: Ledger, time: Column
    ) -> DataFrame:
        """Return the scored rows with their costs and, for a learner, their features.

        Parameters
        ----------
        passing_df, scored_df
            The rows of a micro-batch before and after scoring. Rows that are set aside are in
            neither: one of them may have the keys of a scored row.
        ledger
            Of the probabilities in the scored rows.
        time
            The event time of a row; never null.
        """
        keys = self.problem.roles.keys
        kept = {TIME: time, COSTS: self._costs()}
        weight = optional_weight(passing_df.schema, self.problem.roles)
        kept[TIMES] = F.lit(1.0) if weight is None else weight
        if self.problem.review is not None:
            kept[PRICE] = to_column(self.problem.review.price)
        if self.learns:
            passing_df = self.published.score(passing_df)
            kept[INPUTS] = self.published.plan.array()
            kept[REFERENCE] = column(probability_col(rarest_class(self.published.ledger)))
        inputs_df = passing_df.select(
            *map(column, keys), *(value.alias(name) for name, value in kept.items())
        )
        probabilities = [column(probability_col(name)) for name in self.problem.classes]
        shift = ledger.shift
        base = probabilities if shift is None else shift.invert(probabilities)
        decided_df = scored_df.filter(F.col("decision") != UNSCORABLE).select(
            *map(column, keys),
            "decision",
            "expected_cost",
            *probabilities,
            F.array(*base).alias(BASE),
        )
        return inputs_df.join(decided_df, list(keys))

    def _costs(self) -> Column:
        """Return the costs of a row, ``[decision][class]``."""
        return F.array(*[F.array(*row) for row in self.problem.policy.costs()])

    def realised(self) -> Column:
        """Return the realised cost of a waiting row's decision, its class being known."""
        policy = self.problem.policy.reading(COSTS)
        realised = policy.realised_cost(F.col("decision"), F.col(CLASS))
        if self.problem.review is None:
            return realised
        least = F.least(*[F.get(row, F.col(CLASS)) for row in self._rows_of_costs()])
        reviewed = F.col("decision") == REVIEW
        return F.when(reviewed, F.col(PRICE) + least).otherwise(realised)

    def _rows_of_costs(self) -> list[Column]:
        return [F.get(F.col(COSTS), d) for d in range(len(self.problem.matrix.decisions))]

    def match(self, waiting_df: DataFrame, outcomes_df: DataFrame) -> DataFrame:
        """Return the waiting rows whose outcome has come, with its class and the realised cost."""
        matched_df = waiting_df.join(outcomes_df, list(self.problem.roles.keys))
        return matched_df.withColumn("realised_cost", self.realised())

    def collect_sums(self, matched_df: DataFrame, batch: int) -> OutcomeSums:
        """Sum up rows with outcome, in two Spark jobs over few columns."""
        classes, decisions = self.problem.classes, self.problem.matrix.decisions
        base = [f"__base_{c}" for c in range(len(classes))]
        based_df = matched_df.withColumns(
            {name: F.get(F.col(BASE), c) for c, name in enumerate(base)}
        )
        scores = collect_cells(based_df, base, index=F.col(CLASS), weight=F.col(TIMES))
        loss = _squared_error(classes)
        costs = [F.get(row, F.col(CLASS)) for row in self._rows_of_costs()]
        measures = {
            "rows": F.count(F.lit(1)),
            "weight": F.sum(TIMES),
            "square": F.sum(F.col(TIMES) * F.col(TIMES)),
            **{f"cost_{d}": F.sum(F.col(TIMES) * cost) for d, cost in enumerate(costs)},
            "realised": F.sum("realised_cost"),
            "expected": F.sum("expected_cost"),
            "loss": F.sum(loss),
            "loss_square": F.sum(loss * loss),
            "latest": F.max(TIME),
        }
        collected = (
            matched_df.groupBy(CLASS)
            .agg(*(value.alias(name) for name, value in measures.items()))
            .collect()
        )
        table = np.zeros((len(classes), len(measures)))
        for row in collected:
            table[row[CLASS]] = [rounded(row[name]) for name in measures]
        by_name = dict(zip(measures, table.T, strict=True))
        latest = max((row["latest"] for row in collected), default=0.0)
        rows = by_name["rows"]
        frequencies = ClassFrequencies.of(classes, rows, by_name["weight"], by_name["square"])
        per_decision = [by_name[f"cost_{d}"] for d in range(len(decisions))]
        bucket = Bucket(
            batch, latest, frequencies, _rounded_cells(scores), np.stack(per_decision, 1)
        )
        sums = {name: float(values.sum()) for name, values in by_name.items()}
        moments = Moments(batch, 1, sums["rows"], sums["loss"], sums["loss_square"])
        return OutcomeSums(bucket, moments, sums["realised"], sums["expected"])


@dataclass(frozen=True, eq=False)
class OutcomeSums:
    """Sums over rows whose outcome has come in a micro-batch.

    Attributes
    ----------
    bucket
        Classes, scores and costs.
    loss
        Squared errors of the decided probabilities, half their sum over the classes.
    realised, expected
        Costs of the decisions, and what was expected of them.
    """

    bucket: Bucket
    loss: Moments
    realised: float
    expected: float

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.loss.rows)


def event_time(df: DataFrame, roles: ColumnRoles, now: datetime) -> Column:
    """Return the event time of a row; 0 where the configuration names no column for it.

    It is null where the row has none, or a placeholder: see `time_range`.
    """
    if roles.time is None:
        return F.lit(0.0)
    moment = time_order(df, roles.time)
    first, last = time_range(time_kind(df.schema[roles.time].dataType, roles.time), now)
    return F.when(moment.between(first, last), moment)


def time_range(kind: str, now: datetime) -> tuple[float, float]:
    """Return the first and the last event time that a row can have.

    Other dates stand for a missing one, such as 9999-12-31, and one of them would end the wait of
    all rows. A day after the clock is allowed, because sources state times of their own zone.

    Parameters
    ----------
    kind
        ``number``, ``date`` or ``timestamp``, see `sparkweights.sampling.split.time_kind`. Of a
        number, only what is not finite is out of range.

    Examples
    --------
    >>> time_range("date", datetime(1970, 1, 3, tzinfo=UTC))
    (-25567.0, 3.0)
    """
    if kind == "number":
        return -sys.float_info.max, sys.float_info.max
    unit = timedelta(days=1) if kind == "date" else timedelta(microseconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return float((EARLIEST - epoch) // unit), float((now + timedelta(days=1) - epoch) // unit)


def known_outcomes(outcomes_df: DataFrame, roles: ColumnRoles) -> DataFrame:
    """Return keys and class index of outcomes, one per key.

    A label that is null or of no class is no outcome yet. Of several outcomes of one key, the class
    that is declared last counts.
    """
    indexed_df = outcomes_df.select(*map(column, roles.keys), class_index(roles).alias(CLASS))
    known_df = indexed_df.filter(F.col(CLASS) >= 0)
    return known_df.groupBy(*map(column, roles.keys)).agg(F.max(CLASS).alias(CLASS))


def collect_scores(scored_df: DataFrame, ledger: Ledger, batch: int) -> tuple[Bucket, Moments]:
    """Return the scores of a micro-batch, and the sums of the rarest class's probability.

    Parameters
    ----------
    ledger
        Of the probabilities; a shift to other class shares is inverted.
    """
    classes = tuple(ledger.prior)
    probabilities = [column(probability_col(name)) for name in classes]
    base = probabilities if ledger.shift is None else ledger.shift.invert(probabilities)
    names = [f"__base_{c}" for c in range(len(classes))]
    based_df = scored_df.select(*(p.alias(name) for p, name in zip(base, names, strict=True)))
    cells = _rounded_cells(collect_cells(based_df, names))
    nothing = ClassFrequencies.of(classes, np.zeros(len(classes)))
    bucket = Bucket(batch, 0.0, nothing, cells, np.zeros((len(classes), 0)))
    rare = classes.index(rarest_class(ledger))
    return bucket, _moments_of(cells, rare, batch)


def collect_reference(waiting_df: DataFrame, batch: int) -> Moments:
    """Return the sums of the published model's probability of the rarest class."""
    value = F.col(REFERENCE)
    (row,) = waiting_df.agg(
        F.count(value).alias("rows"),
        F.sum(value).alias("sum"),
        F.sum(value * value).alias("square"),
    ).collect()
    return Moments(batch, 1, row["rows"], rounded(row["sum"]), rounded(row["square"]))


def rarest_class(ledger: Ledger) -> str:
    """Return the class of the smallest prior share."""
    return min(ledger.prior, key=lambda name: ledger.prior[name])


def _moments_of(cells: ScoreHistogram, c: int, batch: int) -> Moments:
    """Return the sums of a probability over the rows of a histogram, each at its cell's mean."""
    rows, values = cells.of_cell, cells.probabilities[:, c]
    return Moments(batch, 1, float(rows.sum()), float(rows @ values), float(rows @ values**2))


def _squared_error(classes: tuple[str, ...]) -> Column:
    errors = [
        column(probability_col(name)) - F.when(F.col(CLASS) == c, 1.0).otherwise(0.0)
        for c, name in enumerate(classes)
    ]
    return reduce(add, [error * error for error in errors]) / 2


def rounded(value: float | None) -> float:
    """Round a sum, whose last digits depend on the order in which Spark adds its parts."""
    return float(f"{value or 0.0:.11g}")


def _rounded_cells(cells: ScoreHistogram) -> ScoreHistogram:
    squares = cells.weight_squares
    arrays = [cells.probabilities, cells.rows, cells.rows if squares is None else squares]
    means, rows, squared = (
        np.vectorize(rounded, otypes=[float])(one) if one.size else one for one in arrays
    )
    return ScoreHistogram(means, rows, None if squares is None else squared)
