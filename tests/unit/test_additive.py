"""MLlib's trees as bits and in XGBoost's words: the same sums, and exact Shapley values."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa
import pytest

from sparkweights.core.errors import ModelError
from sparkweights.models.attributions import TreeContrast, TreeExplainer
from sparkweights.trees.arrow_scoring import ArrowTrees
from sparkweights.trees.bitwise import MAX_DEPTH, BitwiseTrees
from sparkweights.trees.flat_trees import FlatTree
from sparkweights.trees.pruning import LEAF
from sparkweights.trees.xgboost_json import AdditiveTrees

FEATURES, TREES = 4, 12


def _grow(rng: np.random.Generator, depth: int) -> FlatTree:
    """Return a random tree, numbered depth first as MLlib's are."""
    nodes: list[list[float]] = []

    def grow(level: int, weight: float) -> int:
        place = len(nodes)
        nodes.append([LEAF, LEAF, LEAF, 0.0, float(rng.normal()), weight])
        if level and rng.random() > 0.1:
            left, right = (weight * share for share in np.diff([0, rng.uniform(0.2, 0.8), 1]))
            # Cuts a float32 cannot tell apart are the ones that a rounded row would miss.
            cut = float(rng.integers(-2, 3)) + float(rng.integers(0, 3)) * 1e-12
            nodes[place][2:5] = [int(rng.integers(FEATURES)), cut, 0.0]
            nodes[place][:2] = [grow(level - 1, left), grow(level - 1, right)]
        return place

    grow(depth, 1_000.0)
    left, right, feature, cut, value, weight = zip(*nodes, strict=True)
    return FlatTree(
        tuple(map(int, left)),
        tuple(map(int, right)),
        tuple(map(int, feature)),
        np.array(cut),
        np.array(value),
        np.array(weight),
    )


def _chain(depth: int) -> FlatTree:
    """Return a tree in which every right child is a leaf."""
    inner = range(0, 2 * depth, 2)
    left, right = ([*(n for at in inner for n in (at + to, LEAF)), LEAF] for to in (2, 1))
    zeros = np.zeros(len(left))
    return FlatTree(tuple(left), tuple(right), (0,) * len(left), zeros, zeros, zeros + 1)


def _leaf(tree: FlatTree, row: np.ndarray) -> int:
    node = 0
    while tree.left[node] != LEAF:
        below = row[tree.feature[node]] <= tree.threshold[node]
        node = tree.left[node] if below else tree.right[node]
    return node


def _mean(tree: FlatTree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """Return what a tree says when only some features are known, by the weights of its nodes."""
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    left, right = tree.left[node], tree.right[node]
    feature = tree.feature[node]
    if feature in known:
        return _mean(tree, row, known, left if row[feature] <= tree.threshold[node] else right)
    total = tree.weight[left] + tree.weight[right]
    return (
        tree.weight[left] * _mean(tree, row, known, left)
        + tree.weight[right] * _mean(tree, row, known, right)
    ) / total


def _shapley(trees: list[FlatTree], row: np.ndarray) -> list[float]:
    """Return the Shapley values by their definition, over every coalition."""

    def worth(known: frozenset[int]) -> float:
        return sum(_mean(tree, row, known) for tree in trees)

    found = []
    for own in range(FEATURES):
        others = [f for f in range(FEATURES) if f != own]
        found.append(
            sum(
                factorial(size) * factorial(FEATURES - size - 1) / factorial(FEATURES)
                * (worth(frozenset({*some, own})) - worth(frozenset(some)))
                for size in range(FEATURES)
                for some in combinations(others, size)
            )
        )  # fmt: skip
    return [*found, worth(frozenset())]


@pytest.fixture(scope="module")
def forest() -> tuple[list[FlatTree], np.ndarray]:
    """Random trees, and rows that lie on their cuts or a hair beside them."""
    rng = np.random.default_rng(11)
    rows = rng.integers(-3, 4, (60, FEATURES)) + rng.integers(0, 4, (60, FEATURES)) * 1e-12
    return [_grow(rng, 4) for _ in range(TREES)], rows


def test_tree_explainer_equals_shapleys_definition(
    forest: tuple[list[FlatTree], np.ndarray],
) -> None:
    """Every contribution, and the base, to float32; their sum is the margin to float64."""
    trees, rows = forest
    translated = AdditiveTrees.of(trees, FEATURES)
    explainer = TreeExplainer(translated.json, trees=translated)
    found = np.array(explainer.of_batch(pa.array(rows.tolist())).to_pylist())
    margins = [sum(tree.value[_leaf(tree, row)] for tree in trees) for row in rows]
    np.testing.assert_allclose(found.sum(axis=1), margins, atol=1e-12)
    truth = np.array([_shapley(trees, row) for row in rows[:15]])
    np.testing.assert_allclose(found[:15], truth, atol=3e-6)


@pytest.mark.parametrize("depth", range(MAX_DEPTH + 1))
@pytest.mark.parametrize("rows", [1, 8, 61])
def test_arrow_trees_are_the_sum_of_leaves(depth: int, rows: int) -> None:
    """On trees of every depth, beside cuts, at infinity and without a number: the very same sum."""
    rng = np.random.default_rng([depth, rows])
    trees = [_grow(rng, depth) for _ in range(TREES)]
    trees.append(replace(trees[0], value=trees[0].value * 1e9))
    values = rng.integers(-3, 4, (rows, FEATURES)) + rng.integers(0, 4, (rows, FEATURES)) * 1e-12
    values[-1] = [np.inf, -np.inf, np.nan, 0.0]
    compiled = BitwiseTrees.of(trees, FEATURES)
    found = np.array(ArrowTrees(compiled).margin(pa.array(values.tolist())).to_pylist())
    truth = [sum(tree.value[_leaf(tree, row)] for tree in trees) for row in values]
    assert found[:, 1].tolist() == truth
    assert found[:, 0].tolist() == [-one for one in truth]


def test_arrow_trees_of_no_rows_and_of_too_deep_trees() -> None:
    """An empty batch is answered; deeper trees are left to MLlib, which is faster on them."""
    rng = np.random.default_rng(2)
    compiled = BitwiseTrees.of([_grow(rng, 2)], FEATURES)
    assert ArrowTrees(compiled).margin(pa.array([], pa.list_(pa.float64()))).to_pylist() == []
    with pytest.raises(ModelError, match="A tree of 9 levels; at most 8"):
        BitwiseTrees.of([_chain(MAX_DEPTH), _chain(MAX_DEPTH + 1)], FEATURES)


def test_tree_explainer_rows_that_nobody_asks_about_stay_null(
    forest: tuple[list[FlatTree], np.ndarray],
) -> None:
    """A null among the features is a null among the answers, and moves no other row's."""
    trees, rows = forest
    translated = AdditiveTrees.of(trees, FEATURES)
    explainer = TreeExplainer(translated.json, sign=-1.0, trees=translated)
    kind = pa.list_(pa.float64())
    some = pa.array([None, rows[0].tolist(), None, rows[1].tolist()], kind)
    all_asked = explainer.of_batch(pa.array(rows[:2].tolist(), kind)).to_pylist()
    found = explainer.of_batch(some).to_pylist()
    assert found == [None, all_asked[0], None, all_asked[1]]
    assert explainer.of_batch(pa.array([None, None], kind)).to_pylist() == [None, None]
    assert explainer.of_batch(pa.array([], kind)).to_pylist() == []


def test_tree_contrast_equals_shapleys_definition_of_the_difference(
    forest: tuple[list[FlatTree], np.ndarray],
) -> None:
    """Three classes: each row weighs the margins its own way, and they add up to the contrast."""
    trees, rows = forest
    three = [trees[:4], trees[4:8], trees[8:]]
    parts = [AdditiveTrees.of(own, FEATURES) for own in three]
    contrast = TreeContrast(tuple(TreeExplainer(part.json, trees=part) for part in parts))
    shares = np.random.default_rng(6).dirichlet([1, 1], len(rows))
    counts = np.column_stack([-shares[:, 0], np.ones(len(rows)), -shares[:, 1]])
    kind = pa.list_(pa.float64())
    given = pa.array(rows.tolist(), kind), pa.array(counts.tolist(), kind)
    found = np.array(contrast.of_batch(*given).to_pylist())
    truth = np.array([
        weights @ np.array([_shapley(own, row) for own in three])
        for weights, row in zip(counts[:15], rows[:15], strict=True)
    ])  # fmt: skip
    np.testing.assert_allclose(found[:15], truth, atol=6e-6)
    none = pa.array([None, rows[0].tolist()], kind), pa.array([None, counts[0].tolist()], kind)
    assert contrast.of_batch(*none).to_pylist() == [None, found[0].tolist()]
