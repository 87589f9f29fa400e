"""A monitoring run's report, from its record: how far a table is from what the model knows."""

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
            version_section(record.versions, sentence="What the record was made with."),
        ),
        (
            Fact("Limits passed", f"{len(over)}", "see the verdict", BAD if over else GOOD),
            Fact("Rows", count(record.rows), f"of table {record.table}"),
        ),
    )


def _verdict_section(record: MonitoringRecord) -> Section:
    over = record.exceeded
    sentence = (
        sentence_of("; ".join(over)) if over else "Nothing that is followed is over its limit."
    )
    return Section(
        "verdict",
        "The verdict",
        sentence,
        table=table(
            "Measures and their limits", ("measure", "today", "limit", "p-value"), _measures(record)
        ),
        body=(
            (
                "A stability index sums, over tenths of the reference, how far the shares of "
                "rows have moved: below 0.1 is commonly called stable, above 0.25 a large change. "
                "Few rows move it by chance; so it is over its limit only where the p-value, "
                "adjusted for the number of indices (Holm), is below 0.5 % as well. Rows that the "
                "model sends to review are decided by a human and are no overrides."
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
            count(own.rows),
            percent(own.share),
            percent(own.mean_probability),
            p_value(own.p_value),
        )
        for name, own in calibration.items()
    ]
    return [
        Section(
            "calibration",
            "What was predicted, and what happened",
            "On the rows whose outcome is known, the mean probability of a class should be its "
            "share; the p-value is the chance of a difference as large if every row's probability "
            "is right.",
            table=table("Classes", ("class", "rows", "share", "mean probability", "p-value"), rows),
            body=tuple(map(sentence_of, diagnosis.values())),
        )
    ]
