"""The records of stages that read a table: checks, scoring runs and monitoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, field

from sparkweights.records.base import Interval, Measure, Part, Plain, Record, Shares, part
from sparkweights.records.fairness import FairnessSummary
from sparkweights.records.weights import LedgerSummary

DECISIONS_TAKEN = "decisions_taken"


def expectation_words(kind: str, column: str | None) -> str:
    """Return an expectation's type in words, with its column.

    Examples
    --------
    >>> expectation_words("expect_column_values_to_be_in_set", "card type")
    'card type: be in set'
    """
    words = kind.removeprefix("expect_").removeprefix("column_values_to_").replace("_", " ")
    return words if column is None else f"{column}: {words}"


@part
class CheckOutcome(Part):
    """The result of one expectation; see `sparkweights.quality.suite.CheckResult`."""

    id: str
    type: str
    column: str | None
    severity: str
    success: bool
    elements: int | None = None
    unexpected: int | None = None
    observed: int | float | str | None = None
    error: str | None = None

    @property
    def subject(self) -> str:
        """The expectation's type in words, with its column."""
        return expectation_words(self.type, self.column)


@part
class CheckRecord(Record):
    """The verdict of a suite on a table; it holds counts, never values.

    Attributes
    ----------
    suite, suite_sha
        Its name, and a digest of its expectations.
    success
        Whether no critical check failed.
    """

    _: KW_ONLY
    suite: str
    suite_sha: str | None = None
    table: str
    success: bool
    results: tuple[CheckOutcome, ...]

    @property
    def failed(self) -> tuple[CheckOutcome, ...]:
        """The expectations that do not hold."""
        return tuple(result for result in self.results if not result.success)


@part
class RowCounts(Part):
    """Every incoming row is accounted for: incoming = scored + unscorable + quarantined."""

    incoming: int
    scored: int
    unscorable: int
    quarantined: int

    @property
    def set_aside(self) -> int:
        """Rows that got no decision."""
        return self.unscorable + self.quarantined


@part
class ShareEstimate(Part):
    """Class shares by one method, class by class.

    Attributes
    ----------
    condition
        Of the linear system that was solved, where one was.
    """

    shares: Mapping[str, Measure]
    standard_errors: Mapping[str, Measure]
    interval_95: Mapping[str, Interval]
    condition: Measure


@part
class LabelShiftSummary(Part):
    """Class shares estimated from scores; see `sparkweights.probability.label_shift.LabelShift`.

    Attributes
    ----------
    shrunk, target_prior
        The estimate shrunk towards the prior, and the shares to decide for; None where there is no
        shift.
    sentence
        The verdict and its consequence.
    estimates
        Method -> its estimate.
    """

    rows: int
    effective_rows: Measure
    min_rows: int
    prior: Shares
    mean_probabilities: Mapping[str, Measure]
    p_value: Measure
    fit_p_value: Measure
    verdict: str
    shifted: bool
    pseudo_rows: float
    shrunk: Mapping[str, Measure] | None
    max_shift: float
    capped: bool
    target_prior: Shares | None
    sentence: str
    estimates: Mapping[str, ShareEstimate]


@part
class ReviewSummary(Part):
    """Which rows are sent to human review.

    Attributes
    ----------
    least_gain, share_at_least_gain
        Rows that gain more are reviewed, and this share of those that gain as much.
    rows, gaining
        Rows considered, and those that would gain from a review.
    saving
        The expected saving of the reviews, net of their price.
    """

    least_gain: Measure
    share_at_least_gain: float
    rows: int
    gaining: int
    saving: float


@part
class TableFingerprint(Part):
    """A fingerprint of a table, to identify it without reading it again.

    Attributes
    ----------
    columns
        Column -> its type.
    version
        The version of a Delta table, or the snapshot of an Iceberg table, that was read; text, as
        many programs round such numbers. None of other tables.
    """

    location: str
    format: str
    partition: Plain
    rows: int
    columns: Mapping[str, str]
    schema_sha: str
    version: str | None = None

    def absent(self) -> Collection[str]:
        """Return the keys that are left out, because they do not apply."""
        return ("version",) if self.version is None else ()


@part
class DriftSummary(Part):
    """The drift of the columns since training.

    Attributes
    ----------
    measure
        The index's name.
    limit, over
        The largest allowed index, and the columns that exceed it significantly; None where there
        is no limit, and where significance was not tested.
    """

    _: KW_ONLY
    measure: str
    limit: float | None = None
    columns: Mapping[str, Measure]
    p_values: Mapping[str, Measure] = field(default_factory=dict)
    over: tuple[str, ...] | None = None


@part
class MissingSummary(Part):
    """A feature that is missing, or unseen, more or less often than in training.

    Attributes
    ----------
    kind
        ``missing``, or ``unseen`` for categories that training did not know.
    before, share
        Of the training rows, and of the incoming rows.
    p_value
        Of Fisher's exact test, adjusted for the number of columns.
    """

    column: str
    kind: str
    before: float
    share: float
    p_value: float


@part
class RunRecord(Record):
    """A scoring run: row counts, decisions, costs and checks.

    Attributes
    ----------
    rows
        Incoming rows, by what became of them.
    decisions
        Decision -> rows.
    reasons, faults, quarantined_for
        The most frequent first reasons, faults of unscorable rows, and failed checks -> rows.
    expected_classes
        Class name -> the sum of its probability.
    expected_cost
        ``decisions_taken`` or ``always_<decision>`` -> expected cost of the scored rows.
    prior
        Natural class shares of the model.
    checks
        End of the run -> its checks, where there are any.
    tables
        Role -> the table that was read.
    durations_s
        Step -> seconds.
    drift
        Of the columns, where it was measured.
    missing_shifts
        Features whose share of missing values or unseen categories differs from training's.
    """

    _: KW_ONLY
    name: str
    run_id: str
    run_date: str
    scored_at: str
    model_version: str
    rows: RowCounts
    decisions: Mapping[str, int]
    reasons: Mapping[str, int]
    faults: Mapping[str, int]
    quarantined_for: Mapping[str, int]
    expected_classes: Mapping[str, float]
    expected_cost: Mapping[str, float]
    prior: Shares
    ledger: LedgerSummary
    label_shift: LabelShiftSummary | None
    review: ReviewSummary | None
    costs: Mapping[str, Mapping[str, str]]
    checks: Mapping[str, CheckRecord | None]
    config: Plain = field(default_factory=dict)
    tables: Mapping[str, TableFingerprint]
    versions: Mapping[str, str]
    durations_s: Mapping[str, float]
    drift: DriftSummary | None = None
    missing_shifts: tuple[MissingSummary, ...] = ()

    def absent(self) -> Collection[str]:
        """Return the key of the drift, where it was not measured."""
        return ("drift",) if self.drift is None else ()

    @property
    def constant_costs(self) -> dict[str, float]:
        """``always_<decision>`` -> the expected cost had all scored rows got the decision."""
        costs = self.expected_cost.items()
        return {name: cost for name, cost in costs if name != DECISIONS_TAKEN}

    @property
    def expected_savings(self) -> Measure:
        """1 - expected cost / that of the best constant decision; None where that is free."""
        best = min(self.constant_costs.values(), default=0.0)
        return 1 - self.expected_cost[DECISIONS_TAKEN] / best if best > 0 else None


@part
class Leftover(Part):
    """A folder or file of a run that nothing names.

    Attributes
    ----------
    reason
        Why nobody needs it.
    removed
        Whether nothing of it is left.
    """

    path: str
    bytes: int
    reason: str
    removed: bool


@part
class VacuumRecord(Record):
    """What runs have left behind.

    Attributes
    ----------
    removed
        Whether it was to be removed.
    failures
        What could not be listed or removed, one sentence each.
    """

    _: KW_ONLY
    name: str
    removed: bool
    leftovers: tuple[Leftover, ...]
    failures: tuple[str, ...]


@part
class DateOutcome(Part):
    """What became of a date of a backfill.

    Attributes
    ----------
    run_id, rows
        Of the run; None where the date was not scored.
    exit_code
        0 where the date was scored; None where it was not begun, as an earlier date had failed.
    error
        Why it was not scored.
    """

    _: KW_ONLY
    run_date: str
    run_id: str | None = None
    rows: RowCounts | None = None
    exit_code: int | None = None
    error: str | None = None


@part
class BackfillRecord(Record):
    """Several dates that were scored in a row; each has its own record as well."""

    _: KW_ONLY
    name: str
    dates: tuple[DateOutcome, ...]

    @property
    def scored(self) -> tuple[DateOutcome, ...]:
        """The dates that were scored."""
        return tuple(one for one in self.dates if one.exit_code == 0)

    @property
    def failed(self) -> tuple[DateOutcome, ...]:
        """The dates that failed."""
        return tuple(one for one in self.dates if one.exit_code)


@part
class ClassCalibration(Part):
    """A class on rows whose outcome is known; see `sparkweights.monitoring.alarms.Calibration`."""

    rows: int
    share: Measure
    mean_probability: Measure
    p_value: Measure


@part
class MonitoringLimits(Part):
    """How far each measure may go; see `sparkweights.config.sections.Monitor`.

    Attributes
    ----------
    decided
        The column of the decisions that were actually taken.
    """

    psi: float
    shift: float
    calibration: float
    decided: str | None
    overrides: float
    quarantined: float


@part
class MonitoringRecord(Record):
    """The monitor stage: how far a table differs from a model's reference rows.

    Attributes
    ----------
    table
        The role of the table.
    scores, score_p_values
        Class name -> the stability index of its probability, and its adjusted p-value.
    calibration
        Class name -> its calibration; empty where no outcome is known.
    diagnosis
        Class name -> drift of the rows or miscalibration, in words.
    overrides
        Share of the model's decisions that were not taken; None where that is not known.
    quarantined
        Share of the rows that scoring would quarantine.
    exceeded
        A sentence per limit that is exceeded.
    """

    name: str
    run_date: str
    table: str
    model_version: str
    rows: int
    drift: DriftSummary
    scores: Mapping[str, Measure]
    score_p_values: Mapping[str, Measure]
    label_shift: LabelShiftSummary
    calibration: Mapping[str, ClassCalibration]
    diagnosis: Mapping[str, str]
    overrides: Measure
    quarantined: float
    fairness: FairnessSummary | None
    limits: MonitoringLimits
    exceeded: tuple[str, ...]
    versions: Mapping[str, str]
