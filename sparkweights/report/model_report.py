"""A model's report, from its manifest: training, evaluation and model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.records.evaluation import MODEL
from sparkweights.report import figures
from sparkweights.report.evaluation_sections import evaluation_sections
from sparkweights.report.numbers import (
    amount,
    count,
    measure,
    number,
    percent,
    savings,
)
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Figure, Page, Section, render_page
from sparkweights.report.rounds_sections import rounds_sections
from sparkweights.report.selection_sections import selection_sections
from sparkweights.report.sentences import calibration_sentence
from sparkweights.report.shared_sections import (
    cost_section,
    ledger_section,
    minute,
    settings,
    shares,
    version_section,
)
from sparkweights.report.study_sections import (
    comparison_sections,
    importance_section,
    size_sections,
    tuning_section,
)
from sparkweights.report.tables import facts_table, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.records import ImportanceRecord, TrainingRecord, TuningRecord, WeightsRecord
    from sparkweights.records.learner import LearnerChoice
    from sparkweights.records.training import ChampionComparison, SplitSummary
    from sparkweights.records.weights import ClassWeight

_PARTS = {
    "fit": "fit the model",
    "calibrate": "calibrate it",
    "test": "evaluate it",
    "cross-fit": "fit, calibrate and evaluate, fold by fold",
}


def model_report(
    record: TrainingRecord,
    *,
    tuning: TuningRecord | None = None,
    importance: ImportanceRecord | None = None,
) -> str:
    """Return a model's report as one HTML file.

    Parameters
    ----------
    record
        Of the training, with or without ``version`` and ``files``, which publishing adds.
    tuning, importance
        The records of the tuning and the explain stage, where they were run for this model.
    """
    return render_page(model_page(record, tuning=tuning, importance=importance))


def model_page(
    record: TrainingRecord,
    *,
    tuning: TuningRecord | None = None,
    importance: ImportanceRecord | None = None,
) -> Page:
    """Return the page of `model_report`; what the records do not hold is left out."""
    evaluation = record.evaluation
    sections = [
        _made_section(record),
        balance_section(record.weights),
        cost_section(record.costs),
        *evaluation_sections(evaluation),
        *([] if tuning is None else [tuning_section(tuning)]),
        *([importance_section(importance)] if importance and importance.columns else []),
        ledger_section(record.ledger),
        *rounds_sections(record),
        *size_sections(record),
        *comparison_sections(record.comparison),
        *selection_sections(record.selection),
        _card_section(record),
        version_section(
            record.versions,
            files=record.files,
            sentence="The bundle is loaded only if its files still have these checksums.",
        ),
    ]
    model = f"Model {record.version}" if record.version else "Model"
    return Page(
        f"{record.name}: model report",
        f"{model} ({record.model.words}), trained {minute(record.trained_at)}",
        tuple(sections),
        _facts(record),
    )


def _facts(record: TrainingRecord) -> tuple[Fact, ...]:
    evaluation, comparison = record.evaluation, record.comparison
    saved = evaluation.savings[MODEL]
    return (
        Fact(
            "Saved",
            savings(saved),
            "of the cost of the best decision that is the same for all",
            GOOD if (saved or 0) > 0 else BAD,
        ),
        Fact(
            "Cost of a row",
            amount(evaluation.cost_per_row),
            f"mean over {count(evaluation.rows)} test rows",
        ),
        Fact(
            "In use",
            "yes" if comparison.promoted else "no",
            _comparison_note(comparison),
            GOOD if comparison.promoted else PLAIN,
        ),
        Fact(
            "Labelled rows",
            count(record.weights.rows),
            f"{len(record.schema)} columns, {len(record.classes)} classes",
        ),
    )


def _comparison_note(comparison: ChampionComparison) -> str:
    if comparison.champion is None:
        return "no model was in use before"
    if comparison.costs is None:
        return "not compared with the model in use before"
    return f"{comparison.costs.verdict}, against the model in use before"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _directions(monotone: Mapping[str, int], name: str) -> str:
    """Return the directions that effects were constrained to."""
    return "; ".join(
        f"{'higher' if sign > 0 else 'lower'} {column} never lowers the probability of {name}"
        for column, sign in monotone.items()
    )


def _choice_facts(choice: LearnerChoice | None) -> list[tuple[str, str]]:
    if choice is None:
        return []
    losses = choice.losses.items()
    listed = ", ".join(f"{_words(name)} {measure(loss)}" for name, loss in losses)
    listed += f"; standard error of the last difference {measure(choice.standard_error)}"
    return [("chosen by the log loss on the evaluation rows", listed)]


def _made_section(record: TrainingRecord) -> Section:
    model, split, weights = record.model, record.split, record.weights
    facts = [
        ("learner", model.words),
        ("parameters", settings(model.params)),
        ("monotone", _directions(model.monotone, record.classes[-1])),
        ("interactions", "; ".join(" with ".join(group) for group in model.interactions)),
        *_choice_facts(model.choice),
        ("seed", str(model.seed)),
        ("labelled rows", count(weights.rows)),
        *((f"rows left out: {cause}", count(rows)) for cause, rows in record.left_out.items()),
        *((f"rows to {_PARTS.get(part, part)}", count(n)) for part, n in split.rows.items()),
        ("split", _split_words(split)),
        ("columns read", str(len(record.schema))),
        ("features made from them", str(len(record.feature_names))),
    ]
    calibration = record.calibration
    if calibration is not None:
        facts.append(("calibration", calibration_sentence(calibration)))
    resampling = record.resampling
    if resampling is not None:
        facts.append(("class shares after resampling", shares(resampling.sampled_prior)))
        facts.append(("shares of the training weight, resampled", shares(resampling.trained_prior)))
    return Section(
        "made",
        "Training: what was fitted, and on which rows",
        f"A {model.words} model of the classes {join_names(record.classes)}, from "
        f"{count(weights.rows)} rows whose outcome is known.",
        table=facts_table("The training", facts),
        body=(_rows_sentence(record),),
    )


def _split_words(split: SplitSummary) -> str:
    if split.by is not None:
        return f"by {split.by}"
    group = f"whole groups of {join_names(split.group)}" if split.group else "class and keys"
    folds = f"{split.crossed} folds, " if split.crossed else ""
    return f"{folds}by a hash of {group}"


def _rows_sentence(record: TrainingRecord) -> str:
    refit, split = record.refit, record.split
    if refit.rows == "fit":
        return (
            "Rows that calibrate and evaluate the model were held out before training, and keep "
            "the natural class shares."
        )
    how = (
        f"each of {split.crossed} models was fitted without one fold and evaluated on it"
        if split.crossed
        else f"a model of the earlier rows by {split.by} was evaluated on the later ones"
    )
    return (
        f"The published model is fitted on all labelled rows, because {refit.reason}; its "
        f"calibration is cross-fitted on {refit.folds} folds. The figures below are of other "
        f"models: {how}."
    )


def balance_section(weights: WeightsRecord) -> Section:
    """Return the class shares before and after weighting."""
    classes, effect = weights.classes, weights.diagnostics
    rarest = min(classes, key=lambda entry: entry.prior)
    balance = figures.Balance(
        tuple(entry.name for entry in classes),
        tuple(entry.prior for entry in classes),
        tuple(entry.share_of_risk for entry in classes),
    )
    rows = [(entry.name, count(entry.rows), number(entry.mean_weight)) for entry in classes]
    return Section(
        "balance",
        "Class balance, before and after weights",
        f"The class {rarest.name} is {percent(rarest.prior)} of the rows and, with "
        f"{_words(weights.rule.scheme)} weights, {percent(rarest.share_of_risk)} of the "
        f"training weight{_aim(rarest)}.",
        figure=Figure(
            figures.draw_balance(balance),
            "Class balance before and after weights",
            "Grey: share of the rows. Blue: share of the training weight (the risk). Where blue is "
            "longer, training gives errors on the class more weight.",
            figures.balance_table(balance),
        ),
        table=table("Rows and weights", ("class", "rows", "mean weight"), rows),
        body=(
            (
                f"The weights leave an effective sample of {count(effect.kish_ess)} of "
                f"{count(weights.rows)} rows (design effect {number(effect.design_effect)}) and "
                f"multiply the variance of the gradient by {number(effect.gradient_variance)}. "
                f"The imbalance ratio is {number(effect.imbalance_ratio)}."
            ),
        ),
    )


def _aim(entry: ClassWeight) -> str:
    """Return the scheme's share, where floor or cap change the weight of the class."""
    if not entry.is_bounded:
        return ""
    return f", where the scheme without floor and cap gives {percent(entry.share_aimed)}"


def _fitted_to(record: TrainingRecord) -> str:
    teacher = record.teacher
    if teacher is None:
        return "outcomes"
    return f"probabilities of the model {teacher.version} ({teacher.kind.replace('_', ' ')})"


def _card_section(record: TrainingRecord) -> Section:
    sensitive = record.sensitive
    used = [name for name in sensitive if name in record.schema]
    kept = [name for name in sensitive if name not in record.schema]
    decisions, split = record.costs, record.split
    tested = f"{count(record.evaluation.rows)} rows"
    order = "held out at random" if split.by is None else f"held out by {split.by}"
    facts = [
        (
            "purpose",
            (
                f"choose between {join_names(decisions)} for each row, at the least expected cost, "
                f"given the probability of {join_names(record.classes)}"
            ),
        ),
        (
            "data",
            f"{count(record.weights.rows)} labelled rows: {shares(record.ledger.prior)}",
        ),
        ("columns read", join_names(record.schema)),
        ("sensitive, not used", join_names(kept) if kept else ""),
        ("sensitive, used as features", join_names(used) if used else ""),
        ("evaluated on", f"{tested}, {order}"),
        ("fitted to", _fitted_to(record)),
        (
            "limits",
            (
                "the figures hold for rows like the labelled ones and for the costs declared here; "
                "where either changes, train again or change the costs. The outcomes of declined "
                "rows are known only where the labelled table holds them"
            ),
        ),
    ]
    if not sensitive:
        facts.insert(3, ("sensitive columns", "none declared"))
    return Section(
        "card",
        "Model card",
        "Purpose, data, evaluation and limits of the model.",
        table=facts_table("Model card", facts),
    )
