"""Fit, calibration and test rows: disjoint, stratified by class or forward in time, repeatable."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from sparkweights.columns import class_index, column, is_number, kind_of, number
from sparkweights.errors import ConfigError, InputError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.columns import ColumnRoles

FIT, CALIBRATE, TEST = "fit", "calibrate", "test"
FEWEST_ROWS = 10  # of each class in each part; fewer calibrate and measure nothing
_HASH_BITS = 53  # as many as a double holds exactly


@dataclass(frozen=True)
class Split:
    """Cuts of the split order.

    Attributes
    ----------
    by
        The column whose order decides (its latest rows test), or None for a hash of the keys.
    cuts
        Class name -> (first calibration value, first test value).
    folds
        Class name -> the values that cut the fit rows into parts of equal size.
    """

    by: str | None
    cuts: Mapping[str, tuple[float, ...]]
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def at(cls, by: str | None, found: Mapping[str, tuple[float, ...]]) -> Split:
        """Return the split at the quantiles that `fold_quantiles` names, as found in a table."""
        return cls(
            by,
            {name: values[-2:] for name, values in found.items()},
            {name: values[:-2] for name, values in found.items()},
        )

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Split:
        """Return the split of a model, from its manifest."""
        return cls(record["by"], {name: tuple(cuts) for name, cuts in record["cuts"].items()})


def fold_quantiles(first: float, second: float, folds: int = 1) -> tuple[float, ...]:
    """Return where the order is cut: into folds of the fit rows, then calibration and test rows.

    Examples
    --------
    >>> fold_quantiles(0.6, 0.8, 3)
    (0.2, 0.4, 0.6, 0.8)
    """
    return (*(round(first * fold / folds, 12) for fold in range(1, folds)), first, second)


def hash_order(roles: ColumnRoles, seed: int) -> Column:
    """Return a number in [0, 1) that depends on the row's keys and the seed alone.

    Rows that share their keys share the number, so repeated keys fall into the same part.
    """
    return hash_columns(roles.keys, seed)


def hash_columns(names: Sequence[str], seed: int) -> Column:
    """Return a number in [0, 1) that depends on the values of columns and the seed alone."""
    bits = F.xxhash64(*map(column, names), F.lit(seed))
    return F.shiftrightunsigned(bits, 64 - _HASH_BITS).cast("double") / float(1 << _HASH_BITS)


def time_order(df: DataFrame, by: str) -> Column:
    """Return column ``by`` as a number that grows with time.

    Raises
    ------
    InputError
        If its type has no order in time.
    """
    found = df.schema[by].dataType
    if is_number(found):
        return number(by)
    if isinstance(found, T.DateType):
        return F.unix_date(column(by)).cast("double")
    if isinstance(found, T.TimestampType):
        return F.unix_micros(column(by)).cast("double")
    raise InputError(
        f"split.by: column '{by}' is {kind_of(found)}; a split by time needs a number, date or "
        "timestamp.",
        hint="cast it where the table is made, or leave split.by out for a random split.",
    )


def summarise_time_split(
    df: DataFrame, roles: ColumnRoles, by: str, quantiles: tuple[float, ...]
) -> Split:
    """Find the moments at these quantiles (see `fold_quantiles`), in one aggregation."""
    order = time_order(df, by)
    row = df.agg(
        F.percentile_approx(order, list(quantiles), 10_000).alias("cuts"),
        F.count_if(order.isNull()).alias("nulls"),
    ).first()
    if row is None or row["cuts"] is None or row["nulls"]:
        nulls = 0 if row is None else row["nulls"]
        raise InputError(
            f"split.by: column '{by}' is null on {nulls} rows; a split by time needs a value "
            "on every row.",
            hint="fill it, drop these rows, or leave split.by out for a random split.",
        )
    # A quantile is the last value below the cut; ties stay on the earlier side.
    moments = tuple(float(value) for value in row["cuts"])
    if len(set(moments)) < len(moments):
        raise ConfigError(
            f"split.by: column '{by}' has too few distinct values to cut the rows at "
            f"{', '.join(f'{quantile:.0%}' for quantile in quantiles)}.",
            hint="choose a finer column, or leave split.by out for a random split.",
        )
    return Split.at(by, dict.fromkeys(roles.class_names, moments))


def part(split: Split, roles: ColumnRoles, order: Column) -> Column:
    """Return the part of a labelled row: fit, calibrate or test."""
    index = class_index(roles)
    chosen = F.lit(FIT)
    for c, name in enumerate(roles.class_names):
        first, second = split.cuts[name]
        own = F.when(order > second, TEST).when(order > first, CALIBRATE).otherwise(FIT)
        chosen = F.when(index == c, own).otherwise(chosen)
    return chosen


def fold(split: Split, roles: ColumnRoles, order: Column) -> Column:
    """Return which part of the fit rows a row belongs to, from 0; rows at a cut stay before it."""
    index = class_index(roles)
    chosen = F.lit(0)
    for c, name in enumerate(roles.class_names):
        passed = [(order > cut).cast("int") for cut in split.folds[name]]
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
        Naming the scarcest class, its rows in the table and in each part, and about how many more
        rows of it would be enough.
    """
    parts = (FIT, CALIBRATE, TEST)
    scarce = _scarcest(counts, parts, roles.class_names)
    if scarce is not None:
        own = {which: counts.get((which, scarce), 0) for which in parts}
        total = sum(own.values()) if table is None else table[scarce]
        raise InputError(
            f"Class '{scarce}' has {total:,} rows in the whole table, of which "
            f"{listed(f'{rows} to {which}' for which, rows in own.items())}; at least "
            f"{FEWEST_ROWS} of each class are needed to fit, to calibrate and to test"
            f"{_missing(counts, parts, scarce, total)}.",
            hint="gather more history with this class, or change the shares under split.",
        )


def require_fold_rows(
    counts: Mapping[tuple[int, str], int],
    names: Sequence[str],
    folds: int,
    *,
    table: Mapping[str, int] | None = None,
) -> None:
    """Refuse folds that lack rows of a class.

    Parameters
    ----------
    counts
        (fold, class name) -> rows.
    folds
        How many there should be.
    table
        Class name -> rows in the whole table; the sum of its folds by default.

    Raises
    ------
    InputError
        Naming the scarcest class, its rows in the table and in its smallest fold, and about how
        many more rows of it would be enough.
    """
    scarce = _scarcest(counts, range(folds), names)
    if scarce is not None:
        own = [counts.get((place, scarce), 0) for place in range(folds)]
        total = sum(own) if table is None else table[scarce]
        raise InputError(
            f"Class '{scarce}' has {total:,} rows in the whole table, of which "
            f"{sum(own)} in the {folds} folds and {min(own)} in fold {own.index(min(own)) + 1}; at "
            f"least {FEWEST_ROWS} of each class are needed in each fold to fit and to compare"
            f"{_missing(counts, range(folds), scarce, total)}.",
            hint="lower tune.folds, group by a finer column, or gather more history.",
        )


def _scarcest(
    counts: Mapping[tuple[Any, str], int], parts: Sequence[Any], names: Sequence[str]
) -> str | None:
    """Return, of the classes with too few rows in some part, the one with the fewest, or None."""
    lacking = [
        name for name in names if any(counts.get((own, name), 0) < FEWEST_ROWS for own in parts)
    ]
    totals = {name: sum(counts.get((own, name), 0) for own in parts) for name in lacking}
    return min(totals, key=totals.__getitem__) if totals else None


def _missing(
    counts: Mapping[tuple[Any, str], int], parts: Sequence[Any], scarce: str, total: int
) -> str:
    """Return about how many more rows of a class would fill each part, in words.

    By the share of the class that a part has; where it has none, by the part's share of all rows.
    """
    if total == 0:
        return ""
    every = sum(counts.values())
    needed = total
    for own in parts:
        rows = counts.get((own, scarce), 0)
        if rows < FEWEST_ROWS:
            part_rows = sum(n for (which, _), n in counts.items() if which == own)
            share = max(rows / total, part_rows / every if rows == 0 else 0.0)
            needed = max(needed, math.ceil(FEWEST_ROWS / share) if share > 0 else 0)
    return f"; {needed - total:,} more rows of it, {needed:,} in all, would be about enough"
