"""A scoring run's report, from its manifest: what came in, what was decided, what was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import listed
from sparkweights.report import figures
from sparkweights.report.check_sections import check_sections, failed_checks
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Figure, Page, Section, render_page
from sparkweights.report.population_sections import (
    class_sections,
    drift_sections,
    review_sections,
    shift_sections,
)
from sparkweights.report.shared_sections import (
    cost_section,
    ledger_section,
    minute,
    version_section,
)
from sparkweights.report.tables import money, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAKEN = "decisions_taken"


def run_report(manifest: Mapping[str, Any]) -> str:
    """Return a scoring run's report as one HTML file.

    Parameters
    ----------
    manifest
        Of the run. It may also hold ``drift``: {measure, limit or None, columns: {name: value}}.
    """
    return render_page(run_page(manifest))


def run_page(manifest: Mapping[str, Any]) -> Page:
    """Return the page of `run_report`; what the record does not hold is left out."""
    sections = [
        _rows_section(manifest),
        decisions_section(manifest["decisions"]),
        _money_section(manifest),
        *class_sections(manifest),
        *shift_sections(manifest["label_shift"]),
        *_reasons_sections(manifest["reasons"]),
        *review_sections(manifest["review"], manifest["decisions"]),
        *drift_sections(manifest.get("drift")),
        *check_sections(manifest["checks"]),
        cost_section(manifest["costs"]),
        ledger_section(manifest["ledger"]),
        _duration_section(manifest["durations_s"]),
        version_section(
            manifest,
            _table_facts(manifest),
            sentence="The same table, settings and model give the same rows.",
        ),
    ]
    return Page(
        f"{manifest['name']}: run of {manifest['run_date']}",
        f"Run {manifest['run_id']}, scored {minute(manifest['scored_at'])} by model "
        f"{manifest['model_version']}",
        tuple(sections),
        _facts(manifest),
    )


def _facts(manifest: Mapping[str, Any]) -> tuple[Fact, ...]:
    rows, aside = manifest["rows"], manifest["rows"]["quarantined"] + manifest["rows"]["unscorable"]
    failed = failed_checks(manifest["checks"])
    ran = [report for report in manifest["checks"].values() if report is not None]
    saved = _expected_savings(manifest["expected_cost"])
    facts = [
        Fact("Scored", f"{rows['scored']:,}", f"of {rows['incoming']:,} rows that came in"),
        Fact(
            "Set aside",
            f"{aside:,}",
            f"{rows['quarantined']:,} quarantined, {rows['unscorable']:,} unscorable",
        ),
    ]
    if saved is not None:
        note = "of the expected cost of the best decision that is the same for all"
        facts.append(Fact("Expected to save", percent(saved), note, GOOD if saved > 0 else PLAIN))
    if ran:
        count = sum(len(report["results"]) for report in ran)
        facts.append(
            Fact(
                "Checks failed",
                f"{len(failed)}",
                f"of {count}; a failed critical check sets rows aside or stops the run",
                BAD
                if any(result["severity"] == "critical" for result in failed)
                else PLAIN
                if failed
                else GOOD,
            )
        )
    return tuple(facts)


def _expected_savings(costs: Mapping[str, float]) -> float | None:
    constant = [cost for name, cost in costs.items() if name != _TAKEN]
    best = min(constant, default=0.0)
    return 1 - costs[_TAKEN] / best if best > 0 else None


def _rows_section(manifest: Mapping[str, Any]) -> Section:
    rows, faults, aside = manifest["rows"], manifest["faults"], manifest["quarantined_for"]
    whole = rows["incoming"] or 1
    told, told_aside = (
        listed(f"{why} ({count:,})" for why, count in found.items()) for found in (faults, aside)
    )
    sentence = (
        f"Of {rows['incoming']:,} incoming rows, {rows['scored']:,} were scored, "
        f"{rows['unscorable']:,} could not be, and {rows['quarantined']:,} were quarantined."
    )
    return Section(
        "rows",
        "What came in and where it went",
        sentence,
        table=table(
            "Every row is accounted for",
            ("rows", "number", "share"),
            [(name, f"{count:,}", percent(count / whole)) for name, count in rows.items()],
        ),
        body=(
            (
                "A quarantined row lacks a key or fails a critical check; an unscorable row could "
                "not be scored or priced, and is in the scored table with the reason."
            ),
            *([f"What set rows aside: {told_aside}."] if aside else []),
            *([f"What made rows unscorable: {told}."] if faults else []),
        ),
    )


def _reasons_sections(reasons: Mapping[str, int]) -> list[Section]:
    if not reasons:
        return []
    total = sum(reasons.values())
    first, count = next(iter(reasons.items()))
    return [
        Section(
            "reasons",
            "Why rows were declined",
            f"The commonest first reason is “{first}”: {percent(count / total)} of "
            f"the {total:,} rows whose first reason is one of these.",
            table=table(
                "First reasons, the commonest first",
                ("first reason", "rows", "share"),
                [(text, f"{n:,}", percent(n / total)) for text, n in reasons.items()],
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
    record = figures.Decisions(tuple(decisions.items()))
    total = sum(decisions.values()) or 1
    told = ", ".join(f"{name} {percent(count / total)}" for name, count in decisions.items())
    return Section(
        "decisions",
        "The decisions",
        f"Of the scored rows: {told}.",
        figure=Figure(
            figures.draw_decisions(record),
            "Rows by decision",
            "A bar is the number of rows that got the decision.",
            figures.decisions_table(record),
        ),
    )


def _money_section(manifest: Mapping[str, Any]) -> Section:
    costs = manifest["expected_cost"]
    ours = "the decisions taken"
    amounts = [
        (name.replace("always_", "always ", 1), cost, None)
        for name, cost in costs.items()
        if name != _TAKEN
    ]
    record = figures.Costs(
        (*amounts, (ours, costs[_TAKEN], _expected_savings(costs))), ours=frozenset({ours})
    )
    return Section(
        "money",
        "What they are expected to cost",
        f"The decisions taken are expected to cost {money(costs[_TAKEN])}.",
        figure=Figure(
            figures.draw_costs(record),
            "Expected cost by way to decide",
            "A bar is the expected cost of all scored rows: shorter is better.",
            figures.costs_table(record),
        ),
        body=(
            (
                "Expected by the model's own probabilities; the outcomes of these rows are not "
                "known yet."
            ),
        ),
    )


def _duration_section(durations: Mapping[str, float]) -> Section:
    rows = [(step.replace("_", " "), f"{seconds:,.1f} s") for step, seconds in durations.items()]
    total = sum(durations.values())
    return Section(
        "durations",
        "How long it took",
        f"{total:,.1f} seconds over {len(durations)} steps.",
        table=table("Seconds by step", ("step", "time"), rows),
    )


def _table_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"table {name}",
            (
                f"{found['rows']:,} rows, {len(found['columns'])} columns, schema "
                f"{found['schema_sha']}"
            ),
        )
        for name, found in manifest["tables"].items()
    ]
