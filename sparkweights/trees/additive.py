"""A sum of MLlib's trees as XGBoost's JSON, so that that library can take it apart.

XGBoost compares float32 numbers, MLlib float64 ones. MLlib's trees know few thresholds, so a row
goes in as the number of thresholds that each of its features exceeds: small integers, which both
hold exactly.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.errors import ModelError
from sparkweights.trees.prune import LEAF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_FEW = 100  # thresholds; MLlib knows 31 of a feature, unless maxBins says otherwise
_MANTISSA = 23  # bits of a float32 beside its sign, one of them to spare
_RESOLUTION = 39  # bits below the largest leaf, before those that the number of trees takes


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


@dataclass(frozen=True)
class AdditiveTrees:
    """XGBoost's JSON of a sum of trees, and what it takes to ask it exactly.

    Attributes
    ----------
    json
        The trees over numbers of exceeded thresholds.
    cuts
        Per feature, its thresholds in ascending order.
    values
        ``[tree, node]``: what the leaves add, in float64.
    limbs_json, units
        The same trees with a vector of whole numbers for each leaf, small enough that float32
        adds them exactly over all trees; times ``units``, the sums are the margin.
    """

    json: bytes
    cuts: tuple[Array, ...]
    values: Array
    limbs_json: bytes
    units: Array

    @classmethod
    def of(cls, trees: Sequence[FlatTree], features: int) -> AdditiveTrees:
        """Translate trees over vectors of ``features`` positions."""
        trees = [tree.by_levels() for tree in trees]
        cuts = tuple(
            np.unique([
                cut for tree in trees
                for own, left, cut in zip(tree.feature, tree.left, tree.cut, strict=True)
                if left != LEAF and own == f
            ])
            for f in range(features)
        )  # fmt: skip
        values = np.zeros((len(trees), max(len(tree.left) for tree in trees)))
        for t, tree in enumerate(trees):
            values[t, : len(tree.value)] = tree.value
        stated = [_tree(t, tree, cuts) for t, tree in enumerate(trees)]
        units = _units(values)
        split = [_in_limbs(tree, values[t], units) for t, tree in enumerate(stated)]
        plain, exact = (
            json.dumps(_booster(own, features, targets)).encode()
            for own, targets in ((stated, 1), (split, len(units)))
        )
        return cls(plain, cuts, values, exact, units)

    def exceeded(self, rows: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return how many thresholds each feature of each row exceeds: what the trees read."""
        found = np.empty(rows.shape, dtype=np.float32)
        for f, cut in enumerate(self.cuts):
            found[:, f] = _exceeded(cut, np.ascontiguousarray(rows[:, f]))
        return found


def _exceeded(cut: Array, values: Array) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    """Return how many of the ascending thresholds each value exceeds; NaN exceeds all."""
    if len(cut) > _FEW:
        return np.searchsorted(cut, values)
    # A threshold is compared with many values at a time; a search goes value by value.
    within = np.zeros(len(values), dtype=np.uint8)
    for one in cut:
        within += (values <= one).view(np.uint8)
    return len(cut) - within


def read_trees(folder: Path, tree_weights: Sequence[float], of_class: int | None) -> list[FlatTree]:
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


def _tree(t: int, tree: FlatTree, cuts: Sequence[Array]) -> Mapping[str, Any]:
    """Return one tree in XGBoost's words; a row goes left where its number is below."""
    count = len(tree.left)
    is_leaf = [left == LEAF for left in tree.left]
    parents = [2**31 - 1] * count
    for node, (left, right) in enumerate(zip(tree.left, tree.right, strict=True)):
        if left != LEAF:
            parents[left] = parents[right] = node
    conditions = [
        float(tree.value[node])
        if is_leaf[node]
        else float(np.searchsorted(cuts[tree.feature[node]], tree.cut[node])) + 0.5
        for node in range(count)
    ]
    return {
        "id": t,
        "left_children": list(tree.left),
        "right_children": list(tree.right),
        "parents": parents,
        "split_indices": [0 if is_leaf[n] else tree.feature[n] for n in range(count)],
        "split_conditions": conditions,
        "split_type": [0] * count,
        "default_left": [0] * count,
        "base_weights": [0.0] * count,
        "loss_changes": [0.0] * count,
        "sum_hessian": tree.weight.tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(len(cuts)),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _units(values: Array) -> Array:
    """Return what a one stands for in each limb, so that they resolve the margin to 1e-12 of it."""
    trees = len(values)
    bits = _MANTISSA - math.ceil(math.log2(trees + 1))  # of a limb; sums of all trees fit float32
    count = math.ceil((_RESOLUTION + math.log2(trees)) / bits)
    largest = max(float(np.abs(values).max()), np.finfo(float).tiny)
    first = 2.0 ** (math.ceil(math.log2(largest)) - bits)
    return np.asarray(first * 2.0 ** (-bits * np.arange(count)))


def _in_limbs(tree: Mapping[str, Any], values: Array, units: Array) -> Mapping[str, Any]:
    """Return a tree whose leaves hold vectors; a leaf's right child is then its own number."""
    leaves = [n for n, left in enumerate(tree["left_children"]) if left == LEAF]
    right, weights = list(tree["right_children"]), list[float]()
    for place, node in enumerate(leaves):
        right[node] = place
        rest = float(values[node])
        for unit in units.tolist():
            limb = round(rest / unit)
            rest -= limb * unit
            weights.append(float(limb))
    size = str(len(units))
    return {
        **tree,
        "right_children": right,
        "leaf_weights": weights,
        "base_weights": [0.0] * (len(units) * len(right)),
        "tree_param": {**tree["tree_param"], "size_leaf_vector": size},
    }


def _booster(trees: Sequence[Mapping[str, Any]], features: int, targets: int) -> Mapping[str, Any]:
    start = "0E0" if targets == 1 else f"[{','.join(['0E0'] * targets)}]"
    return {
        "version": [3, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": list(range(len(trees) + 1)),
                    "tree_info": [0] * len(trees),
                    "trees": trees,
                },
            },
            "learner_model_param": {
                "base_score": start,
                "boost_from_average": "0",
                "num_class": "0",
                "num_feature": str(features),
                "num_target": str(targets),
            },
            "objective": {
                "name": "reg:squarederror",
                "reg_loss_param": {"scale_pos_weight": "1"},
            },
        },
    }
