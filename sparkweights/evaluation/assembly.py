"""From the sums of one distributed pass to an evaluation: arithmetic on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparkweights.evaluation.cost_calibration import StakeSums
from sparkweights.evaluation.evaluation import Cell, Evaluation
from sparkweights.evaluation.influence import COARSE_BINS, BlockTable
from sparkweights.evaluation.intervals import EVALUATION_BLOCKS
from sparkweights.evaluation.score_table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.evaluation.calibration import Groups
    from sparkweights.evaluation.collect import Scored
    from sparkweights.evaluation.score_table import Array

BLOCK_SUMS = -1  # the kind of entry that sums a block's rows of similar stakes
BLOCK_SCORES = -2  # and downwards: of similar scores, by class, where blocks are clusters
STAKES_PER_OCTAVE = 8  # a range of stakes spans 9 %, so that tenths of the rows can be formed
STAKES, LOWEST_OCTAVE = 512, -20  # stakes from a millionth to 2^44; number 0 is a stake of 0
_SCORE_SUMS = (
    "positives", "negatives", "score_sum", "square_sum", "positive_score_sum", "log_loss_sum",
)  # fmt: skip


def evaluation_of(sums: Mapping[str, Array], scored: Scored, *, exact: bool) -> Evaluation:
    """Return the evaluation of one group of rows, from the sums of its entries.

    Parameters
    ----------
    sums
        Name of the sum, ``kind`` and ``at`` of the entry -> ``[entry]``.
    exact
        Whether an entry of a score is one distinct score.
    """
    names, constant = scored.classes, tuple(scored.constant_costs)
    blocks = sums["kind"] == BLOCK_SUMS
    block, stake_level = np.divmod(sums["at"][blocks].astype(np.int64), STAKES)

    def by_block(name: str) -> Array:
        summed = np.bincount(block, weights=sums[name][blocks], minlength=EVALUATION_BLOCKS)
        return summed.astype(np.float64)

    def total(name: str) -> float:
        return float(sums[name][blocks].sum())

    tables = [
        _table(sums, kind, costs=scored.two, exact=exact) for kind in range(len(scored.scores))
    ]
    if scored.two:
        tables = [each for table in tables for each in (table.complement(), table)]
    costs = [by_block(f"cost_{i}") for i in range(len(constant) + len(scored.policy_costs))]
    cells = {
        decision: {
            name: Cell(
                round(total(f"rows_{d}_{c}")), total(f"weight_{d}_{c}"), total(f"cost_{d}_{c}")
            )
            for c, name in enumerate(names)
        }
        for d, decision in enumerate(constant)
    }
    return Evaluation(
        tables=dict(zip(names, tables, strict=False)),
        cells=cells,
        constant_costs=dict(zip(constant, costs, strict=False)),
        policy_costs=dict(zip(scored.policy_costs, costs[len(constant) :], strict=True)),
        block_weights=by_block("weight"),
        block_losses=by_block("loss"),
        square_weights={name: total(f"square_{c}") for c, name in enumerate(names)},
        right_decisions=scored.right_decisions,
        weighted_tables=dict(zip(names, tables[len(names) :], strict=False)),
        stakes=_stake_sums(sums, blocks, block, stake_level, len(names)) if scored.costs else None,
        block_tables=dict(zip(names, _block_tables(sums, scored), strict=False)),
    )


def _stake_sums(
    sums: Mapping[str, Array], rows: Array, block: Groups, stake: Groups, classes: int
) -> StakeSums:
    levels, level = np.unique(stake, return_inverse=True)
    shape = (EVALUATION_BLOCKS, len(levels))

    def summed(name: str) -> Array:
        table = np.zeros(shape)
        np.add.at(table, (block, level), sums[name][rows])
        return table

    octaves = levels / STAKES_PER_OCTAVE + LOWEST_OCTAVE
    return StakeSums(
        stake=np.where(levels > 0, 2.0**octaves, 0.0),
        weight=summed("weight"),
        expected=summed("expected"),
        realised=summed("realised"),
        second=np.array([summed(f"second_{c}").sum(axis=0) for c in range(classes)]),
        third=np.array([summed(f"third_{c}").sum(axis=0) for c in range(classes)]),
    )


def _block_tables(sums: Mapping[str, Array], scored: Scored) -> list[BlockTable]:
    """Return a table per class where blocks are clusters, else none."""
    if not scored.clustered:
        return []
    tables = [_block_table(sums, kind) for kind in range(scored.natural_scores)]
    return [tables[0].complement(), *tables] if scored.two else tables


def _block_table(sums: Mapping[str, Array], kind: int) -> BlockTable:
    rows = sums["kind"] == BLOCK_SCORES - kind
    block, coarse_bin = np.divmod(sums["at"][rows].astype(np.int64), COARSE_BINS)

    def summed(values: Array) -> Array:
        table = np.zeros((EVALUATION_BLOCKS, COARSE_BINS))
        np.add.at(table, (block, coarse_bin), values)
        return table

    positives = sums["positives"][rows]
    squares = sums["square_sum"][rows] - 2 * sums["positive_score_sum"][rows] + positives
    return BlockTable(
        summed(positives),
        summed(sums["negatives"][rows]),
        summed(squares).sum(axis=1),
        summed(sums["score_sum"][rows]).sum(axis=1),
    )


def _table(sums: Mapping[str, Array], kind: int, *, costs: bool, exact: bool) -> ScoreTable:
    rows = sums["kind"] == kind
    at, entry = np.unique(sums["at"][rows], return_inverse=True)

    def summed(name: str) -> Array:
        values = np.bincount(entry, weights=sums[name][rows], minlength=len(at))
        return values.astype(np.float64)

    kept = _SCORE_SUMS[:2] if exact else _SCORE_SUMS
    table_sums = {name: summed(name) for name in kept}
    if costs:
        for of in ("positive", "negative"):
            pair = [summed(f"{name}_{of}") for name in ("approve", "decline")]
            table_sums[f"cost_{of}"] = np.array(pair)
    if exact:
        return ScoreTable(score=at, **table_sums)
    least, greatest = np.full(len(at), np.inf), np.full(len(at), -np.inf)
    np.minimum.at(least, entry, sums["least"][rows])
    np.maximum.at(greatest, entry, sums["greatest"][rows])
    return ScoreTable(score=least, greatest=greatest, **table_sums)
