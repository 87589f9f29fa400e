"""The section that compares what decisions were expected to cost with what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report.numbers import (
    amount,
    count,
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


def cost_calibration_section(summary: CostCalibrationSummary) -> Section:
    """Return expected against realised cost, as a whole and by tenth of the stakes."""
    total, groups = summary.total, summary.groups
    rows = [["all", *_cost_cells(total)]]
    if len(groups) > 1:
        rows += [[_stakes(group.stakes), *_cost_cells(group)] for group in groups]
    tolerance = percent(summary.tolerance)
    verdict = (
        f"Significant differences of more than {tolerance}: {'; '.join(summary.warnings)}."
        if summary.warnings
        else f"No ratio differs from 1 by more than {tolerance} significantly."
    )
    return Section(
        "cost-calibration",
        "Cost calibration: do decisions cost what was expected?",
        f"{cost_calibration_sentence(summary)} {verdict}",
        table=table(
            "Expected and realised cost of the decisions taken, by stake",
            ["stake", "weight", "expected", "realised", "ratio", "95 % interval", "p"],
            rows,
        ),
        body=(
            (
                "A row's stake is the largest difference in cost between its decisions. A "
                "calibrated model has a ratio of .91 to 1.01, because the minimum of several "
                "noisy estimates is biased downwards; p is the probability of at least this gap "
                "if the probabilities are right."
            ),
        ),
    )


def _cost_cells(group: CostGroupSummary) -> list[str]:
    return [
        count(group.weight),
        amount(group.expected),
        amount(group.realised),
        ratio(group.ratio),
        ratio_span(group.interval),
        p_value(group.p_value),
    ]


def _stakes(bounds: tuple[Measure, Measure]) -> str:
    low, high = bounds
    low = 0.0 if low is None else low
    return f"{number(low)} and more" if high is None else f"{number(low)} to {number(high)}"
