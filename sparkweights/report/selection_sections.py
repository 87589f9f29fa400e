"""Selection bias: what accepted rows show about all applicants, as a section of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import count, percent
from sparkweights.report.page import Section
from sparkweights.report.sentences import selection_sentence
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records.training import SelectionSummary


def selection_sections(summary: SelectionSummary | None) -> list[Section]:
    """Return the section of a selection summary; none where nobody was rejected."""
    if summary is None:
        return []
    rows = [
        (
            f"{percent(band.low)} to {percent(band.high)}",
            count(band.applicants),
            percent(band.accepted / band.applicants),
            count(band.effective),
            percent(band.mean_probability),
            percent(band.share),
            "extrapolated" if band.is_extrapolated else "",
        )
        for band in summary.bands
    ]
    header = (
        "probability", "applicants", "accepted", "effective accepted rows", "mean probability",
        "share among accepted", "",
    )  # fmt: skip
    return [
        Section(
            "selection",
            "Selection bias: whose outcomes are known?",
            selection_sentence(summary),
            table=table(f"Applicants by their probability of {summary.name}", header, rows),
            body=(
                (
                    "Outcomes are known only for accepted rows, and none is imputed. Where few "
                    "were accepted, probabilities are extrapolated from other applicants."
                ),
            ),
        )
    ]
