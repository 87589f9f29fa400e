"""`model.kind: auto`: the simplest learner that no more flexible one clearly betters.

Where the log odds are nearly linear in the features, logistic regression ranks new rows better than
trees that are fitted on a few thousand rows; where they are nonlinear or features interact, trees
rank better, and on some large tables more and deeper ones better still. The candidates are tried
from the simplest on. Each must have a lower log loss on held-out rows than the one before, by more
than one standard error of the difference (the rule of Breiman, Friedman, Olshen and Stone 1984,
section 3.4.3, here for a paired difference); the first that has not ends the search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

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
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.models.declaration import ParamValue
    from sparkweights.spec.training import TrainingSpec


def candidates(spec: TrainingSpec, spark: SparkSession) -> dict[str, TrainingSpec]:
    """Return name -> spec of what can be trained on the session, simplest first."""
    flexible = next(family for family in AUTO_FLEXIBLE if can_train(family[0].kind, spark))
    return {
        candidate.name: with_learner(spec, candidate.kind, candidate.params)
        for candidate in (AUTO_SIMPLE, *flexible)
    }


def with_learner(spec: TrainingSpec, kind: str, params: Mapping[str, ParamValue]) -> TrainingSpec:
    """Return a spec of ``auto`` for one learner.

    Logistic regression gets normal scores of the numeric columns, unless the spec
    states another encoding: its ranking then does not depend on units, tails or outliers.
    """
    features, wide = spec.features, len(spec.problem.roles.numeric) > WIDE
    if capabilities(kind).linear and features.numeric == "auto" and not wide:
        features = features.model_copy(update={"numeric": "quantile"})
    return replace(spec.with_model(kind=kind, params=dict(params)), features=features)


class Evaluated(Protocol):
    """A trained model with its evaluation on rows that it was not fitted on."""

    @property
    def evaluation(self) -> Evaluation:
        """Of the same rows, in the same blocks, for every candidate."""
        ...


Trained = TypeVar("Trained", bound=Evaluated)


@dataclass(frozen=True)
class Search(Generic[Trained]):
    """The end of a search.

    Attributes
    ----------
    name, spec, trained
        The candidate that is kept.
    losses
        Name -> log loss of each that was tried, in their order.
    standard_error
        Of the difference of the last two losses.
    """

    name: str
    spec: TrainingSpec
    trained: Trained
    losses: Mapping[str, float]
    standard_error: float


def simplest_adequate(
    specs: Mapping[str, TrainingSpec], train: Callable[[TrainingSpec], Trained]
) -> Search[Trained]:
    """Train two candidates and more, simplest first, until one is not clearly better."""
    (name, spec), *larger = specs.items()
    trained = train(spec)
    losses: dict[str, float] = {}
    for other_name, other_spec in larger:
        other = train(other_spec)
        comparison = compare_losses(trained.evaluation, other.evaluation)
        losses |= zip((name, other_name), comparison.losses, strict=True)
        if not comparison.second_is_better:
            break
        name, spec, trained = other_name, other_spec, other
    return Search(name, spec, trained, losses, comparison.standard_error)


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
