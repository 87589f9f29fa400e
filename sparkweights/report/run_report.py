"""A scoring run's report, from its manifest: row counts, decisions, costs and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.records.runs import DECISIONS_TAKEN
from sparkweights.report import figures
from sparkweights.report.check_sections import check_sections, failed_checks
from sparkweights.report.numbers import amount, count, percent, savings
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Figure, Page, Section, render_page
from sparkweights.report.population_sections import (
    class_sections,
    drift_sections,
    missing_sections,
    review_sections,
    shift_sections,
)
from sparkweights.report.sentences import constant_name
from sparkweights.report.shared_sections import (
    cost_section,
    ledger_section,
    minute,
    version_section,
)
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.records import RunRecord


def run_report(record: RunRecord) -> str:
    """Return a scoring run's report as one HTML file."""
    return render_page(run_page(record))


def run_page(record: RunRecord) -> Page:
    """Return the page of `run_report`; what the record does not hold is left out."""
    sections = [
        _rows_section(record),
        decisions_section(record.decisions),
        _expected_cost_section(record),
        *class_sections(record),
        *shift_sections(record.label_shift),
        *_reasons_sections(record.reasons),
        *review_sections(record.review, record.decisions),
        *drift_sections(record.drift),
        *missing_sections(record.missing_shifts),
        *check_sections(record.checks),
        cost_section(record.costs),
        ledger_section(record.ledger),
        _duration_section(record.durations_s),
        version_section(
            record.versions,
            _table_facts(record),
            sentence="The same table, settings and model give the same rows.",
        ),
    ]
    return Page(
        f"{record.name}: run of {record.run_date}",
        f"Run {record.run_id}, scored {minute(record.scored_at)} by model {record.model_version}",
        tuple(sections),
        _facts(record),
    )


def _facts(record: RunRecord) -> tuple[Fact, ...]:
    rows, saved = record.rows, record.expected_savings
    failed = failed_checks(record.checks)
    ran = [report for report in record.checks.values() if report is not None]
    facts = [
        Fact("Scored", count(rows.scored), f"of {count(rows.incoming)} incoming rows"),
        Fact(
            "Without a decision",
            count(rows.set_aside),
            f"{count(rows.quarantined)} quarantined, {count(rows.unscorable)} unscorable",
        ),
        Fact(
            "Expected to save",
            savings(saved),
            "of the expected cost of the best decision that is the same for all",
            GOOD if (saved or 0) > 0 else PLAIN,
        ),
    ]
    if ran:
        results = sum(len(report.results) for report in ran)
        critical = any(result.severity == "critical" for result in failed)
        facts.append(
            Fact(
                "Checks failed",
                f"{len(failed)}",
                f"of {results}; a failed critical check quarantines rows or stops the run",
                BAD if critical else PLAIN if failed else GOOD,
            )
        )
    return tuple(facts)


def _rows_section(record: RunRecord) -> Section:
    rows, faults, quarantined_for = record.rows, record.faults, record.quarantined_for
    incoming = rows.incoming or 1
    fault_texts, quarantine_texts = (
        join_names(f"{why} ({count(times)})" for why, times in causes.items())
        for causes in (faults, quarantined_for)
    )
    sentence = (
        f"Of {count(rows.incoming)} incoming rows, {count(rows.scored)} were scored, "
        f"{count(rows.unscorable)} could not be, and {count(rows.quarantined)} were quarantined."
    )
    return Section(
        "rows",
        "Row counts: what became of the incoming rows?",
        sentence,
        table=table(
            "Every row is accounted for",
            ("rows", "number", "share"),
            [(name, count(times), percent(times / incoming)) for name, times in vars(rows).items()],
        ),
        body=(
            (
                "A quarantined row lacks a key or fails a critical check; an unscorable row could "
                "not be scored or priced, and is in the scored table with the reason."
            ),
            *([f"Why rows were quarantined: {quarantine_texts}."] if quarantined_for else []),
            *([f"Why rows were unscorable: {fault_texts}."] if faults else []),
        ),
    )


def _reasons_sections(reasons: Mapping[str, int]) -> list[Section]:
    if not reasons:
        return []
    total = sum(reasons.values())
    first, times = next(iter(reasons.items()))
    return [
        Section(
            "reasons",
            "Reason codes: why were rows declined?",
            f"The commonest first reason is “{first}”: {percent(times / total)} of "
            f"the {count(total)} rows whose first reason is one of these.",
            table=table(
                "First reasons, the commonest first",
                ("first reason", "rows", "share"),
                [(text, count(n), percent(n / total)) for text, n in reasons.items()],
            ),
            body=(
                (
                    "A reason is a column whose values raise the row's risk; the first one "
                    "raises it most. Every row's own reasons are in the scored table."
                ),
            ),
        )
    ]


def decisions_section(decisions: Mapping[str, int]) -> Section:
    """Return how many rows got which decision."""
    figure = figures.Decisions(tuple(decisions.items()))
    total = sum(decisions.values()) or 1
    listed = ", ".join(f"{name} {percent(times / total)}" for name, times in decisions.items())
    return Section(
        "decisions",
        "Decisions: how many rows got each?",
        f"Of the scored rows: {listed}.",
        figure=Figure(
            figures.draw_decisions(figure),
            "Rows by decision",
            "A bar is the number of rows that got the decision.",
            figures.decisions_table(figure),
        ),
    )


def _expected_cost_section(record: RunRecord) -> Section:
    taken, name = record.expected_cost[DECISIONS_TAKEN], "the decisions taken"
    amounts = [(constant_name(key), cost, "") for key, cost in record.constant_costs.items()]
    figure = figures.Costs(
        (*amounts, (name, taken, savings(record.expected_savings))), model=frozenset({name})
    )
    return Section(
        "decision-cost",
        "Expected cost of the decisions",
        f"The decisions taken are expected to cost {amount(taken)}.",
        figure=Figure(
            figures.draw_costs(figure),
            "Expected cost by decision rule",
            "A bar is the expected cost of all scored rows: shorter is better.",
            figures.costs_table(figure),
        ),
        body=(
            (
                "Computed from the model's probabilities; the outcomes of these rows are not "
                "known yet."
            ),
        ),
    )


def _duration_section(durations: Mapping[str, float]) -> Section:
    rows = [(step.replace("_", " "), f"{seconds:,.1f} s") for step, seconds in durations.items()]
    total = sum(durations.values())
    return Section(
        "durations",
        "Durations: how long did each step take?",
        f"{total:,.1f} seconds over {len(durations)} steps.",
        table=table("Seconds by step", ("step", "time"), rows),
    )


def _table_facts(record: RunRecord) -> list[tuple[str, str]]:
    return [
        (
            f"table {name}",
            (
                f"{count(fingerprint.rows)} rows, {len(fingerprint.columns)} columns, schema "
                f"{fingerprint.schema_sha}"
                f"{'' if fingerprint.version is None else f', version {fingerprint.version}'}"
            ),
        )
        for name, fingerprint in record.tables.items()
    ]
