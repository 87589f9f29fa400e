"""MLlib's trees in XGBoost's words: the same leaves, the same sums, and exact Shapley values."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa
import pytest

from sparkweights.models.explainers import TreeExplainer
from sparkweights.models.walk import TreeWalk
from sparkweights.trees import AdditiveTrees
from sparkweights.trees.additive import FlatTree
from sparkweights.trees.prune import LEAF

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


def _leaf(tree: FlatTree, row: np.ndarray) -> int:
    node = 0
    while tree.left[node] != LEAF:
        below = row[tree.feature[node]] <= tree.cut[node]
        node = tree.left[node] if below else tree.right[node]
    return node


def _mean(tree: FlatTree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """Return what a tree says when only some features are known, by the weights of its nodes."""
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    left, right = tree.left[node], tree.right[node]
    feature = tree.feature[node]
    if feature in known:
        return _mean(tree, row, known, left if row[feature] <= tree.cut[node] else right)
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


@pytest.mark.parametrize("thresholds", [0, 7, 100, 101, 300])
def test_exceeded_counts_thresholds_below_a_value(thresholds: int) -> None:
    """As MLlib goes right: a tie does not exceed, infinity does, and NaN exceeds all."""
    rng = np.random.default_rng(thresholds)
    cut = np.unique(rng.normal(size=thresholds))
    values = np.r_[rng.normal(size=50), cut, cut + 1e-15, np.inf, -np.inf, np.nan]
    translated = replace(AdditiveTrees.of([_grow(rng, 1)], FEATURES), cuts=(cut,))
    found = translated.exceeded(values[:, None])[:, 0]
    assert found.tolist() == [sum(not value <= one for one in cut) for value in values]


@pytest.mark.parametrize("count", [1, 12, 300, 2_000])
def test_tree_walk_equals_the_trees_to_the_last_digits(count: int) -> None:
    """Leaves of sizes from 1e-9 to 1e3, rows beside the cuts, infinite values: 1e-12 of the sum."""
    rng = np.random.default_rng(count)
    trees = [_grow(rng, 3) for _ in range(count)]
    scaled = [replace(tree, value=tree.value * 10.0 ** rng.integers(-9, 4)) for tree in trees]
    rows = rng.integers(-3, 4, (40, FEATURES)) + rng.integers(0, 4, (40, FEATURES)) * 1e-12
    rows[0, 0], rows[1, 1] = np.inf, -np.inf
    walk = TreeWalk(AdditiveTrees.of(scaled, FEATURES))
    found = np.array(walk.margin(pa.array(rows.tolist())).to_pylist())
    truth = np.array([sum(tree.value[_leaf(tree, row)] for tree in scaled) for row in rows])
    largest = max(np.abs(tree.value).max() for tree in scaled)
    np.testing.assert_allclose(found[:, 1], truth, rtol=0, atol=1e-12 * largest)
    assert (found[:, 0] == -found[:, 1]).all()
    assert walk.margin(pa.array([], pa.list_(pa.float64()))).to_pylist() == []


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
