"""The record of the evaluate stage, and the parts about an evaluation of other records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, field
from typing import Annotated

from pydantic import Field

from sparkweights.records.base import Interval, Measure, Part, Record, part, segment_words
from sparkweights.records.fairness import FairnessSummary
from sparkweights.records.learner import ModelSummary

MODEL, WITH_REVIEW = "ours", "with_review"
THRESHOLD_HALF, DOUBLE_COUNT = "cut_at_half", "double_count"

Point = tuple[float, float]
ReliabilityBin = tuple[float, Measure, Measure]


@part
class ClassMeasures(Part):
    """One class against the others; see `sparkweights.evaluation.evaluation.ClassEvaluation`.

    Attributes
    ----------
    intervals
        Measure -> its interval, of those that have one.
    reliability
        (weight, mean probability, share that was of the class), by tenths of the rows.
    """

    share: Measure
    mean_probability: Measure
    auc: Measure = None
    average_precision: Measure = None
    brier: Measure = None
    recall: Measure = None
    gini: Measure = None
    kolmogorov_smirnov: Measure = None
    h_measure: Measure = None
    log_loss: Measure = None
    brier_reliability: Measure = None
    brier_resolution: Measure = None
    brier_uncertainty: Measure = None
    calibration_error: Measure = None
    precision: Measure = None
    f1: Measure = None
    f2: Measure = None
    balanced_accuracy: Measure = None
    geometric_mean: Measure = None
    matthews_correlation: Measure = None
    auc_bound: Measure = None
    h_measure_threshold: Measure = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reliability: tuple[ReliabilityBin, ...] = ()


@part
class OperatingPoint(Part):
    """The point of the decisions taken on a class's curves."""

    false_positive_rate: Annotated[Measure, Field(alias="fall_out")]
    recall: Measure
    precision: Measure


@part
class DeclinedShare(Part):
    """What declining the riskiest rows gains and costs.

    Attributes
    ----------
    share
        Of the rows.
    gain, lift
        Share of the class caught, and that over ``share``.
    cost, profit
        The profit is that over the best constant decision; None where costs are not known.
    """

    share: float
    gain: Measure
    lift: Measure
    cost: Measure = None
    profit: Measure = None

    def absent(self) -> Collection[str]:
        """Return the cost and the profit where costs are not known."""
        return ("cost", "profit") if self.cost is None else ()


@part
class ClassCurves(Part):
    """The curves of a class as points; one that the rows do not determine is None.

    Attributes
    ----------
    roc, precision_recall
        (false positive rate, recall) and (recall, precision).
    operating
        The point of the decisions taken.
    cost_curve, brier_curve
        Of Drummond & Holte, and of Hernandez-Orallo.
    iso_cost_slope
        Of the lines of equal cost in the ROC plane, where costs are the same for all rows.
    reliability_before
        As `ClassMeasures.reliability`, of probabilities that still carry the weights.
    cost_by_threshold, threshold
        (threshold, cost), and the threshold of the decisions taken, where it is one for all rows.
    """

    roc: tuple[Point, ...] | None = None
    precision_recall: tuple[Point, ...] | None = None
    operating: OperatingPoint | None = None
    by_share: tuple[DeclinedShare, ...] | None = None
    cost_curve: tuple[Point, ...] | None = None
    brier_curve: tuple[Point, ...] | None = None
    iso_cost_slope: Measure = None
    reliability_before: tuple[ReliabilityBin, ...] | None = None
    cost_by_threshold: Annotated[tuple[Point, ...] | None, Field(alias="cost_by_cut")] = None
    threshold: Annotated[Measure, Field(alias="cut")] = None

    def absent(self) -> Collection[str]:
        """Return the keys of the curves that the rows do not determine."""
        absent = [name for name, value in vars(self).items() if value is None]
        if self.cost_by_threshold is None:
            return [*absent, "cost_by_cut", "cut"]
        return absent


@part
class CostGroupSummary(Part):
    """Expected against realised cost on rows of like stakes.

    Attributes
    ----------
    stakes
        The least of them, and the least of the next group.
    ratio
        Expected over realised cost; None where nothing was realised.
    p_value
        Chance of a gap so wide if the probabilities are right.
    """

    stakes: tuple[Measure, Measure]
    weight: float
    expected: float
    realised: float
    ratio: Measure
    interval: Interval
    p_value: Measure


@part
class CostCalibrationSummary(Part):
    """Expected against realised cost, as a whole and by stakes.

    Attributes
    ----------
    tolerance
        How far from 1 a ratio may be.
    warnings
        A sentence per ratio that is further from it, and not by chance.
    """

    total: CostGroupSummary
    groups: tuple[CostGroupSummary, ...]
    tolerance: Measure = None
    warnings: tuple[str, ...] = ()


@part
class EvaluationSummary(Part):
    """What decisions cost on rows with known outcomes.

    Attributes
    ----------
    rows, weight
        Test rows, and the sum of their sample weights.
    effective_rows
        Class name -> (sum w)^2 / sum w^2 of its rows.
    caution
        A sentence where few rows of a class limit the precision of every figure.
    clustered
        Whether rows depend on each other within groups.
    macro
        Measure -> its mean over the classes.
    costs, cost_intervals
        ``always_<decision>`` or policy -> total cost in the currency of the table.
    savings, savings_intervals
        Policy -> 1 - cost / cost of the best constant decision; None where that decision is free,
        so that no share of its cost can be saved.
    decisions, decision_costs
        Decision -> class name -> rows, and their cost, under the policy `MODEL`.
    right_decisions
        Class name -> its least-cost decision.
    curves
        Class name -> its curves.
    """

    _: KW_ONLY
    rows: int
    weight: Measure = None
    effective_rows: Mapping[str, Measure] = field(default_factory=dict)
    caution: str | None = None
    clustered: bool = False
    classes: Mapping[str, ClassMeasures]
    macro: Mapping[str, Measure] = field(default_factory=dict)
    costs: Mapping[str, float]
    cost_intervals: Mapping[str, Interval] = field(default_factory=dict)
    savings: Mapping[str, Measure]
    savings_intervals: Mapping[str, Interval] = field(default_factory=dict)
    decisions: Mapping[str, Mapping[str, int]]
    decision_costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cost_calibration: CostCalibrationSummary | None = None
    right_decisions: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, ClassCurves] = field(default_factory=dict)

    @property
    def constant_costs(self) -> dict[str, float]:
        """``always_<decision>`` -> what the rows cost had all of them got the decision."""
        return {name: cost for name, cost in self.costs.items() if name not in self.savings}

    @property
    def cost_per_row(self) -> Measure:
        """The mean cost of a row; a row of weight 2 is the row twice, in costs too."""
        weight = self.rows if self.weight is None else self.weight
        return self.costs[MODEL] / weight if weight else None

    @property
    def shown_classes(self) -> list[str]:
        """The classes to draw: of two the rarer one, because the other is its complement."""
        if len(self.classes) > 2:  # of two, each is the complement of the other
            return list(self.classes)
        return [min(self.classes, key=lambda name: self.classes[name].share or 0.0)]


@part
class SegmentClass(Part):
    """A class within a segment."""

    share: Measure
    mean_probability: Measure
    auc: Measure
    auc_interval: Interval
    recall: Measure


@part
class Segment(Part):
    """A segment of the test rows.

    Attributes
    ----------
    segment
        Column -> its value in the segment; None is missing.
    measured
        Whether it has the rows that measures need; without them the fields below are None.
    decisions
        Decision -> share of the rows by sample weight.
    """

    segment: Mapping[str, str | None]
    rows: int
    weight: float
    measured: bool
    savings: Measure = None
    cost: Measure = None
    cost_interval: Interval | None = None
    decisions: Mapping[str, Measure] | None = None
    classes: Mapping[str, SegmentClass] | None = None

    def absent(self) -> Collection[str]:
        """Return the measures of a segment that was counted only."""
        if self.measured:
            return ()
        return ("savings", "cost", "cost_interval", "decisions", "classes")

    @property
    def cost_per_row(self) -> Measure:
        """The mean cost of a row."""
        return None if self.cost is None else self.cost / self.weight

    @property
    def words(self) -> str:
        """The segment in words."""
        return segment_words(self.segment)


@part
class EvaluationRecord(Record):
    """The evaluate stage: a published model's decisions on rows with known outcomes.

    Attributes
    ----------
    min_rows
        Rows that a segment needs to be measured.
    costs
        Decision -> class name -> its declared cost, as the text of an expression.
    """

    name: str
    model_version: str
    model: ModelSummary
    evaluation: EvaluationSummary
    segments: tuple[Segment, ...]
    min_rows: int
    fairness: FairnessSummary | None
    costs: Mapping[str, Mapping[str, str]]
    versions: Mapping[str, str]
