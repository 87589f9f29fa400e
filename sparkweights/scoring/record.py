"""The record of a scoring run, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sparkweights.core.versions import digest, versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.quality.suite import CheckReport
    from sparkweights.scoring.counts import Counted
    from sparkweights.scoring.plan import RunMetadata, ScoringContext
    from sparkweights.spec.scoring import ScoringSpec


def run_id(settings: Mapping[str, Any], run_date: date, model_version: str) -> str:
    """Return the run's id: the same settings, date and model give the same one."""
    return f"{run_date.isoformat()}-{digest(settings, model_version)}"


def check_record(report: CheckReport | None) -> dict[str, Any] | None:
    """Return a check report's record; it holds counts, never values."""
    if report is None:
        return None
    return {
        "suite": report.suite,
        "suite_sha": report.suite_sha,
        "table": report.table,
        "success": report.success,
        "results": [asdict(result) for result in report.results],
    }


def run_manifest(  # noqa: PLR0913 (a record of everything)
    name: str,
    spec: ScoringSpec,
    bundle: ModelBundle,
    run: RunMetadata,
    counts: Counted,
    *,
    context: ScoringContext,
    settings: Mapping[str, Any],
    checks: dict[str, CheckReport | None],
    fingerprints: dict[str, Any],
    durations: dict[str, float],
) -> dict[str, Any]:
    """Return the manifest of a scoring run.

    Parameters
    ----------
    settings
        Of the configuration, for whoever reads the record later.
    """
    return {
        "name": name,
        "run_id": run.run_id,
        "run_date": run.run_date.isoformat(),
        "scored_at": run.scored_at.isoformat(),
        "model_version": bundle.version,
        "rows": {
            "incoming": counts.rows,
            "scored": counts.scored,
            "unscorable": counts.unscorable,
            "quarantined": counts.quarantined,
        },
        "decisions": dict(counts.decisions),
        **{name: dict(getattr(counts, name)) for name in ("reasons", "faults", "quarantined_for")},
        "expected_classes": dict(counts.expected_classes),
        "expected_cost": {
            "decisions_taken": counts.expected_cost,
            **{f"always_{name}": cost for name, cost in counts.expected_costs.items()},
        },
        "prior": dict(bundle.ledger.prior),
        "ledger": context.scorer.ledger.to_dict(),
        "label_shift": None if context.shift is None else context.shift.to_dict(),
        "review": None if context.cut is None else context.cut.to_dict(),
        "costs": spec.problem.matrix.to_dict(),
        "checks": {end: check_record(report) for end, report in checks.items()},
        "config": dict(settings),
        "tables": fingerprints,
        "versions": versions(),
        "durations_s": durations,
    }
