"""Weight rules as Spark Columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, text
from sparkweights.costs.spark import to_column

if TYPE_CHECKING:
    from pyspark.sql import Column

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule


def group_key(grouping: Grouping) -> Column:
    """Return the group of a row as a JSON array of texts, null being its own value.

    Time windows are named by their first day.
    """
    parts = [text(name) for name in grouping.by]
    if grouping.time is not None and grouping.window is not None:
        begin = F.date_trunc(grouping.window, column(grouping.time))
        parts.append(F.date_format(begin, "yyyy-MM-dd"))
    return F.to_json(F.array(*parts))


def class_weight_columns(rule: WeightRule) -> list[Column]:
    """Return w_c(x) for every class c, in index order: the divisors of the inverse."""
    if rule.constants is not None:
        return [F.lit(value) for value in rule.constants]
    cells = [to_column(cell) for cell in rule.cells]
    if rule.groups is not None:
        factors = _factors(rule.groups)
        cells = [cell * factors.getItem(c) for c, cell in enumerate(cells)]
    return [_bounded(rule, cell) for cell in cells]


def _factors(groups: GroupFactors) -> Column:
    """Return the row's factors as an array; the map is a literal, shared by all rows."""
    entries = [
        part
        for key, factors in groups.factors.items()
        for part in (F.lit(key), F.array(*map(F.lit, factors)))
    ]
    otherwise = F.array(*map(F.lit, groups.otherwise))
    if not entries:  # no group holds every class; an empty map has no type of its own
        return otherwise
    return F.coalesce(
        F.try_element_at(F.create_map(*entries), group_key(groups.grouping)), otherwise
    )


def _bounded(rule: WeightRule, raw: Column) -> Column:
    # greatest and least skip nulls, and a row without a cost must stay without a weight.
    floored = F.greatest(F.lit(rule.scale) * raw, F.lit(rule.floor))
    return F.when(raw.isNotNull(), F.least(floored, F.lit(rule.cap)))


def training_weight(rule: WeightRule, roles: ColumnRoles) -> Column:
    """Return the weight of a labelled row: its sample weight times w_c(x) of its own class."""
    index = class_index(roles)
    weight = F.lit(None).cast("double")
    for c, class_weight in reversed(list(enumerate(class_weight_columns(rule)))):
        weight = F.when(index == c, class_weight).otherwise(weight)
    return weight if roles.weight is None else weight * column(roles.weight).cast("double")
