"""`model.kind: auto`: of two learners, the one with the less log loss on held-out rows.

Where the log odds are nearly a line, logistic regression ranks new rows better than any trees of
some thousand rows can; where they bend or interact, trees do. No one of the two is good on every
table, and a table says itself which of them it takes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from sparkweights.errors import ConfigError
from sparkweights.models import AUTO, learner
from sparkweights.models.learning import WIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.config import Config
    from sparkweights.evaluate import Evaluation

# Regularised, as tables may be small: on those the penalties between .001 and .01 lose little
# against one that is chosen by cross-validation; rare events take the smaller ones.
LOGISTIC: Mapping[str, float] = {"regParam": 0.005}
BOOSTED_TREES: Mapping[str, float] = {
    "maxIter": 80,
    "maxDepth": 3,
    "stepSize": 0.1,
    "subsamplingRate": 0.7,
}


@dataclass(frozen=True)
class LearnerChoice:
    """Which learner was chosen, and what each would have been worth.

    Attributes
    ----------
    kind, params
        The chosen one and its parameters, without the learner's defaults.
    losses
        Kind -> mean log loss of its calibrated probabilities on rows that it has not learned from,
        summed over the classes.
    """

    kind: str
    params: Mapping[str, bool | float | str]
    losses: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the choice, ready for JSON."""
        return asdict(self)


def candidates(config: Config, spark: SparkSession) -> list[Config]:
    """Return the configuration for logistic regression, and for the best boosting there is."""
    # XGBoost's estimator takes a classic session; MLlib's boosting takes both.
    boosting: tuple[str, Mapping[str, Any]] = (
        ("xgboost", {})
        if find_spec("xgboost") is not None and isinstance(spark, SparkSession)
        else ("boosted_trees", BOOSTED_TREES)
    )
    return [with_learner(config, "logistic", LOGISTIC), with_learner(config, *boosting)]


def with_learner(config: Config, kind: str, params: Mapping[str, Any]) -> Config:
    """Return a configuration of ``auto`` for one learner.

    Logistic regression is given normal scores of the numeric columns, unless the configuration
    says otherwise: its ranking then does not depend on units, tails or outliers.
    """
    features, wide = config.features, len(config.roles.numeric) > WIDE
    if learner(kind).linear and features.numeric == "auto" and not wide:
        features = features.model_copy(update={"numeric": "quantile"})
    model = config.model.model_copy(update={"kind": kind, "params": dict(params)})
    return config.model_copy(update={"model": model, "features": features})


def held_out_loss(evaluation: Evaluation) -> float:
    """Return the mean log loss of the probabilities of every class, summed over the classes."""
    return sum(one.log_loss for one in evaluation.classes.values())


def require_named_kind(config: Config, verb: str) -> None:
    """Refuse ``auto`` where one learner is fitted.

    Raises
    ------
    ConfigError
        Naming the next step.
    """
    if config.model.kind == AUTO:
        raise ConfigError(
            f"model.kind: '{AUTO}' is what `train` chooses by; `{verb}` fits one learner.",
            hint="write the kind that train has chosen, which its report names.",
        )
