"""How decisions differ between groups, as a section of the reports of `evaluate` and `monitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.report.numbers import NOTHING, count, percent, ratio, ratio_span
from sparkweights.report.page import Section
from sparkweights.report.sentences import fairness_notes, sentence_of
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkweights.records.fairness import Estimate, FairnessSummary, GroupSummary

_RATES = {
    "acceptance": "accepted",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
}


def fairness_sections(found: FairnessSummary | None) -> list[Section]:
    """Return the section of a record of fairness; none where nothing was compared."""
    if found is None:
        return []
    header = ["group", "rows", "ratio of acceptance", "95 % interval"]
    for name in _RATES.values():
        header += [name, "difference"]
    rows = [
        (
            f"{own.column} {group.group}",
            count(group.rows),
            *_cells(group, is_reference=group.group == own.reference),
        )
        for own in found.columns
        for group in own.groups
    ]
    return [
        Section(
            "fairness",
            "Between groups of people",
            _sentence(found),
            table=table(f"Who gets {found.favourable}", header, rows),
            body=(*fairness_notes(found), _reading(found)),
        )
    ]


def _sentence(found: FairnessSummary) -> str:
    if found.exceeded:
        return sentence_of("; ".join(found.exceeded))
    if not any(own.gaps for own in found.columns):
        return "No column has two groups of enough rows to compare."
    limits = found.limits
    return (
        f"No group gets {found.favourable} at less than {limits.ratio:g} times the rate of "
        f"another, and no true or false positive rates differ by more than "
        f"{limits.difference:g}, beyond what chance explains."
    )


def _cells(group: GroupSummary, *, is_reference: bool) -> Iterator[str]:
    yield ratio(group.ratio.value)
    yield "reference" if is_reference else ratio_span((group.ratio.low, group.ratio.high))
    for rate in _RATES:
        yield percent(group.rates[rate].value)
        yield NOTHING if is_reference else _difference(group.differences[rate])


def _difference(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return NOTHING
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _reading(found: FairnessSummary) -> str:
    positive = join_names(found.positive)
    return (
        f"True positive rate: of the rows for which {found.favourable} turned out right "
        f"({positive}), the share that got it; false positive rate: the same of all others. "
        "Differences may have reasons that the law accepts; intervals take rows to be independent."
    )
