"""Sections about the rows of a run: their classes, shift, review and drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import amount, count, known, number, percent, percent_span
from sparkweights.report.page import Figure, Section
from sparkweights.report.sentences import sentence_of
from sparkweights.report.shared_sections import shares
from sparkweights.report.tables import facts_table, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.records import RunRecord
    from sparkweights.records.runs import (
        DriftSummary,
        LabelShiftSummary,
        MissingSummary,
        ReviewSummary,
    )

_METHODS = {"bbse": "BBSE, from mean scores", "saerens_em": "EM, by maximum likelihood"}


def class_sections(record: RunRecord) -> list[Section]:
    """Return the run's expected class shares beside the labelled table's, if rows were scored."""
    expected, prior = record.expected_classes, record.prior
    total = sum(expected.values())
    if not total:
        return []
    names = tuple(prior)
    balance = figures.Balance(
        names,
        tuple(prior[name] for name in names),
        tuple(expected[name] / total for name in names),
        ("labelled table", "expected in this run"),
    )
    rarest = min(names, key=lambda name: prior[name])
    section = Section(
        "classes",
        "Expected class shares",
        f"About {count(expected[rarest])} of the scored rows are expected to be {rarest}: "
        f"{percent(expected[rarest] / total)}, against {percent(prior[rarest])} in the labelled "
        "table.",
        figure=Figure(
            figures.draw_balance(balance),
            "Class shares, labelled and expected",
            "Grey: share of the class in the labelled table. Blue: mean probability of the class "
            "in this run. Where they differ, the incoming rows differ from those of training.",
            figures.balance_table(balance),
        ),
    )
    return [section]


def shift_sections(shift: LabelShiftSummary | None) -> list[Section]:
    """Return the class shares estimated from the scores of the run's table, if that was asked."""
    if shift is None:
        return []
    sentence = sentence_of(shift.sentence)
    section = Section(
        "shift",
        "Label shift: have the class shares changed?",
        f"{sentence} {count(shift.rows)} rows; in training the shares were {shares(shift.prior)}.",
        table=table(
            "Estimated shares of the incoming rows, from their scores alone",
            ("class", "estimate", "share", "95 % interval"),
            _shift_rows(shift),
        ),
        body=(
            (
                "Scores alone cannot distinguish label shift (the features of each class are as "
                "before, the class shares changed) from covariate shift (the features changed, "
                "the probability given the features did not). A goodness-of-fit test rejects "
                "label shift where there are enough rows. An estimate that is not rejected is "
                f"shrunk towards the natural prior, as by {shift.pseudo_rows:g} rows of known "
                f"class, and changes the odds of a class by a factor of {shift.max_shift:g} at "
                "most; an estimate whose interval lies beyond that is reported and not used."
            ),
        ),
    )
    return [section]


def review_sections(review: ReviewSummary | None, decisions: Mapping[str, int]) -> list[Section]:
    """Return which rows go to a human, if a review was declared."""
    if review is None:
        return []
    sent = decisions.get("review", 0)
    facts = [
        ("rows sent to review", count(sent)),
        ("rows where review would save cost", count(review.gaining)),
        ("rows considered", count(review.rows)),
        ("least gain of a review", amount(review.least_gain) if sent else ""),
        ("expected saving of the reviews, net of their price", amount(review.saving)),
    ]
    section = Section(
        "review",
        "Human review: which rows are sent?",
        f"Review is expected to save cost on {count(review.gaining)} of {count(review.rows)} "
        f"rows; the {count(sent)} with the largest expected saving are sent.",
        table=facts_table("The review band", facts),
    )
    return [section]


def drift_sections(drift: DriftSummary | None) -> list[Section]:
    """Return how far the columns' distributions have changed since training, if measured."""
    if drift is None or not drift.columns:
        return []
    ordered = ranked_columns(drift)
    over = None if drift.over is None else frozenset(drift.over)
    record = figures.Drift(drift.measure, tuple(ordered), drift.limit, over)
    sentence = f"{ordered[0][0]} has changed most ({drift.measure} {number(ordered[0][1])})."
    if record.limit is not None:
        over_limit = sum(record.is_over(name, value) for name, value in ordered)
        sentence += f" {over_limit} of {len(ordered)} columns are over the limit"
        sentence += "." if over is None else ", significantly."
    section = Section(
        "drift",
        "Drift: have the columns changed?",
        sentence,
        figure=Figure(
            figures.draw_drift(record),
            "Drift of the columns",
            f"A bar is the {drift.measure} of a column between training and this run: the longer, "
            "the more its distribution has changed.",
            figures.drift_table(record),
        ),
    )
    return [section]


def missing_sections(shifts: Sequence[MissingSummary]) -> list[Section]:
    """Return the features that are missing more or less often than in training, if there are."""
    if not shifts:
        return []
    first = shifts[0]
    what = {"missing": "missing values", "unseen": "categories unseen in training"}
    return [
        Section(
            "missing",
            "Missing values: are the features those of training?",
            f"{len(shifts)} shares differ from training's. Of {first.column}, "
            f"{percent(first.share)} are {what[first.kind]}; in training {percent(first.before)}.",
            table=table(
                "Shares that differ significantly",
                ("column", "share of", "in training", "in this run"),
                [
                    (one.column, what[one.kind], percent(one.before), percent(one.share))
                    for one in shifts
                ],
            ),
        )
    ]


def ranked_columns(drift: DriftSummary) -> list[tuple[str, float]]:
    """Return columns and their indices, the largest index first."""
    ranked = sorted(drift.columns.items(), key=lambda entry: -(entry[1] or 0.0))
    return [(name, known(value)) for name, value in ranked]


def _shift_rows(shift: LabelShiftSummary) -> list[tuple[str, str, str, str]]:
    """Return one row per estimate and class: class, method, share, 95 % interval."""
    rows = [
        (
            name,
            _METHODS.get(method, method),
            percent(estimate.shares[name]),
            percent_span(estimate.interval_95[name]),
        )
        for method, estimate in shift.estimates.items()
        for name in estimate.shares
    ]
    used = shift.target_prior or {}
    return rows + [
        (name, "used for the decisions", percent(share), "") for name, share in used.items()
    ]
