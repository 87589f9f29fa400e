"""Prune a fitted tree by its cost on held-out rows, or to a number of leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import sample_weight
from sparkweights.evaluation.block_intervals import means_with_errors
from sparkweights.models.base import LABEL, PrunableModel
from sparkweights.records.training import PruningCandidate, PruningSummary
from sparkweights.training.evaluate import BLOCK
from sparkweights.trees.pruning import leaf_counts, prune, prune_to_leaves, pruning_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.evaluation.score_table import Array
    from sparkweights.models.base import FittedModel
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.storage.location import Location
    from sparkweights.trees.pruning import PlainTree, Pruning

BLOCKS = 1_000  # of held-out rows, by which candidates are compared
CANDIDATES = 24  # trees of the path that are evaluated on held-out rows
LEAF_COL, SHARES = "__leaf", "__shares"


def limit_leaves(model: FittedModel, most: int, workspace: Location) -> FittedModel:
    """Return the largest tree of the weakest-link path by Gini impurity with so many leaves.

    Parameters
    ----------
    model
        A fitted tree.
    most
        The most leaves that it may have.
    workspace
        A folder that driver and executors share.
    """
    tree_model = _prunable(model)
    tree = tree_model.read_tree(workspace)
    if tree.leaves <= most:
        return model
    smaller = prune_to_leaves(tree, pruning_path(tree, tree.risks("gini")), most)
    return tree_model.with_tree(smaller, workspace)


def _prunable(model: FittedModel) -> PrunableModel:
    if not isinstance(model, PrunableModel):
        raise TypeError(f"A model of kind '{model.kind}' is no tree, but its learner declares one.")
    return model


def prune_tree(
    scorer: Scorer, held_out_df: DataFrame, spec: TrainingSpec, workspace: Location
) -> tuple[Scorer, PruningSummary]:
    """Return the scorer of the smallest tree within one standard error of the cheapest.

    One Spark job over the held-out rows tries every candidate. The rule is that of Breiman et al.
    (1984, sec. 3.4.3) with the standard error of the difference: trees of one path decide most
    rows alike, and the cost of these rows does not depend on the tree.

    Parameters
    ----------
    scorer
        Of a fitted tree; its ledger inverts the weights.
    held_out_df
        Prepared rows that the tree was not grown on.
    workspace
        A folder that driver and executors share.
    """
    model = _prunable(scorer.model)
    tree = model.read_tree(workspace)
    path = pruning_path(tree, tree.risks(spec.model.prune))
    steps = _select_steps(path)
    leaf_df = model.append_leaf(held_out_df, LEAF_COL)
    costs = _collect_costs(scorer, leaf_df, spec, tree, path, steps)
    candidates = tuple(
        PruningCandidate(step.ccp_alpha, step.leaves, cost, error)
        for step, (cost, error) in zip(steps, costs, strict=True)
    )
    chosen = one_standard_error(candidates)
    smaller = model.with_tree(prune(tree, path, chosen.ccp_alpha), workspace)
    return replace(scorer, model=smaller), PruningSummary(spec.model.prune, candidates, chosen)


def one_standard_error(candidates: Sequence[PruningCandidate]) -> PruningCandidate:
    """Return the smallest tree that costs at most one standard error more than the cheapest.

    Examples
    --------
    >>> tried = [(0, 9, 5.0, 0.0), (1, 4, 5.1, 0.2), (2, 1, 9.0, 0.2)]
    >>> one_standard_error([PruningCandidate(*values) for values in tried]).leaves
    4
    """
    best = min(candidates, key=lambda tried: tried.cost)
    good = [tried for tried in candidates if tried.cost - best.cost <= tried.standard_error]
    return min(good, key=lambda tried: tried.leaves)


def _select_steps(path: Sequence[Pruning]) -> list[Pruning]:
    """Return at most `CANDIDATES` steps, the last of each alpha, evenly spaced by leaves."""
    last = {step.ccp_alpha: step for step in path}  # equal alphas are one tree
    steps = list(last.values())
    if len(steps) <= CANDIDATES:
        return steps
    stride = (len(steps) - 1) / (CANDIDATES - 1)
    return [steps[round(i * stride)] for i in range(CANDIDATES)]


def _collect_costs(
    scorer: Scorer,
    leaf_df: DataFrame,
    spec: TrainingSpec,
    tree: PlainTree,
    path: Sequence[Pruning],
    steps: Sequence[Pruning],
) -> list[tuple[float, float]]:
    """Return per step what `costs_beside_cheapest` does, in one Spark job."""
    by_step = [leaf_counts(tree, path, step.ccp_alpha) for step in steps]
    shares = [counts / counts.sum(axis=1, keepdims=True) for counts in by_step]
    rows = [
        (float(leaf), [blocks[leaf].tolist() for blocks in shares]) for leaf in range(tree.leaves)
    ]
    spark = leaf_df.sparkSession
    lookup_df = spark.createDataFrame(rows, f"{LEAF_COL} double, {SHARES} array<array<double>>")
    joined_df = leaf_df.join(F.broadcast(lookup_df), LEAF_COL)
    costs = [_realised_cost(scorer, spec, F.col(SHARES).getItem(k)) for k in range(len(steps))]
    weight = sample_weight(spec.problem.roles)
    sums = [F.sum(weight * cost).alias(f"sum_{k}") for k, cost in enumerate(costs)]
    block = F.floor(F.col(BLOCK) * BLOCKS)
    blocks = joined_df.groupBy(block).agg(F.sum(weight).alias("weight"), *sums).collect()
    table = np.array([row[1:] for row in sorted(blocks)], dtype=float).T
    return costs_beside_cheapest(table[1:], table[0])


def costs_beside_cheapest(sums: Array, weights: Array) -> list[tuple[float, float]]:
    """Return mean costs, and the standard error of each one's difference from the least.

    Parameters
    ----------
    sums
        ``[candidate, block]``: costs times sample weights of a block's rows.
    weights
        ``[block]``: their sample weights.

    Examples
    --------
    Two candidates that cost the same 1 more on every row differ without any doubt.

    >>> costs_beside_cheapest(np.array([[1.0, 9.0], [2.0, 10.0]]), np.ones(2))
    [(5.0, 0.0), (6.0, 0.0)]
    """
    means, _ = means_with_errors(sums, weights)
    _, errors = means_with_errors(sums - sums[means.argmin()], weights)
    return list(zip(means.tolist(), errors.tolist(), strict=True))


def _realised_cost(scorer: Scorer, spec: TrainingSpec, shares: Column) -> Column:
    """Return the realised cost on a row of the decision at a leaf with these class shares."""
    natural = scorer.ledger.invert_weights([shares.getItem(c) for c in range(len(scorer.classes))])
    return spec.problem.policy.realised_cost_of(natural, F.col(LABEL).cast("int"))
