"""The record of class weights, and the parts about weights of other records."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import Field

from sparkweights.records.base import Measure, Part, Record, Shares, part


@part
class GroupFactorsSummary(Part):
    """A factor per class for each group of rows.

    Attributes
    ----------
    by, time, window
        The columns that define the groups, and a calendar unit of a date column.
    factors
        Group key -> factor per class.
    otherwise
        The factors of a group that the labelled table did not hold.
    """

    by: tuple[str, ...]
    time: str | None
    window: str | None
    factors: Mapping[str, tuple[float, ...]]
    otherwise: tuple[float, ...]


@part
class WeightRuleSummary(Part):
    """A rule of weights as `sparkweights.weights.rule.WeightRule` states it.

    Attributes
    ----------
    cells
        Class name -> its unscaled weight, as the text of an expression.
    scale, floor, cap
        See `WeightRule`; a cap of None is none.
    """

    scheme: str
    cells: Mapping[str, str]
    scale: float
    floor: float
    cap: float | None
    groups: GroupFactorsSummary | None

    @property
    def is_uniform(self) -> bool:
        """Whether all classes have the same weight: one number for each, and no groups."""
        if self.groups is not None:
            return False
        try:
            weights = [float(cell) * self.scale for cell in self.cells.values()]
        except ValueError:  # a formula, which differs from row to row
            return False
        cap = math.inf if self.cap is None else self.cap
        return len({min(max(weight, self.floor), cap) for weight in weights}) == 1


@part
class ReweightingSummary(Part):
    """A reweighting of the training rows, and whether it was inverted.

    Attributes
    ----------
    kind
        ``weights`` or ``resampling``.
    """

    kind: str
    rule: WeightRuleSummary
    inverted: Annotated[bool, Field(alias="undone")]

    @property
    def is_uncorrected(self) -> bool:
        """Whether the probabilities still carry it."""
        return not self.inverted and not self.rule.is_uniform


@part
class FocalLossSummary(Part):
    """The focal loss of a model, and whether its distortion was inverted.

    Attributes
    ----------
    gamma, alpha
        See `sparkweights.probability.corrections.FocalLoss`.
    """

    gamma: float
    alpha: tuple[float, ...] | None
    inverted: bool


@part
class LedgerSummary(Part):
    """The ledger as `sparkweights.probability.corrections.Ledger` states it.

    Attributes
    ----------
    prior, target_prior
        Class name -> natural share, and the share that probabilities were moved to, if any.
    calibration
        The method, or ``none``.
    loss
        A loss that is not proper; None where the learner's is.
    """

    prior: Shares
    reweightings: Annotated[tuple[ReweightingSummary, ...], Field(alias="bends")]
    calibration: str
    target_prior: Shares | None
    loss: FocalLossSummary | None = None

    @property
    def uncorrected(self) -> tuple[str, ...]:
        """What the probabilities still carry of the training."""
        carried = [step.kind for step in self.reweightings if step.is_uncorrected]
        if self.loss is not None and not self.loss.inverted:
            carried.append("focal loss")
        return tuple(carried)

    def absent(self) -> Collection[str]:
        """Return the key of a loss that there is not."""
        return ["loss"] if self.loss is None else []


@part
class ClassWeight(Part):
    """A class before and after weighting.

    Attributes
    ----------
    weight_sum, weight_square_sum
        Of the sample weights of its rows.
    prior, share_of_risk
        Its share of the rows by sample weight, and its share of the training weight.
    share_aimed
        The share that the scheme gives it without floor and cap.
    mean_weight
        In units of the mean weight of all rows.
    """

    name: Annotated[str, Field(alias="class")]
    rows: int
    weight_sum: float
    weight_square_sum: float
    prior: float
    share_of_risk: float
    share_aimed: float
    mean_weight: Measure

    @property
    def is_bounded(self) -> bool:
        """Whether floor or cap keep the class from the share that the scheme gives it."""
        return not math.isclose(self.share_of_risk, self.share_aimed, rel_tol=1e-6)


@part
class WeightDiagnostics(Part):
    """What weighting does to the sample; see `sparkweights.weights.diagnostics`."""

    kish_ess: Measure
    design_effect: Measure
    imbalance_ratio: Measure
    gradient_variance: Measure
    mean_weight: Measure
    smallest_weight: Measure
    largest_weight: Measure


@part
class WeightsRecord(Record):
    """The weights stage: classes, the rule of their weights, and what it does to the sample.

    Attributes
    ----------
    name
        Of the configuration.
    always_best_decision
        The decision that is never more expensive than the others, if there is one.
    """

    name: str
    rows: int
    classes: tuple[ClassWeight, ...]
    rule: WeightRuleSummary
    diagnostics: WeightDiagnostics
    always_best_decision: str | None
    versions: Mapping[str, str]

    def table_rows(self) -> list[dict[str, object]]:
        """Return a row per class."""
        return [entry.to_dict() for entry in self.classes]
