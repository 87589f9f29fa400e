"""Trees of MLlib: one, a forest, and boosted ones.

MLlib's tree and forest merge sibling leaves that predict the same class, which erases the
probabilities of rare classes: with defaults at 2 % nearly every leaf predicts "repay". They are
grown here without that merging; before Spark 4.3 by `sparkweights.models.unmerged_trees`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.classification import (
    DecisionTreeClassificationModel,
    DecisionTreeClassifier,
    GBTClassificationModel,
    GBTClassifier,
    OneVsRest,
    OneVsRestModel,
    RandomForestClassificationModel,
    RandomForestClassifier,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.core.column_math import binary, literal_array, normalised
from sparkweights.core.errors import ModelError
from sparkweights.core.extras import XGBOOST
from sparkweights.core.session_settings import read_setting
from sparkweights.models.attributions import TreeContrast, TreeExplainer
from sparkweights.models.base import (
    FEATURES,
    MARGIN,
    STAGES,
    FittedModel,
    Learner,
    PrunableModel,
    StagedModel,
)
from sparkweights.models.declaration import ClassCount
from sparkweights.models.mllib import (
    COLUMNS,
    RAW,
    MLlibModel,
    append_leaves,
    append_raw,
    impurity_decreases,
)
from sparkweights.models.unmerged_trees import can_keep_leaves, fit_forest, fit_tree
from sparkweights.storage.scratch import scratch_folder
from sparkweights.storage.spark_paths import literal_path
from sparkweights.trees.arrow_scoring import ArrowTrees, executors_can_score
from sparkweights.trees.bitwise import MAX_DEPTH, BitwiseTrees
from sparkweights.trees.mllib_nodes import first_trees, read_nodes, write_tree
from sparkweights.trees.nodes import to_flat_trees, to_leaf_values, to_plain_tree
from sparkweights.trees.xgboost_json import AdditiveTrees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array, ExplainerSettings, FitSettings
    from sparkweights.models.declaration import ParamValue
    from sparkweights.storage.location import Location
    from sparkweights.trees.flat_trees import FlatTree
    from sparkweights.trees.pruning import PlainTree

CHECKPOINTS = "spark.checkpoint.dir"
LONG_BOOSTING = 100  # trees; some two hundred overflowed a stack of Java's usual size
WRITTEN = "native"  # where a model is written in a workspace


class _SharesModel(FittedModel):
    """A tree or a forest, whose margin is the class shares of its leaves."""

    def scores(self, margin: Column) -> list[Column]:
        """Return the weighted class shares of the leaf, or their mean over the trees."""
        return normalised([margin.getItem(c) for c in range(self.classes)])

    def slope(self, weighted: Column, /) -> Column:
        """Return the derivative of a share by its log odds: q (1 - q)."""
        return weighted * (1 - weighted)

    def _explain_shares(self, settings: ExplainerSettings, features: int) -> Explainer:
        """Return Shapley values of the class's share in the leaf, or of its mean over the trees."""
        trees = read_nodes(settings.folder)
        weights = [1 / len(trees)] * len(trees)
        # The shares of two classes are one less the other.
        classes = (settings.against,) if self.is_binary else range(self.classes)
        parts = [_explainer(to_flat_trees(trees, weights, c), features) for c in classes]
        return parts[0] if len(parts) == 1 else TreeContrast(tuple(parts))


class TreeModel(_SharesModel, MLlibModel[DecisionTreeClassificationModel], PrunableModel):
    """A fitted decision tree."""

    def importances(self) -> Array:
        """Return MLlib's importances."""
        return impurity_decreases(self.native)

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return Shapley values of the class's share in the leaf."""
        return self._explain_shares(settings, self.native.numFeatures)

    def read_tree(self, workspace: Location) -> PlainTree:
        """Return the tree's nodes, read from the files that MLlib writes."""
        self.save(workspace / WRITTEN)
        (nodes,) = read_nodes(workspace / WRITTEN)
        return to_plain_tree(nodes)

    def append_leaf(self, df: DataFrame, name: str) -> DataFrame:
        """Append MLlib's number of the row's leaf."""
        return append_leaves(self.native, df, name)

    def with_tree(self, tree: PlainTree, workspace: Location) -> TreeModel:
        """Return a native model with these nodes; its Params are those of the tree that was read.

        It saves, loads and scores as any of MLlib's.
        """
        native = write_tree(tree, workspace / WRITTEN, workspace / "tree")
        return TreeModel(self.declaration, self.classes, native)


class Tree(Learner):
    """One decision tree, by weighted impurity."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> TreeModel:
        if can_keep_leaves():
            make: Callable[..., DecisionTreeClassifier] = DecisionTreeClassifier
            grower = make(**COLUMNS, seed=settings.seed, **settings.params)
            grower.set(grower.getParam("pruneTree"), value=False)  # types of 4.1 know no setter
            native = grower.fit(fit_df)
        else:
            with scratch_folder(settings.scratch) as workspace:
                native = fit_tree(fit_df, settings.params, settings.seed, workspace)
        return TreeModel(self.declaration, settings.classes, native)

    def load(self, folder: Location, classes: int) -> TreeModel:
        """Read MLlib's native format."""
        native = DecisionTreeClassificationModel.load(literal_path(folder))
        return TreeModel(self.declaration, classes, native)


class ForestModel(_SharesModel, MLlibModel[RandomForestClassificationModel]):
    """A fitted random forest."""

    def importances(self) -> Array:
        """Return MLlib's importances."""
        return impurity_decreases(self.native)

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return Shapley values of the mean over the trees of the class's share in the leaf."""
        return self._explain_shares(settings, self.native.numFeatures)


class Forest(Learner):
    """A random forest, by weighted impurity."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> ForestModel:
        if can_keep_leaves():
            make: Callable[..., RandomForestClassifier] = RandomForestClassifier
            grower = make(**COLUMNS, seed=settings.seed, **settings.params)
            grower.set(grower.getParam("pruneTree"), value=False)  # types of 4.1 know no setter
            native = grower.fit(fit_df)
        else:
            with scratch_folder(settings.scratch) as workspace:
                native = fit_forest(fit_df, settings.params, settings.seed, workspace)
        return ForestModel(self.declaration, settings.classes, native)

    def load(self, folder: Location, classes: int) -> ForestModel:
        """Read MLlib's native format."""
        native = RandomForestClassificationModel.load(literal_path(folder))
        return ForestModel(self.declaration, classes, native)


class BoostedModel(MLlibModel[GBTClassificationModel], StagedModel):
    """Fitted boosted trees of two classes.

    MLlib minimises log(1 + exp(-2 y F)), so the log odds are 2 F.
    """

    def margin(self, plan: FeaturePlan, folder: Location | None, /) -> Column | None:
        """Sum the trees in Arrow batches, where they are not too deep for it."""
        native = self.native
        if folder is None or native.getMaxDepth() > MAX_DEPTH:
            return None
        if not executors_can_score(SparkSession.active()):
            return None
        try:
            trees = to_flat_trees(read_nodes(folder), native.treeWeights)
            compiled = BitwiseTrees.of(trees, native.numFeatures)
        except ModelError:  # nodes that this version cannot read; MLlib can
            return None
        return ArrowTrees(compiled).column(plan.array())

    def scores(self, margin: Column) -> list[Column]:
        """Return the probabilities: the log odds are twice the margin."""
        return binary(2 * margin.getItem(1))

    def slope(self, _weighted: Column, /) -> Column:
        """Return one half: the margin is half the log odds."""
        return F.lit(0.5)

    def importances(self) -> Array:
        """Return MLlib's importances."""
        return impurity_decreases(self.native)

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return Shapley values of the margin, which is half the log odds."""
        return _explain_boosted(self.native, settings.folder, 1.0 if settings.against else -1.0)

    def append_stages(self, df: DataFrame, workspace: Location, /) -> DataFrame:
        """Find the leaves of each row once, and add up their values."""
        self.save(workspace / WRITTEN)
        trees = read_nodes(workspace / WRITTEN)
        values = F.array(*map(literal_array, to_leaf_values(trees, self.native.treeWeights)))
        leaf_values = F.transform(
            vector_to_array(F.col(RAW)),
            lambda leaf, tree: F.get(F.get(values, tree), leaf.cast("int")),
        )
        sums = F.aggregate(
            leaf_values,
            F.array().cast("array<double>"),
            lambda sofar, value: F.concat(
                sofar, F.array(value + F.coalesce(F.get(sofar, F.size(sofar) - 1), F.lit(0.0)))
            ),
        )
        staged_df = append_leaves(self.native, df, RAW).withColumn(STAGES, sums)
        pairs = F.transform(F.col(STAGES), lambda margin: F.array(-margin, margin))
        return staged_df.withColumn(STAGES, pairs).drop(FEATURES, RAW)

    def first_stages(self, stages: int, workspace: Location, /) -> BoostedModel:
        """Return a native model of the first trees."""
        native = first_trees(stages, workspace / WRITTEN, workspace / "first")
        return BoostedModel(self.declaration, self.classes, native)


@dataclass(frozen=True, eq=False)
class OneVsRestBoostedModel(FittedModel):
    """Fitted boosted trees of many classes: a model for each class against the others.

    Each of the binary models sees the same row weights, so each estimates its class's weighted
    probability; the probabilities are divided by their sum.
    """

    native: OneVsRestModel

    @property
    def models(self) -> list[GBTClassificationModel]:
        """The models of the classes, in index order."""
        return [model for model in self.native.models if isinstance(model, GBTClassificationModel)]

    def append_margin(self, df: DataFrame) -> DataFrame:
        """Evaluate each binary model once per row."""
        names = [f"{RAW}_{c}" for c in range(self.classes)]
        for name, model in zip(names, self.models, strict=True):
            df = append_raw(model, df, name)
        margins = [vector_to_array(F.col(name)).getItem(1) for name in names]
        return df.withColumn(MARGIN, F.array(*margins)).drop(FEATURES, *names)

    def scores(self, margin: Column) -> list[Column]:
        """Return the probabilities of the binary models, divided by their sum."""
        return normalised([binary(2 * margin.getItem(c))[1] for c in range(self.classes)])

    def slope(self, _weighted: Column, /) -> Column:
        """Return one half: each margin is half the log odds."""
        return F.lit(0.5)

    def importances(self) -> Array:
        """Return the mean of MLlib's importances over the binary models."""
        return np.asarray(np.mean([impurity_decreases(model) for model in self.models], axis=0))

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return Shapley values of the margins, each half the log odds."""
        return TreeContrast(
            tuple(
                _explain_boosted(model, settings.folder / f"model_{c}")
                for c, model in enumerate(self.models)
            )
        )

    def save(self, folder: Location) -> None:
        """Write MLlib's native format."""
        self.native.write().save(str(folder))


class BoostedTrees(Learner):
    """Gradient-boosted trees; with more than two classes, one model for each against the rest."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> FittedModel:
        """Fit one model, or one per class, two at a time over the same kept rows."""
        make: Callable[..., GBTClassifier] = GBTClassifier
        boosting = make(**COLUMNS, seed=settings.seed, **settings.params)
        if ClassCount.TWO.covers(settings.classes):  # MLlib's boosted trees are binary
            return BoostedModel(self.declaration, settings.classes, boosting.fit(fit_df))
        each = OneVsRest(classifier=boosting, parallelism=2, **COLUMNS).fit(fit_df)
        return OneVsRestBoostedModel(self.declaration, settings.classes, each)

    def load(self, folder: Location, classes: int) -> FittedModel:
        """Read one model, or the models of one against the rest."""
        if ClassCount.TWO.covers(classes):
            native = GBTClassificationModel.load(literal_path(folder))
            return BoostedModel(self.declaration, classes, native)
        each = OneVsRestModel.load(literal_path(folder))
        return OneVsRestBoostedModel(self.declaration, classes, each)

    def concern(self, params: Mapping[str, ParamValue], spark: SparkSession, /) -> str | None:
        """Warn of boosting so long that its history needs checkpoints, where there are none."""
        trees = params.get("maxIter", 0)
        if float(trees) <= LONG_BOOSTING or read_setting(spark, CHECKPOINTS):
            return None
        return (
            f"{trees} boosted trees (maxIter) correct a row so often that tasks may overflow the "
            f"Java stack; above {LONG_BOOSTING}, set {CHECKPOINTS} to a folder that the "
            "executors share (spark-submit --conf)."
        )


def _explain_boosted(
    native: GBTClassificationModel, folder: Location, sign: float = 1.0
) -> TreeExplainer:
    trees = to_flat_trees(read_nodes(folder), native.treeWeights)
    return _explainer(trees, native.numFeatures, sign)


def _explainer(trees: list[FlatTree], features: int, sign: float = 1.0) -> TreeExplainer:
    XGBOOST.require("reasons from trees need", "choose another model.kind")
    additive = AdditiveTrees.of(trees, features)
    return TreeExplainer(additive.json, sign=sign, trees=additive)
