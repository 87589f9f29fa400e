"""What accepted rows say of all applicants, as a section of the model's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import count, percent
from sparkweights.report.page import Section
from sparkweights.report.sentences import selection_sentence
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records.training import SelectionSummary


def selection_sections(found: SelectionSummary | None) -> list[Section]:
    """Return the section of a record of selection; none where nobody was rejected."""
    if found is None:
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
        for band in found.bands
    ]
    header = (
        "probability", "applicants", "accepted", "effective accepted rows", "mean probability",
        "share among accepted", "",
    )  # fmt: skip
    return [
        Section(
            "selection",
            "Whom the outcomes speak of",
            selection_sentence(found),
            table=table(f"Applicants by their probability of {found.name}", header, rows),
            body=(
                (
                    "Outcomes are known of accepted rows alone, and none is invented. Where few "
                    "were accepted, probabilities are extrapolated from other applicants."
                ),
            ),
        )
    ]
