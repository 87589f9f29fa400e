"""The section that compares what decisions were expected to cost with what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.report.page import Section
from sparkweights.report.tables import NOTHING, money, number, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def cost_calibration_section(found: Mapping[str, Any]) -> Section:
    """Return expected against realised cost, as a whole and by tenth of the stakes."""
    total, groups = found["total"], found["groups"]
    rows = [["all", *_cost_cells(total)]]
    if len(groups) > 1:
        rows += [[_stakes(group["stakes"]), *_cost_cells(group)] for group in groups]
    tolerance = percent(found["tolerance"])
    verdict = (
        f"Off by more than {tolerance}, and not by chance: {'; '.join(found['warnings'])}."
        if found["warnings"]
        else f"Nothing is off by more than {tolerance} that chance does not explain."
    )
    return Section(
        "cost-calibration",
        "Do decisions cost what was expected?",
        f"The decisions were expected to cost {money(total['expected'])} and cost "
        f"{money(total['realised'])}, a ratio of {_ratio(total['ratio'])}. {verdict}",
        table=table(
            "Expected and realised cost of the decisions taken, by stake",
            ["stake", "weight", "expected", "realised", "ratio", "95 % interval", "p"],
            rows,
        ),
        body=(
            (
                "A row's stake is the most that its decision can make a difference of. A sound "
                "model's ratio is .91 to 1.01, because the least of several noisy estimates is a "
                "little too low; p is the chance of a gap so wide if the probabilities are right."
            ),
        ),
    )


def _cost_cells(group: Mapping[str, Any]) -> list[str]:
    low, high = group["interval"]
    return [
        f"{group['weight']:,.0f}",
        money(group["expected"]),
        money(group["realised"]),
        _ratio(group["ratio"]),
        f"{_ratio(low)} to {_ratio(high)}",
        f"{group['p_value']:.2g}",
    ]


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _stakes(ends: Sequence[float | None]) -> str:
    low, high = ends
    low = 0.0 if low is None else low
    return f"{number(low)} and more" if high is None else f"{number(low)} to {number(high)}"
