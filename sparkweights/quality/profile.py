"""A first suite from a look at a table, to be read and changed by somebody who knows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column, is_number, number
from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import DataFrame

MAX_VALUES = 20  # of a text column, beyond which it is no list of categories
SKETCH_ERROR = 0.05  # standard error of the count that tells which columns are such lists
ROOM = 0.5  # of its range, by which a number may leave it
DIGITS = 2  # significant ones of a proposed bound


@dataclass(frozen=True)
class Profile:
    """What two passes over a table tell.

    Attributes
    ----------
    rows
        How many there are.
    missing
        Column -> the share of its values that is null.
    ranges
        Number -> its least and largest value, without NaN.
    categories
        Text column of few values -> these.
    """

    rows: int
    missing: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    categories: Mapping[str, Sequence[str]]


def collect_profile(df: DataFrame, *, unlisted: Collection[str] = ()) -> Profile:
    """Look at every column in one pass, and at the values of the few-valued in a second.

    Parameters
    ----------
    unlisted
        Columns whose values are never listed, as keys and sensitive ones.

    Raises
    ------
    InputError
        If the table has no rows.
    """
    never = {name.casefold() for name in unlisted}  # as Spark, in any case
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
    found = df.agg(*measures).first()
    if found is None or not found["rows"]:
        raise InputError("The table holds 0 rows; there is nothing to propose a suite from.",
                         hint="run the job that fills it, then try again.")  # fmt: skip
    rows = found["rows"]
    few = [name for i, name in enumerate(texts) if 0 < found[f"values {i}"] <= MAX_VALUES]
    return Profile(
        rows,
        {entry.name: 1 - found[f"count {i}"] / rows for i, entry in enumerate(plain)},
        {
            name: (found[f"least {i}"], found[f"most {i}"])
            for i, name in enumerate(numbers)
            if _is_bounded(found[f"least {i}"], found[f"most {i}"])
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
    found = df.agg(*sets).first()
    assert found is not None  # noqa: S101 (an aggregate without groups has its row)
    return {name: list(found[str(i)]) for i, name in enumerate(names)}


def propose_suite(profile: Profile, *, name: str, keys: Collection[str]) -> dict[str, Any]:
    """Return a suite, in Great Expectations' JSON, that the profile's own table passes.

    Keys must be present: a row without one is set aside. All else warns, until somebody who knows
    the table says that it is critical.
    """
    rows = {"min_value": profile.rows // 2, "max_value": profile.rows * 2}
    entries = [_entry("expect_table_row_count_to_be_between", rows)]
    for own, share in profile.missing.items():
        if own in keys:
            entries.append(_entry("expect_column_values_to_not_be_null", {"column": own},
                                  "critical"))  # fmt: skip
        elif share <= ROOM:
            present = {} if share == 0 else {"mostly": math.floor(100 * (1 - 1.5 * share)) / 100}
            kwargs = {"column": own, **present}
            entries.append(_entry("expect_column_values_to_not_be_null", kwargs))
        if own in profile.ranges and own not in keys:
            least, most = _with_room(*profile.ranges[own])
            kwargs = {"column": own, "min_value": least, "max_value": most}
            entries.append(_entry("expect_column_values_to_be_between", kwargs))
        if own in profile.categories and own not in keys:
            kwargs = {"column": own, "value_set": list(profile.categories[own])}
            entries.append(_entry("expect_column_values_to_be_in_set", kwargs))
    return {"name": name, "expectations": entries, "meta": {}}


def _entry(type_: str, kwargs: Mapping[str, Any], severity: str = "warning") -> dict[str, Any]:
    return {"type": type_, "kwargs": dict(kwargs), "severity": severity}


def _with_room(least: float, most: float) -> tuple[float, float]:
    """Return round bounds outside a range; a sign that no value has stays forbidden."""
    room = ROOM * (most - least)
    low = 0.0 if least >= 0 > least - room else _rounded(least - room, math.floor)
    high = 0.0 if most <= 0 < most + room else _rounded(most + room, math.ceil)
    return min(low, least), max(high, most)


def _rounded(value: float, towards: Any) -> float:  # noqa: ANN401 (math.floor or math.ceil)
    """Return the next number outwards that has few digits."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    found = float(towards(value / step) * step)
    return found if math.isfinite(found) else value
