"""How decisions differ between groups, as a section of the reports of `evaluate` and `monitor`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import listed
from sparkweights.report.page import Section
from sparkweights.report.tables import NOTHING, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RATES = {
    "acceptance": "accepted",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
}


def fairness_sections(found: Mapping[str, Any] | None) -> list[Section]:
    """Return the section of a record of fairness; none where nothing was compared."""
    if found is None:
        return []
    header = ["group", "rows", "ratio of acceptance", "95 % interval"]
    for name in _RATES.values():
        header += [name, "difference"]
    rows = [
        (
            f"{own['column']} {group['group']}",
            f"{group['rows']:,}",
            *_cells(group, is_reference=group["group"] == own["reference"]),
        )
        for own in found["columns"]
        for group in own["groups"]
    ]
    return [
        Section(
            "fairness",
            "Between groups of people",
            _sentence(found),
            table=table(f"Who gets {found['favourable']}", header, rows),
            body=(*_notes(found), _reading(found)),
        )
    ]


def _sentence(found: Mapping[str, Any]) -> str:
    if found["exceeded"]:
        told = "; ".join(found["exceeded"])
        return f"{told[:1].upper()}{told[1:]}."
    if not any(own["gaps"] for own in found["columns"]):
        return "No column has two groups of enough rows to compare."
    limits = found["limits"]
    return (
        f"No group gets {found['favourable']} at less than {limits['ratio']:g} times the rate of "
        f"another, and no true or false positive rates differ by more than "
        f"{limits['difference']:g}, beyond what chance explains."
    )


def _cells(group: Mapping[str, Any], *, is_reference: bool) -> Iterator[str]:
    ratio = group["ratio"]
    yield _written(ratio, "{value:.2f}")
    yield "reference" if is_reference else _written(ratio, "{low:.2f} to {high:.2f}")
    for rate in _RATES:
        yield _written(group["rates"][rate], "{value:.1%}")
        yield (
            NOTHING
            if is_reference
            else _written(group["differences"][rate], "{value:+.3f} ({low:+.3f} to {high:+.3f})")
        )


def _written(measure: Mapping[str, float | None], form: str) -> str:
    """Return a measure in words; one that was not measured is null in JSON."""
    value = measure["value"]
    if value is None or math.isnan(value):
        return NOTHING
    return form.format(**measure).replace("%", " %")


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    for own in found["columns"]:
        if own["reference"] is not None:
            yield f"Groups of {own['column']} are compared with {own['reference']}."
        if own["small"]:
            rows = sum(own["small"].values())
            yield (
                f"Of {own['column']}, {listed(own['small'])} have fewer than "
                f"{found['min_rows']:,} rows ({rows:,} in all): counted, not measured."
            )
    for name, why in found["unmeasured"].items():
        yield f"Column {name} {why}."


def _reading(found: Mapping[str, Any]) -> str:
    positive = listed(found["positive"])
    return (
        f"True positive rate: of the rows for which {found['favourable']} turned out right "
        f"({positive}), the share that got it; false positive rate: the same of all others. "
        "Differences may have reasons that the law accepts; intervals take rows to be independent."
    )
