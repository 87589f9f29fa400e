"""The records of studies: tuning, what columns are worth, and backtests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, field

from sparkweights.records.base import Interval, Measure, Part, Plain, Record, part
from sparkweights.records.learner import LearnerSummary, Parameter


@part
class TuningFolds(Part):
    """How many folds, and what rows were dealt into them by."""

    number: int
    by: str | tuple[str, ...]


@part
class TrialSummary(Part):
    """What one candidate cost on held-out rows.

    Attributes
    ----------
    ratio
        Weight of the rarest class over that of the commonest; None for the configured scheme.
    cost, standard_error, interval
        Of a row: the mean over the folds.
    savings
        Against the best constant decision; None where that is free.
    difference, difference_error
        From the cheapest candidate, paired on the same rows, and its standard error.
    """

    ratio: float | None
    params: Mapping[str, Parameter]
    cost: float
    standard_error: Measure
    interval: Interval
    savings: Measure
    fold_costs: tuple[float, ...]
    difference: float
    difference_error: Measure


@part
class WeightingEffect(Part):
    """What weighting is worth: a weighted trial against the cheapest without weights.

    Attributes
    ----------
    ratio
        Of the chosen trial where weighting pays, else of the cheapest weighted one; None for the
        configured scheme.
    saving
        Cost of a row without weights minus with these; below 0 where weights cost more.
    interval
        Its 95 % interval, simultaneous over all weighted trials.
    compared
        How many weighted trials there were.
    scarce
        Whether too few rows are decided differently to show a saving.
    matters
        Whether weighting pays: chance is an unlikely reason for the saving.
    """

    ratio: float | None
    saving: float
    interval: Interval
    compared: int
    scarce: bool
    matters: bool


@part
class TuningRecord(Record):
    """The tuning stage, with the lines to put into the configuration.

    Attributes
    ----------
    rows
        Fit rows that took part.
    constant_cost
        Mean cost of a row under the best constant decision.
    references
        Scheme -> the ratio that it has here.
    best, chosen
        The trial of least mean cost, and the one whose settings are proposed.
    effect
        What weighting is worth; None where no trial is without weights, or all are.
    settings
        Sections of the configuration.
    """

    name: str
    model: LearnerSummary
    rows: int
    folds: TuningFolds
    constant_cost: float
    references: Mapping[str, float]
    trials: tuple[TrialSummary, ...]
    best: TrialSummary
    chosen: TrialSummary
    effect: WeightingEffect | None
    settings: Plain
    versions: Mapping[str, str]

    def table_rows(self) -> list[dict[str, object]]:
        """Return a row per trial, its parameters as JSON."""
        return [{**own.to_dict(), "params": json.dumps(own.params)} for own in self.trials]


@part
class ColumnImportance(Part):
    """What a column is worth to the model in use, and to the same learner without weights.

    Attributes
    ----------
    cost, standard_error
        How much more a row costs when the column's values come from other rows.
    share
        Of what the model itself counts as importance.
    rank_change
        How many places weighting moves the column up.
    """

    column: str
    rank: int
    cost: float
    standard_error: float
    share: float
    unweighted_rank: int
    unweighted_cost: float
    unweighted_standard_error: float
    unweighted_share: float
    rank_change: int


@part
class AreaSummary(Part):
    """The area under the ROC curve of a class, without and with weights.

    Attributes
    ----------
    interval
        Of the difference.
    """

    unweighted: Measure
    weighted: Measure
    interval: Interval


@part
class ImportanceRecord(Record):
    """The explain stage: columns, the most important to the model in use first.

    Attributes
    ----------
    areas
        Class name -> its areas; of two classes the second.
    coefficients
        Of a linear model of two classes: name -> without and with weights.
    """

    name: str
    model_version: str
    rows: int
    _: KW_ONLY
    columns: tuple[ColumnImportance, ...]
    areas: Mapping[str, AreaSummary] = field(default_factory=dict)
    coefficients: Mapping[str, tuple[float, float]] | None = None
    versions: Mapping[str, str]

    def table_rows(self) -> list[dict[str, object]]:
        """Return a row per column."""
        return [own.to_dict() for own in self.columns]


@part
class OriginClass(Part):
    """A class on the rows after an origin."""

    share: Measure
    mean_probability: Measure
    auc: Measure
    auc_interval: Interval


@part
class OriginSummary(Part):
    """One moment of the past, and what a model of that moment was worth on the rows after it.

    Attributes
    ----------
    after
        The last moment that the model could know of, as text.
    rows
        Part -> rows.
    cost
        Of a row of sample weight 1.
    classes
        Class name -> its figures, in index order.
    """

    after: str
    rows: Mapping[str, int]
    cost: Measure
    cost_interval: Interval
    savings: Measure
    savings_interval: Interval
    classes: Mapping[str, OriginClass]


@part
class TrendSummary(Part):
    """The change of a figure from origin to origin; see `sparkweights.evaluation.trend.Trend`."""

    slope: Measure
    standard_error: Measure
    interval: Interval
    shown: bool


@part
class BacktestRecord(Record):
    """The backtest: origins in the order of time, and the trend of each figure.

    Attributes
    ----------
    by
        The column that tells the time.
    trends
        Figure -> its trend; None where too few origins tell it.
    """

    name: str
    model: LearnerSummary
    by: str
    origins: tuple[OriginSummary, ...]
    trends: Mapping[str, TrendSummary | None]
    costs: Mapping[str, Mapping[str, str]]
    versions: Mapping[str, str]
