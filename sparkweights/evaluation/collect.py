"""One distributed pass over scored rows with known outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import column, text
from sparkweights.core.errors import InputError
from sparkweights.evaluation.assembly import (
    BLOCK_SCORES,
    BLOCK_SUMS,
    LOWEST_OCTAVE,
    STAKES,
    STAKES_PER_OCTAVE,
    evaluation_of,
)
from sparkweights.evaluation.influence import COARSE, COARSE_BINS
from sparkweights.evaluation.intervals import EVALUATION_BLOCKS
from sparkweights.evaluation.score_table import BIN_SCALE, BINS, CLIP, OFFSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.evaluation.score_table import Array

MAX_SCORES = 2_000_000  # distinct scores that the exact mode collects to the driver


@dataclass(frozen=True)
class Scored:
    """The columns of a scored table with known outcomes that an evaluation reads.

    Attributes
    ----------
    probability_cols
        Class name -> column of its natural probability, in index order.
    class_col, decision_col
        The row's class index, and the decision it got.
    right_decisions
        Class name -> its least-cost decision.
    constant_costs, policy_costs
        Decision, or policy, -> its cost on the row.
    order
        A number in [0, 1) that assigns rows to blocks. It depends only on the row's keys, or on
        the columns of a cluster, such as a customer.
    weight
        Incoming sample weight of the row; class weights never enter an evaluation.
    weighted_cols
        As ``probability_cols``, before the weights are inverted; may be empty.
    costs
        ``[decision][class]``, the decisions as in ``constant_costs``, to compare the expected with
        the realised cost; may be empty.
    clustered
        Whether rows that depend on each other share ``order``. Intervals are then computed from
        blocks of such rows.
    """

    probability_cols: Mapping[str, str]
    class_col: str
    decision_col: str
    right_decisions: Mapping[str, str]
    constant_costs: Mapping[str, Column]
    policy_costs: Mapping[str, Column]
    order: Column
    weight: Column = field(default_factory=lambda: F.lit(1.0))
    weighted_cols: Mapping[str, str] = field(default_factory=dict)
    costs: Sequence[Sequence[Column]] = ()
    clustered: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return tuple(self.probability_cols)

    @property
    def two(self) -> bool:
        """Whether there are two classes, so that the second one's table is enough."""
        return len(self.probability_cols) == 2  # binary

    @property
    def natural_scores(self) -> int:
        """How many of `scores` are natural probabilities; they come first."""
        return 1 if self.two else len(self.probability_cols)

    @cached_property
    def scores(self) -> list[tuple[int, str]]:
        """Class index and column of each score that has a table."""
        every = [list(self.probability_cols.values()), list(self.weighted_cols.values())]
        kept = [(c, name) for names in every for c, name in enumerate(names)]
        return [(c, name) for c, name in kept if c == 1 or not self.two]


def collect_segments(
    scored_df: DataFrame, scored: Scored, *, by: Sequence[str] = (), exact: bool = False
) -> dict[tuple[str | None, ...], Evaluation]:
    """Evaluate decisions as a whole, under the key (), and by segment, in one Spark job.

    Parameters
    ----------
    by
        Columns whose values together are a segment.
    exact
        Keep every distinct score instead of bins.

    Raises
    ------
    InputError
        If there are too many distinct scores to keep, no rows, or rows without a decision.
    """
    segment = [text(name).alias(f"by_{i}") for i, name in enumerate(by)]
    # Below the explosion of entries every cost is one column: as expressions of the sums they are
    # planned, compiled and computed again in each sum that reads them.
    kept_df = scored_df.withColumns(_costs(scored))
    if scored.costs:
        kept_df = kept_df.withColumns(_taken_costs(scored)).withColumns(_cost_moments(scored))
    kept_df = kept_df.withColumns({
        "__w": scored.weight.cast("double"), "__entry": F.explode(_entries(scored, exact=exact)),
    })  # fmt: skip
    entry = F.col("__entry")
    grouped_df = kept_df.groupBy(entry["kind"].alias("kind"), entry["at"].alias("at"), *segment)
    # The limit is below the projection, so that it does not split the job into several.
    found_df = grouped_df.agg(*_measures(scored)).limit(MAX_SCORES + 1).select("*")
    sums_table = found_df.toArrow()
    if sums_table.num_rows > MAX_SCORES:
        raise InputError(
            f"More than {MAX_SCORES:,} distinct scores; the exact mode keeps each of them.",
            hint="evaluate with bins (exact: false), or on a sample of the rows.",
        )
    if sums_table.num_rows == 0:
        raise InputError(
            "No rows to evaluate on.", hint="see that the table holds rows with known outcomes."
        )
    sums = {name: np.asarray(sums_table[name].fill_null(0)) for name in sums_table.column_names
            if not name.startswith("by_")}  # fmt: skip
    if sums["undecided"].any():
        raise InputError(
            f"{sums['undecided'].sum():.0f} rows have no decision: a column that the costs or the "
            "weights read is missing there.",
            hint="fill it, or leave these rows out, where the table is made.",
        )
    segments = _segments(sums_table, len(by))
    every = np.ones(sums_table.num_rows, dtype=bool)
    chosen = {(): every, **(segments if by else {})}
    return {
        key: evaluation_of(
            {name: values[rows] for name, values in sums.items()}, scored, exact=exact
        )
        for key, rows in chosen.items()
    }


def _costs(scored: Scored) -> dict[str, Column]:
    """Return the cost of each constant decision, then of each policy, as `_cost` names it."""
    costs = [*scored.constant_costs.values(), *scored.policy_costs.values()]
    return {f"__cost_{i}": cost for i, cost in enumerate(costs)}


def _cost(scored: Scored, name: str) -> Column:
    """Return the cost column of a constant decision or a policy."""
    names = [*scored.constant_costs, *scored.policy_costs]
    return F.col(f"__cost_{names.index(name)}")


def _taken_costs(scored: Scored) -> dict[str, Column]:
    """Return, per class, the cost of the decision taken if the row were of that class."""
    taken = {}
    for c in range(len(scored.classes)):
        cost = F.lit(None).cast("double")
        for name, row in zip(scored.constant_costs, scored.costs, strict=True):
            cost = F.when(column(scored.decision_col) == name, row[c]).otherwise(cost)
        taken[f"__taken_{c}"] = cost
    return taken


def _cost_moments(scored: Scored) -> dict[str, Column]:
    """Return the expected cost of the decision taken, and each class's part of its moments."""
    p = [column(name).cast("double") for name in scored.probability_cols.values()]
    taken = [F.col(f"__taken_{c}") for c in range(len(p))]
    expected = reduce(add, [share * cost for share, cost in zip(p, taken, strict=True)])
    moments = {"__expected": expected}
    for c, (share, cost) in enumerate(zip(p, taken, strict=True)):
        gap = cost - expected
        moments |= {f"__second_{c}": share * gap * gap, f"__third_{c}": share * gap * gap * gap}
    return moments


def _stake(scored: Scored) -> Column:
    """Return the number of the range that contains a row's stake; see `StakeSums`."""
    if not scored.costs:
        return F.lit(0.0)
    gaps = []
    for c in range(len(scored.classes)):
        of_class = [row[c] for row in scored.costs]
        gaps.append(F.greatest(*of_class) - F.least(*of_class))
    stake = F.greatest(*gaps, F.lit(0.0))
    octaves = F.floor(F.log2(F.when(stake > 0, stake)) * STAKES_PER_OCTAVE)
    number = octaves - LOWEST_OCTAVE * STAKES_PER_OCTAVE
    return F.coalesce(F.greatest(F.least(number, F.lit(STAKES - 1)), F.lit(1)), F.lit(0))


def _bin(p: Column) -> Column:
    """Return the number of a probability's bin; see `score_table.bin_numbers`."""
    scaled = F.log((p + OFFSET) / (1 - p + OFFSET)) * BIN_SCALE + BINS / 2
    return F.greatest(F.least(F.floor(scaled), F.lit(BINS - 1)), F.lit(0))


def _entries(scored: Scored, *, exact: bool) -> Column:
    """Return the positions of the sums that a row belongs to: one per score, and its block."""
    kinds = []
    nothing = F.lit(None)
    block = F.floor(scored.order * EVALUATION_BLOCKS)
    for kind, (c, name) in enumerate(scored.scores):
        p, is_class = column(name).cast("double"), column(scored.class_col) == c
        kinds.append(_entry(kind, p if exact else _bin(p), p, is_class))
        if scored.clustered and kind < scored.natural_scores:
            position = block * COARSE_BINS + F.floor(_bin(p) / COARSE)
            kinds.append(_entry(BLOCK_SCORES - kind, position, p, is_class))
    position = block * STAKES + _stake(scored)
    kinds.append(_entry(BLOCK_SUMS, position, nothing.cast("double"), nothing.cast("boolean")))
    return F.array(*kinds)


def _entry(kind: int, at: Column, p: Column, positive: Column) -> Column:
    return F.struct(
        F.lit(kind).alias("kind"), at.cast("double").alias("at"), p.alias("p"), positive.alias("y")
    )


def _measures(scored: Scored) -> list[Column]:
    entry, w = F.col("__entry"), F.col("__w")
    p, y = entry["p"], entry["y"]
    is_block_entry = entry["kind"] == BLOCK_SUMS
    happened = F.when(p.isNotNull(), F.when(y, p).otherwise(1 - p))
    measures = {
        "positives": F.when(y, w),
        "negatives": F.when(~y, w),
        "score_sum": w * p,
        "square_sum": w * p * p,
        "positive_score_sum": F.when(y, w * p),
        "log_loss_sum": w * _log_loss(happened),
    }
    if scored.two:
        approve, decline = _sides(scored, 1)
        for name, cost in (("approve", approve), ("decline", decline)):
            measures[f"{name}_positive"] = F.when(y, w * cost)
            measures[f"{name}_negative"] = F.when(~y, w * cost)
    measures |= _block_measures(scored, is_block_entry, w)
    ends = [F.min(p).alias("least"), F.max(p).alias("greatest")]
    return [*ends, *(F.sum(value).alias(name) for name, value in measures.items())]


def _log_loss(happened: Column) -> Column:
    """Return -log of the probability of what happened, which is clipped."""
    return -F.log(F.least(F.greatest(happened, F.lit(CLIP)), F.lit(1 - CLIP)))


def _block_measures(scored: Scored, is_block_entry: Column, w: Column) -> dict[str, Column]:
    """Return the sums over a block's rows: weights, losses, costs, decisions, expected costs."""
    measures = {}
    measures["weight"] = F.when(is_block_entry, w)
    happened = F.lit(None).cast("double")
    for c, name in enumerate(scored.probability_cols.values()):
        is_class = is_block_entry & (column(scored.class_col) == c)
        happened = F.when(is_class, column(name).cast("double")).otherwise(happened)
    measures["loss"] = F.when(happened.isNotNull(), w * _log_loss(happened))
    for c in range(len(scored.classes)):
        of_class = is_block_entry & (column(scored.class_col) == c)
        measures[f"square_{c}"] = F.when(of_class, w * w)
    undecided = is_block_entry & column(scored.decision_col).isNull()
    measures["undecided"] = F.when(undecided, 1.0)
    measures |= {
        f"cost_{i}": F.when(is_block_entry, w * F.col(f"__cost_{i}"))
        for i in range(len(scored.constant_costs) + len(scored.policy_costs))
    }
    for d, decision in enumerate(scored.constant_costs):
        cost = _cost(scored, decision)
        for c in range(len(scored.classes)):
            here = is_block_entry & (column(scored.decision_col) == decision)
            here = here & (column(scored.class_col) == c)
            measures |= {
                f"rows_{d}_{c}": F.when(here, 1.0),
                f"weight_{d}_{c}": F.when(here, w),
                f"cost_{d}_{c}": F.when(here, w * cost),
            }
    if scored.costs:
        moments = ["expected"]
        moments += [f"{part}_{c}" for part in ("second", "third")
                    for c in range(len(scored.classes))]  # fmt: skip
        measures |= {name: F.when(is_block_entry, w * F.col(f"__{name}")) for name in moments}
        taken = F.lit(None).cast("double")
        for c in range(len(scored.classes)):
            is_class = column(scored.class_col) == c
            taken = F.when(is_class, F.col(f"__taken_{c}")).otherwise(taken)
        measures["realised"] = F.when(is_block_entry, w * taken)
    return measures


def _sides(scored: Scored, c: int) -> tuple[Column, Column]:
    """Return a row's cost below a threshold of the class's probability, and at or above it."""
    names = scored.classes
    other = scored.right_decisions[names[1 - c]]
    return _cost(scored, other), _cost(scored, scored.right_decisions[names[c]])


def _segments(sums_table: pa.Table, columns: int) -> dict[tuple[str | None, ...], Array]:
    """Return which entries belong to each segment."""
    values = [sums_table[f"by_{i}"].to_pylist() for i in range(columns)]
    keys = list(zip(*values, strict=True))
    return {
        key: np.array([row_key == key for row_key in keys])
        for key in sorted(set(keys), key=lambda key: [str(part) for part in key])
    }
