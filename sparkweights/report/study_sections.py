"""Sections of studies: tuning, importance, model size, comparison with the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import amount, count, known, measure, number, span
from sparkweights.report.page import Figure, Section
from sparkweights.report.sentences import (
    changed_sentence,
    comparison_sentence,
    effect_sentence,
)
from sparkweights.report.tables import facts_table, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.records import ImportanceRecord, TrainingRecord, TuningRecord
    from sparkweights.records.studies import AreaSummary
    from sparkweights.records.training import ChampionComparison


_COMPARISON = (
    "Candidates are compared by their differences on the same held-out rows. Weighting pays where "
    "a simultaneous 95 % interval of its saving, over all weighted candidates, lies above 0. Then "
    "the smallest weight ratio is chosen whose saving is significant and whose cost is within one "
    "standard error of the cheapest such candidate."
)


def tuning_curve(record: TuningRecord) -> figures.TuningCurve:
    """Return the curve of a tuning record, for the chosen parameters."""
    chosen = record.chosen
    trials = [trial for trial in record.trials if trial.params == chosen.params]
    return figures.TuningCurve(
        tuple((t.ratio, t.cost, known(t.difference_error)) for t in trials if t.ratio),
        None if chosen.ratio is None else (chosen.ratio, chosen.cost),
        tuple(record.references.items()),
    )


def tuning_section(record: TuningRecord) -> Section:
    """Return the measured effect of weighting."""
    chosen, curve = record.chosen, tuning_curve(record)
    figure = None
    if curve.trials:
        figure = Figure(
            figures.draw_tuning(curve),
            "Cost against the weight ratio",
            "To the right the rarest class has more weight; a lower point means cheaper decisions. "
            "A bar is one standard error of the difference from the cheapest candidate; the circle "
            "is the chosen one.",
            figures.tuning_table(curve),
        )
    return Section(
        "tuning",
        "Tuning: what is weighting worth?",
        effect_sentence(record.effect, chosen.ratio),
        figure=figure,
        body=(_COMPARISON,),
    )


def importance_section(record: ImportanceRecord) -> Section:
    """Return the importance of each column as a cost, with weights and without."""
    worth = [
        figures.ColumnWorth(
            entry.column,
            entry.cost,
            entry.standard_error,
            entry.unweighted_cost,
            entry.unweighted_standard_error,
        )
        for entry in sorted(record.columns, key=lambda entry: entry.rank)
    ]
    first = worth[0]
    return Section(
        "importance",
        "Permutation importance: what is each column worth?",
        f"Without {first.name}, a row would cost {amount(first.weighted)} more; measured on "
        f"{count(record.rows)} rows.",
        figure=Figure(
            figures.draw_importance(worth),
            "Worth of the columns, with weights and without",
            "A bar is what a row's decision costs more when the column's values come from other "
            f"rows; at most {figures.MAX_BARS} columns are drawn, the table has them all.",
            figures.importance_table(worth),
        ),
    )


def ranking_section(areas: Mapping[str, AreaSummary]) -> Section:
    """Return whether weights changed the ranking, by the area under the ROC curve."""
    changes, rows = [], []
    for name, areas_ in areas.items():
        low, high = map(known, areas_.interval)
        change = known(areas_.weighted) - known(areas_.unweighted)
        moved = "changed" if low > 0 or high < 0 else "has not significantly changed"
        changes.append(f"of {name} it {moved}")
        rows.append((
            name, measure(areas_.unweighted), measure(areas_.weighted),
            f"{change:+.4f}", f"{low:+.4f} to {high:+.4f}",
        ))  # fmt: skip
    return Section(
        "ranking",
        "AUC: did the weights change the ranking?",
        f"In a well-specified model weights do not change the ranking; {'; '.join(changes)}.",
        table=table(
            "Area under the ROC curve, same rows",
            ("class", "without weights", "with weights", "change", "95 % interval"),
            rows,
        ),
        body=("The interval is DeLong's, for two scores of the same rows.",),
    )


def coefficients_sections(coefficients: Mapping[str, tuple[float, float]] | None) -> list[Section]:
    """Return the effect of weights on a linear model's intercept and slopes, if it is linear."""
    if coefficients is None:
        return []
    rows = [
        (name, number(pair[0]), number(pair[1]), f"{pair[1] - pair[0]:+.3g}")
        for name, pair in coefficients.items()
    ]
    return [
        Section(
            "coefficients",
            "Coefficients: intercept and slopes",
            "In a well-specified model weights change only the intercept; slopes that change show "
            "that the model is too simple for the data.",
            table=table(
                "Coefficients, without and with weights",
                ("coefficient", "without weights", "with weights", "change"),
                rows,
            ),
        )
    ]


def size_sections(record: TrainingRecord) -> list[Section]:
    """Return how the size of the model was chosen, if it was."""
    pruning, stopping = record.pruning, record.stopping
    if pruning is not None:
        rows = [
            (
                count(entry.leaves),
                *map(number, (entry.ccp_alpha, entry.cost, entry.standard_error)),
            )
            for entry in pruning.candidates
        ]
        return [
            Section(
                "size",
                "Pruning: how many leaves are kept?",
                f"{pruning.chosen.leaves} leaves are kept: the smallest tree that costs "
                "at most one standard error of the difference more than the cheapest, on the same "
                "held-out rows.",
                table=table(
                    f"Trees along the weakest-link path, by {pruning.measure}",
                    ("leaves", "ccp_alpha", "cost of a row", "standard error of the difference"),
                    rows,
                ),
            )
        ]
    if stopping is not None:
        losses, kept = stopping.losses, stopping.kept - 1
        return [
            Section(
                "size",
                "Early stopping: how many stages are kept?",
                f"{stopping.kept} of {len(losses)} stages are kept: after them the log loss of "
                f"the corrected probabilities on held-out rows was {number(losses[kept])}. The "
                f"search ends after {stopping.patience} stages in a row without a lower one.",
            )
        ]
    return []


def comparison_sections(comparison: ChampionComparison) -> list[Section]:
    """Return the comparison with the champion, if there was one."""
    if comparison.champion is None:
        return []
    title, costs = "Champion and challenger: is the new model better?", comparison.costs
    sentence = comparison_sentence(comparison)
    if costs is None:
        return [Section("comparison", title, sentence)]
    note = (
        "The new model is called better only where the whole interval lies below 0. The interval "
        "is a bootstrap-t over blocks of rows, which is valid where few rows carry most losses."
    )
    if costs.scarce:
        note = changed_sentence(costs)
    facts = [
        ("champion", comparison.champion),
        ("rows unseen by both", count(costs.rows)),
        ("cost of a row, champion", amount(costs.before)),
        ("cost of a row, this model", amount(costs.after)),
        ("change", amount(costs.after - costs.before)),
        ("95 % interval of the change", span(costs.interval)),
        *[
            (f"rows of {name} decided differently", count(rows))
            for name, rows in costs.changed.items()
        ],
    ]
    return [
        Section(
            "comparison",
            title,
            sentence,
            table=facts_table("Paired comparison on the same rows", facts),
            body=(note,),
        )
    ]
