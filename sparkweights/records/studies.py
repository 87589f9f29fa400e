"""The records of studies: tuning, permutation importance, and backtests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, field

from sparkweights.records.base import Interval, Measure, Part, Plain, Record, part
from sparkweights.records.learner import LearnerSummary, Parameter


@part
class TuningFolds(Part):
    """The number of folds, and what assigned rows to them."""

    number: int
    by: str | tuple[str, ...]


@part
class TrialSummary(Part):
    """The cost of one candidate on held-out rows.

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
    """The effect of weighting: a weighted trial against the cheapest without weights.

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
        Whether weighting pays: the saving is significant.
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
        return [{**trial.to_dict(), "params": json.dumps(trial.params)} for trial in self.trials]


@part
class ColumnImportance(Part):
    """A column's importance to the model in use, and to the same learner without weights.

    Attributes
    ----------
    cost, standard_error
        How much more a row costs when the column's values come from other rows.
    share
        Of the model's own importance measure.
    rank_change
        By how many ranks weighting moves the column up.
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
        return [column.to_dict() for column in self.columns]


@part
class OriginClass(Part):
    """A class on the rows after an origin."""

    share: Measure
    mean_probability: Measure
    auc: Measure
    auc_interval: Interval


@part
class OriginSummary(Part):
    """A past moment, and the measures of a model of that moment on the rows after it.

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
        The column of the time.
    trends
        Figure -> its trend; None where there are too few origins.
    """

    name: str
    model: LearnerSummary
    by: str
    origins: tuple[OriginSummary, ...]
    trends: Mapping[str, TrendSummary | None]
    costs: Mapping[str, Mapping[str, str]]
    versions: Mapping[str, str]
