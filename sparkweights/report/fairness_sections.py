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


def fairness_sections(summary: FairnessSummary | None) -> list[Section]:
    """Return the section of a fairness summary; none where nothing was compared."""
    if summary is None:
        return []
    header = ["group", "rows", "ratio of acceptance", "95 % interval"]
    for name in _RATES.values():
        header += [name, "difference"]
    rows = [
        (
            f"{column.column} {group.group}",
            count(group.rows),
            *_cells(group, is_reference=group.group == column.reference),
        )
        for column in summary.columns
        for group in column.groups
    ]
    return [
        Section(
            "fairness",
            "Fairness: how do decisions differ between groups?",
            _sentence(summary),
            table=table(f"Who gets {summary.favourable}", header, rows),
            body=(*fairness_notes(summary), _explanation(summary)),
        )
    ]


def _sentence(summary: FairnessSummary) -> str:
    if summary.exceeded:
        return sentence_of("; ".join(summary.exceeded))
    if not any(column.gaps for column in summary.columns):
        return "No column has two groups of enough rows to compare."
    limits = summary.limits
    return (
        f"No group gets {summary.favourable} at less than {limits.ratio:g} times the rate of "
        f"another, and no true or false positive rates differ by more than "
        f"{limits.difference:g}, significantly."
    )


def _cells(group: GroupSummary, *, is_reference: bool) -> Iterator[str]:
    yield ratio(group.ratio.value)
    yield "reference" if is_reference else ratio_span((group.ratio.low, group.ratio.high))
    for rate in _RATES:
        yield percent(group.rates[rate].value)
        yield NOTHING if is_reference else _difference(group.differences[rate])


def _difference(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return NOTHING
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def _explanation(summary: FairnessSummary) -> str:
    positive = join_names(summary.positive)
    return (
        f"True positive rate: of the rows for which {summary.favourable} was correct "
        f"({positive}), the share that got it; false positive rate: the same of all others. "
        "Differences may have reasons that the law accepts; intervals take rows to be independent."
    )
