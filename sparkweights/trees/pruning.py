"""Weakest-link pruning of a weighted tree: arithmetic on its nodes, no rows.

A tree grown until its leaves are pure has learned the noise. Cost-complexity pruning (Breiman,
Friedman, Olshen & Stone 1984, ch. 3) takes back, again and again, the branch whose leaves lower
the risk least for their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ConfigError, join_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEAF = -1
RISKS = ("gini", "entropy", "error")


@dataclass(frozen=True)
class Node:
    """One node of a tree.

    Attributes
    ----------
    left, right
        Positions of its children in the tree's nodes, or `LEAF`.
    counts
        Training weight of each class among the rows that reached it.
    feature
        Position of the feature that it splits on, or `LEAF`.
    split
        The threshold of a number (left where value <= threshold), or the categories that go left.
    categories
        How many categories the feature has; -1 for a number.
    rows
        Training rows that reached it, unweighted.
    """

    left: int
    right: int
    counts: tuple[float, ...]
    feature: int = LEAF
    split: tuple[float, ...] = ()
    categories: int = -1
    rows: int = 0

    @property
    def is_leaf(self) -> bool:
        """Whether the node is a leaf."""
        return self.left == LEAF


@dataclass(frozen=True)
class PlainTree:
    """A binary tree as its nodes, the root first and every child behind its parent."""

    nodes: tuple[Node, ...]

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return sum(node.is_leaf for node in self.nodes)

    @cached_property
    def counts(self) -> Array:
        """``[node, class]``: training weight."""
        return np.array([node.counts for node in self.nodes], dtype=np.float64)

    def risks(self, measure: str | Array = "gini") -> Array:
        """Return each node's share of the risk if it were a leaf.

        Parameters
        ----------
        measure
            ``gini``, ``entropy`` or ``error``: impurity of the class weights times the node's
            share of all weight. Or a cost matrix ``[decision, class]``: the expected cost of the
            best decision for the node, per unit of weight; divide `counts` by class weights
            beforehand (see `unweighted`), or costs count twice.

        Raises
        ------
        ConfigError
            If the measure is not known or its classes are not the tree's.
        """
        total = self.counts[0].sum()
        if not isinstance(measure, str):
            costs = np.asarray(measure, dtype=np.float64)
            if costs.ndim != 2 or costs.shape[1] != self.counts.shape[1]:  # a matrix
                raise ConfigError(
                    f"measure: a matrix of shape {costs.shape}; allowed: one column for each of "
                    f"the {self.counts.shape[1]} classes of the tree.",
                )
            return np.asarray((self.counts @ costs.T).min(axis=1) / total)
        if measure not in RISKS:
            raise ConfigError(f"measure: {measure!r}; allowed: {join_names(RISKS)}, or a matrix.")
        weight = self.counts.sum(axis=1)
        shares = self.counts / weight[:, None]
        impurity = {"gini": _gini, "entropy": _entropy, "error": _error}[measure](shares)
        return np.asarray(weight / total * impurity)

    def unweighted(self, weights: Sequence[float]) -> PlainTree:
        """Return the tree with class weights divided out of its counts."""
        return PlainTree(
            tuple(
                replace(
                    node,
                    counts=tuple(n / w for n, w in zip(node.counts, weights, strict=True)),
                )
                for node in self.nodes
            )
        )


def _gini(shares: Array) -> Array:
    return np.asarray(1 - (shares**2).sum(axis=1))


def _entropy(shares: Array) -> Array:
    logs = np.log2(np.where(shares > 0, shares, 1.0))
    return np.asarray(-(shares * logs).sum(axis=1))


def _error(shares: Array) -> Array:
    return np.asarray(1 - shares.max(axis=1))


@dataclass(frozen=True)
class Pruning:
    """One step of the path.

    Attributes
    ----------
    ccp_alpha
        The penalty per leaf from which on the smaller tree is the better one.
    risk
        Total risk of the smaller tree's leaves.
    leaves
        How many it has.
    split
        The node that became a leaf in this step, or None for the whole tree.
    """

    ccp_alpha: float
    risk: float
    leaves: int
    node: int | None


def pruning_path(tree: PlainTree, risks: Array) -> list[Pruning]:
    """Return the weakest-link path from the whole tree to its root.

    In each step the node t with the least ``(R(t) - R(leaves of t)) / (leaves of t - 1)`` becomes
    a leaf; of equal ones the first. Alphas grow along the path.

    Parameters
    ----------
    risks
        Of each node, see `PlainTree.risks`.

    Examples
    --------
    >>> nodes = (Node(1, 2, (5, 5)), Node(LEAF, LEAF, (5, 0)), Node(LEAF, LEAF, (0, 5)))
    >>> tree = PlainTree(nodes)
    >>> [(step.ccp_alpha, step.leaves) for step in pruning_path(tree, tree.risks("gini"))]
    [(0.0, 2), (0.5, 1)]
    """
    state = _State.of(tree, risks)
    path = [Pruning(0.0, state.branch_risk[0], int(state.leaves[0]), None)]
    while state.inner.any():
        node, alpha = state.weakest()
        state.prune(node)
        # A split that gains nothing gains a little more or less than that in floating point.
        alpha = max(alpha, path[-1].ccp_alpha)
        path.append(Pruning(alpha, float(state.branch_risk[0]), int(state.leaves[0]), node))
    return path


@dataclass
class _State:
    """The tree while it shrinks: per node, the risk and the number of the leaves below it."""

    tree: PlainTree
    risks: Array
    parents: list[int]
    branch_risk: Array
    leaves: Array
    inner: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    @classmethod
    def of(cls, tree: PlainTree, risks: Array) -> _State:
        size = len(tree.nodes)
        parents = [LEAF] * size
        branch_risk, leaves = risks.astype(float).copy(), np.ones(size)
        for i in reversed(range(size)):
            node = tree.nodes[i]
            if not node.is_leaf:
                parents[node.left] = parents[node.right] = i
                branch_risk[i] = branch_risk[node.left] + branch_risk[node.right]
                leaves[i] = leaves[node.left] + leaves[node.right]
        inner = np.array([not node.is_leaf for node in tree.nodes])
        return cls(tree, risks, parents, branch_risk, leaves, inner)

    def weakest(self) -> tuple[int, float]:
        inner_nodes = np.flatnonzero(self.inner)
        gains = (self.risks[inner_nodes] - self.branch_risk[inner_nodes]) / (
            self.leaves[inner_nodes] - 1
        )
        first = int(np.argmin(gains))
        return int(inner_nodes[first]), float(gains[first])

    def prune(self, node: int) -> None:
        risk = self.risks[node] - self.branch_risk[node]
        fewer = self.leaves[node] - 1
        self._forget(node)
        while node != LEAF:
            self.branch_risk[node] += risk
            self.leaves[node] -= fewer
            node = self.parents[node]

    def _forget(self, node: int) -> None:
        below = [node]
        while below:
            current = below.pop()
            if self.inner[current]:
                self.inner[current] = False
                below += [self.tree.nodes[current].left, self.tree.nodes[current].right]


def prune(tree: PlainTree, path: Sequence[Pruning], ccp_alpha: float) -> PlainTree:
    """Return the smallest tree of the path whose alpha does not exceed ``ccp_alpha``.

    Raises
    ------
    ConfigError
        If ``ccp_alpha`` is negative or not a number.
    """
    if not ccp_alpha >= 0:
        raise ConfigError(f"ccp_alpha: {ccp_alpha}; allowed: a number >= 0.")
    nodes = _pruned_nodes(path, ccp_alpha)
    return _without(tree, lambda node: node in nodes)


def prune_to_leaves(tree: PlainTree, path: Sequence[Pruning], most: int) -> PlainTree:
    """Return the largest tree of the path that has at most so many leaves.

    Parameters
    ----------
    most
        At least 1.
    """
    by_alpha = {step.ccp_alpha: step for step in path}  # equal alphas are one tree
    largest = next(step for step in by_alpha.values() if step.leaves <= most)
    return prune(tree, path, largest.ccp_alpha)


def leaf_counts(tree: PlainTree, path: Sequence[Pruning], ccp_alpha: float) -> Array:
    """Return ``[leaf of the whole tree, class]``: the counts of its rows' leaf in the pruned tree.

    With them, one pass that knows the leaf of each row evaluates every tree of the path.
    """
    nodes = _pruned_nodes(path, ccp_alpha)
    ends = list(range(len(tree.nodes)))
    for i, node in enumerate(tree.nodes):  # parents first, so an end reaches all below it
        if not node.is_leaf and (i in nodes or ends[i] != i):
            ends[node.left] = ends[node.right] = ends[i]
    return tree.counts[[ends[i] for i, node in enumerate(tree.nodes) if node.is_leaf]]


def _pruned_nodes(path: Sequence[Pruning], ccp_alpha: float) -> set[int]:
    return {step.node for step in path if step.node is not None and step.ccp_alpha <= ccp_alpha}


def _without(tree: PlainTree, is_pruned: Callable[[int], bool]) -> PlainTree:
    """Return the tree whose pruned nodes are leaves, its nodes numbered depth first."""
    nodes: list[Node] = []

    def keep(index: int) -> int:
        node, number = tree.nodes[index], len(nodes)
        nodes.append(node)
        if node.is_leaf or is_pruned(index):
            nodes[number] = replace(
                node, left=LEAF, right=LEAF, feature=LEAF, split=(), categories=-1
            )
        else:
            left = keep(node.left)
            nodes[number] = replace(node, left=left, right=keep(node.right))
        return number

    keep(0)
    return PlainTree(tuple(nodes))
