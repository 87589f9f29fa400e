"""What a sum of XGBoost's trees depends on: in which direction, and on what together.

Read from XGBoost's own JSON, in the order of its nodes; a row whose feature is below a node's
condition goes left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NONE = -1  # XGBoost's child of a leaf


class _Tree(TypedDict):
    """The fields of a tree of XGBoost that are read; each list is ``[node]``."""

    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]


@dataclass(frozen=True)
class Violation:
    """The node of a tree that breaks a constraint.

    Attributes
    ----------
    tree, node
        Their positions in the model, from 0.
    features
        The positions that the constraint is about.
    """

    tree: int
    node: int
    features: tuple[int, ...]


def direction_violations(model: bytes, directions: Sequence[int]) -> Iterator[Violation]:
    """Yield the splits that break a monotone constraint.

    A tree is monotone in a feature if, at each split on it, no leaf on the one side exceeds any
    leaf on the other. XGBoost grows constrained trees so (bounds at the mean of two children), and
    a sum of monotone trees is monotone. The condition is sufficient: a tree that breaks it may
    still be monotone where other splits keep the two leaves apart.

    Parameters
    ----------
    model
        XGBoost's JSON of trees with one value per leaf.
    directions
        ``[feature]``: 1 where the sum must not fall as the feature grows, -1 where it must not
        rise, 0 where it is free. Missing values (NaN) have no order and are free.
    """
    for number, tree in enumerate(_trees(model)):
        lefts, rights = tree["left_children"], tree["right_children"]
        values = tree["split_conditions"]
        # Smallest and largest leaf below each node, from the leaves up.
        low, high = dict(enumerate(values)), dict(enumerate(values))
        for node in _leaves_first(tree):
            left, right = lefts[node], rights[node]
            if left == _NONE:
                continue
            feature = tree["split_indices"][node]
            is_ordered = {1: high[left] <= low[right], -1: low[left] >= high[right]}
            if not is_ordered.get(directions[feature], True):
                yield Violation(number, node, (feature,))
            low[node], high[node] = min(low[left], low[right]), max(high[left], high[right])


def interaction_violations(model: bytes, groups: Sequence[Sequence[int]]) -> Iterator[Violation]:
    """Yield the leaves whose path splits on features that no group contains together.

    Parameters
    ----------
    model
        XGBoost's JSON.
    groups
        Which features may interact; a feature that no group names stays alone.
    """
    allowed = [frozenset(group) for group in groups]
    for number, tree in enumerate(_trees(model)):
        paths: dict[int, frozenset[int]] = {0: frozenset()}
        for node in reversed(_leaves_first(tree)):
            path = paths[node]
            left, right = tree["left_children"][node], tree["right_children"][node]
            if left != _NONE:
                paths[left] = paths[right] = path | {tree["split_indices"][node]}
            elif len(path) > 1 and not any(path <= group for group in allowed):
                yield Violation(number, node, tuple(sorted(path)))


def _trees(model: bytes) -> Sequence[_Tree]:
    booster = json.loads(model)["learner"]["gradient_booster"]
    trees: Sequence[_Tree] = booster["model"]["trees"]
    return trees


def _leaves_first(tree: _Tree) -> list[int]:
    """Return the nodes of a tree, each behind its children; pruned ones are not reached."""
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        children = tree["left_children"][node], tree["right_children"][node]
        waiting += [child for child in children if child != _NONE]
    return order[::-1]
