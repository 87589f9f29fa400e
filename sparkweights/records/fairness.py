"""The parts of records about differences of decisions between groups."""

from __future__ import annotations

from collections.abc import Mapping

from sparkweights.records.base import Measure, Part, part


@part
class Estimate(Part):
    """A value and its 95 % interval; None where there are too few rows."""

    value: Measure
    low: Measure
    high: Measure


@part
class GroupSummary(Part):
    """One group beside the reference; see `sparkweights.evaluation.fairness.GroupFairness`."""

    group: str
    rows: int
    weight: float
    rates: Mapping[str, Estimate]
    ratio: Estimate
    differences: Mapping[str, Estimate]


@part
class GapSummary(Part):
    """The two groups between which a rate differs most; see `sparkweights.evaluation.fairness`."""

    low: str
    high: str
    difference: Estimate
    ratio: Estimate
    p_value: Measure


@part
class ColumnSummary(Part):
    """How decisions differ between the groups of a column.

    Attributes
    ----------
    reference
        The group that others are compared with; None where no group has enough rows.
    small
        Group -> rows, of those that are counted and not measured; see
        `sparkweights.evaluation.fairness.ColumnFairness`.
    gaps
        Rate -> the largest difference of it.
    """

    column: str
    reference: str | None
    groups: tuple[GroupSummary, ...]
    small: Mapping[str, int]
    gaps: Mapping[str, GapSummary]
    equalized_odds_difference: Measure


@part
class FairnessLimits(Part):
    """The least ratio of acceptance, and the largest difference of the other rates."""

    ratio: float
    difference: float


@part
class FairnessSummary(Part):
    """How decisions differ between groups; see `sparkweights.monitoring.fairness`.

    Attributes
    ----------
    favourable, positive
        The favourable decision, and the classes for which it is correct.
    min_rows
        Rows that a group needs to be measured.
    unmeasured
        Column -> why its groups could not be compared, or not as stated.
    exceeded
        A sentence per limit that is exceeded.
    """

    favourable: str
    positive: tuple[str, ...]
    min_rows: int
    limits: FairnessLimits
    columns: tuple[ColumnSummary, ...]
    unmeasured: Mapping[str, str]
    exceeded: tuple[str, ...]
