"""Sections about checks: counts and verdicts, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.report.page import Section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SEVERITIES = ("critical", "warning", "info")
_ENDS = {"incoming": "incoming table", "scored": "scored table"}


def failed_checks(checks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of the expectations that do not hold, at both ends of the run."""
    ran = [report for report in checks.values() if report is not None]
    return [result for report in ran for result in report["results"] if not result["success"]]


def check_sections(checks: Mapping[str, Any]) -> list[Section]:
    """Return one table of expectations per end that was checked."""
    sections: list[Section] = []
    for end, report in checks.items():
        if report is None:
            continue
        failed = sum(not result["success"] for result in report["results"])
        of = f"{len(report['results'])} expectations of suite {report['suite']}"
        critical = "No critical one failed." if report["success"] else "A critical one failed."
        sections.append(
            Section(
                f"checks-{len(sections)}",
                f"Checks of the {_ENDS.get(end, end)}",
                f"{failed} of {of} failed. {critical}",
                table=table(
                    "Each expectation, those that failed first",
                    ("expectation", "severity", "verdict", "of values"),
                    _check_rows(report["results"]),
                ),
            )
        )
    return sections


def _check_rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    rows = []
    for result in sorted(results, key=_urgency):
        kind = result["type"].removeprefix("expect_").removeprefix("column_values_to_")
        words = kind.replace("_", " ")
        name = words if result["column"] is None else f"{result['column']}: {words}"
        elements = "" if result["elements"] is None else f"{result['elements']:,}"
        rows.append((name, result["severity"], _verdict(result), elements))
    return rows


def _verdict(result: Mapping[str, Any]) -> str:
    if result["success"]:
        return "ok"
    if result["error"]:
        return "could not be evaluated"
    unexpected = result["unexpected"]
    return "failed" if unexpected is None else f"failed on {unexpected:,}"


def _urgency(result: Mapping[str, Any]) -> tuple[bool, int]:
    """Place what failed first, and what is critical before what is not."""
    return result["success"], _SEVERITIES.index(result["severity"])
