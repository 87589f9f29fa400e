"""MLlib's trees as nodes, read from the files that MLlib writes, and back.

MLlib keeps each tree as a table of nodes, numbered depth first; that table is the only way in and
out that works on every kind of session. A model has few nodes, so they pass through the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.classification import DecisionTreeClassificationModel, GBTClassificationModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.storage.spark_paths import literal_path
from sparkweights.trees.nodes import MLlibNode, group_by_tree
from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from sparkweights.storage.location import Location
    from sparkweights.trees.pruning import PlainTree

_TABLE = (
    "id int, prediction double, impurity double, impurityStats array<double>, rawCount bigint, "
    "gain double, leftChild int, rightChild int, "
    "split struct<featureIndex: int, leftCategoriesOrThreshold: array<double>, numCategories: int>"
)


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
    nodes_df = SparkSession.active().read.parquet(literal_path(folder / "data"))
    many = "nodeData" in nodes_df.columns
    tree, node = (F.col("treeID"), "nodeData.") if many else (F.lit(0), "")
    columns = [
        *("id", "leftChild", "rightChild", "prediction", "impurityStats", "rawCount"),
        *("split.featureIndex", "split.leftCategoriesOrThreshold", "split.numCategories"),
    ]
    # A model's nodes, not a table's rows.
    rows = nodes_df.select(tree.alias("tree"), *[F.col(node + name) for name in columns]).collect()
    return group_by_tree((row[0], MLlibNode(*row[1:])) for row in rows)


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
    spark.read.text(literal_path(read / "metadata")).coalesce(1).write.text(
        str(written / "metadata")
    )
    rows = [_row(tree, i) for i in range(len(tree.nodes))]
    spark.createDataFrame(rows, _TABLE).coalesce(1).write.parquet(str(written / "data"))
    return DecisionTreeClassificationModel.load(literal_path(written))


def first_trees(count: int, read: Location, written: Location) -> GBTClassificationModel:
    """Return a native model of the first ``count`` trees; the folders are those of `write_tree`."""
    spark = SparkSession.active()
    metadata = F.regexp_replace("value", r'"numTrees":\d+', f'"numTrees":{count}')
    text_df = spark.read.text(literal_path(read / "metadata")).select(metadata.alias("value"))
    text_df.coalesce(1).write.text(str(written / "metadata"))
    for table, tree in (("data", "treeID"), ("treesMetadata", "_1")):
        table_df = spark.read.parquet(literal_path(read / table)).filter(F.col(tree) < count)
        table_df.coalesce(1).write.parquet(str(written / table))
    return GBTClassificationModel.load(literal_path(written))


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
