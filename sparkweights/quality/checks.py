"""Critical row-level expectations as boolean Columns, so that a bad row can be set aside.

Great Expectations gives the verdict on a table; these Columns say which rows it was about.
An expectation that has no Column here and fails as critical stops the run instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column


@dataclass(frozen=True)
class RowCheck:
    """One check of a row: its id, as the suite or the product names it, and when a row fails."""

    id: str
    fails: Column


def _null(value: Column, _: Mapping[str, Any]) -> Column:
    return value.isNull()


def _outside_set(value: Column, kwargs: Mapping[str, Any]) -> Column:
    return ~value.isin(*kwargs["value_set"])


def _inside_set(value: Column, kwargs: Mapping[str, Any]) -> Column:
    return value.isin(*kwargs["value_set"])


def _outside_range(value: Column, kwargs: Mapping[str, Any]) -> Column:
    fails = F.lit(col=False)
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None:
        fails |= value <= F.lit(low) if kwargs.get("strict_min") else value < F.lit(low)
    if high is not None:
        fails |= value >= F.lit(high) if kwargs.get("strict_max") else value > F.lit(high)
    return fails


_COMPILED: Mapping[str, Callable[[Column, Mapping[str, Any]], Column]] = {
    "expect_column_values_to_not_be_null": _null,
    "expect_column_values_to_be_in_set": _outside_set,
    "expect_column_values_to_not_be_in_set": _inside_set,
    "expect_column_values_to_be_between": _outside_range,
}
# With one of these kwargs the verdict is not that of each row by itself.
_NOT_BY_ROW = ("row_condition", "condition_parser")


def row_checks(expectations: Sequence[Mapping[str, Any]]) -> list[RowCheck]:
    """Return the Columns of the critical expectations that a row decides by itself.

    Parameters
    ----------
    expectations
        Entries of a suite in Great Expectations' own JSON, each with an ``id``.
    """
    found = []
    for entry in expectations:
        kwargs = entry["kwargs"]
        compiled = _COMPILED.get(entry["type"])
        if (
            compiled is None
            or entry.get("severity", "critical") != "critical"
            or any(kwargs.get(name) for name in _NOT_BY_ROW)
        ):
            continue
        fails = compiled(column(kwargs["column"]), kwargs)
        # As in Great Expectations, only a null check judges nulls.
        found.append(RowCheck(entry["id"], F.coalesce(fails, F.lit(col=False))))
    return found


def failed_checks(checks: Sequence[RowCheck]) -> Column:
    """Return the ids of the checks that a row fails, as an array of text; empty where none."""
    if not checks:
        return F.array().cast("array<string>")
    return F.filter(
        F.array(*[F.when(check.fails, F.lit(check.id)) for check in checks]),
        lambda failed: failed.isNotNull(),
    )
