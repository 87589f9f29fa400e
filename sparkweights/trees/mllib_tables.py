"""Trees as tables of nodes, read from a model that MLlib wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.errors import ModelError
from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.storage.location import Location

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class FlatTree:
    """One tree as a table of nodes, the root first.

    Attributes
    ----------
    left, right
        ``[node]``: positions of the children, or `LEAF`.
    feature, cut
        ``[node]``: a row goes left where this feature is at most the cut.
    value
        ``[node]``: what a leaf adds to the sum.
    weight
        ``[node]``: training weight of the rows that reached it.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    feature: tuple[int, ...]
    cut: Array
    value: Array
    weight: Array

    def by_levels(self) -> FlatTree:
        """Return the tree with every right child behind its left one, as XGBoost has them."""
        order = [0]
        for node in order:  # grows while it is read
            if self.left[node] != LEAF:
                order += [self.left[node], self.right[node]]
        place = {node: at for at, node in enumerate(order)} | {LEAF: LEAF}
        return FlatTree(
            tuple(place[self.left[node]] for node in order),
            tuple(place[self.right[node]] for node in order),
            tuple(self.feature[node] for node in order),
            self.cut[order],
            self.value[order],
            self.weight[order],
        )


def thresholds(trees: Sequence[FlatTree], features: int) -> tuple[Array, ...]:
    """Return the thresholds of each feature over all trees, in ascending order."""
    found: list[list[float]] = [[] for _ in range(features)]
    for tree in trees:
        for feature, left, cut in zip(tree.feature, tree.left, tree.cut, strict=True):
            if left != LEAF:
                found[feature].append(cut)
    return tuple(np.unique(np.asarray(cuts, dtype=np.float64)) for cuts in found)


def read_trees(
    folder: Location, tree_weights: Sequence[float], of_class: int | None
) -> list[FlatTree]:
    """Read the trees of a model that MLlib wrote.

    Parameters
    ----------
    folder
        The model's, on storage that the driver and the executors share.
    tree_weights
        One per tree.
    of_class
        The class whose share of a node's training weight is the node's value; None for trees
        that predict numbers.

    Raises
    ------
    ModelError
        If a node is not as this version knows them.
    """
    nodes_df = SparkSession.active().read.parquet(str(folder / "data"))
    if "nodeData" in nodes_df.columns:
        nodes_df = nodes_df.select(F.col("treeID").alias("tree"), "nodeData.*")
    else:
        nodes_df = nodes_df.withColumn("tree", F.lit(0))
    rows = nodes_df.collect()  # a model's nodes, not a table's rows
    by_tree: list[list[Any]] = [[] for _ in tree_weights]
    for row in sorted(rows, key=lambda row: (row["tree"], row["id"])):
        by_tree[row["tree"]].append(row)
    return [
        _flat(nodes, weight, of_class) for nodes, weight in zip(by_tree, tree_weights, strict=True)
    ]


def _flat(nodes: Sequence[Any], tree_weight: float, of_class: int | None) -> FlatTree:
    if [node["id"] for node in nodes] != list(range(len(nodes))) or any(
        node["leftChild"] != LEAF and node["split"]["numCategories"] != -1 for node in nodes
    ):
        raise ModelError(
            f"A tree of {len(nodes)} nodes is written in a way that is not known here.",
            hint="update sparkweights, or leave reasons out.",
        )
    # A regression tree's statistics start with the weight; a classifier's are a weight per class.
    stats = [np.asarray(node["impurityStats"]) for node in nodes]
    if of_class is None:
        weight = [float(own[0]) for own in stats]
        value = [node["prediction"] * tree_weight for node in nodes]
    else:
        weight = [float(own.sum()) for own in stats]
        value = [float(own[of_class] / own.sum()) * tree_weight for own in stats]
    cuts = [node["split"]["leftCategoriesOrThreshold"] for node in nodes]
    return FlatTree(
        tuple(node["leftChild"] for node in nodes),
        tuple(node["rightChild"] for node in nodes),
        tuple(node["split"]["featureIndex"] for node in nodes),
        np.asarray([cut[0] if cut else 0.0 for cut in cuts]),
        np.asarray(value),
        np.asarray(weight),
    )
