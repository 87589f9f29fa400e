"""Sections about what a model is worth on its test rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.records.evaluation import DOUBLE_COUNT, OURS, WITH_REVIEW, ClassCurves
from sparkweights.report import figures
from sparkweights.report.cost_calibration_section import cost_calibration_section
from sparkweights.report.numbers import (
    count,
    known,
    measure,
    measure_span,
    money,
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
_MAX_DRAWN = 5  # classes beside each other; more would not leave room for their numbers


def evaluation_sections(evaluation: EvaluationSummary) -> list[Section]:
    """Return what decisions cost, where the mistakes are, and whether probabilities are honest."""
    sections = [money_section(evaluation), mistakes_section(evaluation)]
    if evaluation.decision_costs:
        sections.append(_money_by_cell(evaluation.decision_costs, evaluation.costs.get(OURS)))
    if evaluation.cost_calibration is not None:
        sections.append(cost_calibration_section(evaluation.cost_calibration))
    for place, name in enumerate(evaluation.shown_classes):
        sections += _of_class(evaluation, name, place)
    return [*sections, _measures_section(evaluation)]


def money_section(evaluation: EvaluationSummary) -> Section:
    """Return what ways to decide cost on the same rows."""
    costs, best = evaluation.costs, min(evaluation.constant_costs.values())
    drawn = figures.Costs(
        tuple(policy_costs(evaluation)),
        ours=frozenset({POLICIES[OURS], POLICIES[WITH_REVIEW]}),
        mistakes=frozenset({POLICIES[DOUBLE_COUNT]}),
    )
    saved = evaluation.savings[OURS]
    sentence = (
        f"On {count(evaluation.rows)} test rows, which the model has not learned from, its "
        f"decisions cost {money(costs[OURS])}; the best decision that is the same for every row "
        f"costs {money(best)}. "
    )
    sentence += (
        f"That saves {savings(saved)} of it."
        if saved is not None
        else f"Savings are {savings(saved)}, as there is nothing to save."
    )
    if evaluation.caution:
        sentence += f" {evaluation.caution}"
    return Section(
        "money",
        "What the decisions cost",
        sentence,
        figure=Figure(
            figures.draw_costs(drawn),
            "Cost by way to decide",
            "A bar is the cost of all test rows under one way to decide: shorter is better.",
            figures.costs_table(drawn),
        ),
        body=_money_notes(costs),
    )


def _money_notes(costs: Mapping[str, float]) -> tuple[str, ...]:
    meaning = (
        "This model's decisions are those of least expected cost, by probabilities with the "
        "weights undone. Savings are 1 - cost / cost of the best constant decision: 0 is doing "
        "nothing."
    )
    notes = [meaning]
    if WITH_REVIEW in costs:
        notes.append(
            "With review, a human looks at the rows where that is expected to save most. A row "
            "looked at costs the look and the decision that is right for its class."
        )
    if DOUBLE_COUNT in costs:
        notes.append(
            "The double count prices probabilities that still carry the weights. It is shown as "
            "the mistake that it is: here it would have cost "
            f"{money(costs[DOUBLE_COUNT] - costs[OURS])} more than the decisions of this model, "
            "and scoring refuses it."
        )
    return tuple(notes)


def mistakes_section(evaluation: EvaluationSummary) -> Section:
    """Return the test rows by what was decided and what they were."""
    decisions = evaluation.decisions
    classes = tuple(evaluation.classes)
    record = figures.Confusion(
        tuple(decisions),
        classes,
        tuple(tuple(float(row[name]) for name in classes) for row in decisions.values()),
    )
    caught = "; ".join(
        f"of {name}, {percent(found.recall)}" for name, found in evaluation.classes.items()
    )
    return Section(
        "mistakes",
        "Who got which decision",
        f"The decision that is cheapest for the class was given to this share of it: {caught}.",
        figure=_heat(
            record,
            "Test rows by decision and class",
            "A row of the picture is a decision, a column is what the rows turned out to be; "
            "the stronger the colour of a cell, the more rows it holds.",
        ),
        table=None if _is_drawn(record) else figures.confusion_table(record),
    )


def _money_by_cell(costs: Mapping[str, Mapping[str, float]], ours: float | None) -> Section:
    classes = tuple(next(iter(costs.values())))
    amounts = tuple(tuple(row[name] for name in classes) for row in costs.values())
    record = figures.Confusion(tuple(costs), classes, amounts, unit="cost")
    total = sum(map(sum, amounts))
    known = ours is not None and math.isclose(total, ours, rel_tol=_ROUNDING)
    whole = f"all {money(total)} of it" if known else f"{money(total)} together"
    return Section(
        "mistakes-money",
        "Where the money goes",
        f"The cost of the decisions taken, by decision and class: {whole}.",
        figure=_heat(
            record,
            "Cost by decision and class",
            "As above, but a cell holds what its rows cost; the strongest colour is where a "
            "better model would earn most.",
        ),
        table=None if _is_drawn(record) else figures.confusion_table(record),
    )


def _is_drawn(record: figures.Confusion) -> bool:
    """Whether the cells have room for their numbers in a drawing."""
    return len(record.classes) <= _MAX_DRAWN


def _heat(record: figures.Confusion, label: str, reading: str) -> Figure | None:
    if not _is_drawn(record):
        return None
    drawn, numbers = figures.draw_confusion(record), figures.confusion_table(record)
    return Figure(drawn, label, reading, numbers)


def _of_class(evaluation: EvaluationSummary, name: str, place: int) -> list[Section]:
    """Return the figures of one class; ``place`` keeps ids apart, since names may be anything."""
    found = evaluation.classes[name]
    curves = evaluation.curves.get(name, ClassCurves())
    sections = []
    if found.reliability:
        sections.append(_reliability(found, curves.reliability_before or (), name, place))
    if curves.cost_by_cut is not None:
        drawn = figures.CutCost(curves.cost_by_cut, evaluation.costs.get(OURS), curves.cut)
        sections.append(_cut(drawn, name, place))
    if curves.roc is not None:
        ranked = figures.Roc(curves.roc, _on_roc(curves.operating), curves.iso_cost_slope)
        sections.append(_roc(ranked, name, place))
    if curves.by_share is not None:
        sections.append(_by_share(curves.by_share, name, place))
    if curves.precision_recall is not None:
        caught = figures.PrecisionRecall(
            curves.precision_recall,
            known(found.share),
            _on_precision_recall(curves.operating),
        )
        sections.append(_precision_recall(caught, name, place))
    return sections


def _on_roc(taken: OperatingPoint | None) -> figures.Point | None:
    """Return where the decisions taken lie on the ROC curve, if that is known."""
    return None if taken is None else (known(taken.fall_out), known(taken.recall))


def _on_precision_recall(taken: OperatingPoint | None) -> figures.Point | None:
    return None if taken is None else (known(taken.recall), known(taken.precision))


def _bins(groups: Sequence[ReliabilityBin]) -> tuple[tuple[float, float, float], ...]:
    return tuple((weight, known(p), known(share)) for weight, p, share in groups)


def _reliability(
    found: ClassMeasures, before: Sequence[ReliabilityBin], name: str, place: int
) -> Section:
    record = figures.Reliability(after=_bins(found.reliability), before=_bins(before))
    return Section(
        f"reliability-{place}",
        f"Are the probabilities honest? ({name})",
        f"The mean probability of {name} is {percent(found.mean_probability)}; "
        f"{percent(found.share)} of the test rows are of it.",
        figure=Figure(
            figures.draw_reliability(record),
            f"Reliability of the probability of {name}",
            "A point is a group of rows of similar probability. On the diagonal, what was "
            "predicted is what happened; above it, more happened than was predicted.",
            figures.reliability_table(record),
        ),
    )


def _cut(record: figures.CutCost, name: str, place: int) -> Section:
    best, half = record.best, record.at_half
    return Section(
        f"cut-{place}",
        f"Where to cut ({name})",
        f"The cheapest single cut on the test rows lies at {number(best[0])} and costs "
        f"{money(best[1])}; a cut at {number(half[0])} costs {money(half[1])}.",
        figure=Figure(
            figures.draw_cut_cost(record),
            f"Cost against the cut of the probability of {name}",
            "The curve is what all test rows would cost if every row above the cut were decided "
            "against: the lowest point is the cheapest cut.",
            figures.cut_cost_table(record),
        ),
        body=(
            (
                "The cheapest cut was found on the very rows it is judged on, so it flatters "
                "itself a little."
            ),
        ),
    )


def _roc(record: figures.Roc, name: str, place: int) -> Section:
    return Section(
        f"roc-{place}",
        f"How well rows are told apart ({name})",
        "The ROC curve shows every trade between catching the class and catching others with it.",
        figure=Figure(
            figures.draw_roc(record),
            f"ROC curve of {name}",
            "Up and to the left is better; the dotted diagonal is chance. Points on the dashed "
            "line, where there is one, cost the same as the decisions taken, so the curve should "
            "only touch it.",
            figures.roc_table(record),
        ),
    )


def _precision_recall(record: figures.PrecisionRecall, name: str, place: int) -> Section:
    return Section(
        f"precision-{place}",
        f"How many of the caught are right ({name})",
        f"Deciding against rows at random, {percent(record.share)} of them would be {name}.",
        figure=Figure(
            figures.draw_precision_recall(record),
            f"Precision-recall curve of {name}",
            "To the right more of the class is caught; the height is how many of the caught "
            "are of it. The dotted line is chance.",
            figures.precision_recall_table(record),
        ),
    )


def _by_share(shares: Sequence[DeclinedShare], name: str, place: int) -> Section:
    tenth = next(row for row in shares if math.isclose(row.share, 0.1))
    columns = ["share declined", "of the class caught", "lift"]
    priced = tenth.cost is not None
    rows = []
    for row in shares:
        cells = [percent(row.share), percent(row.gain), ratio(row.lift)]
        rows.append([*cells, money(row.cost), money(row.profit)] if priced else cells)
    return Section(
        f"share-{place}",
        f"Declining the riskiest ({name})",
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
        ["share of the rows", *(percent(found.share) for found in classes.values())],
        ["mean probability", *(percent(found.mean_probability) for found in classes.values())],
    ]
    for key, text in _MEASURES.items():
        if any(getattr(found, key) is not None for found in classes.values()):
            rows.append([text, *(_measured(found, key) for found in classes.values())])
    return Section(
        "measures",
        "Measures of each class",
        "AUC is the chance that a row of the class gets a higher probability than another row; "
        "the Brier score is the mean squared error of the probability, so lower is better.",
        table=table("Each class against the others, on the test rows", ["measure", *classes], rows),
        body=("Where a measure has one, its 95 % interval is in brackets.", *_price_note(classes)),
    )


def _price_note(classes: Mapping[str, ClassMeasures]) -> list[str]:
    """Return which relative price of mistakes the H-measure stresses, where costs name one."""
    prices = [
        f"{name} {number(found.h_measure_threshold)}"
        for name, found in classes.items()
        if found.h_measure_threshold is not None
    ]
    if not prices:
        return []
    return [
        (
            "The H-measure gives most weight to the relative price of mistakes that the rows' "
            f"costs have (the threshold of {join_names(prices)})."
        ),
    ]


def _measured(found: ClassMeasures, key: str) -> str:
    interval = found.intervals.get(key)
    told = measure(getattr(found, key))
    return told if interval is None else f"{told} ({measure_span(interval)})"
