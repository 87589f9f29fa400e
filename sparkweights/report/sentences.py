"""Sentences about records that both the terminal and the pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.records.evaluation import DOUBLE_COUNT, MODEL, THRESHOLD_HALF, WITH_REVIEW
from sparkweights.report.numbers import (
    NOTHING,
    amount,
    count,
    number,
    number_span,
    percent,
    percent_span,
    ratio,
    ratio_span,
    savings,
    span,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.records.evaluation import CostCalibrationSummary, EvaluationSummary
    from sparkweights.records.fairness import FairnessSummary
    from sparkweights.records.studies import TrendSummary, WeightingEffect
    from sparkweights.records.training import (
        CalibrationSummary,
        ChampionComparison,
        ComparisonCosts,
        SelectionSummary,
    )

POLICIES: Mapping[str, str] = {
    MODEL: "this model",
    WITH_REVIEW: "this model and review",
    THRESHOLD_HALF: "threshold 0.5",
    DOUBLE_COUNT: "costs counted twice",
}
TOO_FEW_ORIGINS = "too few origins"


def policy_costs(evaluation: EvaluationSummary) -> list[tuple[str, float, str]]:
    """Return each decision rule, its cost, and its savings in words, constant decisions first."""
    rows = [(constant_name(name), cost, "") for name, cost in evaluation.constant_costs.items()]
    return rows + [
        (text, evaluation.costs[name], savings(evaluation.savings.get(name)))
        for name, text in list(POLICIES.items())[::-1]
        if name in evaluation.costs
    ]


def constant_name(name: str) -> str:
    """Return the key of a constant decision's cost in words."""
    return name.replace("always_", "always ", 1)


def sentence_of(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def cost_calibration_sentence(summary: CostCalibrationSummary) -> str:
    """Return expected beside realised cost of all decisions."""
    total = summary.total
    return (
        f"The decisions were expected to cost {amount(total.expected)} and cost "
        f"{amount(total.realised)}, a ratio of {ratio(total.ratio)} (95 % interval "
        f"{ratio_span(total.interval)})."
    )


def calibration_sentence(calibration: CalibrationSummary) -> str:
    """Return the method and why it was chosen."""
    return f"{calibration.method}. {calibration.reason}".strip()


def effect_sentence(effect: WeightingEffect | None, chosen: float | None) -> str:
    """Return whether weighting pays, and by how much."""
    if effect is None:
        return (
            f"Chosen: {_weights(chosen)}. Candidates with and without weights were not both tried, "
            "so the effect of weighting is not known; set tune.ratio to begin at 1 and end above 1 "
            "to measure it."
        )
    worth = (
        f"{_weights(effect.ratio)} instead of none {_saves(effect.saving)} a row (95 % interval of "
        f"the saving {span(effect.interval)}, for all {effect.compared} weighted candidates "
        "together)"
    )
    if effect.matters:
        return f"Weighting pays, and the settings have it: {worth}."
    few = ", and too few rows are decided differently to show it" if effect.scarce else ""
    return f"Weighting is not shown to pay, so the settings have none: {worth}{few}."


def ratio_name(value: float | None) -> str:
    """Return the weight ratio of a trial in words."""
    return "as configured" if value is None else number(value)


def _weights(value: float | None) -> str:
    return "the configured weights" if value is None else f"weight ratio {number(value)}"


def _saves(saving: float) -> str:
    return f"saves {amount(saving)}" if saving >= 0 else f"costs {amount(-saving)} more"


def use_sentence(comparison: ChampionComparison) -> str:
    """Return whether the new model is in use."""
    if comparison.promoted:
        return "It is in use now."
    if comparison.champion is None:
        return "It is not in use (promote: never)."
    return "It is not in use; the champion stays."


def comparison_sentence(comparison: ChampionComparison) -> str:
    """Return how the new model did beside the one in use before, and whether it replaces it."""
    use, costs = use_sentence(comparison), comparison.costs
    if comparison.champion is None:
        return use
    if costs is None:
        return f"Not compared with {comparison.champion}: {comparison.obstacle}. {use}"
    return f"Verdict: {costs.verdict}. {use}"


def changed_sentence(costs: ComparisonCosts) -> str:
    """Return how many rows of each class are decided differently, and whether they are enough."""
    counts = join_names(f"{count(rows)} {name}" for name, rows in costs.changed.items())
    changed = f"Decided differently: {counts}."
    if not costs.scarce:
        return changed
    return (
        f"{changed} Of {join_names(costs.scarce)} they are fewer than {costs.needed}. That is too "
        "few to measure the cost of mistakes on this class: the model that makes more of them may "
        "look cheaper by chance."
    )


def selection_sentence(summary: SelectionSummary) -> str:
    """Return what is known of the share of the class among all applicants."""
    beginning = (
        f"{percent(summary.extrapolated)} of the applicants have scores at which too few were "
        f"accepted to check them. The model expects {percent(summary.mean_probability)} of "
        f"{summary.name} among all applicants; "
    )
    if summary.estimate is None or summary.interval is None:
        low, high = map(percent, summary.bounds)
        return beginning + (
            f"among the accepted it was {percent(summary.accepted_share)}, and whatever the "
            f"outcomes of the others, it is between {low} and {high}."
        )
    return beginning + (
        f"accepted rows, weighted by the inverse of their probability of being accepted, give "
        f"{percent(summary.estimate)} (95 % interval {percent_span(summary.interval)}), where "
        f"the accepted alone had {percent(summary.accepted_share)}."
    )


def fairness_notes(summary: FairnessSummary) -> list[str]:
    """Return what the rates of groups are compared with, and which were not measured."""
    notes = []
    for column in summary.columns:
        if column.reference is not None:
            notes.append(f"Groups of {column.column} are compared with {column.reference}.")
        if column.small:
            notes.append(
                f"Of {column.column}, {join_names(column.small)} have fewer than "
                f"{count(summary.min_rows)} rows ({count(sum(column.small.values()))} in all): "
                "counted, not measured."
            )
    return notes + [f"Column {name} {why}." for name, why in summary.unmeasured.items()]


def trend_cells(trend: TrendSummary | None) -> tuple[str, str, str]:
    """Return the change of a figure from origin to origin, its interval, and the verdict."""
    if trend is None:
        return NOTHING, NOTHING, TOO_FEW_ORIGINS
    verdict = "changes with time" if trend.shown else "no change shown"
    return number(trend.slope), number_span(trend.interval), verdict
