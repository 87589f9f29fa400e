"""Fit, calibration and test rows: disjoint, stratified by class or forward in time, repeatable."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import class_index, column, is_number, kind_of, number
from sparkweights.core.errors import ConfigError, InputError, join_names
from sparkweights.sampling.period import _EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ColumnRoles

FIT, CALIBRATE, TEST = "fit", "calibrate", "test"
UNUSED = "unused"  # between two parts in time, or after the test window
MIN_ROWS = 10  # of each class in each part; with fewer, calibration and measures are noise


@dataclass(frozen=True)
class Split:
    """Boundaries of the split order.

    Attributes
    ----------
    by
        The column whose order decides (its latest rows test), or None for a hash.
    boundaries
        Class name -> (first calibration value, first test value). The same for every class where
        time or a group decides.
    folds
        Class name -> the values that divide the fit rows into parts of equal size.
    group
        The columns that are hashed instead of the keys: their rows share a part.
    ends
        Last fit value and last calibration value, where a gap precedes the next part.
    until
        Last test value, or None where all later rows test.
    crossed
        Number of folds of cross-fitting, where each row is held out once; 0 for three parts.
    """

    by: str | None
    boundaries: Mapping[str, tuple[float, ...]]
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    group: tuple[str, ...] = ()
    ends: tuple[float, float] | None = None
    until: float | None = None
    crossed: int = 0

    @classmethod
    def at(
        cls, by: str | None, quantiles: Mapping[str, tuple[float, ...]], group: Sequence[str] = ()
    ) -> Split:
        """Return the split at the values of the quantiles of `fold_quantiles` in a table."""
        return cls(
            by,
            {name: values[-2:] for name, values in quantiles.items()},
            {name: values[:-2] for name, values in quantiles.items()},
            tuple(group),
        )

    @classmethod
    def cross(
        cls, folds: int, quantiles: Mapping[str, tuple[float, ...]], group: Sequence[str] = ()
    ) -> Split:
        """Return the split into folds at the quantiles that `cross_quantiles` names."""
        return cls(None, {}, dict(quantiles), tuple(group), crossed=folds)

    def with_ends(self, end_of: Callable[[float], float]) -> Split:
        """Return the split in time whose parts end at a function of where the next one begins."""
        first, second = next(iter(self.boundaries.values()))
        return replace(self, ends=(end_of(first), end_of(second)))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Split:
        """Return the split of a model, from its manifest."""
        ends = record.get("ends")
        return cls(
            record["by"],
            {name: tuple(values) for name, values in record["cuts"].items()},
            {name: tuple(values) for name, values in record.get("folds", {}).items()},
            tuple(record.get("group", ())),
            None if ends is None else (ends[0], ends[1]),
            record.get("until"),
            record.get("crossed", 0),
        )


def cross_quantiles(folds: int) -> tuple[float, ...]:
    """Return where the order is divided into folds of equal size.

    Examples
    --------
    >>> cross_quantiles(4)
    (0.25, 0.5, 0.75)
    """
    return tuple(fold / folds for fold in range(1, folds))


def fold_quantiles(first: float, second: float, folds: int = 1) -> tuple[float, ...]:
    """Return the boundaries of the order: folds of the fit rows, then calibration and test rows.

    Examples
    --------
    >>> fold_quantiles(0.6, 0.8, 3)
    (0.2, 0.4, 0.6, 0.8)
    """
    return (*(round(first * fold / folds, 12) for fold in range(1, folds)), first, second)


def time_kind(data_type: T.DataType, by: str) -> str:
    """Return how column ``by`` counts time: ``number``, ``date`` or ``timestamp``.

    Raises
    ------
    InputError
        If its type has no order in time.
    """
    if is_number(data_type):
        return "number"
    if isinstance(data_type, T.DateType):
        return "date"
    if isinstance(data_type, (T.TimestampType, T.TimestampNTZType)):
        return "timestamp"
    raise InputError(
        f"split.by: column '{by}' is {kind_of(data_type)}; a split by time needs a number, date "
        "or timestamp.",
        hint="cast it where the table is made, or leave split.by out for a random split.",
    )


def time_order(df: DataFrame, by: str) -> Column:
    """Return column ``by`` as a number that grows with time: days, microseconds, or its own.

    Raises
    ------
    InputError
        If its type has no order in time.
    """
    match time_kind(df.schema[by].dataType, by):
        case "number":
            return number(by)
        case "date":
            return F.unix_date(column(by)).cast("double")
        case _:
            # A timestamp without a time zone is one of the session's.
            return F.unix_micros(column(by).cast("timestamp")).cast("double")


def moment_of(day: date, kind: str) -> float:
    """Return the end of a day as `time_order` counts.

    Raises
    ------
    ConfigError
        If time is a plain number, which has no days.
    """
    if kind == "number":
        raise ConfigError(
            "split.mature: split.by names a number, whose day is not known.",
            hint="make split.by a date or timestamp, or leave rows without an outcome out of the "
            "labelled table.",
        )
    days = (day - _EPOCH).days
    return float(days) if kind == "date" else (days + 1) * 86_400_000_000.0 - 1


def moment_text(moment: float, kind: str) -> str:
    """Return a moment that `time_order` counts as a person writes it.

    Examples
    --------
    >>> moment_text(19_782.0, "date")
    '2024-02-29'
    """
    if kind == "number":
        return f"{moment:g}"
    if kind == "date":
        return (_EPOCH + timedelta(days=moment)).isoformat()
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
    return at.isoformat(timespec="seconds")


def summarise_time_split(
    df: DataFrame, roles: ColumnRoles, by: str, quantiles: tuple[float, ...]
) -> Split:
    """Find the moments at these quantiles (see `fold_quantiles`), in one aggregation."""
    return Split.at(by, dict.fromkeys(roles.class_names, collect_moments(df, by, quantiles)))


def collect_moments(df: DataFrame, by: str, quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the moments at these quantiles of the rows, in one aggregation.

    Raises
    ------
    InputError
        If a row has no moment.
    ConfigError
        If there are too few distinct moments.
    """
    order = time_order(df, by)
    row = df.agg(
        F.percentile_approx(order, list(quantiles), 10_000).alias("quantiles"),
        F.count_if(order.isNull()).alias("nulls"),
    ).first()
    if row is None or row["quantiles"] is None or row["nulls"]:
        nulls = 0 if row is None else row["nulls"]
        raise InputError(
            f"split.by: column '{by}' is null on {nulls} rows; a split by time needs a value "
            "on every row.",
            hint="fill it, drop these rows, or leave split.by out for a random split.",
        )
    # A quantile is the last value below the boundary; ties stay on the earlier side.
    moments = tuple(float(value) for value in row["quantiles"])
    if len(set(moments)) < len(moments):
        raise ConfigError(
            f"split.by: column '{by}' has too few distinct values to split the rows at "
            f"{', '.join(f'{quantile:.0%}' for quantile in quantiles)}.",
            hint="choose a finer column, or leave split.by out for a random split.",
        )
    return moments


def collect_earlier_quantiles(
    df: DataFrame, by: str, ends: Sequence[float], quantile: float
) -> list[float]:
    """Return, for each end, the moment at a quantile of the rows up to it; one aggregation.

    Raises
    ------
    InputError
        If there are no rows before one of the ends.
    """
    order = time_order(df, by)
    measures = [
        F.percentile_approx(F.when(order <= end, order), quantile, 10_000).alias(f"q{i}")
        for i, end in enumerate(ends)
    ]
    row = df.agg(*measures).collect()[0]
    if None in tuple(row):
        raise InputError(
            f"evaluate --backtest: no rows of '{by}' lie before the first origin, less split.gap "
            "and split.mature.",
            hint="lower evaluate.backtest.share, or gather a longer history.",
        )
    return [float(value) for value in row]


def collect_order_quantiles(
    df: DataFrame,
    roles: ColumnRoles,
    order: Column,
    quantiles: Sequence[float],
    *,
    pooled: bool = False,
) -> dict[str, tuple[float, ...]]:
    """Find quantiles of a number per class, in one aggregation; exact up to some 10,000 rows.

    Parameters
    ----------
    pooled
        Whether they are those of all rows, the same for each class.
    """
    index = F.lit(0) if pooled else class_index(roles)
    values = F.percentile_approx(order, list(quantiles), 100_000)
    class_rows = df.groupBy(index.alias("class")).agg(values.alias("values")).collect()
    by_class = {row["class"]: tuple(map(float, row["values"])) for row in class_rows}
    return {name: by_class[0 if pooled else c] for c, name in enumerate(roles.class_names)}


def part(split: Split, roles: ColumnRoles, order: Column) -> Column:
    """Return the part of a labelled row: fit, calibrate or test, or `UNUSED`.

    Every row of a crossed split is a test row: of the model that was fitted without its fold.
    """
    if split.crossed:
        return F.lit(TEST)
    index = class_index(roles)
    chosen = F.lit(FIT)
    for c, name in enumerate(roles.class_names):
        first, second = split.boundaries[name]
        fit_end, calibrate_end = split.ends or (first, second)
        tests = F.when(order > second, TEST if split.until is None else _until(order, split.until))
        part_of_class = (
            tests.when(order > calibrate_end, UNUSED)
            .when(order > first, CALIBRATE)
            .when(order > fit_end, UNUSED)
            .otherwise(FIT)
        )
        chosen = F.when(index == c, part_of_class).otherwise(chosen)
    return chosen


def _until(order: Column, until: float) -> Column:
    return F.when(order <= until, TEST).otherwise(UNUSED)


def fold(split: Split, roles: ColumnRoles, order: Column) -> Column:
    """Return the fold of a fit row, from 0; a row at a boundary belongs to the lower fold.

    With a crossed split, every row has a fold.
    """
    index = class_index(roles)
    chosen = F.lit(0)
    for c, name in enumerate(roles.class_names):
        passed = [(order > boundary).cast("int") for boundary in split.folds[name]]
        chosen = F.when(index == c, reduce(add, passed, F.lit(0))).otherwise(chosen)
    return chosen


def require_rows(
    counts: Mapping[tuple[str, str], int],
    roles: ColumnRoles,
    *,
    table: Mapping[str, int] | None = None,
) -> None:
    """Refuse a split that leaves a class with too few rows in a part.

    Parameters
    ----------
    counts
        (part, class name) -> rows.
    table
        Class name -> rows in the whole table; the sum of its parts by default.

    Raises
    ------
    InputError
        Naming every scarce class, the scarcest first, its rows in the table and in each part, and
        about how many more rows of it would be enough.
    """
    parts = (FIT, CALIBRATE, TEST)
    shortfalls = []
    for scarce in _scarce(counts, parts, roles.class_names):
        part_rows = {which: counts.get((which, scarce), 0) for which in parts}
        total = sum(part_rows.values()) if table is None else table[scarce]
        shortfalls.append(
            f"class '{scarce}' has {total:,} rows in the whole table, of which "
            f"{join_names(f'{rows} to {which}' for which, rows in part_rows.items())}"
            f"{_missing(counts, parts, scarce, total)}"
        )
    if shortfalls:
        raise InputError(
            f"{_sentence(shortfalls, ', and ')}; at least {MIN_ROWS} of each class are needed to "
            "fit, to calibrate and to test.",
            hint="gather more history, or change the shares under split.",
        )


def require_crossed_rows(
    counts: Mapping[tuple[int, str], int], names: Sequence[str], folds: int
) -> None:
    """Refuse cross-fitting of too few rows of a class, or with a fold that has none of them.

    Parameters
    ----------
    counts
        (fold, class name) -> rows.
    folds
        How many there are.

    Raises
    ------
    InputError
        Naming every scarce class with its rows; or a class that a fold lacks.
    """
    by_class = {name: [counts.get((fold, name), 0) for fold in range(folds)] for name in names}
    scarce = {name: sum(rows) for name, rows in by_class.items() if sum(rows) < MIN_ROWS}
    if scarce:
        few = _sentence([f"class '{name}' has {n}" for name, n in scarce.items()], " and ")
        needed = (f"{MIN_ROWS - n} rows of '{name}'" for name, n in scarce.items())
        raise InputError(
            f"{few} rows in the labelled table; at least {MIN_ROWS} of each class are needed to "
            "fit, to calibrate and to evaluate.",
            hint=f"gather more history; {join_names(needed)} are missing.",
        )
    for name, fold_rows in by_class.items():
        if not all(fold_rows):
            raise InputError(
                f"Class '{name}' has {sum(fold_rows)} rows, and none of them in fold "
                f"{fold_rows.index(0) + 1} of {folds}; every fold needs one.",
                hint="lower train.folds, group by a finer column under split.group, or gather "
                "more history with this class.",
            )


def _sentence(clauses: Sequence[str], conjunction: str) -> str:
    text = conjunction.join(clauses)
    return text[:1].upper() + text[1:]


def _scarce(
    counts: Mapping[tuple[str, str], int], parts: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Return the classes with too few rows in some part, the one with the fewest first."""
    lacking = [
        name
        for name in names
        if any(counts.get((part_name, name), 0) < MIN_ROWS for part_name in parts)
    ]
    totals = {
        name: sum(counts.get((part_name, name), 0) for part_name in parts) for name in lacking
    }
    return sorted(totals, key=totals.__getitem__)


def _missing(
    counts: Mapping[tuple[str, str], int], parts: Sequence[str], scarce: str, total: int
) -> str:
    """Return a sentence about how many more rows of a class each part needs.

    The estimate uses the part's share of the class; where that is 0, the part's share of all rows.
    """
    if total == 0:
        return ""
    every = sum(counts.values())
    needed = total
    for part_name in parts:
        rows = counts.get((part_name, scarce), 0)
        if rows < MIN_ROWS:
            part_rows = sum(n for (which, _), n in counts.items() if which == part_name)
            share = max(rows / total, part_rows / every if rows == 0 else 0.0)
            needed = max(needed, math.ceil(MIN_ROWS / share) if share > 0 else 0)
    return f" ({needed - total:,} more rows of it, {needed:,} in all, would be about enough)"
