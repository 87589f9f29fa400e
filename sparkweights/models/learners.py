"""The learners: MLlib's estimators with a weightCol, each mapped to class scores.

One entry of `LEARNERS` is all that a kind needs: its Params with their bounds, its Estimator, the
class that loads it, and how its raw prediction becomes a score per class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pyspark.ml.classification import (
    GBTClassificationModel,
    GBTClassifier,
    LogisticRegression,
    LogisticRegressionModel,
)
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.errors import ConfigError, did_you_mean, listed
from sparkweights.mlbase import Bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.ml import Estimator
    from pyspark.sql import Column

FEATURES, RAW, LABEL, WEIGHT = "__features", "__raw", "__class", "__weight"
_ESTIMATOR_COLUMNS = {
    "featuresCol": FEATURES,
    "labelCol": LABEL,
    "weightCol": WEIGHT,
}


@dataclass(frozen=True)
class Learner:
    """One kind of model.

    Attributes
    ----------
    kind
        Its name in the configuration.
    params
        The MLlib Params a user may set, by MLlib's own name, with their bounds.
    most_classes
        The largest number of classes it can tell apart, or None.
    estimator, model
        MLlib's classes that fit and load it.
    scores
        From the raw prediction (an array Column, one entry per class) to the weighted
        probability of each class.
    """

    kind: str
    params: Mapping[str, Bound]
    most_classes: int | None
    estimator: type[Any]
    model: type[Any]
    scores: Callable[[Column, int], list[Column]]
    seeded: bool

    def make(self, params: Mapping[str, Any], seed: int) -> Estimator[Any]:
        """Return the Estimator with the user's Params."""
        typed = {name: self.params[name].type(value) for name, value in params.items()}
        seeds = {"seed": seed} if self.seeded else {}
        made: Estimator[Any] = self.estimator(**_ESTIMATOR_COLUMNS, **seeds, **typed)
        return made


def _logistic_scores(raw: Column, classes: int) -> list[Column]:
    if classes == 2:  # noqa: PLR2004 (MLlib's binary margin is log(q1 / q0))
        return _binary(raw.getItem(1))
    largest = F.array_max(raw)
    powers = [F.exp(raw.getItem(c) - largest) for c in range(classes)]
    total = reduce(add, powers)
    return [power / total for power in powers]


def _boosted_scores(raw: Column, _classes: int) -> list[Column]:
    # MLlib's boosted trees minimise log(1 + exp(-2 y F)) with y = +-1, so log odds are 2 F.
    return _binary(2 * raw.getItem(1))


def _binary(log_odds: Column) -> list[Column]:
    return [1 / (1 + F.exp(log_odds)), 1 / (1 + F.exp(-log_odds))]


_COUNT = Bound(int, 1, 10_000)
_SHARE = Bound(float, 0, 1)
_POSITIVE = Bound(float, 0)

LEARNERS: Mapping[str, Learner] = {
    "logistic": Learner(
        kind="logistic",
        params={
            "maxIter": _COUNT,
            "regParam": _POSITIVE,
            "elasticNetParam": _SHARE,
            "tol": _POSITIVE,
            "fitIntercept": Bound(bool),
            "standardization": Bound(bool),
            "aggregationDepth": Bound(int, 2, 100),
        },
        most_classes=None,
        estimator=LogisticRegression,
        model=LogisticRegressionModel,
        scores=_logistic_scores,
        seeded=False,
    ),
    "boosted_trees": Learner(
        kind="boosted_trees",
        params={
            "maxIter": _COUNT,
            "maxDepth": Bound(int, 0, 30),
            "maxBins": Bound(int, 2, 100_000),
            "minInstancesPerNode": Bound(int, 1),
            "minWeightFractionPerNode": Bound(float, 0, 0.5),
            "minInfoGain": _POSITIVE,
            "stepSize": Bound(float, 1e-6, 1),
            "subsamplingRate": Bound(float, 1e-6, 1),
            "featureSubsetStrategy": Bound(
                str, choices=("auto", "all", "onethird", "sqrt", "log2"), or_number=True
            ),
            "maxMemoryInMB": Bound(int, 0),
        },
        most_classes=2,
        estimator=GBTClassifier,
        model=GBTClassificationModel,
        scores=_boosted_scores,
        seeded=True,
    ),
}


def learner(kind: str) -> Learner:
    """Return the learner of a kind.

    Raises
    ------
    ConfigError
        If there is none by that name.
    """
    if kind not in LEARNERS:
        raise ConfigError(
            f"model.kind: unknown kind {kind!r}; available: {listed(LEARNERS)}.",
            hint=did_you_mean(kind, LEARNERS),
        )
    return LEARNERS[kind]


def check_params(kind: str, params: Mapping[str, object], classes: int) -> None:
    """Refuse Params that the learner does not have or whose value is out of bounds.

    Raises
    ------
    ConfigError
        Naming the Param, its value and what is allowed.
    """
    chosen = learner(kind)
    if chosen.most_classes is not None and classes > chosen.most_classes:
        able = [other.kind for other in LEARNERS.values() if other.most_classes is None]
        raise ConfigError(
            f"model.kind: {kind} tells {chosen.most_classes} classes apart; columns.classes "
            f"names {classes}.",
            hint=f"for more classes use {listed(able)}.",
        )
    for name, value in params.items():
        if name not in chosen.params:
            raise ConfigError(
                f"model.params: {kind} has no Param '{name}'; allowed: {listed(chosen.params)}.",
                hint=did_you_mean(name, chosen.params),
            )
        if not chosen.params[name].admits(value):
            raise ConfigError(
                f"model.params.{name}: {value!r}; allowed: {chosen.params[name]}.",
            )
