"""The columns of the scored table and of the quarantine: their one owner.

Documentation, checks of configurations, and the run that writes them all read this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkweights.core.roles import reason_cols

if TYPE_CHECKING:
    from collections.abc import Sequence

UNSCORABLE = "unscorable"  # the partition of rows without a decision


class OutputColumn(NamedTuple):
    """A column of a table that a run writes.

    Attributes
    ----------
    name
        Of the column; ``<class>`` and ``<decision>`` stand for names.
    type
        As Spark writes it.
    meaning
        A sentence, for documentation.
    """

    name: str
    type: str
    meaning: str


SCORED: tuple[OutputColumn, ...] = (
    OutputColumn("<keys>", "as incoming", "The keys of the row."),
    OutputColumn(
        "probability_<class>",
        "double",
        "Calibrated probability of the class under the natural shares of the classes, or under "
        "the target prior where one is configured; the classes sum to 1.",
    ),
    OutputColumn(
        "expected_cost_<decision>",
        "double",
        "What the decision is expected to cost on the row, review included.",
    ),
    OutputColumn("expected_cost", "double", "Expected cost of the decision taken."),
    OutputColumn(
        "reason_1 .. reason_k",
        "string",
        "Why an adverse decision was taken, the strongest first; null for other decisions. Only "
        "with `reasons`.",
    ),
    OutputColumn(
        "score_status", "string", "`scored`, or `unscorable:` and why the row has no decision."
    ),
    OutputColumn("model_version", "string", "Version of the model."),
    OutputColumn(
        "run_id", "string", "Of the run: the same settings, date and model give the same one."
    ),
    OutputColumn("scored_at", "timestamp", "When the run began."),
    OutputColumn("run_date", "date", "Partition: the date of the run."),
    OutputColumn(
        "decision",
        "string",
        "Partition: the decision of least expected cost, `review`, or `unscorable`.",
    ),
)
QUARANTINE: tuple[OutputColumn, ...] = (
    OutputColumn("<all>", "as incoming", "The row as it was read."),
    OutputColumn(
        "malformed_record",
        "string",
        "The record as it was read, where it could not be parsed. Only with "
        "`malformed: quarantine`.",
    ),
    OutputColumn("failed_checks", "array<string>", "Ids of the checks that set the row aside."),
    OutputColumn("run_id", "string", "Of the run."),
    OutputColumn("run_date", "date", "Partition: the date of the run."),
)


def probability_col(name: str) -> str:
    """Return the name of a class's probability."""
    return f"probability_{name}"


def expected_col(decision: str) -> str:
    """Return the name of a decision's expected cost."""
    return f"expected_cost_{decision}"


def decided_columns(classes: Sequence[str], decisions: Sequence[str]) -> list[str]:
    """Return the columns of the scored table that say how a row is decided, in order."""
    return [
        *map(probability_col, classes),
        *map(expected_col, decisions),
        "expected_cost",
        "score_status",
        "decision",
    ]


def scored_columns(classes: Sequence[str], decisions: Sequence[str], reasons: int) -> list[str]:
    """Return the columns of the scored table behind the keys, in order.

    Parameters
    ----------
    decisions
        With ``review``, where there is one.
    reasons
        How many reason columns there are.

    Examples
    --------
    >>> scored_columns(["good"], ["approve"], 1)[:4]
    ['probability_good', 'expected_cost_approve', 'expected_cost', 'reason_1']
    """
    return [
        *map(probability_col, classes),
        *(expected_col(name) for name in decisions),
        "expected_cost",
        *reason_cols(reasons),
        "score_status",
        "model_version",
        "run_id",
        "scored_at",
        "run_date",
        "decision",
    ]
