"""MLlib's boosted trees as sums of leaf values, and the model of the first few.

As in `sparkweights.trees.mllib_nodes`, the way in and out is the table of nodes that MLlib writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.ml.classification import GBTClassificationModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from sparkweights.storage.location import Location

_WRITTEN = "boosted"


def read_leaves(model: GBTClassificationModel, workspace: Location) -> list[list[float]]:
    """Return, per tree, the value of each leaf times the tree's weight, in the order of leaves.

    Parameters
    ----------
    workspace
        A folder that driver and executors share; the model is saved under it, as ``boosted``.
    """
    model.write().save(str(workspace / _WRITTEN))
    nodes_df = SparkSession.active().read.parquet(str(workspace / _WRITTEN / "data"))
    leaves = (
        nodes_df.filter(F.col("nodeData.leftChild") == LEAF)
        .select("treeID", "nodeData.id", "nodeData.prediction")
        .collect()
    )
    values: list[list[float]] = [[] for _ in model.treeWeights]
    for row in sorted(leaves, key=lambda row: (row["treeID"], row["id"])):
        values[row["treeID"]].append(row["prediction"] * model.treeWeights[row["treeID"]])
    return values


def first_trees(kept: int, workspace: Location) -> GBTClassificationModel:
    """Return a native model of the first ``kept`` trees, after `read_leaves` on this workspace."""
    spark = SparkSession.active()
    before, after = workspace / _WRITTEN, workspace / "first"
    about = F.regexp_replace("value", r'"numTrees":\d+', f'"numTrees":{kept}')
    text_df = spark.read.text(str(before / "metadata")).select(about.alias("value"))
    text_df.coalesce(1).write.text(str(after / "metadata"))
    for table, tree in (("data", "treeID"), ("treesMetadata", "_1")):
        table_df = spark.read.parquet(str(before / table)).filter(F.col(tree) < kept)
        table_df.coalesce(1).write.parquet(str(after / table))
    return GBTClassificationModel.load(str(after))
