"""Sections about a model's costs and measures on its test rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.records.evaluation import DOUBLE_COUNT, MODEL, WITH_REVIEW, ClassCurves
from sparkweights.report import figures
from sparkweights.report.cost_calibration_section import cost_calibration_section
from sparkweights.report.numbers import (
    amount,
    count,
    known,
    measure,
    measure_span,
    number,
    percent,
    ratio,
    savings,
)
from sparkweights.report.page import Figure, Section
from sparkweights.report.sentences import POLICIES, policy_costs
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.records.evaluation import (
        ClassMeasures,
        DeclinedShare,
        EvaluationSummary,
        OperatingPoint,
        ReliabilityBin,
    )

_ROUNDING = 1e-6
_MAX_DRAWN = 5  # classes side by side; with more, the numbers do not fit into the cells


def evaluation_sections(evaluation: EvaluationSummary) -> list[Section]:
    """Return the sections on costs, errors, calibration and discrimination."""
    sections = [decision_cost_section(evaluation), confusion_section(evaluation)]
    if evaluation.decision_costs:
        sections.append(_cost_by_cell(evaluation.decision_costs, evaluation.costs.get(MODEL)))
    if evaluation.cost_calibration is not None:
        sections.append(cost_calibration_section(evaluation.cost_calibration))
    for position, name in enumerate(evaluation.shown_classes):
        sections += _of_class(evaluation, name, position)
    return [*sections, _measures_section(evaluation)]


def scored_table_sections(evaluation: EvaluationSummary) -> list[Section]:
    """Return what a notebook shows of a scored table: costs, calibration and discrimination."""
    sections = [decision_cost_section(evaluation, rows="rows with known outcomes")]
    for position, name in enumerate(evaluation.shown_classes):
        measures, curves = evaluation.classes[name], evaluation.curves.get(name, ClassCurves())
        if measures.reliability:
            sections.append(_reliability(measures, (), name, position))
        if curves.roc is not None:
            roc = figures.Roc(curves.roc, _on_roc(curves.operating), curves.iso_cost_slope)
            sections.append(_roc(roc, name, position))
    return sections


def decision_cost_section(
    evaluation: EvaluationSummary, *, rows: str = "test rows, not used to fit the model"
) -> Section:
    """Return the costs of several decision rules on the same rows."""
    costs, best = evaluation.costs, min(evaluation.constant_costs.values())
    figure = figures.Costs(
        tuple(policy_costs(evaluation)),
        model=frozenset({POLICIES[MODEL], POLICIES[WITH_REVIEW]}),
        mistakes=frozenset({POLICIES[DOUBLE_COUNT]}),
    )
    saved = evaluation.savings[MODEL]
    sentence = (
        f"On {count(evaluation.rows)} {rows}, the "
        f"decisions cost {amount(costs[MODEL])}; the best constant decision "
        f"costs {amount(best)}. "
    )
    sentence += (
        f"That saves {savings(saved)} of it."
        if saved is not None
        else f"Savings are {savings(saved)}, because the best constant decision is free."
    )
    if evaluation.caution:
        sentence += f" {evaluation.caution}"
    return Section(
        "decision-cost",
        "Cost of the decisions: how much does the model save?",
        sentence,
        figure=Figure(
            figures.draw_costs(figure),
            "Cost by decision rule",
            "A bar is the cost of all test rows under one decision rule: shorter is better.",
            figures.costs_table(figure),
        ),
        body=_cost_notes(costs),
    )


def _cost_notes(costs: Mapping[str, float]) -> tuple[str, ...]:
    meaning = (
        "This model's decisions are those of least expected cost, by probabilities corrected for "
        "the weights. Savings are 1 - cost / cost of the best constant decision; the best constant "
        "decision itself has savings of 0."
    )
    notes = [meaning]
    if WITH_REVIEW in costs:
        notes.append(
            "With review, a human decides the rows where that is expected to save most. A reviewed "
            "row costs the review and the least-cost decision for its class."
        )
    if DOUBLE_COUNT in costs:
        notes.append(
            "Costs are counted twice where probabilities that are not corrected for the weights "
            "are priced. This rule is shown as a warning and refused by scoring: it would have "
            f"cost {amount(costs[DOUBLE_COUNT] - costs[MODEL])} more than the decisions of this "
            "model."
        )
    return tuple(notes)


def confusion_section(evaluation: EvaluationSummary) -> Section:
    """Return the confusion matrix of the test rows."""
    decisions = evaluation.decisions
    classes = tuple(evaluation.classes)
    record = figures.Confusion(
        tuple(decisions),
        classes,
        tuple(tuple(float(row[name]) for name in classes) for row in decisions.values()),
    )
    recalls = "; ".join(
        f"of {name}, {percent(measures.recall)}" for name, measures in evaluation.classes.items()
    )
    return Section(
        "mistakes",
        "Confusion matrix: which class got which decision?",
        f"The decision that is cheapest for the class was given to this share of it: {recalls}.",
        figure=_heat(
            record,
            "Test rows by decision and class",
            "A row of the picture is a decision, a column is a true class; the stronger the colour "
            "of a cell, the more rows it holds.",
        ),
        table=None if _is_drawn(record) else figures.confusion_table(record),
    )


def _cost_by_cell(costs: Mapping[str, Mapping[str, float]], model_cost: float | None) -> Section:
    classes = tuple(next(iter(costs.values())))
    amounts = tuple(tuple(row[name] for name in classes) for row in costs.values())
    record = figures.Confusion(tuple(costs), classes, amounts, unit="cost")
    total = sum(map(sum, amounts))
    matches = model_cost is not None and math.isclose(total, model_cost, rel_tol=_ROUNDING)
    amount_text = f"all {amount(total)} of it" if matches else f"{amount(total)} together"
    return Section(
        "cost-by-cell",
        "Cost by decision and class: which mistakes cost most?",
        f"The cost of the decisions taken, by decision and class: {amount_text}.",
        figure=_heat(
            record,
            "Cost by decision and class",
            "A row of the picture is a decision, a column is a true class, and a cell holds the "
            "cost of its rows; the strongest colour is where a better model would save most.",
        ),
        table=None if _is_drawn(record) else figures.confusion_table(record),
    )


def _is_drawn(record: figures.Confusion) -> bool:
    """Whether numbers fit into the cells of a drawing."""
    return len(record.classes) <= _MAX_DRAWN


def _heat(record: figures.Confusion, label: str, reading: str) -> Figure | None:
    if not _is_drawn(record):
        return None
    svg, numbers = figures.draw_confusion(record), figures.confusion_table(record)
    return Figure(svg, label, reading, numbers)


def _of_class(evaluation: EvaluationSummary, name: str, position: int) -> list[Section]:
    """Return the figures of one class; ``position`` makes ids unique, as names may be any text."""
    measures = evaluation.classes[name]
    curves = evaluation.curves.get(name, ClassCurves())
    sections = []
    if measures.reliability:
        sections.append(_reliability(measures, curves.reliability_before or (), name, position))
    if curves.cost_by_threshold is not None:
        threshold_cost = figures.ThresholdCost(
            curves.cost_by_threshold, evaluation.costs.get(MODEL), curves.threshold
        )
        sections.append(_threshold_cost(threshold_cost, name, position))
    if curves.roc is not None:
        roc = figures.Roc(curves.roc, _on_roc(curves.operating), curves.iso_cost_slope)
        sections.append(_roc(roc, name, position))
    if curves.by_share is not None:
        sections.append(_by_share(curves.by_share, name, position))
    if curves.precision_recall is not None:
        precision_recall = figures.PrecisionRecall(
            curves.precision_recall,
            known(measures.share),
            _on_precision_recall(curves.operating),
        )
        sections.append(_precision_recall(precision_recall, name, position))
    return sections


def _on_roc(point: OperatingPoint | None) -> figures.Point | None:
    """Return the operating point of the decisions taken on the ROC curve, if it is known."""
    return None if point is None else (known(point.false_positive_rate), known(point.recall))


def _on_precision_recall(point: OperatingPoint | None) -> figures.Point | None:
    return None if point is None else (known(point.recall), known(point.precision))


def _bins(groups: Sequence[ReliabilityBin]) -> tuple[tuple[float, float, float], ...]:
    return tuple((weight, known(p), known(share)) for weight, p, share in groups)


def _reliability(
    measures: ClassMeasures, before: Sequence[ReliabilityBin], name: str, position: int
) -> Section:
    record = figures.Reliability(after=_bins(measures.reliability), before=_bins(before))
    return Section(
        f"reliability-{position}",
        f"Calibration: do predicted and observed shares agree? ({name})",
        f"The mean probability of {name} is {percent(measures.mean_probability)}; "
        f"{percent(measures.share)} of the test rows are of it.",
        figure=Figure(
            figures.draw_reliability(record),
            f"Reliability of the probability of {name}",
            "A point is a group of rows of similar probability. On the diagonal, the observed "
            "share equals the predicted one; above the diagonal it is larger.",
            figures.reliability_table(record),
        ),
    )


def _threshold_cost(record: figures.ThresholdCost, name: str, position: int) -> Section:
    best, half = record.best, record.at_half
    return Section(
        f"threshold-{position}",
        f"Cost curve: which threshold is cheapest? ({name})",
        f"The cheapest single threshold on the test rows is {number(best[0])} and costs "
        f"{amount(best[1])}; a threshold of {number(half[0])} costs {amount(half[1])}.",
        figure=Figure(
            figures.draw_threshold_cost(record),
            f"Cost against the threshold of the probability of {name}",
            "The curve is the cost of all test rows if every row above the threshold were "
            "declined: the lowest point is the cheapest threshold.",
            figures.threshold_cost_table(record),
        ),
        body=(
            (
                "The cheapest threshold was chosen on the rows that it is evaluated on, so its "
                "cost is slightly optimistic."
            ),
        ),
    )


def _roc(record: figures.Roc, name: str, position: int) -> Section:
    return Section(
        f"roc-{position}",
        f"ROC curve: how well are the classes told apart? ({name})",
        "The ROC curve shows the recall of the class for each false positive rate.",
        figure=Figure(
            figures.draw_roc(record),
            f"ROC curve of {name}",
            "Up and to the left is better; the dotted diagonal is a random ranking. Points on the "
            "dashed line, where there is one, cost the same as the decisions taken, so the curve "
            "should only touch it.",
            figures.roc_table(record),
        ),
    )


def _precision_recall(record: figures.PrecisionRecall, name: str, position: int) -> Section:
    return Section(
        f"precision-{position}",
        f"Precision-recall curve: how many of the declined rows are of the class? ({name})",
        f"Of rows declined at random, {percent(record.share)} would be {name}.",
        figure=Figure(
            figures.draw_precision_recall(record),
            f"Precision-recall curve of {name}",
            "To the right, the recall is higher; the height is the precision. The dotted line is a "
            "random ranking.",
            figures.precision_recall_table(record),
        ),
    )


def _by_share(shares: Sequence[DeclinedShare], name: str, position: int) -> Section:
    tenth = next(row for row in shares if math.isclose(row.share, 0.1))
    columns = ["share declined", "recall", "lift"]
    priced = tenth.cost is not None
    rows = []
    for row in shares:
        cells = [percent(row.share), percent(row.gain), ratio(row.lift)]
        rows.append([*cells, amount(row.cost), amount(row.profit)] if priced else cells)
    return Section(
        f"share-{position}",
        f"Gain and lift: what does declining the riskiest rows reach? ({name})",
        f"The riskiest tenth of the rows holds {percent(tenth.gain)} of {name}, "
        f"{ratio(tenth.lift)} times its share.",
        table=table(
            f"Rows in order of their probability of {name}",
            [*columns, *(["cost", "profit over the best constant decision"] if priced else [])],
            rows,
        ),
    )


_MEASURES = {
    "auc": "AUC",
    "gini": "Gini",
    "kolmogorov_smirnov": "KS",
    "average_precision": "average precision",
    "h_measure": "H-measure",
    "brier": "Brier score",
    "brier_reliability": "Brier: reliability (less is better)",
    "brier_resolution": "Brier: resolution (more is better)",
    "brier_uncertainty": "Brier: uncertainty of the share alone",
    "log_loss": "log loss",
    "calibration_error": "expected calibration error",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "f2": "F2",
    "balanced_accuracy": "balanced accuracy",
    "geometric_mean": "geometric mean",
    "matthews_correlation": "Matthews correlation",
}


def _measures_section(evaluation: EvaluationSummary) -> Section:
    classes = evaluation.classes
    rows = [
        ["share of the rows", *(percent(measures.share) for measures in classes.values())],
        [
            "mean probability",
            *(percent(measures.mean_probability) for measures in classes.values()),
        ],
    ]
    for key, text in _MEASURES.items():
        if any(getattr(measures, key) is not None for measures in classes.values()):
            rows.append([text, *(_measured(measures, key) for measures in classes.values())])
    return Section(
        "measures",
        "Measures of each class",
        "AUC is the probability that a row of the class gets a higher probability than another "
        "row; the Brier score is the mean squared error of the probability, so lower is better.",
        table=table("Each class against the others, on the test rows", ["measure", *classes], rows),
        body=("Where a measure has one, its 95 % interval is in brackets.", *_price_note(classes)),
    )


def _price_note(classes: Mapping[str, ClassMeasures]) -> list[str]:
    """Return the relative cost of mistakes with most weight in the H-measure, if costs have one."""
    prices = [
        f"{name} {number(measures.h_measure_threshold)}"
        for name, measures in classes.items()
        if measures.h_measure_threshold is not None
    ]
    if not prices:
        return []
    return [
        (
            "The H-measure gives most weight to the relative cost of mistakes that the rows' "
            f"costs have (the threshold of {join_names(prices)})."
        ),
    ]


def _measured(measures: ClassMeasures, key: str) -> str:
    interval = measures.intervals.get(key)
    value = measure(getattr(measures, key))
    return value if interval is None else f"{value} ({measure_span(interval)})"
