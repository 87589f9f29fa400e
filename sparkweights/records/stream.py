"""The record of a stream: what an operator reads while it runs."""

from __future__ import annotations

from collections.abc import Mapping

from sparkweights.records.base import Measure, Part, Record, Shares, part


@part
class DriftSummary(Part):
    """A change of the mean of a measure; see `sparkweights.stream.state.Drift`."""

    batch: int
    measure: str
    before: float
    since: float
    after: int

    @property
    def sentence(self) -> str:
        """The change in words."""
        subject = {
            "loss": "the squared error of the decided probabilities",
            "score": "the published model's mean probability of the rarest class",
        }.get(self.measure, self.measure)
        return (
            f"after micro-batch {self.after}, {subject} moved from {self.before:.4g} to "
            f"{self.since:.4g} (found in micro-batch {self.batch})"
        )


@part
class StreamCosts(Part):
    """Costs to date.

    Attributes
    ----------
    expected
        Of all decisions, when they were taken.
    realised, expected_of_realised
        Of the decisions whose outcome has come, and what was expected of them.
    """

    expected: float
    realised: float
    expected_of_realised: float


@part
class StreamRows(Part):
    """Counts since the stream began.

    Attributes
    ----------
    incoming, scored
        Rows, and those with a decision.
    with_outcome
        Rows whose outcome has come.
    expired
        Rows let go without one.
    unmatched_outcomes
        Outcomes whose row has not come, at the last micro-batch.
    """

    incoming: int
    scored: int
    with_outcome: int
    expired: int
    unmatched_outcomes: int


@part
class BatchSummary(Part):
    """What a micro-batch cost; see `sparkweights.stream.state.BatchCosts`."""

    batch: int
    scored: int
    expected_cost: float
    constant_cost: float
    outcomes: int
    realised_cost: float
    share: float

    @property
    def expected(self) -> float | None:
        """Of a row with a decision; None without any."""
        return self.expected_cost / self.scored if self.scored else None

    @property
    def constant(self) -> float | None:
        """Of a row with a decision, had all got the least costly single decision."""
        return self.constant_cost / self.scored if self.scored else None

    @property
    def realised(self) -> float | None:
        """Of a row whose outcome came; None without any."""
        return self.realised_cost / self.outcomes if self.outcomes else None


@part
class StreamRecord(Record):
    """A stream after its last micro-batch.

    Attributes
    ----------
    status, reason
        ``running``, ``ended`` or ``stopped``, and why.
    model_version, model_status
        The published model, and ``in use`` or ``new model wanted``.
    learning
        ``on``, ``held`` since a drift, or ``off``.
    batch
        The last micro-batch that was committed; -1 before the first.
    updated_at
        When.
    rows
        Counts since the stream began.
    batch_rows, rows_per_second, mean_rows_per_second
        Rows of the last micro-batch, its speed, and that of all.
    lag_s
        Seconds from the latest event time to the record; None where time is a number.
    prior
        ``model``, ``outcomes`` and ``target`` -> class shares that the model is natural to, that
        agree with the window's outcomes, and that the next micro-batch is decided for.
    shift
        What the latest scores tell, in words; None where they are too few.
    window_rows, window
        Rows with outcome, and their classes.
    weights
        Class name -> weight in training; empty where the model stays as it is.
    drifts
        Of the model, the oldest first.
    costs
        To date.
    set_aside
        Micro-batches whose rows failed a gate.
    by_batch
        The latest micro-batches, the oldest first.
    """

    name: str
    status: str
    reason: str
    model_version: str
    model_status: str
    learning: str
    batch: int
    updated_at: str
    rows: StreamRows
    batch_rows: int
    rows_per_second: Measure
    mean_rows_per_second: Measure
    lag_s: Measure
    prior: Mapping[str, Shares]
    shift: str | None
    window_rows: float
    window: Mapping[str, float]
    weights: Mapping[str, float]
    drifts: tuple[DriftSummary, ...]
    costs: StreamCosts
    set_aside: tuple[int, ...]
    versions: Mapping[str, str]
    by_batch: tuple[BatchSummary, ...] = ()

    @property
    def rarest(self) -> str:
        """The class of the smallest share in the model."""
        return min(self.prior["model"], key=lambda name: self.prior["model"][name])

    @property
    def line(self) -> str:
        """The state in one line."""
        rare, speed = self.rarest, self.rows_per_second
        parts = [
            f"micro-batch {self.batch}: {self.batch_rows:,} rows"
            + ("" if speed is None else f", {speed:,.0f}/s"),
            f"{rare} {self.prior['target'][rare]:.2%}",
            f"window {self.window_rows:,.0f} rows",
            f"cost {self.costs.realised:,.0f} on {self.rows.with_outcome:,} outcomes",
        ]
        if self.drifts:
            parts.append("drift: new model wanted")
        return "; ".join(parts)
