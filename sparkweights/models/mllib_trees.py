"""Trees of MLlib: one, a forest, and boosted ones.

MLlib's tree and forest merge sibling leaves that predict the same class, which erases the
probabilities of rare classes: with defaults at 2 % nearly every leaf says "repay". They are grown
here without that merging.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pyspark import __version__ as running_spark
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
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.bounds import Bound
from sparkweights.core.column_math import binary, normalised
from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.models.attributions import TreeContrast, TreeExplainer
from sparkweights.models.base import (
    COLUMNS,
    COUNT,
    FEATURES,
    MARGIN,
    POSITIVE,
    RAW,
    STAGES,
    MLlibLearner,
    StagedLearner,
)
from sparkweights.models.xgboost_library import require_xgboost
from sparkweights.trees.arrow_scoring import TreeWalk, workers_can_walk
from sparkweights.trees.bitwise import DEEPEST, BitwiseTrees
from sparkweights.trees.mllib_boosting import first_trees, read_leaves
from sparkweights.trees.mllib_tables import read_trees
from sparkweights.trees.xgboost_json import AdditiveTrees

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array
    from sparkweights.models.constraints import Constraints
    from sparkweights.storage.location import Location

CHECKPOINTS = "spark.checkpoint.dir"
LONG_BOOSTING = 100  # trees; some two hundred overflowed a stack of Java's usual size

_GROWING: Mapping[str, Bound] = {
    "maxDepth": Bound(int, 0, 30),
    "maxBins": Bound(int, 2, 100_000),
    "minInstancesPerNode": Bound(int, 1),
    "minWeightFractionPerNode": Bound(float, 0, 0.5),
    "minInfoGain": POSITIVE,
    "maxMemoryInMB": Bound(int, 0),
}
_IMPURITY: Mapping[str, Bound] = {"impurity": Bound(str, choices=("gini", "entropy"))}
_SAMPLING: Mapping[str, Bound] = {
    "subsamplingRate": Bound(float, 1e-6, 1),
    "featureSubsetStrategy": Bound(
        str, choices=("auto", "all", "onethird", "sqrt", "log2"), or_number=True
    ),
}


class _Unmerged(MLlibLearner):
    """A tree or a forest whose leaves keep their own class shares."""

    def make(self, params: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 (MLlib's Estimator)
        """Return the Estimator with leaf merging switched off.

        Raises
        ------
        ConfigError
            If this Spark cannot switch it off.
        """
        if "pruneTree" not in inspect.signature(self.estimator.__init__).parameters:
            raise ConfigError(
                f"model.kind: {self.kind} needs Spark 4.3 or newer (this is {running_spark}): "
                "older ones merge leaves of the same class, and with them the probabilities of "
                "rare classes.",
                hint="use boosted_trees, or a newer Spark.",
            )
        return super().make(params, seed).setPruneTree(value=False)

    def scores(self, margin: Column, classes: int) -> list[Column]:
        """Return the weighted class shares of the leaf, or their mean over the trees."""
        return normalised([margin.getItem(c) for c in range(classes)])

    def explainer(
        self,
        model: Any,  # noqa: ANN401 (MLlib's model)
        folder: Location,
        *,
        against: int,
        classes: int,
        reference: Sequence[float],  # noqa: ARG002 (a tree's is in its nodes)
    ) -> Explainer:
        """Return Shapley values of the class's share in the leaf, or of its mean over the trees."""
        count = getattr(model, "getNumTrees", 1)
        told = (against,) if classes == 2 else range(classes)  # noqa: PLR2004 (two mirror each other)
        shares = [read_trees(folder, [1 / count] * count, c) for c in told]
        parts = [_of_trees(AdditiveTrees.of(trees, model.numFeatures)) for trees in shares]
        return parts[0] if len(parts) == 1 else TreeContrast(tuple(parts))

    def slope(self, weighted: Column) -> Column:
        """Return the derivative of a share by its log odds: q (1 - q)."""
        return weighted * (1 - weighted)


class Tree(_Unmerged):
    """One decision tree, by weighted impurity."""

    kind = "tree"
    params: ClassVar[Mapping[str, Bound]] = {**_GROWING, **_IMPURITY}
    estimator = DecisionTreeClassifier
    model = DecisionTreeClassificationModel


class Forest(_Unmerged):
    """A random forest, by weighted impurity."""

    kind = "forest"
    params: ClassVar[Mapping[str, Bound]] = {
        **_GROWING,
        **_IMPURITY,
        **_SAMPLING,
        "numTrees": COUNT,
        "bootstrap": Bound(bool),
    }
    estimator = RandomForestClassifier
    model = RandomForestClassificationModel


class BoostedTrees(MLlibLearner, StagedLearner):
    """Gradient-boosted trees; more than two classes are told apart one against the rest.

    Each of the binary models sees the same row weights, so each estimates its class's weighted
    probability; the probabilities are divided by their sum.
    """

    kind = "boosted_trees"
    params: ClassVar[Mapping[str, Bound]] = {
        **_GROWING,
        **_SAMPLING,
        "maxIter": COUNT,
        "stepSize": Bound(float, 1e-6, 1),
    }
    estimator = GBTClassifier
    model = GBTClassificationModel

    def fit(
        self,
        fit_df: DataFrame,
        params: Mapping[str, Any],
        *,
        seed: int,
        classes: int,
        constraints: Constraints | None = None,
    ) -> Any:  # noqa: ANN401 (MLlib's model)
        """Fit one model, or one per class, two at a time over the same kept rows."""
        self.require_unconstrained(constraints)
        boosted = self.make(params, seed)
        if classes == 2:  # noqa: PLR2004 (MLlib's boosted trees are binary)
            return boosted.fit(fit_df)
        return OneVsRest(classifier=boosted, parallelism=2, **COLUMNS).fit(fit_df)

    def concern(self, params: Mapping[str, Any], spark: SparkSession) -> str | None:
        """Tell of boosting so long that its history needs checkpoints, where there are none."""
        trees = params.get("maxIter", 0)
        if trees <= LONG_BOOSTING or spark.conf.get(CHECKPOINTS, ""):
            return None
        return (
            f"{trees} boosted trees (maxIter) correct a row so often that tasks may overflow the "
            f"engine's stack; above {LONG_BOOSTING}, set {CHECKPOINTS} to a folder that the "
            "executors share (spark-submit --conf)."
        )

    def append_margin(self, model: Any, df: DataFrame) -> DataFrame:  # noqa: ANN401 (MLlib's model)
        """Ask each binary model once per row for its margin."""
        if not isinstance(model, OneVsRestModel):
            return super().append_margin(model, df)
        names = []
        for c, one in enumerate(model.models):
            names.append(f"__raw_{c}")
            own: Any = one
            own.setPredictionCol("").setProbabilityCol("").setRawPredictionCol(names[c])
            df = own.setFeaturesCol(FEATURES).transform(df)
        margins = [vector_to_array(F.col(name)).getItem(1) for name in names]
        return df.withColumn(MARGIN, F.array(*margins)).drop(FEATURES, *names)

    def margin(self, model: Any, plan: FeaturePlan, folder: Location | None) -> Column | None:  # noqa: ANN401 (MLlib's model)
        """Walk the trees of two classes in Arrow batches, where they are not too deep for it."""
        if folder is None or isinstance(model, OneVsRestModel):
            return None
        if model.getMaxDepth() > DEEPEST or not workers_can_walk(SparkSession.active()):
            return None
        try:
            trees = read_trees(folder, model.treeWeights, None)
            compiled = BitwiseTrees.of(trees, model.numFeatures)
        except ModelError:  # nodes as this version does not know them; MLlib knows its own
            return None
        return TreeWalk(compiled).column(plan.array())

    def append_stages(self, model: Any, df: DataFrame, workspace: Location) -> DataFrame:  # noqa: ANN401 (MLlib's model)
        """Ask a binary model once per row for its leaves, and add up what they say."""
        values = F.lit(read_leaves(model, workspace))
        quiet = model.setPredictionCol("").setProbabilityCol("").setRawPredictionCol("")
        leaf_df = quiet.setFeaturesCol(FEATURES).setLeafCol(RAW).transform(df)
        own = F.transform(
            vector_to_array(F.col(RAW)),
            lambda leaf, tree: F.get(F.get(values, tree), leaf.cast("int")),
        )
        sums = F.aggregate(
            own,
            F.array().cast("array<double>"),
            lambda sofar, value: F.concat(
                sofar, F.array(value + F.coalesce(F.get(sofar, F.size(sofar) - 1), F.lit(0.0)))
            ),
        )
        staged_df: DataFrame = leaf_df.withColumn(STAGES, sums)
        model.setLeafCol("")
        pairs = F.transform(F.col(STAGES), lambda margin: F.array(-margin, margin))
        return staged_df.withColumn(STAGES, pairs).drop(FEATURES, RAW)

    def first_stages(self, model: Any, kept: int, workspace: Location) -> Any:  # noqa: ANN401, ARG002 (MLlib's model; it was written to the workspace)
        """Return a native model of the first trees."""
        return first_trees(kept, workspace)

    def scores(self, margin: Column, classes: int) -> list[Column]:
        """Return the probabilities; MLlib minimises log(1 + exp(-2 y F)), so log odds are 2 F."""
        if classes == 2:  # noqa: PLR2004 (as above)
            return binary(2 * margin.getItem(1))
        return normalised([binary(2 * margin.getItem(c))[1] for c in range(classes)])

    def explainer(
        self,
        model: Any,  # noqa: ANN401 (MLlib's model)
        folder: Location,
        *,
        against: int,
        classes: int,
        reference: Sequence[float],  # noqa: ARG002 (a tree's is in its nodes)
    ) -> Explainer:
        """Return Shapley values of the margin, which is half the log odds."""
        if classes == 2:  # noqa: PLR2004 (as above)
            return _of_boosted(model, folder, 1.0 if against else -1.0)
        parts = [_of_boosted(one, folder / f"model_{c}") for c, one in enumerate(model.models)]
        return TreeContrast(tuple(parts))

    def slope(self, weighted: Column) -> Column:  # noqa: ARG002 (the same for all rows)
        """Return one half: the margin is half the log odds."""
        return F.lit(0.5)

    def importances(self, model: Any, size: int, spread: Array | None) -> Array:  # noqa: ANN401 (MLlib's model)
        """Return MLlib's importances, or their mean over the models of one against the rest."""
        if not isinstance(model, OneVsRestModel):
            return super().importances(model, size, spread)
        found = [super(BoostedTrees, self).importances(m, size, spread) for m in model.models]
        return np.asarray(np.mean(found, axis=0))

    def load(self, folder: Location, classes: int) -> Any:  # noqa: ANN401 (MLlib's model)
        """Read one model, or the models of one against the rest."""
        kind: Any = self.model if classes == 2 else OneVsRestModel  # noqa: PLR2004 (as above)
        return kind.load(str(folder))


def _of_boosted(model: Any, folder: Location, sign: float = 1.0) -> TreeExplainer:  # noqa: ANN401 (MLlib's model)
    trees = read_trees(folder, model.treeWeights, None)
    return _of_trees(AdditiveTrees.of(trees, model.numFeatures), sign)


def _of_trees(trees: AdditiveTrees, sign: float = 1.0) -> TreeExplainer:
    require_xgboost("reasons from trees need")
    return TreeExplainer(trees.json, sign=sign, trees=trees)
