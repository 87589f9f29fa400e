"""MLlib's decision tree as plain nodes, and back.

MLlib keeps a tree as a table of nodes, numbered depth first; that table is the only way in and out
that works on every kind of session. A tree has few nodes, so they pass through the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.ml.classification import DecisionTreeClassificationModel
from pyspark.sql import SparkSession

from sparkweights.core.errors import ModelError
from sparkweights.trees.pruning import LEAF, Node, PlainTree

if TYPE_CHECKING:
    from sparkweights.storage.location import Location

_TABLE = (
    "id int, prediction double, impurity double, impurityStats array<double>, rawCount bigint, "
    "gain double, leftChild int, rightChild int, "
    "split struct<featureIndex: int, leftCategoriesOrThreshold: array<double>, numCategories: int>"
)


def read_tree(model: DecisionTreeClassificationModel, workspace: Location) -> PlainTree:
    """Read a fitted tree.

    Parameters
    ----------
    workspace
        A folder that driver and executors share; the model is saved under it, as ``tree``.

    Raises
    ------
    ModelError
        If the nodes are not numbered depth first, as MLlib's are.
    """
    model.write().save(str(workspace / "tree"))
    rows = SparkSession.active().read.parquet(str(workspace / "tree" / "data")).collect()
    rows.sort(key=lambda row: row["id"])
    if [row["id"] for row in rows] != list(range(len(rows))):
        raise ModelError(
            f"The tree's {len(rows)} nodes are not numbered 0 to {len(rows) - 1}; this Spark "
            "writes trees in a way that is not known here.",
            hint="update sparkweights, or leave pruning out.",
        )
    return PlainTree(
        tuple(
            Node(
                left=row["leftChild"],
                right=row["rightChild"],
                counts=tuple(row["impurityStats"]),
                feature=row["split"]["featureIndex"],
                cut=tuple(row["split"]["leftCategoriesOrThreshold"]),
                categories=row["split"]["numCategories"],
                rows=row["rawCount"],
            )
            for row in rows
        )
    )


def write_tree(tree: PlainTree, workspace: Location) -> DecisionTreeClassificationModel:
    """Return a native model with these nodes, after `read_tree` on the same workspace.

    It saves, loads and scores as any of MLlib's; its Params are those of the tree that was read.
    """
    spark = SparkSession.active()
    before, after = workspace / "tree", workspace / "written"
    # A model's metadata is one line of text.
    spark.read.text(str(before / "metadata")).coalesce(1).write.text(str(after / "metadata"))
    rows = [_row(tree, place) for place in range(len(tree.nodes))]
    spark.createDataFrame(rows, _TABLE).coalesce(1).write.parquet(str(after / "data"))
    return DecisionTreeClassificationModel.load(str(after))


def _row(tree: PlainTree, place: int) -> tuple[Any, ...]:
    node = tree.nodes[place]
    gini = _gini(node.counts)
    gain = -1.0
    if not node.is_leaf:
        children = [tree.nodes[node.left].counts, tree.nodes[node.right].counts]
        below = sum(sum(counts) * _gini(counts) for counts in children)
        gain = gini - below / sum(node.counts)
    split = (node.feature, list(node.cut), node.categories)
    return (
        place,
        float(np.argmax(node.counts)),
        gini,
        list(node.counts),
        node.rows,
        gain,
        node.left if not node.is_leaf else LEAF,
        node.right if not node.is_leaf else LEAF,
        split,
    )


def _gini(counts: tuple[float, ...]) -> float:
    total = sum(counts)
    return 1 - sum((count / total) ** 2 for count in counts)
