"""From the state of a stream to the record that an operator reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sparkweights.core.versions import versions
from sparkweights.records.stream import (
    BatchSummary,
    DriftSummary,
    StreamCosts,
    StreamRecord,
    StreamRows,
)

if TYPE_CHECKING:
    from sparkweights.stream.current_prior import CurrentPrior
    from sparkweights.stream.run import StreamSettings
    from sparkweights.stream.state import StreamState, Totals

_DAY = 86_400.0


def stream_record(
    settings: StreamSettings,
    state: StreamState,
    prior: CurrentPrior,
    status: str,
    *,
    rows: int,
    seconds: float,
    reason: str,
) -> StreamRecord:
    """Return the record of a stream after a micro-batch.

    Parameters
    ----------
    rows, seconds
        Of the micro-batch; 0 where none was processed.
    """
    now, totals, window = datetime.now(UTC), state.totals, state.window.total
    frequencies = (
        {}
        if window is None
        else dict(zip(window.frequencies.names, window.frequencies.weight.tolist(), strict=True))
    )
    rule = None if state.learner is None else state.learner.rule
    return StreamRecord(
        name=settings.name,
        status=status,
        reason=reason,
        model_version=settings.bundle.version,
        model_status="new model wanted" if state.wants_model else "in use",
        learning=_learning(settings, state),
        batch=state.batch,
        updated_at=now.isoformat(timespec="seconds"),
        rows=_rows(totals),
        batch_rows=rows,
        rows_per_second=rows / seconds if seconds else None,
        mean_rows_per_second=totals.rows / totals.seconds if totals.seconds else None,
        lag_s=_lag(settings.time_kind, state.latest, now),
        prior={
            "model": dict(prior.model),
            "outcomes": dict(prior.outcomes),
            "target": dict(prior.target),
        },
        shift=None if prior.shift is None else prior.shift.sentence,
        window_rows=state.window.rows,
        window=frequencies,
        weights={} if rule is None else dict(zip(rule.classes, rule.constants or (), strict=True)),
        drifts=tuple(DriftSummary(**vars(drift)) for drift in state.drifts),
        costs=StreamCosts(
            totals.expected_cost, totals.realised_cost, totals.expected_cost_realised
        ),
        set_aside=state.aside,
        versions=versions(),
        by_batch=tuple(BatchSummary(**vars(costs)) for costs in state.history),
    )


def _learning(settings: StreamSettings, state: StreamState) -> str:
    if state.learner is None:
        return "off"
    return "held" if state.wants_model and settings.rules.holds else "on"


def _rows(totals: Totals) -> StreamRows:
    return StreamRows(totals.rows, totals.scored, totals.outcomes, totals.expired, totals.unmatched)


def _lag(kind: str, latest: float | None, now: datetime) -> float | None:
    """Return the seconds since an event time; a date is its midnight."""
    if latest is None or kind == "number":
        return None
    seconds = latest * _DAY if kind == "date" else latest / 1e6
    return round(now.timestamp() - seconds, 1)
