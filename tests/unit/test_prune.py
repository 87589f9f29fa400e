"""Weakest-link pruning against scikit-learn on random weighted trees, and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from sparkweights.core.errors import ConfigError
from sparkweights.records.training import PruningCandidate
from sparkweights.training.pruning import costs_beside_cheapest, one_standard_error
from sparkweights.trees.pruning import (
    LEAF,
    Node,
    PlainTree,
    leaf_counts,
    prune,
    prune_to_leaves,
    pruning_path,
)


def _grown(seed: int) -> tuple[DecisionTreeClassifier, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 4))
    y = (x[:, 0] + x[:, 1] ** 2 + rng.normal(size=300) > 1).astype(int) + (x[:, 2] > 1)
    w = rng.gamma(2.0, size=300)
    tree = DecisionTreeClassifier(criterion="gini", max_depth=7, random_state=seed)
    return tree.fit(x, y, sample_weight=w), x, y, w


def _plain(fitted: DecisionTreeClassifier) -> PlainTree:
    own = fitted.tree_
    counts = own.value[:, 0, :] * own.weighted_n_node_samples[:, None]
    return PlainTree(
        tuple(
            Node(int(left), int(right), tuple(row))
            for left, right, row in zip(own.children_left, own.children_right, counts, strict=True)
        )
    )


@pytest.mark.parametrize("seed", range(10))
def test_pruning_path_equals_scikit_learn(seed: int) -> None:
    """Alphas and risks of the whole path, on ten random weighted trees of three classes."""
    fitted, x, y, w = _grown(seed)
    oracle = fitted.cost_complexity_pruning_path(x, y, sample_weight=w)
    tree = _plain(fitted)
    path = pruning_path(tree, tree.risks("gini"))
    assert [step.ccp_alpha for step in path] == pytest.approx(oracle.ccp_alphas, abs=1e-9)
    assert [step.risk for step in path] == pytest.approx(oracle.impurities, abs=1e-9)
    assert tree.leaves == path[0].leaves
    assert path[-1].leaves == 1


@pytest.mark.parametrize("seed", range(3))
def test_pruned_tree_is_the_one_scikit_learn_grows(seed: int) -> None:
    """At an alpha between two steps both keep the same number of leaves."""
    fitted, x, y, w = _grown(seed)
    tree = _plain(fitted)
    path = pruning_path(tree, tree.risks("gini"))
    steps = [pair for pair in pairwise(path) if pair[1].ccp_alpha > 1e-9]  # 0 prunes nothing there
    for step, after in steps[:: max(1, len(steps) // 5)]:
        alpha = (step.ccp_alpha + after.ccp_alpha) / 2
        oracle = DecisionTreeClassifier(
            criterion="gini", max_depth=7, random_state=seed, ccp_alpha=alpha
        ).fit(x, y, sample_weight=w)
        assert prune(tree, path, alpha).leaves == oracle.get_n_leaves()


def test_tree_pruned_to_a_number_of_leaves_is_the_largest_of_the_path_that_has_no_more() -> None:
    """At every number of leaves; steps of equal alphas are one."""
    fitted, *_ = _grown(3)
    tree = _plain(fitted)
    path = pruning_path(tree, tree.risks("gini"))
    sizes = {prune(tree, path, step.ccp_alpha).leaves for step in path}
    for most in range(1, tree.leaves + 2):
        found = prune_to_leaves(tree, path, most).leaves
        assert found == max(size for size in sizes if size <= most)


def test_risks_of_each_measure_by_hand() -> None:
    """A root of 6 and 2 with a leaf of 6 and 0 and one of 0 and 2."""
    tree = PlainTree((Node(1, 2, (6, 2)), Node(LEAF, LEAF, (6, 0)), Node(LEAF, LEAF, (0, 2))))
    assert tree.risks("gini") == pytest.approx([1 - 0.75**2 - 0.25**2, 0, 0])
    assert tree.risks("error") == pytest.approx([0.25, 0, 0])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert tree.risks("entropy") == pytest.approx([entropy, 0, 0])
    costs = np.array([[0.0, 10.0], [2.0, 0.0]])  # approve, decline
    assert tree.risks(costs) == pytest.approx([min(20, 12) / 8, 0, 0])
    # With weights of 1 and 2 the counts stand for 6 rows and 1.
    assert tree.unweighted([1, 2]).risks(costs)[0] == pytest.approx(min(10, 12) / 7)


def test_pruning_by_cost_keeps_splits_that_change_a_decision() -> None:
    """A split that no decision depends on is free to go; one that does is not."""
    nodes = (
        Node(1, 4, (90, 10)),
        Node(2, 3, (80, 1)),
        Node(LEAF, LEAF, (50, 0)),
        Node(LEAF, LEAF, (30, 1)),
        Node(LEAF, LEAF, (10, 9)),
    )
    tree = PlainTree(nodes)
    path = pruning_path(tree, tree.risks(np.array([[0.0, 10.0], [2.0, 0.0]])))
    assert [(step.node, step.leaves) for step in path] == [(None, 3), (1, 2), (0, 1)]
    assert path[1].ccp_alpha == pytest.approx(0)
    assert prune(tree, path, 0.0).nodes == (
        Node(1, 2, (90, 10)),
        Node(LEAF, LEAF, (80, 1)),
        Node(LEAF, LEAF, (10, 9)),
    )


def test_pruning_bad_input_is_one_sentence() -> None:
    """A negative alpha, an unknown measure, and costs of other classes."""
    tree = PlainTree((Node(LEAF, LEAF, (1, 1)),))
    with pytest.raises(ConfigError, match=r"ccp_alpha: -1; allowed: a number >= 0"):
        prune(tree, [], -1)
    with pytest.raises(ConfigError, match="measure: 'auc'; allowed: gini, entropy, error"):
        tree.risks("auc")
    with pytest.raises(ConfigError, match="one column for each of the 2 classes"):
        tree.risks(np.zeros((2, 3)))


def test_leaf_counts_are_those_of_the_pruned_tree() -> None:
    """Every leaf of the whole tree meets the counts of the node that its rows end at."""
    fitted, *_ = _grown(4)
    tree = _plain(fitted)
    path = pruning_path(tree, tree.risks("gini"))
    for step in path[:: len(path) // 6]:
        found = leaf_counts(tree, path, step.ccp_alpha)
        small = prune(tree, path, step.ccp_alpha)
        assert len(found) == tree.leaves
        assert {tuple(row) for row in found} == {
            node.counts for node in small.nodes if node.is_leaf
        }


def test_pruning_path_splits_that_gain_nothing_have_no_negative_alpha() -> None:
    """Where all leaves vote alike no split lowers the error, in spite of floating point."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2_000, 4))
    y = (rng.random(2_000) < 0.03).astype(int)
    w = rng.gamma(2.0, size=2_000)
    tree = _plain(DecisionTreeClassifier(max_depth=7, random_state=0).fit(x, y, sample_weight=w))
    path = pruning_path(tree, tree.risks("error"))
    alphas = [step.ccp_alpha for step in path]
    assert alphas[0] == 0
    assert alphas == sorted(alphas)
    for step in {step.ccp_alpha: step for step in path}.values():  # the last of each alpha
        assert prune(tree, path, step.ccp_alpha).leaves == step.leaves


def test_pruning_keeps_a_tree_that_is_surely_cheaper_than_smaller_ones() -> None:
    """Costs of 0 to 200 a block hide that the smallest tree costs 1 more: it is not chosen.

    One standard error of the level is 200 / sqrt(12) / sqrt(100) = 5.8; that of the difference 0.1.
    """
    level = np.random.default_rng(2).uniform(0, 200, 100)
    around = np.tile([1.0, -1.0], 50)
    sums = np.array([level, level + 1 + around, level + 0.05 + around])
    costs = costs_beside_cheapest(sums, np.ones(100))
    tried = [
        PruningCandidate(0.1 * k, leaves, *cost)
        for k, (leaves, cost) in enumerate(zip((9, 2, 4), costs, strict=True))
    ]
    assert costs[1][1] == pytest.approx(1 / np.sqrt(99))
    assert one_standard_error(tried).leaves == 4
