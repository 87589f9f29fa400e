"""A backtest's report, from its record: cost, AUC and calibration by origin, and their trends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Page, Section, render_page
from sparkweights.report.shared_sections import cost_section
from sparkweights.report.tables import NOTHING, money, number, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.report.tables import Table


def backtest_report(record: Mapping[str, Any]) -> str:
    """Return the record of a backtest as one HTML file."""
    return render_page(backtest_page(record))


def backtest_page(record: Mapping[str, Any]) -> Page:
    """Return the page of `backtest_report`."""
    origins = record["origins"]
    first, last = origins[0], origins[-1]
    shown = [name for name, trend in record["trends"].items() if trend and trend["shown"]]
    facts = (
        Fact(
            "Saved at the last origin",
            percent(last["savings"]),
            f"{percent(first['savings'])} at the first",
            GOOD if last["savings"] > 0 else BAD,
        ),
        Fact(
            "Trends",
            str(len(shown)),
            ", ".join(shown) if shown else "no figure is shown to change with time",
            BAD if shown else PLAIN,
        ),
    )
    return Page(
        f"{record['name']}: backtest",
        f"{len(origins)} origins by {record['by']} ({record['model']['kind'].replace('_', ' ')})",
        (cost_section(record["costs"]), _origins_section(record), _trends_section(record)),
        facts,
    )


def _origins_section(record: Mapping[str, Any]) -> Section:
    return Section(
        "origins",
        "By origin",
        "At each origin a model learns from what was known then, and decides about the rows up to "
        "the next one.",
        table=_origins_table(record),
    )


def _origins_table(record: Mapping[str, Any]) -> Table:
    names = list(record["origins"][0]["classes"])[1:]
    header = ["known until", "fit rows", "test rows", "saved", "95 % interval", "cost of a row"]
    header += [f"{word} of {name}" for name in names for word in ("share", "mean p", "AUC")]
    rows = []
    for one in record["origins"]:
        low, high = one["savings_interval"]
        cells = [
            one["after"],
            f"{one['rows']['fit']:,}",
            f"{one['rows']['test']:,}",
            percent(one["savings"]),
            f"{percent(low)} to {percent(high)}",
            money(one["cost"]),
        ]
        for name in names:
            own = one["classes"][name]
            cells += [percent(own["share"]), percent(own["mean_probability"]), f"{own['auc']:.4f}"]
        rows.append(cells)
    return table("Cost, calibration and AUC by origin", header, rows)


def _trends_section(record: Mapping[str, Any]) -> Section:
    rows = []
    for name, trend in record["trends"].items():
        if trend is None:
            rows.append([name, NOTHING, NOTHING, "too few origins"])
            continue
        low, high = trend["interval"]
        verdict = "changes with time" if trend["shown"] else "no change shown"
        rows.append([name, number(trend["slope"]), f"{number(low)} to {number(high)}", verdict])
    return Section(
        "trends",
        "Trends",
        "The change of each figure from one origin to the next, by a straight line through all.",
        table=table("Trends", ("figure", "change", "95 % interval", "verdict"), rows),
        body=(
            (
                "Calibration is the mean probability over the share of the class: above 1, the "
                "model expects the class more often than it came."
            ),
        ),
    )
