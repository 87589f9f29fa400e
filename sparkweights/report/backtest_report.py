"""A backtest's report, from its record: cost, AUC and calibration by origin, and their trends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import (
    amount,
    count,
    measure,
    percent,
    savings,
    savings_span,
)
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Page, Section, render_page
from sparkweights.report.sentences import trend_cells
from sparkweights.report.shared_sections import cost_section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records import BacktestRecord
    from sparkweights.report.tables import Table


FIT, TEST = "fit", "test"


def backtest_report(record: BacktestRecord) -> str:
    """Return the record of a backtest as one HTML file."""
    return render_page(backtest_page(record))


def backtest_page(record: BacktestRecord) -> Page:
    """Return the page of `backtest_report`."""
    origins = record.origins
    first, last = origins[0], origins[-1]
    shown = [name for name, trend in record.trends.items() if trend and trend.shown]
    facts = (
        Fact(
            "Saved at the last origin",
            savings(last.savings),
            f"{savings(first.savings)} at the first",
            GOOD if (last.savings or 0) > 0 else BAD,
        ),
        Fact(
            "Trends",
            str(len(shown)),
            ", ".join(shown) if shown else "no figure is shown to change with time",
            BAD if shown else PLAIN,
        ),
    )
    return Page(
        f"{record.name}: backtest",
        f"{len(origins)} origins by {record.by} ({record.model.words})",
        (cost_section(record.costs), origins_section(record), _trends_section(record)),
        facts,
    )


def origins_section(record: BacktestRecord) -> Section:
    """Return the figures of each origin."""
    return Section(
        "origins",
        "Backtest: performance by origin",
        "At each origin a model is fitted on the rows known then and evaluated on the rows up to "
        "the next origin.",
        table=_origins_table(record),
    )


def _origins_table(record: BacktestRecord) -> Table:
    names = list(record.origins[0].classes)[1:]
    header = ["known until", "fit rows", "test rows", "saved", "95 % interval", "cost of a row"]
    header += [f"{word} of {name}" for name in names for word in ("share", "mean p", "AUC")]
    rows = []
    for origin in record.origins:
        cells = [
            origin.after,
            count(origin.rows[FIT]),
            count(origin.rows[TEST]),
            savings(origin.savings),
            savings_span(origin.savings_interval),
            amount(origin.cost),
        ]
        for name in names:
            measures = origin.classes[name]
            cells += [
                percent(measures.share),
                percent(measures.mean_probability),
                measure(measures.auc),
            ]
        rows.append(cells)
    return table("Cost, calibration and AUC by origin", header, rows)


def _trends_section(record: BacktestRecord) -> Section:
    rows = [(name, *trend_cells(trend)) for name, trend in record.trends.items()]
    return Section(
        "trends",
        "Trends: do the figures change with time?",
        "The change of each figure from one origin to the next, by a least-squares line through "
        "all origins.",
        table=table("Trends", ("figure", "change", "95 % interval", "verdict"), rows),
        body=(
            (
                "Calibration is the mean probability over the share of the class: above 1, the "
                "model overestimates the class."
            ),
        ),
    )
