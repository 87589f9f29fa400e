"""MLlib's trees as nodes, read from the files that MLlib writes, and back.

MLlib keeps each tree as a table of nodes, numbered depth first; that table is the only way in and
out that works on every kind of session. A model has few nodes, so they pass through the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyspark.ml.classification import DecisionTreeClassificationModel, GBTClassificationModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.core.errors import ModelError
from sparkweights.trees.flat_trees import FlatTree
from sparkweights.trees.pruning import LEAF, Node, PlainTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.storage.location import Location

_TABLE = (
    "id int, prediction double, impurity double, impurityStats array<double>, rawCount bigint, "
    "gain double, leftChild int, rightChild int, "
    "split struct<featureIndex: int, leftCategoriesOrThreshold: array<double>, numCategories: int>"
)


class MLlibNode(NamedTuple):
    """One node as MLlib writes it.

    Attributes
    ----------
    id
        Its number in its tree.
    left, right
        Numbers of the children, or `LEAF`.
    prediction
        What a leaf of a regression tree adds; of a classification tree, the likeliest class.
    stats
        Of a classification tree, the training weight of each class; of a regression tree, the
        training weight first.
    rows
        Training rows that reached it, unweighted.
    feature
        Position of the feature that it splits on, or `LEAF`.
    split
        The threshold of a number (left where value <= threshold), or the categories that go left.
    categories
        How many categories the feature has; -1 for a number.
    """

    id: int
    left: int
    right: int
    prediction: float
    stats: list[float]
    rows: int
    feature: int
    split: list[float]
    categories: int


def read_nodes(folder: Location) -> list[list[MLlibNode]]:
    """Return the nodes of each tree of a model that MLlib wrote.

    Parameters
    ----------
    folder
        The model's, on storage that the driver and the executors share.

    Raises
    ------
    ModelError
        If the nodes are not numbered depth first, as MLlib's are.
    """
    nodes_df = SparkSession.active().read.parquet(str(folder / "data"))
    many = "nodeData" in nodes_df.columns
    tree, node = (F.col("treeID"), "nodeData.") if many else (F.lit(0), "")
    columns = [
        *("id", "leftChild", "rightChild", "prediction", "impurityStats", "rawCount"),
        *("split.featureIndex", "split.leftCategoriesOrThreshold", "split.numCategories"),
    ]
    # A model's nodes, not a table's rows.
    rows = nodes_df.select(tree.alias("tree"), *[F.col(node + name) for name in columns]).collect()
    trees: dict[int, list[MLlibNode]] = {}
    for row in sorted(rows, key=lambda row: row[:2]):
        trees.setdefault(row[0], []).append(MLlibNode(*row[1:]))
    for nodes in trees.values():
        _require_numbered([numbered.id for numbered in nodes])
    _require_numbered(list(trees))
    return list(trees.values())


def to_plain_tree(nodes: Sequence[MLlibNode]) -> PlainTree:
    """Return a classification tree with its class weights."""
    return PlainTree(
        tuple(
            Node(
                left=node.left,
                right=node.right,
                counts=tuple(node.stats),
                feature=node.feature,
                split=tuple(node.split),
                categories=node.categories,
                rows=node.rows,
            )
            for node in nodes
        )
    )


def to_flat_trees(
    trees: Sequence[Sequence[MLlibNode]],
    tree_weights: Sequence[float],
    of_class: int | None = None,
) -> list[FlatTree]:
    """Return trees whose values are added up.

    Parameters
    ----------
    tree_weights
        One per tree.
    of_class
        The class whose share of a node's training weight is the node's value; None for regression
        trees, whose predictions are the values.

    Raises
    ------
    ModelError
        If a tree splits on categories.
    """
    return [
        _flat(nodes, weight, of_class) for nodes, weight in zip(trees, tree_weights, strict=True)
    ]


def to_leaf_values(
    trees: Sequence[Sequence[MLlibNode]], tree_weights: Sequence[float]
) -> list[list[float]]:
    """Return, per regression tree, each leaf's value times the tree's weight, in leaf order."""
    return [
        [node.prediction * weight for node in nodes if node.left == LEAF]
        for nodes, weight in zip(trees, tree_weights, strict=True)
    ]


def write_tree(
    tree: PlainTree, read: Location, written: Location
) -> DecisionTreeClassificationModel:
    """Return a native model with these nodes.

    Parameters
    ----------
    read
        Folder of the model whose nodes were read; its Params are kept.
    written
        Folder to write the model to, on storage that the driver and the executors share.
    """
    spark = SparkSession.active()
    # A model's metadata is one line of text.
    spark.read.text(str(read / "metadata")).coalesce(1).write.text(str(written / "metadata"))
    rows = [_row(tree, i) for i in range(len(tree.nodes))]
    spark.createDataFrame(rows, _TABLE).coalesce(1).write.parquet(str(written / "data"))
    return DecisionTreeClassificationModel.load(str(written))


def first_trees(count: int, read: Location, written: Location) -> GBTClassificationModel:
    """Return a native model of the first ``count`` trees; the folders are those of `write_tree`."""
    spark = SparkSession.active()
    metadata = F.regexp_replace("value", r'"numTrees":\d+', f'"numTrees":{count}')
    text_df = spark.read.text(str(read / "metadata")).select(metadata.alias("value"))
    text_df.coalesce(1).write.text(str(written / "metadata"))
    for table, tree in (("data", "treeID"), ("treesMetadata", "_1")):
        table_df = spark.read.parquet(str(read / table)).filter(F.col(tree) < count)
        table_df.coalesce(1).write.parquet(str(written / table))
    return GBTClassificationModel.load(str(written))


def _require_numbered(numbers: Sequence[int]) -> None:
    if list(numbers) != list(range(len(numbers))):
        raise ModelError(
            f"A model's {len(numbers)} nodes or trees are not numbered 0 to {len(numbers) - 1}; "
            "this Spark writes trees in a format that sparkweights does not know.",
            hint="update sparkweights, or leave pruning and reasons out.",
        )


def _flat(nodes: Sequence[MLlibNode], tree_weight: float, of_class: int | None) -> FlatTree:
    if any(node.left != LEAF and node.categories != -1 for node in nodes):
        raise ModelError(
            f"A tree of {len(nodes)} nodes splits on categories, which sparkweights does not read.",
            hint="update sparkweights, or leave reasons out.",
        )
    stats = [np.asarray(node.stats) for node in nodes]
    if of_class is None:
        weight = [float(counts[0]) for counts in stats]
        value = [node.prediction * tree_weight for node in nodes]
    else:
        weight = [float(counts.sum()) for counts in stats]
        value = [float(counts[of_class] / counts.sum()) * tree_weight for counts in stats]
    return FlatTree(
        tuple(node.left for node in nodes),
        tuple(node.right for node in nodes),
        tuple(node.feature for node in nodes),
        np.asarray([node.split[0] if node.split else 0.0 for node in nodes]),
        np.asarray(value),
        np.asarray(weight),
    )


def _row(tree: PlainTree, index: int) -> tuple[object, ...]:
    node = tree.nodes[index]
    gini = _gini(node.counts)
    gain = -1.0
    if not node.is_leaf:
        children = [tree.nodes[node.left].counts, tree.nodes[node.right].counts]
        below = sum(sum(counts) * _gini(counts) for counts in children)
        gain = gini - below / sum(node.counts)
    split = (node.feature, list(node.split), node.categories)
    return (
        index,
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
