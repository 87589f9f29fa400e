"""An evaluation's report, from its record: what a model's decisions cost, and on whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.report.evaluation_sections import OURS, evaluation_sections
from sparkweights.report.fairness_sections import fairness_sections
from sparkweights.report.page import BAD, GOOD, Fact, Page, Section, render_page
from sparkweights.report.shared_sections import cost_section
from sparkweights.report.tables import NOTHING, money, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def evaluation_report(record: Mapping[str, Any]) -> str:
    """Return the record of the evaluate stage as one HTML file."""
    return render_page(evaluation_page(record))


def evaluation_page(record: Mapping[str, Any]) -> Page:
    """Return the page of `evaluation_report`."""
    evaluation = record["evaluation"]
    saved = evaluation["savings"][OURS]
    low, high = evaluation["savings_intervals"][OURS]
    facts = [
        Fact(
            "Saved",
            percent(saved),
            f"of the cost of the best decision that is the same for all; 95 % interval "
            f"{percent(low)} to {percent(high)}",
            GOOD if saved > 0 else BAD,
        ),
        Fact("Test rows", f"{evaluation['rows']:,}", "which the model has not learned from"),
    ]
    return Page(
        f"{record['name']}: evaluation",
        f"Model {record['model_version']} ({record['model']['kind'].replace('_', ' ')})",
        (
            cost_section(record["costs"]),
            *evaluation_sections(evaluation),
            *_segment_sections(record["segments"], record["min_rows"]),
            *fairness_sections(record.get("fairness")),
        ),
        tuple(facts),
    )


def _segment_sections(segments: Sequence[Mapping[str, Any]], least: int) -> list[Section]:
    if not segments:
        return []
    measured = [one for one in segments if one["measured"]]
    decisions = list(measured[0]["decisions"]) if measured else []
    classes = list(measured[0]["classes"])[-1:] if measured else []
    header = ["segment", "rows", "saved", "cost of a row", *decisions]
    header += [f"{word} of {name}" for name in classes for word in ("share", "mean p", "AUC")]
    rows = [[_words(one["segment"]), f"{one['rows']:,}", *_cells(one, decisions, classes)]
            for one in segments]  # fmt: skip
    return [
        Section(
            "segments",
            "By segment",
            f"{len(measured)} of {len(segments)} segments have the {least:,} rows that a measure "
            "needs.",
            table=table("The same decisions, segment by segment", header, rows),
            body=(
                (
                    "Shares of decisions that differ between segments may have reasons; a mean "
                    "probability that misses the share in one of them has none."
                ),
            ),
        )
    ]


def _cells(one: Mapping[str, Any], decisions: Sequence[str], classes: Sequence[str]) -> list[str]:
    if not one["measured"]:
        return [NOTHING] * (2 + len(decisions) + 3 * len(classes))
    cells = [percent(one["savings"]), money(one["cost"] / one["weight"])]
    cells += [percent(one["decisions"][name]) for name in decisions]
    for name in classes:
        own = one["classes"][name]
        cells += [percent(own["share"]), percent(own["mean_probability"]), f"{own['auc']:.4f}"]
    return cells


def _words(segment: Mapping[str, str | None]) -> str:
    return ", ".join(
        f"{name} {'missing' if value is None else value}" for name, value in segment.items()
    )
