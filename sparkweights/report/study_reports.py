"""Reports of studies, from their records: tuning, and what weights make a model see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import count, money, savings
from sparkweights.report.page import Fact, Page, Section, render_page
from sparkweights.report.sentences import ratio_name
from sparkweights.report.study_sections import (
    coefficients_sections,
    importance_section,
    ranking_section,
    tuning_curve,
    tuning_section,
)
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records import ImportanceRecord, TuningRecord


def tuning_report(record: TuningRecord) -> str:
    """Return the record of the tuning stage as one HTML file."""
    chosen = record.chosen
    page = Page(
        f"{record.name}: tuning",
        f"{record.model.words}, {record.folds.number} folds of {count(record.rows)} fit rows",
        (tuning_section(record), _trials_section(record)),
        (
            Fact("Saves", savings(chosen.savings), "the chosen candidate, on held-out folds"),
            Fact("Candidates", f"{len(record.trials)}", "weights and parameters"),
        ),
    )
    return render_page(page)


def tuning_figure(record: TuningRecord) -> str:
    """Return the curve of a tuning record as an SVG file."""
    return figures.draw_tuning(tuning_curve(record))


def _trials_section(record: TuningRecord) -> Section:
    names = list(record.chosen.params)
    rows = [
        (
            ratio_name(trial.ratio),
            *(str(trial.params[name]) for name in names),
            money(trial.cost),
            money(trial.difference),
            money(trial.difference_error),
            savings(trial.savings),
            "chosen" if trial == record.chosen else "",
        )
        for trial in record.trials
    ]
    return Section(
        "trials",
        "What was tried",
        "Each candidate was fitted, undone, calibrated and priced on every fold.",
        table=table(
            "Candidates",
            (
                "weight ratio",
                *names,
                "cost of a row",
                "more than the cheapest",
                "standard error of that",
                "savings",
                "verdict",
            ),
            rows,
        ),
    )


def explain_report(record: ImportanceRecord) -> str:
    """Return the record of the explain stage as one HTML file."""
    first = record.columns[0]
    page = Page(
        f"{record.name}: what the model sees",
        f"Model {record.model_version} beside its twin without weights",
        (
            importance_section(record),
            ranking_section(record.areas),
            *coefficients_sections(record.coefficients),
        ),
        (
            Fact("Dearest column", first.column, f"worth {money(first.cost)} a row"),
            Fact("Test rows", count(record.rows), "which neither has learned from"),
        ),
    )
    return render_page(page)
