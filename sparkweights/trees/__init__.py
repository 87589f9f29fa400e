"""Trees as plain nodes: read from MLlib, pruned by weighted risk, written back."""

from sparkweights.trees.additive import AdditiveTrees
from sparkweights.trees.bitwise import DEEPEST, BitwiseTrees
from sparkweights.trees.boosted import first_trees, read_leaves
from sparkweights.trees.bridge import read_tree, write_tree
from sparkweights.trees.flat import FlatTree, read_trees
from sparkweights.trees.prune import (
    Node,
    PlainTree,
    Pruning,
    leaf_counts,
    pruned,
    pruning_path,
)
from sparkweights.trees.shape import Violation, direction_violations, interaction_violations

__all__ = [
    "DEEPEST",
    "AdditiveTrees",
    "BitwiseTrees",
    "FlatTree",
    "Node",
    "PlainTree",
    "Pruning",
    "Violation",
    "direction_violations",
    "first_trees",
    "interaction_violations",
    "leaf_counts",
    "pruned",
    "pruning_path",
    "read_leaves",
    "read_tree",
    "read_trees",
    "write_tree",
]
