"""An evaluation's report, from its record: what decisions cost, overall and by segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.records.evaluation import MODEL
from sparkweights.report.evaluation_sections import evaluation_sections
from sparkweights.report.fairness_sections import fairness_sections
from sparkweights.report.numbers import (
    NOTHING,
    amount,
    count,
    measure,
    percent,
    savings,
    savings_span,
)
from sparkweights.report.page import BAD, GOOD, Fact, Page, Section, render_page
from sparkweights.report.shared_sections import cost_section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.records import EvaluationRecord
    from sparkweights.records.evaluation import Segment


def evaluation_report(record: EvaluationRecord) -> str:
    """Return the record of the evaluate stage as one HTML file."""
    return render_page(evaluation_page(record))


def evaluation_page(record: EvaluationRecord) -> Page:
    """Return the page of `evaluation_report`."""
    evaluation = record.evaluation
    saved = evaluation.savings[MODEL]
    facts = [
        Fact(
            "Saved",
            savings(saved),
            f"of the cost of the best decision that is the same for all; 95 % interval "
            f"{savings_span(evaluation.savings_intervals[MODEL])}",
            GOOD if (saved or 0) > 0 else BAD,
        ),
        Fact("Test rows", count(evaluation.rows), "not used to fit the model"),
    ]
    return Page(
        f"{record.name}: evaluation",
        f"Model {record.model_version} ({record.model.words})",
        (
            cost_section(record.costs),
            *evaluation_sections(evaluation),
            *_segment_sections(record.segments, record.min_rows),
            *fairness_sections(record.fairness),
        ),
        tuple(facts),
    )


def _segment_sections(segments: Sequence[Segment], min_rows: int) -> list[Section]:
    if not segments:
        return []
    measured = [segment for segment in segments if segment.measured]
    decisions = list(measured[0].decisions or ()) if measured else []
    classes = list(measured[0].classes or ())[-1:] if measured else []
    header = ["segment", "rows", "saved", "cost of a row", *decisions]
    header += [f"{word} of {name}" for name in classes for word in ("share", "mean p", "AUC")]
    rows = [
        [segment.words, count(segment.rows), *_cells(segment, decisions, classes)]
        for segment in segments
    ]
    return [
        Section(
            "segments",
            "Performance by segment",
            f"{len(measured)} of {len(segments)} segments have at least {count(min_rows)} "
            "rows, which a measure needs.",
            table=table("The decisions by segment", header, rows),
            body=(
                (
                    "Shares of decisions may differ between segments for good reasons. A mean "
                    "probability that differs from the share of a segment is miscalibration."
                ),
            ),
        )
    ]


def _cells(segment: Segment, decisions: Sequence[str], classes: Sequence[str]) -> list[str]:
    if segment.decisions is None or segment.classes is None:
        return [NOTHING] * (2 + len(decisions) + 3 * len(classes))
    cells = [savings(segment.savings), amount(segment.cost_per_row)]
    cells += [percent(segment.decisions[name]) for name in decisions]
    for name in classes:
        measures = segment.classes[name]
        cells += [
            percent(measures.share),
            percent(measures.mean_probability),
            measure(measures.auc),
        ]
    return cells
