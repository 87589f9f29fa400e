"""Sections that reports of models and of runs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.report.numbers import number, percent
from sparkweights.report.page import Section
from sparkweights.report.tables import facts_table, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.records.learner import Parameter
    from sparkweights.records.weights import LedgerSummary

_CHECKSUM_DIGITS = 12  # shown digits of a checksum


def shares(prior: Mapping[str, float]) -> str:
    """Return class shares in words."""
    return join_names(f"{name} {percent(share)}" for name, share in prior.items())


def minute(time: str) -> str:
    """Return a time of a record to the minute, for reading."""
    return time[:16].replace("T", " ")


def cost_section(costs: Mapping[str, Mapping[str, str]]) -> Section:
    """Return what each decision costs for each class, as it was declared."""
    classes = list(next(iter(costs.values())))
    rows = [(decision, *(str(row[name]) for name in classes)) for decision, row in costs.items()]
    return Section(
        "costs",
        "Cost matrix: what does each mistake cost?",
        "Declared in the configuration; a formula is evaluated for each row from the row's "
        "columns.",
        table=table("Cost of a decision, by the row's true class", ("decision", *classes), rows),
    )


def ledger_section(ledger: LedgerSummary) -> Section:
    """Return the reweightings of the training data and their corrections, a sentence a step."""
    steps = [f"Natural class shares: {shares(ledger.prior)}."]
    for entry in ledger.reweightings:
        state = "inverted" if entry.inverted else "not inverted"
        uniform = " (all equal, so nothing changes)" if entry.rule.is_uniform else ""
        steps.append(f"Training used {entry.rule.scheme} {entry.kind}{uniform}: {state}.")
    if ledger.loss is not None:
        state = "inverted" if ledger.loss.inverted else "not inverted"
        steps.append(
            f"The model minimises the focal loss of gamma {number(ledger.loss.gamma)}, which "
            f"learns a distortion of the probabilities: {state}."
        )
    if ledger.calibration != "none":
        steps.append(
            f"Calibrated ({ledger.calibration}) on held-out rows that carry no class weights."
        )
    if ledger.target_prior is not None:
        steps.append(f"Moved to a population of {shares(ledger.target_prior)}.")
    sentence = (
        f"The probabilities still carry {join_names(ledger.uncorrected)}; pricing them would "
        "count the costs twice."
        if ledger.uncorrected
        else "Every reweighting of the training data has been inverted once, so the probabilities "
        "can be priced."
    )
    rows = [(str(position), step) for position, step in enumerate(steps, 1)]
    return Section(
        "ledger",
        "Ledger: which corrections were applied?",
        sentence,
        table=table("Corrections of the probabilities, in order", ("step", "what"), rows),
    )


def version_section(
    versions: Mapping[str, str],
    more: Sequence[tuple[str, str]] = (),
    *,
    files: Mapping[str, str] | None = None,
    sentence: str,
) -> Section:
    """Return what a reproduction of the result needs: versions and checksums."""
    facts = [*versions.items()]
    facts += [
        (f"SHA-256 of {name}", f"{digest[:_CHECKSUM_DIGITS]}\u2026")
        for name, digest in (files or {}).items()
    ]
    return Section(
        "versions",
        "Versions and checksums",
        sentence,
        table=facts_table("What the result depends on", [*more, *facts]),
    )


def settings(params: Mapping[str, Parameter]) -> str:
    """Return parameters in words."""
    return ", ".join(
        f"{name} {number(value) if isinstance(value, float) else value}"
        for name, value in params.items()
    )
