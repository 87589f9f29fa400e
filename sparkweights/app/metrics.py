"""Metrics of a scored table with known outcomes, whatever scored it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, require_columns, require_label
from sparkweights.core.errors import ConfigError, join_names
from sparkweights.core.invalid_rows import (
    first_fault,
    label_fault,
    probability_fault,
    refusals_as_input_errors,
    refuse,
    weight_fault,
)
from sparkweights.core.roles import ColumnRoles, in_index_order
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.spark import check_costs
from sparkweights.models.base import LABEL
from sparkweights.probability.corrections import Ledger
from sparkweights.report import StageResult
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.spec.problem import DecisionProblem
from sparkweights.spec.settings import Decision
from sparkweights.training.evaluate import (
    BLOCK,
    constant_least_cost_decisions,
    evaluate,
    least_cost_decisions,
    summarise_evaluation,
)
from sparkweights.weights.frequencies import summarise_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ClassValue
    from sparkweights.costs.matrix import Costs
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.records.evaluation import EvaluationSummary

_TABLE = "scored_df"
_UNHASHABLE = re.compile(r"\b(map<|variant\b)")


@dataclass(frozen=True)
class _KnownScores:
    """A `ProbabilityScorer` of rows that hold their probabilities already."""

    classes: tuple[str, ...]
    probability_cols: tuple[str, ...]
    ledger: Ledger
    weighted_cols: tuple[str, ...] = ()

    def score(self, df: DataFrame) -> DataFrame:
        """Return the rows as they are."""
        return df


def collect_evaluation(
    scored_df: DataFrame,
    *,
    classes: Mapping[str, ClassValue],
    label_col: str = "label",
    probability_cols: str | Sequence[str] = "probability",
    costs: Costs | None = None,
    decision_col: str | None = None,
    weight_col: str | None = None,
    group_cols: Sequence[str] = (),
    ledger: Ledger | None = None,
    handle_invalid: Literal["error", "skip"] = "error",
    exact: bool = False,
) -> StageResult[Evaluation, EvaluationSummary]:
    """Evaluate probabilities and decisions on rows with known outcomes, in one Spark job.

    Another job follows the first where a class has no decision that is free on every row, and
    costs read columns: which decision is the least-cost one of the class then depends on the rows.

    Parameters
    ----------
    scored_df
        Rows with a label and probabilities, scored by anything. Rows without ``group_cols`` are
        drawn for intervals by a hash of all columns, so that a key should be one of them.
    classes
        ``{class: value in label_col}``.
    label_col
        The true class.
    probability_cols
        MLlib's vector (or an array), whose entry i belongs to label i; or one column per class, in
        the order of ``classes``. The probabilities are natural, see `ledger`.
    costs
        A `CostMatrix`, or ``{decision: {class: number or arithmetic over columns}}``, in the
        currency of the table; 0/1 loss by default.
    decision_col
        The decisions taken, by name; by default those of least expected cost.
    weight_col
        A *sample* weight: 2 is the row twice. Class weights do not belong into an evaluation.
    group_cols
        Columns, such as a customer's id, whose rows of equal values depend on each other; the
        intervals are then those of groups.
    ledger
        The history of the probabilities, if known: one that still holds weights is refused.
    handle_invalid
        Rows without a label that names a class, a probability of each class, a decision, a cost,
        or a sample weight: ``error``, or ``skip`` to leave them out.
    exact
        Keep every distinct score, up to 2,000,000, instead of 8,192 bins per class.

    Returns
    -------
    StageResult
        ``.value`` is the `Evaluation`: measures by class with intervals, curves and costs.
        ``.record`` is its summary as plain values. In a notebook it shows the costs by decision
        rule, the calibration and the ROC curve; the policy ``ours`` is the decisions taken.

    Raises
    ------
    InputError
        If a column is missing or of another type, there are no rows, or a row cannot be used.
    ConfigError
        If classes, costs and columns do not fit together.
    ModelError
        If the ledger still holds weights.
    """
    matrix = CostMatrix.of(costs, tuple(classes))
    roles = ColumnRoles((), label_col, classes, (), (), weight=weight_col)
    problem = DecisionProblem(roles, matrix)
    _check_table(scored_df, problem, probability_cols, [decision_col, *group_cols])
    probabilities = _probabilities(scored_df, probability_cols, classes)
    faults = [label_fault(roles), probability_fault(list(probabilities.values()), "its columns")]
    faults += [problem.policy.fault()]
    faults += [] if weight_col is None else [weight_fault(weight_col)]
    faults += [] if decision_col is None else [_decision_fault(decision_col, matrix)]
    fault = first_fault(*faults)
    valid_df = scored_df if handle_invalid == "error" else scored_df.filter(fault.isNull())
    names = {name: f"__probability_{c}" for c, name in enumerate(classes)}
    rows_df = valid_df.withColumns({
        **{names[name]: probability for name, probability in probabilities.items()},
        LABEL: _label(roles, fault),
        BLOCK: uniform(group_cols or _hashable(scored_df), 0, Stream.BLOCKS),
    })  # fmt: skip
    with refusals_as_input_errors():
        evaluation = evaluate(
            rows_df,
            _KnownScores(tuple(classes), tuple(names.values()), ledger or Ledger({})),
            problem,
            _least_cost(valid_df, problem),
            grouped=bool(group_cols),
            decision=None if decision_col is None else column(decision_col),
            exact=exact,
        )
    summary = summarise_evaluation(evaluation, matrix, Decision().cost_tolerance)
    return StageResult(evaluation, summary)


def _check_table(
    scored_df: DataFrame,
    problem: DecisionProblem,
    probability_cols: str | Sequence[str],
    others: Sequence[str | None],
) -> None:
    roles, matrix = problem.roles, problem.matrix
    named = [probability_cols] if isinstance(probability_cols, str) else list(probability_cols)
    reads = [roles.label, *named, roles.weight, *others, *matrix.columns]
    require_columns(scored_df.schema, dict.fromkeys(filter(None, reads)), table=_TABLE)
    require_label(scored_df.schema, roles, table=_TABLE)
    check_costs(matrix, scored_df.schema)
    if not isinstance(probability_cols, str) and len(named) != len(roles.classes):
        raise ConfigError(
            f"probability_cols names {len(named)} columns for the classes "
            f"{join_names(roles.classes)}; each class needs one, in that order.",
            hint="or name the one column that holds MLlib's vector.",
        )


def _probabilities(
    scored_df: DataFrame, probability_cols: str | Sequence[str], classes: Mapping[str, ClassValue]
) -> dict[str, Column]:
    """Return each class's probability, in the order of the classes."""
    if not isinstance(probability_cols, str):
        columns = [column(name).cast("double") for name in probability_cols]
        return dict(zip(classes, columns, strict=True))
    entries = column(probability_cols)
    if scored_df.schema[probability_cols].dataType.typeName() != "array":
        entries = F.when(entries.isNotNull(), vector_to_array(entries))  # which fails on null
    of_class = {name: F.get(entries, c) for c, name in enumerate(in_index_order(classes))}
    return {name: of_class[name] for name in classes}


def _label(roles: ColumnRoles, fault: Column) -> Column:
    """Return the row's class index as the evaluation reads it, which an invalid row has not."""
    index = class_index(roles).cast("double")
    return refuse(index, fault, "collect_evaluation", setting="handle_invalid")


def _decision_fault(decision_col: str, matrix: CostMatrix) -> Column:
    priced = F.coalesce(column(decision_col).isin(*matrix.decisions), F.lit(col=False))
    return F.when(~priced, f"no decision in column '{decision_col}' that the costs name")


def _hashable(df: DataFrame) -> list[str]:
    """Return the columns that Spark can hash."""
    return [
        field.name for field in df.schema if not _UNHASHABLE.search(field.dataType.simpleString())
    ]


def _least_cost(valid_df: DataFrame, problem: DecisionProblem) -> dict[str, str]:
    known = constant_least_cost_decisions(problem.matrix)
    if known is not None:
        return known
    summary = summarise_classes(valid_df, problem.roles, problem.matrix)
    return least_cost_decisions(problem.matrix, summary)
