"""XGBoost's JSON: the booster read from it, and sums of MLlib's trees written in it.

Written in it, XGBoost can compute their Shapley values.

XGBoost compares float32 numbers, MLlib float64 ones. MLlib's trees have few thresholds, so a
row is given as the number of thresholds that each of its features exceeds: small integers, which
both hold exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.trees.flat_trees import FlatTree, thresholds
from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xgboost import Booster

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def open_booster(text: bytes) -> Booster:
    """Return the booster of XGBoost's JSON."""
    from xgboost import Booster  # noqa: PLC0415 (optional: imported when used)

    booster = Booster()
    booster.load_model(bytearray(text))
    booster.set_param({"nthread": 1})  # Spark runs a task per core already
    return booster


@dataclass(frozen=True)
class AdditiveTrees:
    """XGBoost's JSON of a sum of trees, and what its exact evaluation needs.

    Attributes
    ----------
    json
        The trees over numbers of exceeded thresholds.
    edges
        Per feature, its thresholds in ascending order.
    values
        ``[tree, node]``: what the leaves add, in float64.
    """

    json: bytes
    edges: tuple[Array, ...]
    values: Array

    @classmethod
    def of(cls, trees: Sequence[FlatTree], features: int) -> AdditiveTrees:
        """Translate trees over vectors of ``features`` positions."""
        trees = [tree.by_levels() for tree in trees]
        edges = thresholds(trees, features)
        values = np.zeros((len(trees), max(len(tree.left) for tree in trees)))
        for t, tree in enumerate(trees):
            values[t, : len(tree.value)] = tree.value
        stated = [_tree(t, tree, edges) for t, tree in enumerate(trees)]
        return cls(json.dumps(_booster(stated, features)).encode(), edges, values)

    def exceeded(self, rows: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return how many thresholds each feature of each row exceeds: what the trees read."""
        counts = np.empty(rows.shape, dtype=np.float32)
        for f, of_feature in enumerate(self.edges):
            counts[:, f] = np.searchsorted(of_feature, np.ascontiguousarray(rows[:, f]))
        return counts


def _tree(t: int, tree: FlatTree, edges: Sequence[Array]) -> Mapping[str, object]:
    """Return a tree in XGBoost's format; a row goes left where its number is below."""
    count = len(tree.left)
    is_leaf = [left == LEAF for left in tree.left]
    parents = [2**31 - 1] * count
    for node, (left, right) in enumerate(zip(tree.left, tree.right, strict=True)):
        if left != LEAF:
            parents[left] = parents[right] = node
    conditions = [
        float(tree.value[node])
        if is_leaf[node]
        else float(np.searchsorted(edges[tree.feature[node]], tree.threshold[node])) + 0.5
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
            "num_feature": str(len(edges)),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _booster(trees: Sequence[Mapping[str, object]], features: int) -> Mapping[str, object]:
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
                "base_score": "0E0",
                "boost_from_average": "0",
                "num_class": "0",
                "num_feature": str(features),
                "num_target": "1",
            },
            "objective": {
                "name": "reg:squarederror",
                "reg_loss_param": {"scale_pos_weight": "1"},
            },
        },
    }
