"""Reports of studies, from their records: tuning, and permutation importance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import amount, count, savings
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
            amount(trial.cost),
            amount(trial.difference),
            amount(trial.difference_error),
            savings(trial.savings),
            "chosen" if trial == record.chosen else "",
        )
        for trial in record.trials
    ]
    return Section(
        "trials",
        "Trials: which candidates were tried?",
        "Each candidate was fitted, corrected, calibrated and priced on every fold.",
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
        f"{record.name}: what the columns are worth",
        f"Model {record.model_version} beside its unweighted baseline",
        (
            importance_section(record),
            ranking_section(record.areas),
            *coefficients_sections(record.coefficients),
        ),
        (
            Fact("Most important column", first.column, f"worth {amount(first.cost)} a row"),
            Fact("Test rows", count(record.rows), "not used to fit either model"),
        ),
    )
    return render_page(page)
