"""Trees as plain nodes: read from MLlib, pruned by weighted risk, written back."""

from sparkweights.trees.bridge import read_tree, write_tree
from sparkweights.trees.prune import (
    Node,
    PlainTree,
    Pruning,
    leaf_counts,
    pruned,
    pruning_path,
)

__all__ = [
    "Node",
    "PlainTree",
    "Pruning",
    "leaf_counts",
    "pruned",
    "pruning_path",
    "read_tree",
    "write_tree",
]
