"""What accepted rows say of all applicants, as a section of the model's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.report.page import Section
from sparkweights.report.tables import NOTHING, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping


def selection_sections(found: Mapping[str, Any] | None) -> list[Section]:
    """Return the section of a record of selection; none where nobody was rejected."""
    if found is None:
        return []
    rows = [
        (
            f"{percent(band['low'])} to {percent(band['high'])}",
            f"{band['applicants']:,}",
            percent(band["accepted"] / band["applicants"]),
            f"{band['effective']:,.0f}",
            percent(band["mean_probability"]),
            NOTHING if not band["accepted"] else percent(band["share"]),
            "extrapolated" if band["is_extrapolated"] else "",
        )
        for band in found["bands"]
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
            table=table(f"Applicants by their probability of {found['name']}", header, rows),
            body=(
                (
                    "Outcomes are known of accepted rows alone, and none is invented. Where few "
                    "were accepted, probabilities are extrapolated from other applicants."
                ),
            ),
        )
    ]


def selection_sentence(found: Mapping[str, Any]) -> str:
    """Return what is known of the share of the class among all applicants."""
    name, (low, high) = found["name"], found["bounds"]
    told = (
        f"{percent(found['extrapolated'])} of the applicants have scores at which too few were "
        f"accepted to check them. The model says {percent(found['mean_probability'])} of {name} "
        "among all applicants; "
    )
    if found["estimate"] is None:
        return told + (
            f"among the accepted it was {percent(found['accepted_share'])}, and whatever became of "
            f"the others, it is between {percent(low)} and {percent(high)}."
        )
    start, end = found["interval"]
    return told + (
        f"accepted rows, weighted by the inverse of their probability of being accepted, say "
        f"{percent(found['estimate'])} (95 % interval {percent(start)} to {percent(end)}), where "
        f"the accepted alone had {percent(found['accepted_share'])}."
    )
