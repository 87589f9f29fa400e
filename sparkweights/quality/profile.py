"""A first suite, proposed from a profile of a table; somebody who knows the table edits it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column, is_number, number
from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pyspark.sql import DataFrame

MAX_VALUES = 20  # distinct values of a text column; with more it is not treated as categorical
SKETCH_ERROR = 0.05  # standard error of the approximate count of distinct values
MARGIN = 0.5  # share of the range by which a bound lies outside it
DIGITS = 2  # significant digits of a proposed bound


@dataclass(frozen=True)
class Profile:
    """The summary of a table, from two passes over it.

    Attributes
    ----------
    rows
        The number of rows.
    missing
        Column -> the share of its values that is null.
    ranges
        Numeric column -> its least and largest value, without NaN.
    categories
        Text column with few values -> its values.
    """

    rows: int
    missing: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    categories: Mapping[str, Sequence[str]]


def collect_profile(df: DataFrame, *, unlisted: Collection[str] = ()) -> Profile:
    """Summarise every column in one pass, and collect the values of categorical ones in a second.

    Parameters
    ----------
    unlisted
        Columns whose values are never listed, as keys and sensitive ones.

    Raises
    ------
    InputError
        If the table has no rows.
    """
    never = {name.casefold() for name in unlisted}  # Spark's column names ignore case
    plain = [field for field in df.schema if isinstance(field.dataType, T.AtomicType)]
    numbers = [field.name for field in plain if is_number(field.dataType)]
    texts = [
        field.name
        for field in plain
        if isinstance(field.dataType, T.StringType) and field.name.casefold() not in never
    ]
    measures = [F.count(F.lit(1)).alias("rows")]
    for i, entry in enumerate(plain):
        measures.append(F.count(column(entry.name)).alias(f"count {i}"))
    for i, name in enumerate(numbers):
        measures += [
            F.min(number(name)).alias(f"least {i}"),
            F.max(number(name)).alias(f"most {i}"),
        ]
    for i, name in enumerate(texts):
        measures.append(F.approx_count_distinct(column(name), SKETCH_ERROR).alias(f"values {i}"))
    summary = df.agg(*measures).first()
    if summary is None or not summary["rows"]:
        raise InputError("The table holds 0 rows; there is nothing to propose a suite from.",
                         hint="run the job that fills it, then try again.")  # fmt: skip
    rows = summary["rows"]
    few = [name for i, name in enumerate(texts) if 0 < summary[f"values {i}"] <= MAX_VALUES]
    return Profile(
        rows,
        {entry.name: 1 - summary[f"count {i}"] / rows for i, entry in enumerate(plain)},
        {
            name: (summary[f"least {i}"], summary[f"most {i}"])
            for i, name in enumerate(numbers)
            if _is_bounded(summary[f"least {i}"], summary[f"most {i}"])
        },
        _collect_categories(df, few),
    )


def _is_bounded(least: float | None, most: float | None) -> bool:
    return least is not None and most is not None and math.isfinite(least) and math.isfinite(most)


def _collect_categories(df: DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of columns that are known to have few."""
    if not names:
        return {}
    sets = [F.sort_array(F.collect_set(column(name))).alias(str(i)) for i, name in enumerate(names)]
    sets_row = df.agg(*sets).first()
    assert sets_row is not None  # noqa: S101 (an aggregate without groups has its row)
    return {name: list(sets_row[str(i)]) for i, name in enumerate(names)}


def propose_suite(profile: Profile, *, name: str, keys: Collection[str]) -> dict[str, Any]:
    """Return a suite, in Great Expectations' JSON, that the profile's own table passes.

    Keys must be present: a row without one is quarantined. All other expectations are warnings,
    until somebody who knows the table makes them critical.
    """
    rows = {"min_value": profile.rows // 2, "max_value": profile.rows * 2}
    entries = [_entry("expect_table_row_count_to_be_between", rows)]
    for column_name, share in profile.missing.items():
        if column_name in keys:
            entries.append(_entry("expect_column_values_to_not_be_null", {"column": column_name},
                                  "critical"))  # fmt: skip
        elif share <= MARGIN:
            present = {} if share == 0 else {"mostly": math.floor(100 * (1 - 1.5 * share)) / 100}
            kwargs = {"column": column_name, **present}
            entries.append(_entry("expect_column_values_to_not_be_null", kwargs))
        if column_name in profile.ranges and column_name not in keys:
            least, most = _widen(*profile.ranges[column_name])
            kwargs = {"column": column_name, "min_value": least, "max_value": most}
            entries.append(_entry("expect_column_values_to_be_between", kwargs))
        if column_name in profile.categories and column_name not in keys:
            kwargs = {"column": column_name, "value_set": list(profile.categories[column_name])}
            entries.append(_entry("expect_column_values_to_be_in_set", kwargs))
    return {"name": name, "expectations": entries, "meta": {}}


def _entry(type_: str, kwargs: Mapping[str, Any], severity: str = "warning") -> dict[str, Any]:
    return {"type": type_, "kwargs": dict(kwargs), "severity": severity}


def _widen(least: float, most: float) -> tuple[float, float]:
    """Return round bounds outside a range; a bound does not cross 0 unless the range does."""
    margin = MARGIN * (most - least)
    low = 0.0 if least >= 0 > least - margin else _round_outwards(least - margin, math.floor)
    high = 0.0 if most <= 0 < most + margin else _round_outwards(most + margin, math.ceil)
    return min(low, least), max(high, most)


def _round_outwards(value: float, rounding: Callable[[float], int]) -> float:
    """Return the value rounded outwards to `DIGITS` significant digits."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    rounded = float(rounding(value / step) * step)
    return rounded if math.isfinite(rounded) else value
