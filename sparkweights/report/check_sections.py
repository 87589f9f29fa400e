"""Sections about checks: counts and verdicts, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import count
from sparkweights.report.page import Section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.records import CheckRecord
    from sparkweights.records.runs import CheckOutcome

_SEVERITIES = ("critical", "warning", "info")
_ENDS = {"incoming": "incoming table", "scored": "scored table"}


def failed_checks(checks: Mapping[str, CheckRecord | None]) -> list[CheckOutcome]:
    """Return the failed expectations of the input and the output table of a run."""
    return [result for report in checks.values() if report is not None for result in report.failed]


def check_sections(checks: Mapping[str, CheckRecord | None]) -> list[Section]:
    """Return one table of expectations per checked table."""
    sections: list[Section] = []
    for end, report in checks.items():
        if report is None:
            continue
        of = f"{len(report.results)} expectations of suite {report.suite}"
        critical = "No critical one failed." if report.success else "A critical one failed."
        sections.append(
            Section(
                f"checks-{len(sections)}",
                f"Checks of the {_ENDS.get(end, end)}",
                f"{len(report.failed)} of {of} failed. {critical}",
                table=table(
                    "Each expectation, failures first",
                    ("expectation", "severity", "verdict", "of values"),
                    _check_rows(report.results),
                ),
            )
        )
    return sections


def _check_rows(results: Sequence[CheckOutcome]) -> list[tuple[str, str, str, str]]:
    return [
        (
            result.subject,
            result.severity,
            check_verdict(result),
            "" if result.elements is None else count(result.elements),
        )
        for result in sort_by_urgency(results)
    ]


def sort_by_urgency(results: Sequence[CheckOutcome]) -> list[CheckOutcome]:
    """Return results with failures first, and critical ones before others."""
    return sorted(results, key=lambda result: (result.success, _SEVERITIES.index(result.severity)))


def check_verdict(result: CheckOutcome) -> str:
    """Return the verdict of an expectation in words."""
    if result.success:
        return "ok"
    if result.error:
        return "could not be evaluated"
    unexpected = result.unexpected
    return "failed" if unexpected is None else f"failed on {count(unexpected)}"
