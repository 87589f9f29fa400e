"""The parts of records about a learner and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from sparkweights.records.base import Measure, Part, part

Parameter = bool | int | float | str


@part
class LearnerSummary(Part):
    """A learner and its parameters."""

    kind: str
    params: Mapping[str, Parameter]

    @property
    def words(self) -> str:
        """The kind in words."""
        return self.kind.replace("_", " ")


@part
class LearnerChoice(LearnerSummary):
    """The chosen learner, and the loss of each candidate.

    Attributes
    ----------
    kind, params
        The chosen kind and its parameters, without the learner's defaults.
    losses
        Candidate -> mean log loss of its calibrated probabilities on rows that it was not fitted
        on, in the order in which they were tried.
    standard_error
        Of the difference of the last two losses.
    """

    losses: Mapping[str, Measure]
    standard_error: Measure


@part
class ModelSummary(LearnerSummary):
    """A fitted model.

    Attributes
    ----------
    monotone
        Column -> 1 or -1: the direction that its effect was constrained to.
    interactions
        Groups of columns that may interact; empty for all.
    choice
        Of ``model.kind: auto``.
    """

    seed: int
    monotone: Mapping[str, int] = field(default_factory=dict)
    interactions: tuple[tuple[str, ...], ...] = ()
    choice: LearnerChoice | None = None


@part
class RoundSummary(Part):
    """A round of a training in rounds; see `sparkweights.models.rounds.Round`.

    Attributes
    ----------
    loss
        The objective at the start of the round.
    class_losses
        Mean loss of each class, in index order.
    gradient_norm, gradient_variance
        Of the gradients of its steps, before clipping; no variance with one step.
    largest
        The largest norm of a gradient after clipping.
    clipped
        Share of the steps whose gradient was clipped.
    rate
        The learning rate at the start of the round.
    """

    loss: Measure
    class_losses: tuple[Measure, ...]
    gradient_norm: Measure
    gradient_variance: Measure
    largest: Measure
    clipped: float
    rate: float
