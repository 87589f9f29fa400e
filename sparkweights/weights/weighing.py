"""From a summary to the rule that weighs every row, as Columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import ColumnRoles, class_index, column
from sparkweights.costs.expressions import to_column
from sparkweights.errors import InputError, listed
from sparkweights.weights.diagnostics import WeightDiagnostics, diagnose
from sparkweights.weights.schemes import (
    FLOOR,
    ClassFrequency,
    WeightRule,
    fixed_rule,
    regret_cells,
    require_every_class,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.weights.summary import ClassSummary


@dataclass(frozen=True)
class Weighting:
    """The rule that weighs the rows, the class frequencies it was made from, and its effect."""

    rule: WeightRule
    frequencies: tuple[ClassFrequency, ...]
    diagnostics: WeightDiagnostics

    @property
    def prior(self) -> dict[str, float]:
        """The natural share of each class."""
        shares = self.diagnostics.share_before
        return {f.name: share for f, share in zip(self.frequencies, shares, strict=True)}


def class_weight_columns(rule: WeightRule) -> list[Column]:
    """Return w_c(x) for every class c, in index order: what undoing divides by."""
    if rule.constants is not None:
        return [F.lit(value) for value in rule.constants]
    return [_bounded(rule, to_column(cell)) for cell in rule.cells]


def _bounded(rule: WeightRule, raw: Column) -> Column:
    # greatest and least skip nulls, and a row without a cost must stay without a weight.
    held = F.greatest(F.lit(rule.scale) * raw, F.lit(rule.floor))
    return F.when(raw.isNotNull(), F.least(held, F.lit(rule.cap)))


def training_weight(rule: WeightRule, roles: ColumnRoles) -> Column:
    """Return the weight of a labelled row: its sample weight times w_c(x) of its own class."""
    index = class_index(roles)
    weight = F.lit(None).cast("double")
    for c, own in reversed(list(enumerate(class_weight_columns(rule)))):
        weight = F.when(index == c, own).otherwise(weight)
    return weight if roles.weight is None else weight * column(roles.weight).cast("double")


def weigh_classes(
    labelled_df: DataFrame,
    roles: ColumnRoles,
    matrix: CostMatrix,
    summary: ClassSummary,
    *,
    scheme: str,
    manual: Mapping[str, float] | None = None,
    cap: float = math.inf,
) -> Weighting:
    """Choose the weights of a scheme.

    The summary is enough unless a bound binds on per-row weights: only then does a second
    aggregation over ``labelled_df`` find the factor that brings their mean back to 1.

    Raises
    ------
    InputError
        If a class has no rows, or the cost scheme would need a negative weight.
    ConfigError
        If a manual weight or the cap is not allowed.
    """
    if scheme == "cost":
        return _weigh_by_cost(labelled_df, roles, matrix, summary, cap)
    rule = fixed_rule(scheme, summary.frequencies, manual=manual, cap=cap)
    return _fixed_weighting(rule, summary.frequencies)


def _fixed_weighting(rule: WeightRule, frequencies: Sequence[ClassFrequency]) -> Weighting:
    values = rule.constants or ()
    sums = [
        (value * f.weight_sum, value * value * f.weight_square_sum)
        for value, f in zip(values, frequencies, strict=True)
    ]
    effect = diagnose(frequencies, sums, (min(values), max(values)))
    return Weighting(rule, tuple(frequencies), effect)


def _weigh_by_cost(
    labelled_df: DataFrame,
    roles: ColumnRoles,
    matrix: CostMatrix,
    summary: ClassSummary,
    cap: float,
) -> Weighting:
    require_every_class(summary.frequencies)
    _refuse_changing_regret(summary)
    mean = sum(r.weight_sum for r in summary.regrets) / sum(
        f.weight_sum for f in summary.frequencies
    )
    if mean <= 0:
        raise InputError(
            "Every decision costs the same on every row, so all cost weights are 0.",
            hint="give the wrong decisions a cost, or use weights.scheme balanced.",
        )
    cells = regret_cells(matrix)
    rule = WeightRule("cost", matrix.classes, cells, 1.0 / mean, FLOOR, cap)
    if rule.constants is not None:
        scale = fixed_rule(
            "manual",
            summary.frequencies,
            manual=dict(zip(matrix.classes, rule.constants, strict=True)),
            cap=cap,
        )
        fixed = WeightRule("cost", matrix.classes, scale.cells)
        return _fixed_weighting(fixed, summary.frequencies)
    low = min(r.smallest for r in summary.regrets) * rule.scale
    high = max(r.largest for r in summary.regrets) * rule.scale
    if low >= rule.floor and high <= cap:
        sums = [
            (r.weight_sum * rule.scale, r.weight_square_sum * rule.scale**2)
            for r in summary.regrets
        ]
    else:
        rule, sums = _rescaled(labelled_df, roles, rule)
    bounds = (max(low, rule.floor), min(high, rule.cap))
    return Weighting(rule, summary.frequencies, diagnose(summary.frequencies, sums, bounds))


def _rescaled(
    labelled_df: DataFrame, roles: ColumnRoles, rule: WeightRule
) -> tuple[WeightRule, list[tuple[float, float]]]:
    """Bring the mean of bounded per-row weights back to 1, with one more aggregation."""
    sample = F.lit(1.0) if roles.weight is None else column(roles.weight).cast("double")
    found = (
        labelled_df.select(
            class_index(roles).alias("class"),
            training_weight(rule, roles).alias("weight"),
            sample.alias("sample"),
        )
        .groupBy("class")
        .agg(
            F.sum("weight").alias("weight"),
            F.sum(F.col("weight") * F.col("weight")).alias("square"),
            F.sum("sample").alias("sample"),
        )
        .orderBy("class")
        .collect()
    )
    factor = sum(row["sample"] for row in found) / sum(row["weight"] for row in found)
    scaled = WeightRule(
        rule.scheme,
        rule.classes,
        rule.cells,
        rule.scale * factor,
        rule.floor * factor,
        rule.cap * factor,
    )
    return scaled, [(row["weight"] * factor, row["square"] * factor**2) for row in found]


def _refuse_changing_regret(summary: ClassSummary) -> None:
    for name, cheapest in summary.cheapest.items():
        rows = {decision: count for decision, count in cheapest.items() if count}
        if len(cheapest) == 2 and len(rows) > 1:  # noqa: PLR2004 (the mean over more is >= 0)
            raise InputError(
                f"The regret of class '{name}' is negative on some rows: the cheapest decision is "
                f"{listed(f'{d} on {n} rows' for d, n in rows.items())}. A weight cannot be "
                "negative, so weights.scheme cost is not defined here.",
                hint="use weights.scheme balanced or none (the decision still uses your costs), "
                "or bound the cost with max(...).",
            )
