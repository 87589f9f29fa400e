"""Trees that are added up, each as a table of nodes: arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class FlatTree:
    """One tree as a table of nodes, the root first.

    Attributes
    ----------
    left, right
        ``[node]``: positions of the children, or `LEAF`.
    feature, threshold
        ``[node]``: a row goes left where this feature is at most the threshold.
    value
        ``[node]``: what a leaf adds to the sum.
    weight
        ``[node]``: training weight of the rows that reached it.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: Array
    value: Array
    weight: Array

    def leaf(self, rows: Array) -> Numbers:
        """Return the leaf of each of ``[row, feature]``; NaN goes right, as in MLlib."""
        at = np.zeros(len(rows), dtype=np.int64)
        left, right, feature = (np.asarray(x) for x in (self.left, self.right, self.feature))
        inner = np.flatnonzero(left[at] != LEAF)
        while len(inner):
            node = at[inner]
            goes_left = rows[inner, feature[node]] <= self.threshold[node]
            at[inner] = np.where(goes_left, left[node], right[node])
            inner = inner[left[at[inner]] != LEAF]
        return at

    def by_levels(self) -> FlatTree:
        """Return the tree with every right child behind its left one, as XGBoost has them."""
        order = [0]
        for node in order:  # grows while it is read
            if self.left[node] != LEAF:
                order += [self.left[node], self.right[node]]
        position = {node: at for at, node in enumerate(order)} | {LEAF: LEAF}
        return FlatTree(
            tuple(position[self.left[node]] for node in order),
            tuple(position[self.right[node]] for node in order),
            tuple(self.feature[node] for node in order),
            self.threshold[order],
            self.value[order],
            self.weight[order],
        )


def thresholds(trees: Sequence[FlatTree], features: int) -> tuple[Array, ...]:
    """Return the thresholds of each feature over all trees, in ascending order."""
    by_feature: list[list[float]] = [[] for _ in range(features)]
    for tree in trees:
        for feature, left, threshold in zip(tree.feature, tree.left, tree.threshold, strict=True):
            if left != LEAF:
                by_feature[feature].append(threshold)
    return tuple(np.unique(np.asarray(values, dtype=np.float64)) for values in by_feature)
