"""The record of a scoring run, from its results."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkweights.core.versions import digest, versions
from sparkweights.records import CheckRecord, RunRecord
from sparkweights.records.runs import (
    DECISIONS_TAKEN,
    LabelShiftSummary,
    MissingSummary,
    ReviewSummary,
    RowCounts,
)
from sparkweights.records.weights import LedgerSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.features.missing import MissingShift
    from sparkweights.quality.suite import CheckReport
    from sparkweights.records.runs import TableFingerprint
    from sparkweights.scoring.counts import RunCounts
    from sparkweights.scoring.plan import RunMetadata, ScoringContext
    from sparkweights.spec.scoring import ScoringSpec


def run_id(settings: Mapping[str, object], run_date: date, model_version: str) -> str:
    """Return the run's id: the same settings, date and model give the same one."""
    return f"{run_date.isoformat()}-{digest(settings, model_version)}"


def check_record(report: CheckReport) -> CheckRecord:
    """Return a check report's record; it holds counts, never values."""
    return CheckRecord.from_dict(asdict(report))


def run_record(  # noqa: PLR0913 (a record of everything)
    name: str,
    spec: ScoringSpec,
    bundle: ModelBundle,
    run: RunMetadata,
    counts: RunCounts,
    *,
    context: ScoringContext,
    missing_shifts: Sequence[MissingShift],
    settings: Mapping[str, object],
    checks: Mapping[str, CheckReport | None],
    tables: Mapping[str, TableFingerprint],
    durations: Mapping[str, float],
) -> RunRecord:
    """Return the record of a scoring run.

    Parameters
    ----------
    settings
        Of the configuration, for whoever reads the record later.
    """
    shift, cutoff = context.shift, context.cutoff
    constant = {f"always_{name}": cost for name, cost in counts.expected_costs.items()}
    return RunRecord(
        name=name,
        run_id=run.run_id,
        run_date=run.run_date.isoformat(),
        scored_at=run.scored_at.isoformat(),
        model_version=bundle.version,
        rows=RowCounts(counts.rows, counts.scored, counts.unscorable, counts.quarantined),
        decisions=counts.decisions,
        reasons=counts.reasons,
        faults=counts.faults,
        quarantined_for=counts.quarantined_for,
        expected_classes=counts.expected_classes,
        expected_cost={DECISIONS_TAKEN: counts.expected_cost, **constant},
        prior=bundle.ledger.prior,
        ledger=LedgerSummary.from_dict(context.scorer.ledger.to_dict()),
        label_shift=None if shift is None else LabelShiftSummary.from_dict(shift.to_dict()),
        review=None if cutoff is None else ReviewSummary.from_dict(cutoff.to_dict()),
        costs=spec.problem.matrix.to_dict(),
        checks={
            end: None if report is None else check_record(report) for end, report in checks.items()
        },
        config=settings,
        tables=tables,
        versions=versions(),
        durations_s=durations,
        missing_shifts=tuple(MissingSummary(**asdict(shift)) for shift in missing_shifts),
    )
