"""`model.kind: auto`: logistic regression, unless trees have clearly less log loss.

Where the log odds are nearly linear in the features, logistic regression ranks new rows better than
trees that are fitted on a few thousand rows; where they are nonlinear or features interact, trees
rank better. Both are compared on held-out rows. The simpler model is kept unless trees have a lower
log loss by more than one standard error of the difference (the rule of Breiman, Friedman, Olshen
and Stone 1984, section 3.4.3, here for a paired difference).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ConfigError
from sparkweights.features.fit import WIDE
from sparkweights.models.base import can_train
from sparkweights.models.registry import (
    AUTO,
    AUTO_FLEXIBLE,
    AUTO_SIMPLE,
    capabilities,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.models.declaration import ParamValue
    from sparkweights.spec.training import TrainingSpec


def candidates(spec: TrainingSpec, spark: SparkSession) -> list[TrainingSpec]:
    """Return the spec of the simple learner, and of the best flexible one that can be trained."""
    flexible = next(candidate for candidate in AUTO_FLEXIBLE if can_train(candidate.kind, spark))
    return [
        with_learner(spec, candidate.kind, candidate.params)
        for candidate in (AUTO_SIMPLE, flexible)
    ]


def with_learner(spec: TrainingSpec, kind: str, params: Mapping[str, ParamValue]) -> TrainingSpec:
    """Return a spec of ``auto`` for one learner.

    Logistic regression gets normal scores of the numeric columns, unless the spec
    states another encoding: its ranking then does not depend on units, tails or outliers.
    """
    features, wide = spec.features, len(spec.problem.roles.numeric) > WIDE
    if capabilities(kind).linear and features.numeric == "auto" and not wide:
        features = features.model_copy(update={"numeric": "quantile"})
    return replace(spec.with_model(kind=kind, params=dict(params)), features=features)


@dataclass(frozen=True)
class PairedLosses:
    """The log losses of two models on the same rows.

    Attributes
    ----------
    losses
        Mean of -log(probability of the row's class), of the first and of the second.
    standard_error
        Of the difference of the two means.
    """

    losses: tuple[float, float]
    standard_error: float

    @property
    def second_is_better(self) -> bool:
        """Whether the second loses less by more than one standard error."""
        first, second = self.losses
        return first - second > self.standard_error


def compare_losses(first: Evaluation, second: Evaluation) -> PairedLosses:
    """Compare the log losses of two evaluations of the same rows, in the same blocks."""
    sums = np.column_stack([first.block_weights, first.block_losses, second.block_losses])
    return paired_losses(sums[first.block_weights > 0])


def paired_losses(blocks: np.ndarray) -> PairedLosses:
    """Return the comparison from sums over blocks of rows.

    Parameters
    ----------
    blocks
        Of shape (blocks, 3): the weight, and the weighted loss under the first and the second.
    """
    weight, first, second = blocks.T
    total, count = weight.sum(), len(blocks)
    difference = (first - second) - weight * (first - second).sum() / total
    standard_error = math.sqrt(float(difference @ difference) * count / max(count - 1, 1)) / total
    return PairedLosses(
        (float(first.sum() / total), float(second.sum() / total)), float(standard_error)
    )


def require_named_kind(spec: TrainingSpec, verb: str) -> None:
    """Refuse ``auto`` where one learner is fitted.

    Raises
    ------
    ConfigError
        Naming the next step.
    """
    if spec.model.kind == AUTO:
        raise ConfigError(
            f"model.kind: '{AUTO}' is what `train` chooses by; `{verb}` fits one learner.",
            hint="write the kind that train has chosen, which its report names.",
        )
