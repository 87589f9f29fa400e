"""Sections about how a model came to be as it is: tuning, importance, size, contest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import count, known, measure, money, number, span
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
    "a 95 % interval of its saving, which holds for all weighted candidates together, lies above "
    "0; then the least weighting is chosen that is shown to save and is within one standard error "
    "of the cheapest of these."
)


def tuning_curve(record: TuningRecord) -> figures.TuningCurve:
    """Return the curve of a tuning record; of the chosen parameters, where some were tried."""
    chosen = record.chosen
    own = [trial for trial in record.trials if trial.params == chosen.params]
    return figures.TuningCurve(
        tuple((t.ratio, t.cost, known(t.difference_error)) for t in own if t.ratio),
        None if chosen.ratio is None else (chosen.ratio, chosen.cost),
        tuple(record.references.items()),
    )


def tuning_section(record: TuningRecord) -> Section:
    """Return what weighting was found to be worth."""
    chosen, curve = record.chosen, tuning_curve(record)
    figure = None
    if curve.trials:
        figure = Figure(
            figures.draw_tuning(curve),
            "Cost against the weight ratio",
            "To the right the rarest class weighs more; the lower the point, the cheaper its "
            "decisions. A bar is one standard error of the difference from the cheapest candidate; "
            "the circle is the choice.",
            figures.tuning_table(curve),
        )
    return Section(
        "tuning",
        "What weighting is worth",
        effect_sentence(record.effect, chosen.ratio),
        figure=figure,
        body=(_COMPARISON,),
    )


def importance_section(record: ImportanceRecord) -> Section:
    """Return what each column is worth in money, with weights and without."""
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
        "What the columns are worth",
        f"Without {first.name}, a row would cost {money(first.weighted)} more; measured on "
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
    told, rows = [], []
    for name, found in areas.items():
        low, high = map(known, found.interval)
        change = known(found.weighted) - known(found.unweighted)
        moved = "changed" if low > 0 or high < 0 else "cannot be said to have changed"
        told.append(f"of {name} it {moved}")
        rows.append((
            name, measure(found.unweighted), measure(found.weighted),
            f"{change:+.4f}", f"{low:+.4f} to {high:+.4f}",
        ))  # fmt: skip
    return Section(
        "ranking",
        "Did the weights change the ranking?",
        f"Weights may leave the ranking of rows alone; {'; '.join(told)}.",
        table=table(
            "Area under the ROC curve, same rows",
            ("class", "without weights", "with weights", "change", "95 % interval"),
            rows,
        ),
        body=("The interval is DeLong's, for two scores of the same rows.",),
    )


def coefficients_sections(coefficients: Mapping[str, tuple[float, float]] | None) -> list[Section]:
    """Return what weights did to a linear model's intercept and slopes, if it is one."""
    if coefficients is None:
        return []
    rows = [
        (name, number(pair[0]), number(pair[1]), f"{pair[1] - pair[0]:+.3g}")
        for name, pair in coefficients.items()
    ]
    return [
        Section(
            "coefficients",
            "Intercept and slopes",
            "In a well-specified model weights move the intercept alone; slopes that move say "
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
                "How the tree was pruned",
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
                "When boosting stopped",
                f"{stopping.kept} of {len(losses)} stages are kept: after them the log loss of "
                f"the undone probabilities on held-out rows was {number(losses[kept])}. The "
                f"search ends after {stopping.patience} stages in a row without a lower one.",
            )
        ]
    return []


def comparison_sections(comparison: ChampionComparison) -> list[Section]:
    """Return how the model did against the one in use, if there was one."""
    if comparison.champion is None:
        return []
    title, costs = "Against the model in use before", comparison.costs
    sentence = comparison_sentence(comparison)
    if costs is None:
        return [Section("contest", title, sentence)]
    note = (
        "Only where the whole interval lies below 0 is the new model called better. The interval "
        "is a bootstrap-t over blocks of rows, which allows for losses that few rows carry."
    )
    if costs.scarce:
        note = changed_sentence(costs)
    facts = [
        ("champion", comparison.champion),
        ("rows unseen by both", count(costs.rows)),
        ("cost of a row, champion", money(costs.before)),
        ("cost of a row, this model", money(costs.after)),
        ("change", money(costs.after - costs.before)),
        ("95 % interval of the change", span(costs.interval)),
        *[
            (f"rows of {name} decided differently", count(rows))
            for name, rows in costs.changed.items()
        ],
    ]
    return [
        Section(
            "contest",
            title,
            sentence,
            table=facts_table("Paired comparison on the same rows", facts),
            body=(note,),
        )
    ]
