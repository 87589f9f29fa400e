"""The section that compares what decisions were expected to cost with what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import (
    count,
    money,
    number,
    p_value,
    percent,
    ratio,
    ratio_span,
)
from sparkweights.report.page import Section
from sparkweights.report.sentences import cost_calibration_sentence
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records.base import Measure
    from sparkweights.records.evaluation import CostCalibrationSummary, CostGroupSummary


def cost_calibration_section(found: CostCalibrationSummary) -> Section:
    """Return expected against realised cost, as a whole and by tenth of the stakes."""
    total, groups = found.total, found.groups
    rows = [["all", *_cost_cells(total)]]
    if len(groups) > 1:
        rows += [[_stakes(group.stakes), *_cost_cells(group)] for group in groups]
    tolerance = percent(found.tolerance)
    verdict = (
        f"Off by more than {tolerance}, and not by chance: {'; '.join(found.warnings)}."
        if found.warnings
        else f"Nothing is off by more than {tolerance} that chance does not explain."
    )
    return Section(
        "cost-calibration",
        "Do decisions cost what was expected?",
        f"{cost_calibration_sentence(found)} {verdict}",
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


def _cost_cells(group: CostGroupSummary) -> list[str]:
    return [
        count(group.weight),
        money(group.expected),
        money(group.realised),
        ratio(group.ratio),
        ratio_span(group.interval),
        p_value(group.p_value),
    ]


def _stakes(ends: tuple[Measure, Measure]) -> str:
    low, high = ends
    low = 0.0 if low is None else low
    return f"{number(low)} and more" if high is None else f"{number(low)} to {number(high)}"
