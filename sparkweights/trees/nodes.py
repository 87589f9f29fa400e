"""MLlib's table of nodes as records, and the trees that they are: arithmetic alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.core.errors import ModelError
from sparkweights.trees.flat_trees import FlatTree
from sparkweights.trees.pruning import LEAF, Node, PlainTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class MLlibNode(NamedTuple):
    """One node as MLlib writes it.

    Attributes
    ----------
    id
        Its number in its tree.
    left, right
        Numbers of the children, or `LEAF`.
    prediction
        What a leaf of a regression tree adds; of a classification tree, the likeliest class.
    stats
        Of a classification tree, the training weight of each class; of a regression tree, the
        training weight first.
    rows
        Training rows that reached it, unweighted.
    feature
        Position of the feature that it splits on, or `LEAF`.
    split
        The threshold of a number (left where value <= threshold), or the categories that go left.
    categories
        How many categories the feature has; -1 for a number.
    """

    id: int
    left: int
    right: int
    prediction: float
    stats: list[float]
    rows: int
    feature: int
    split: list[float]
    categories: int


def group_by_tree(numbered: Iterable[tuple[int, MLlibNode]]) -> list[list[MLlibNode]]:
    """Return the nodes of each tree, in their order, from a table's rows in any order.

    Parameters
    ----------
    numbered
        The number of a tree, and one of its nodes.

    Raises
    ------
    ModelError
        If trees or nodes are not numbered from 0 on, as MLlib's are.
    """
    trees: dict[int, list[MLlibNode]] = {}
    for tree, node in sorted(numbered, key=lambda row: (row[0], row[1].id)):
        trees.setdefault(tree, []).append(node)
    for nodes in trees.values():
        _require_numbered([node.id for node in nodes])
    _require_numbered(list(trees))
    return list(trees.values())


def to_plain_tree(nodes: Sequence[MLlibNode]) -> PlainTree:
    """Return a classification tree with its class weights."""
    return PlainTree(
        tuple(
            Node(
                left=node.left,
                right=node.right,
                counts=tuple(node.stats),
                feature=node.feature,
                split=tuple(node.split),
                categories=node.categories,
                rows=node.rows,
            )
            for node in nodes
        )
    )


def to_flat_trees(
    trees: Sequence[Sequence[MLlibNode]],
    tree_weights: Sequence[float],
    of_class: int | None = None,
) -> list[FlatTree]:
    """Return trees whose values are added up.

    Parameters
    ----------
    tree_weights
        One per tree.
    of_class
        The class whose share of a node's training weight is the node's value; None for regression
        trees, whose predictions are the values.

    Raises
    ------
    ModelError
        If a tree splits on categories.
    """
    return [
        _flat(nodes, weight, of_class) for nodes, weight in zip(trees, tree_weights, strict=True)
    ]


def to_leaf_values(
    trees: Sequence[Sequence[MLlibNode]], tree_weights: Sequence[float]
) -> list[list[float]]:
    """Return, per regression tree, each leaf's value times the tree's weight, in leaf order."""
    return [
        [node.prediction * weight for node in nodes if node.left == LEAF]
        for nodes, weight in zip(trees, tree_weights, strict=True)
    ]


def _require_numbered(numbers: Sequence[int]) -> None:
    if list(numbers) != list(range(len(numbers))):
        raise ModelError(
            f"A model's {len(numbers)} nodes or trees are not numbered 0 to {len(numbers) - 1}; "
            "this Spark writes trees in a format that sparkweights does not know.",
            hint="update sparkweights, or leave pruning and reasons out.",
        )


def _flat(nodes: Sequence[MLlibNode], tree_weight: float, of_class: int | None) -> FlatTree:
    if any(node.left != LEAF and node.categories != -1 for node in nodes):
        raise ModelError(
            f"A tree of {len(nodes)} nodes splits on categories, which sparkweights does not read.",
            hint="update sparkweights, or leave reasons out.",
        )
    stats = [np.asarray(node.stats) for node in nodes]
    if of_class is None:
        weight = [float(counts[0]) for counts in stats]
        value = [node.prediction * tree_weight for node in nodes]
    else:
        weight = [float(counts.sum()) for counts in stats]
        value = [float(counts[of_class] / counts.sum()) * tree_weight for counts in stats]
    return FlatTree(
        tuple(node.left for node in nodes),
        tuple(node.right for node in nodes),
        tuple(node.feature for node in nodes),
        np.asarray([node.split[0] if node.split else 0.0 for node in nodes]),
        np.asarray(value),
        np.asarray(weight),
    )
