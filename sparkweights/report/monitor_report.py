"""A monitoring run's report, from its record: how far a table differs from the reference rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.fairness_sections import fairness_sections
from sparkweights.report.numbers import count, index, number, p_value, percent
from sparkweights.report.page import BAD, GOOD, Fact, Page, Section, render_page
from sparkweights.report.population_sections import drift_sections, shift_sections
from sparkweights.report.sentences import sentence_of
from sparkweights.report.shared_sections import version_section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.records import MonitoringRecord
    from sparkweights.records.runs import ClassCalibration


def monitor_report(record: MonitoringRecord) -> str:
    """Return the record of the monitor stage as one HTML file."""
    return render_page(monitor_page(record))


def monitor_page(record: MonitoringRecord) -> Page:
    """Return the page of `monitor_report`."""
    over = record.exceeded
    return Page(
        f"{record.name}: monitoring of {record.run_date}",
        f"Table {record.table} beside model {record.model_version}",
        (
            _verdict_section(record),
            *drift_sections(record.drift),
            *shift_sections(record.label_shift),
            *_calibration_sections(record.calibration, record.diagnosis),
            *fairness_sections(record.fairness),
            version_section(record.versions, sentence="Versions that wrote the record."),
        ),
        (
            Fact("Limits exceeded", f"{len(over)}", "see the verdict", BAD if over else GOOD),
            Fact("Rows", count(record.rows), f"of table {record.table}"),
        ),
    )


def _verdict_section(record: MonitoringRecord) -> Section:
    over = record.exceeded
    sentence = sentence_of("; ".join(over)) if over else "No monitored measure is over its limit."
    return Section(
        "verdict",
        "Verdict: which limits are exceeded?",
        sentence,
        table=table(
            "Measures and their limits", ("measure", "today", "limit", "p-value"), _measures(record)
        ),
        body=(
            (
                "A stability index sums, over tenths of the reference, the changes of the shares "
                "of rows: below 0.1 is commonly called stable, above 0.25 a large change. With few "
                "rows it varies by chance, so it is over its limit only where the p-value, "
                "adjusted for the number of indices (Holm), is below 0.5 % as well. Rows that the "
                "model sends to review are decided by a human and do not count as overrides."
            ),
        ),
    )


def _measures(record: MonitoringRecord) -> list[tuple[str, str, str, str]]:
    """Return a row per measure with a limit: its name, today's value, the limit, its p-value."""
    limits = record.limits
    rows = [
        (
            f"stability index of the probability of {name}",
            index(value),
            number(limits.psi),
            p_value(record.score_p_values[name]),
        )
        for name, value in record.scores.items()
    ]
    if record.overrides is not None:
        rows.append(
            ("decisions overridden", percent(record.overrides), percent(limits.overrides), "")
        )
    rows.append(
        (
            "rows that would be quarantined",
            percent(record.quarantined),
            percent(limits.quarantined),
            "",
        )
    )
    return rows


def _calibration_sections(
    calibration: Mapping[str, ClassCalibration], diagnosis: Mapping[str, str]
) -> list[Section]:
    if not calibration:
        return []
    rows = [
        (
            name,
            count(measures.rows),
            percent(measures.share),
            percent(measures.mean_probability),
            p_value(measures.p_value),
        )
        for name, measures in calibration.items()
    ]
    return [
        Section(
            "calibration",
            "Calibration: do predicted and observed shares agree?",
            "On the rows whose outcome is known, the mean probability of a class should be its "
            "share; the p-value is the probability of a difference at least as large if every "
            "row's probability is right.",
            table=table("Classes", ("class", "rows", "share", "mean probability", "p-value"), rows),
            body=tuple(map(sentence_of, diagnosis.values())),
        )
    ]
