"""A model's report, from its manifest: what it was made of, what it is worth, its model card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import listed
from sparkweights.report import figures
from sparkweights.report.evaluation_sections import OURS, evaluation_sections
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Figure, Page, Section, render_page
from sparkweights.report.selection_sections import selection_sections
from sparkweights.report.shared_sections import (
    cost_section,
    ledger_section,
    minute,
    settings,
    shares,
    version_section,
)
from sparkweights.report.study_sections import (
    contest_sections,
    importance_section,
    size_sections,
    tuning_section,
)
from sparkweights.report.tables import facts_table, money, number, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARTS = {
    "fit": "fit the model",
    "calibrate": "calibrate it",
    "test": "judge it",
    "cross-fit": "fit, calibrate and evaluate, fold by fold",
}


def model_report(
    manifest: Mapping[str, Any],
    *,
    tuning: Mapping[str, Any] | None = None,
    importance: Mapping[str, Any] | None = None,
) -> str:
    """Return a model's report as one HTML file.

    Parameters
    ----------
    manifest
        Of a model bundle, with or without ``version`` and ``files``, which publishing adds.
    tuning, importance
        The records of the tuning and the explain stage, where they were run for this model.
    """
    return render_page(model_page(manifest, tuning=tuning, importance=importance))


def model_page(
    manifest: Mapping[str, Any],
    *,
    tuning: Mapping[str, Any] | None = None,
    importance: Mapping[str, Any] | None = None,
) -> Page:
    """Return the page of `model_report`; what the records do not hold is left out."""
    evaluation = manifest["evaluation"]
    sections = [
        _made_section(manifest),
        _balance_section(manifest["weights"]),
        cost_section(manifest["costs"]),
        *evaluation_sections(evaluation),
        *([] if tuning is None else [tuning_section(tuning)]),
        *([importance_section(importance)] if importance and importance["columns"] else []),
        ledger_section(manifest["ledger"]),
        *size_sections(manifest),
        *contest_sections(manifest["contest"]),
        *selection_sections(manifest.get("selection")),
        _card_section(manifest),
        version_section(
            manifest,
            [],
            sentence="The bundle is loaded only if its files still have these checksums.",
        ),
    ]
    version = manifest.get("version")
    what = f"Model {version}" if version else "Model"
    return Page(
        f"{manifest['name']}: model report",
        f"{what} ({_words(manifest['model']['kind'])}), trained {minute(manifest['trained_at'])}",
        tuple(sections),
        _facts(manifest),
    )


def _facts(manifest: Mapping[str, Any]) -> tuple[Fact, ...]:
    evaluation, contest = manifest["evaluation"], manifest["contest"]
    costs, savings = evaluation["costs"], evaluation["savings"]
    saved = savings[OURS]
    # 2 is the row twice, in costs too; records of older models hold no weight.
    weight = evaluation.get("weight", evaluation["rows"])
    per_row = costs[OURS] / weight if weight else 0.0
    return (
        Fact(
            "Saved",
            percent(saved),
            "of the cost of the best decision that is the same for all",
            GOOD if saved > 0 else BAD,
        ),
        Fact("Cost of a row", money(per_row), f"mean over {evaluation['rows']:,} test rows"),
        Fact(
            "In use",
            "yes" if contest["promoted"] else "no",
            _contest_note(contest),
            GOOD if contest["promoted"] else PLAIN,
        ),
        Fact(
            "Labelled rows",
            f"{manifest['weights']['rows']:,}",
            f"{len(manifest['schema'])} columns, {len(manifest['classes'])} classes",
        ),
    )


def _contest_note(contest: Mapping[str, Any]) -> str:
    if contest["champion"] is None:
        return "no model was in use before"
    if contest["costs"] is None:
        return "not compared with the model in use before"
    return f"{contest['costs']['verdict']}, against the model in use before"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _directions(monotone: Mapping[str, int], name: str) -> str:
    """Return the directions that effects were constrained to."""
    return "; ".join(
        f"{'higher' if sign > 0 else 'lower'} {column} never lowers the probability of {name}"
        for column, sign in monotone.items()
    )


def _choice_facts(choice: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if choice is None:
        return []
    losses = sorted(choice["losses"].items(), key=lambda item: item[1])
    told = ", ".join(f"{_words(kind)} {loss:.4f}" for kind, loss in losses)
    told += f"; standard error of the difference {choice['standard_error']:.4f}"
    return [("chosen by the log loss on the rows that it is evaluated on", told)]


def _made_section(manifest: Mapping[str, Any]) -> Section:
    model, split, weights = manifest["model"], manifest["split"], manifest["weights"]
    rows = split["rows"]
    facts = [
        ("learner", _words(model["kind"])),
        ("parameters", settings(model["params"])),
        ("monotone", _directions(model.get("monotone", {}), manifest["classes"][-1])),
        (
            "interactions",
            "; ".join(" with ".join(group) for group in model.get("interactions", ())),
        ),
        *_choice_facts(model.get("choice")),
        ("seed", str(model["seed"])),
        ("labelled rows", f"{weights['rows']:,}"),
        *((f"rows to {_PARTS.get(part, part)}", f"{count:,}") for part, count in rows.items()),
        ("split", _split_words(split)),
        ("columns it reads", str(len(manifest["schema"]))),
        ("numbers it makes of them", str(len(manifest["feature_names"]))),
    ]
    calibration = manifest["calibration"]
    if calibration is not None:
        facts.append(("calibration", f"{calibration['method']}. {calibration['reason']}"))
    resampling = manifest["resampling"]
    if resampling is not None:
        facts.append(("class shares after resampling", shares(resampling["sampled_prior"])))
        facts.append(
            ("shares of the training weight, resampled", shares(resampling["trained_prior"]))
        )
    return Section(
        "made",
        "What was trained",
        f"A {_words(model['kind'])} model that tells apart {listed(manifest['classes'])}, from "
        f"{weights['rows']:,} rows whose outcome is known.",
        table=facts_table("The training", facts),
        body=(_rows_sentence(manifest),),
    )


def _split_words(split: Mapping[str, Any]) -> str:
    if split["by"] is not None:
        return f"by {split['by']}"
    group = f"whole groups of {listed(split['group'])}" if split["group"] else "class and keys"
    folds = f"{split['crossed']} folds, " if split["crossed"] else ""
    return f"{folds}by a hash of {group}"


def _rows_sentence(manifest: Mapping[str, Any]) -> str:
    refit, split = manifest["refit"], manifest["split"]
    if refit["rows"] == "fit":
        return (
            "Rows that calibrate and judge the model were set aside before training, and are "
            "in their natural shares."
        )
    how = (
        f"each of {split['crossed']} models was fitted without one fold and evaluated on it"
        if split["crossed"]
        else f"a model of the earlier rows by {split['by']} was evaluated on the later ones"
    )
    return (
        f"The published model is fitted on all labelled rows, because {refit['reason']}; its "
        f"calibration is cross-fitted on {refit['folds']} folds. The figures below are not its "
        f"own: {how}."
    )


def _balance_section(weights: Mapping[str, Any]) -> Section:
    classes, effect = weights["classes"], weights["diagnostics"]
    rarest = min(classes, key=lambda entry: entry["prior"])
    record = figures.Balance(
        tuple(entry["class"] for entry in classes),
        tuple(entry["prior"] for entry in classes),
        tuple(entry["share_of_risk"] for entry in classes),
    )
    rows = [
        (entry["class"], f"{entry['rows']:,}", f"{entry['mean_weight']:.3f}") for entry in classes
    ]
    return Section(
        "balance",
        "Class balance, before and after weights",
        f"The class {rarest['class']} is {percent(rarest['prior'])} of the rows and, with "
        f"{_words(weights['rule']['scheme'])} weights, {percent(rarest['share_of_risk'])} of what "
        f"training pays attention to{_aim(rarest)}.",
        figure=Figure(
            figures.draw_balance(record),
            "Class balance before and after weights",
            "Grey is a class's share of the rows, blue its share of the training weight (the "
            "risk); a longer blue bar means that a mistake about the class counts for more.",
            figures.balance_table(record),
        ),
        table=table("Rows and weights", ("class", "rows", "mean weight"), rows),
        body=(
            (
                f"The weights leave an effective sample of {effect['kish_ess']:,.0f} of "
                f"{weights['rows']:,} rows (design effect {number(effect['design_effect'])}) and "
                f"multiply the variance of the gradient by {number(effect['gradient_variance'])}. "
                f"The imbalance ratio is {number(effect['imbalance_ratio'])}."
            ),
        ),
    )


def _aim(entry: Mapping[str, Any]) -> str:
    """Return what the scheme aims at, where floor or cap keep a class from its share."""
    if math.isclose(entry["share_of_risk"], entry["share_aimed"], rel_tol=1e-6):
        return ""
    return f", where the scheme without floor and cap gives {percent(entry['share_aimed'])}"


def _card_section(manifest: Mapping[str, Any]) -> Section:
    sensitive = manifest["sensitive"]
    used = [name for name in sensitive if name in manifest["schema"]]
    kept = [name for name in sensitive if name not in manifest["schema"]]
    decisions, split = manifest["costs"], manifest["split"]
    tested = f"{manifest['evaluation']['rows']:,} rows"
    order = "held out at random" if split["by"] is None else f"held out by {split['by']}"
    facts = [
        (
            "purpose",
            (
                f"choose between {listed(decisions)} for each row, at the least expected cost, "
                f"given the probability of {listed(manifest['classes'])}"
            ),
        ),
        (
            "data",
            f"{manifest['weights']['rows']:,} labelled rows: {shares(manifest['ledger']['prior'])}",
        ),
        ("columns it reads", listed(manifest["schema"])),
        ("sensitive, not used", listed(kept) if kept else ""),
        ("sensitive, used as features", listed(used) if used else ""),
        ("judged on", f"{tested}, {order}"),
        (
            "limits",
            (
                "the figures hold for rows like the labelled ones and for the costs declared here; "
                "where either changes, train or price anew. What rows that were once "
                "declined would have done is known only where the labelled table says it"
            ),
        ),
    ]
    if not sensitive:
        facts.insert(3, ("sensitive columns", "none declared"))
    return Section(
        "card",
        "Model card",
        "What the model is for, what it was made of, and what it does not know.",
        table=facts_table("Model card", facts),
    )
