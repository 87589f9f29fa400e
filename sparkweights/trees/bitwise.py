"""A sum of decision trees for many rows at a time, as logic on bits.

Each threshold is compared with its feature once for all rows, which leaves a bit per row. Which way
rows go at a depth of a tree then follows from a few operations on words of such bits, whatever the
row: no row waits for another's memory, and no branch is guessed. QuickScorer (Lucchese et al.,
SIGIR 2015) keeps the nodes of one row in a word; here a word keeps the rows of one node. Leaves are
added in float64, so that the sum is MLlib's own to the last digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ModelError
from sparkweights.trees.flat_trees import FlatTree, thresholds
from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

MAX_DEPTH = 8  # so that a row's path is a byte; work doubles with every level
AT_ONCE = 512  # nodes: of so many the bits of a batch of rows fit a core's cache


@dataclass(frozen=True)
class BitwiseTrees:
    """Trees compiled for `sums`, each filled up to the depth of the deepest.

    Attributes
    ----------
    edges
        Per feature, its thresholds in ascending order; their bits are numbered in this order.
    nodes
        ``[tree, node]``: the number of a node's bit, level by level from the root. A node that
        stands below a leaf has one that is always 0.
    values
        ``[tree, path]``: what a leaf adds, by the path to it: bit d is 1 where that goes right
        at depth d.
    """

    edges: tuple[Array, ...]
    nodes: Numbers
    values: Array

    @classmethod
    def of(cls, trees: Sequence[FlatTree], features: int) -> BitwiseTrees:
        """Compile trees over vectors of ``features`` positions.

        Raises
        ------
        ModelError
            If one is deeper than `MAX_DEPTH`.
        """
        depth = max(map(_depth, trees))
        if depth > MAX_DEPTH:
            raise ModelError(
                f"A tree of {depth} levels; at most {MAX_DEPTH} can be evaluated as bits.",
                hint="score with MLlib's model instead.",
            )
        edges = thresholds(trees, features)
        first = np.cumsum([0, *map(len, edges)])
        nodes = np.full((len(trees), 2**depth - 1), first[-1])
        values = np.zeros((len(trees), 2**depth))
        for t, tree in enumerate(trees):
            for node, level, path in _descend(tree):
                if tree.left[node] == LEAF:
                    values[t, path] = tree.value[node]
                    continue
                feature = tree.feature[node]
                rank = np.searchsorted(edges[feature], tree.threshold[node])
                nodes[t, 2**level - 1 + _position_in_level(path, level)] = first[feature] + rank
        return cls(edges, nodes, values)

    def sums(self, rows: Array) -> Array:
        """Return the sum of the trees for ``[row, feature]``; NaN goes right, as in MLlib."""
        bits = self._bits(rows)
        total = np.zeros(len(rows))
        trees = max(1, AT_ONCE // max(1, self.nodes.shape[1]))
        for first in range(0, len(self.nodes), trees):
            some = slice(first, first + trees)
            paths = _paths(self.nodes[some], bits, len(rows))
            for values, path in zip(self.values[some], paths, strict=True):
                total += values[path]
        return total

    def _bits(self, rows: Array) -> Bytes:
        """Return, for each threshold, a bit per row: whether its value is above; last, zeros."""
        bits = np.zeros((sum(map(len, self.edges)) + 1, -(-len(rows) // 8)), dtype=np.uint8)
        number = 0
        for f, of_feature in enumerate(self.edges):
            if not len(of_feature):
                continue
            values = np.ascontiguousarray(rows[:, f])
            for threshold in of_feature:
                bits[number] = np.packbits(values <= threshold)
                number += 1
        bits[:-1] ^= 0xFF
        return bits


def _paths(nodes: Numbers, bits: Bytes, rows: int) -> Bytes:
    """Return ``[tree, row]``: a row's path in each tree."""
    depth = (nodes.shape[1] + 1).bit_length() - 1
    levels = [bits[nodes[:, 2**d - 1 : 2 ** (d + 1) - 1]] for d in range(depth)]
    paths = np.zeros((len(nodes), rows), dtype=np.uint8)
    for d in range(depth):
        # Which way rows would go at each node of this depth; the nodes above choose among them.
        turns = levels[d]
        for above in reversed(levels[:d]):
            left, right = turns[:, 0::2], turns[:, 1::2]
            turns = left ^ ((left ^ right) & above)
        paths |= np.unpackbits(turns[:, 0], axis=-1, count=rows) << d
    return paths


def _depth(tree: FlatTree) -> int:
    return max(level for _, level, _ in _descend(tree))


def _descend(tree: FlatTree) -> Iterator[tuple[int, int, int]]:
    """Yield every node with its depth and the path to it."""
    left = [(0, 0, 0)]
    while left:
        node, level, path = left.pop()
        yield node, level, path
        if tree.left[node] != LEAF:
            left.append((tree.left[node], level + 1, path))
            left.append((tree.right[node], level + 1, path | 1 << level))


def _position_in_level(path: int, level: int) -> int:
    """Return a path's position among those of its level, from left to right."""
    return sum(1 << level - 1 - d for d in range(level) if path >> d & 1)
