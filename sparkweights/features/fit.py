"""Fit a feature plan on the fit rows: one aggregation, and one more for target encodings."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, number, sample_weight, text, unless_nan
from sparkweights.core.errors import ConfigError, InputError, join_names
from sparkweights.core.spark_releases import collect_commonest
from sparkweights.features.encoders import (
    BinnedFeature,
    ByTarget,
    CategoricalFeature,
    Encoder,
    NumericBlock,
    NumericFeature,
    OrderedFeature,
    TargetFeature,
    is_infinite,
)
from sparkweights.features.missing import MissingCounts
from sparkweights.features.plan import FeaturePlan, fold_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.core.spark_releases import Counts

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

NUMERIC = ("auto", "plain", "quantile", "binned")
CATEGORICAL = ("onehot", "ordered", "target")
STEPS = 32  # of the quantile transform; even, so that one of them is the median
BIN_STEPS = 2  # steps to a bin of the binned encoding
HEAVY_TAIL = 8.0  # range over the middle 80 %: a normal column has 3, an exponential one 5
MEDIAN_ACCURACY = 10_000  # Spark's default: rank error at most rows / 10,000
MAX_LEVELS = 100  # of a category; rarer ones share the feature of other values
MAX_TARGET_LEVELS = 1_000  # where a level is one number, not one position
WIDE = 200  # more numeric columns than this are learned and encoded as one array
FOLDS = 5
_SET = "__set"
SHRINKAGE = 20.0  # rows at the prior that every level is given


def learn_features(
    fit_df: DataFrame,
    roles: ColumnRoles,
    numeric: str = "plain",
    categorical: str = "onehot",
    *,
    order: Column | None = None,
    impute: bool = True,
) -> FeaturePlan:
    """Learn medians, quantiles, levels and, for target encodings, the outcomes of each level.

    One Spark job over the fit rows; one more for the encodings that use outcomes.

    Parameters
    ----------
    numeric
        ``plain``; ``quantile``, normal scores of the quantiles; ``binned``, log odds of the class
        by range; ``auto``, quantile where a column's tails are heavy, for learners that are linear
        in their features. More than `WIDE` columns are always plain.
    categorical
        ``onehot``; ``ordered``, one code per level; ``target``, log odds of the class by level.
    order
        A number in [0, 1) per row that assigns rows to folds; needed by ``binned`` and ``target``.
    impute
        Whether a missing number becomes the median, with a flag beside it; else it stays NaN, for
        learners that split on missing values themselves; a column that was complete on the fit
        rows is imputed either way, and ``binned`` has a range for missing values.

    Raises
    ------
    InputError
        If a feature has no value on any fit row, or an infinite one.
    ConfigError
        If too many columns are to be scored or binned.
    """
    wide = len(roles.numeric) > WIDE
    if wide and numeric in {"quantile", "binned"}:
        raise ConfigError(
            f"features.numeric: {numeric!r} for {len(roles.numeric):,} columns; more than {WIDE} "
            "are learned plain.",
            hint="leave features.numeric out, or name fewer columns.",
        )
    row, numbers, commonest = _collect_statistics(fit_df, roles, categorical, wide=wide)
    levels = [_levels(counts) for counts in commonest]
    _require_usable(row, roles, numbers, levels)
    encoders: list[Encoder] = []
    if wide:
        encoders.append(_block(roles.numeric, row, numbers))
    else:
        encoders += [
            _numeric(name, row, numbers[i], numeric, roles) for i, name in enumerate(roles.numeric)
        ]
    if not impute:
        encoders = [_without_median(encoder) for encoder in encoders]
    encoders += [
        _categorical(name, found, categorical, roles)
        for name, found in zip(roles.categorical, levels, strict=True)
    ]
    plan = FeaturePlan(tuple(encoders), missing=_missing(row, numbers, commonest, roles))
    if not plan.looks_at_outcomes:
        return plan
    if order is None:
        raise ConfigError(
            f"Features are encoded as {numeric} and {categorical} without an order of rows; "
            "encodings by outcome need one.",
            hint="pass order, a number in [0, 1) per row.",
        )
    return learn_outcomes(fit_df, roles, plan, order, [F.lit(col=True)])[0]


class _Statistics:
    """The statistics of one numeric column."""

    def __init__(self, quantiles: Sequence[float] | None, present: int, infinite: int) -> None:
        self.quantiles = [float(value) for value in quantiles or ()]
        self.present, self.infinite = present, infinite

    @property
    def median(self) -> float:
        return self.quantiles[STEPS // 2]


def _number_measures(value: Column, raw: Column, suffix: str = "") -> list[Column]:
    steps = F.array(*[F.lit(step / STEPS) for step in range(STEPS + 1)])
    return [
        F.percentile_approx(value, steps, MEDIAN_ACCURACY).alias(f"quantiles{suffix}"),
        F.count(value).alias(f"present{suffix}"),
        F.count_if(is_infinite(raw)).alias(f"infinite{suffix}"),
    ]


def _collect_statistics(
    fit_df: DataFrame, roles: ColumnRoles, categorical: str, *, wide: bool
) -> tuple[Row, list[_Statistics], list[Counts]]:
    measures = [F.count(F.lit(1)).alias("rows")]
    for i, name in enumerate(() if wide else roles.numeric):
        measures += _number_measures(number(name), column(name), f"_{i}")
    most = MAX_TARGET_LEVELS if categorical == "target" else MAX_LEVELS
    texts = [text(name) for name in roles.categorical]
    measures += [F.count(value).alias(f"known_{i}") for i, value in enumerate(texts)]
    # Null counts as a value, so there is one value more than levels.
    row, commonest = collect_commonest(fit_df, texts, most + 1, 10 * most, measures)
    if wide:
        return row, _collect_wide(fit_df, roles.numeric), commonest
    numbers = [
        _Statistics(row[f"quantiles_{i}"], row[f"present_{i}"], row[f"infinite_{i}"])
        for i in range(len(roles.numeric))
    ]
    return row, numbers, commonest


def _collect_wide(fit_df: DataFrame, names: Sequence[str]) -> list[_Statistics]:
    """Aggregate many columns as rows of one column, so that the query stays small."""
    raws = F.array(*[column(name).cast("double") for name in names])
    long_df = fit_df.select(F.posexplode(raws).alias("at", "raw"))
    raw = F.col("raw")
    value = unless_nan(raw)
    column_rows = long_df.groupBy("at").agg(*_number_measures(value, raw)).collect()
    by_position = {row["at"]: row for row in column_rows}
    if not by_position:
        return [_Statistics(None, 0, 0) for _ in names]
    rows = (by_position[at] for at in range(len(names)))
    return [_Statistics(row["quantiles"], row["present"], row["infinite"]) for row in rows]


def _missing(
    row: Row, numbers: Sequence[_Statistics], commonest: Sequence[Counts], roles: ColumnRoles
) -> MissingCounts:
    """Count missing values, and values of categories that are too rare to be levels."""
    rows: int = row["rows"]
    pairs = zip(roles.numeric, numbers, strict=True)
    missing = {name: rows - summary.present for name, summary in pairs}
    unseen = {}
    for i, (name, counts) in enumerate(zip(roles.categorical, commonest, strict=True)):
        known: int = row[f"known_{i}"]
        missing[name] = rows - known
        # The counts are exact until a column has ten times as many categories.
        kept = sum(count for level, count in counts.items() if level is not None)
        unseen[name] = max(0, known - kept)
    return MissingCounts(rows, missing, unseen)


def _require_usable(
    row: Row, roles: ColumnRoles, numbers: Sequence[_Statistics], levels: Sequence[Sequence[str]]
) -> None:
    """Refuse columns that are infinite on a row, or without a value on all; all are named."""
    by_name = dict(zip(roles.numeric, numbers, strict=True))
    infinite = {name: summary.infinite for name, summary in by_name.items() if summary.infinite}
    if infinite:
        rows = join_names(infinite.values())
        raise InputError(
            f"{_feature_columns(infinite)} infinite on {rows} of {row['rows']} fit rows; numbers "
            "must be finite (null and NaN stand for missing).",
            hint="find the division by zero that made them; write null instead.",
        )
    empty = [name for name, summary in by_name.items() if not summary.present]
    empty += [name for name, found in zip(roles.categorical, levels, strict=True) if not found]
    if empty:
        raise InputError(
            f"{_feature_columns(empty)} null or NaN on all {row['rows']} fit rows.",
            hint="remove what is named from columns.numeric and columns.categorical, or repair the "
            "job that fills it.",
        )


def _feature_columns(names: Collection[str]) -> str:
    listed = join_names(f"'{name}'" for name in names)
    return f"Feature column {listed} is" if len(names) == 1 else f"Feature columns {listed} are"


def _block(names: Sequence[str], row: Row, numbers: Sequence[_Statistics]) -> NumericBlock:
    missing = [
        name for name, summary in zip(names, numbers, strict=True) if summary.present < row["rows"]
    ]
    return NumericBlock(tuple(names), tuple(summary.median for summary in numbers), tuple(missing))


def _numeric(
    name: str, row: Row, summary: _Statistics, encoding: str, roles: ColumnRoles
) -> Encoder:
    if encoding == "binned":
        edges = sorted(set(summary.quantiles[BIN_STEPS:-1:BIN_STEPS]))
        return BinnedFeature(name, (), roles.class_names[1:], tuple(edges))
    scored = encoding == "quantile" or (encoding == "auto" and _heavy_tailed(summary.quantiles))
    knots = normal_scores(summary.quantiles) if scored else ()
    return NumericFeature(name, summary.median, summary.present < row["rows"], knots)


def _without_median(encoder: Encoder) -> Encoder:
    """Return an encoder that leaves missing numbers NaN, where some were missing on fit rows.

    Where none was missing, no split has learned the branch of missing values, and the median is
    the better replacement.
    """
    if isinstance(encoder, NumericFeature) and encoder.flag_missing:
        return replace(encoder, median=None, flag_missing=False)
    if isinstance(encoder, NumericBlock):
        stated = zip(encoder.names, encoder.medians, strict=True)
        medians = tuple(None if name in encoder.flagged else median for name, median in stated)
        return replace(encoder, medians=medians, flagged=())
    return encoder


def _heavy_tailed(quantiles: Sequence[float]) -> bool:
    low, high = quantiles[STEPS // 10], quantiles[-1 - STEPS // 10]
    return quantiles[-1] - quantiles[0] > HEAVY_TAIL * (high - low)


def normal_scores(quantiles: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return (value, normal score) at each distinct quantile of a column.

    A value that several quantiles share, as zeros do, has the score of their mean rank. Ranks are
    kept half a step from 0 and 1.

    Examples
    --------
    >>> [round(score, 2) for _, score in normal_scores([0.0, 0.0, 0.0, 1.0, 9.0])]
    [-0.67, 0.67, 1.15]
    """
    last = len(quantiles) - 1
    by_value: dict[float, list[int]] = {}
    for rank, value in enumerate(quantiles):
        by_value.setdefault(value, []).append(rank)
    normal, edge = NormalDist(), 0.5 / last
    knots = [
        (value, normal.inv_cdf(min(max(sum(ranks) / len(ranks) / last, edge), 1 - edge)))
        for value, ranks in by_value.items()
    ]
    return tuple(knots) if len(knots) > 1 else ()


def _levels(counts: Counts) -> tuple[str, ...]:
    """Return the levels of a categorical column, in order."""
    return tuple(sorted(level for level in counts if level is not None))


def _categorical(name: str, levels: tuple[str, ...], encoding: str, roles: ColumnRoles) -> Encoder:
    if encoding == "target":
        return TargetFeature(name, (), roles.class_names[1:], levels)
    return (
        OrderedFeature(name, levels) if encoding == "ordered" else CategoricalFeature(name, levels)
    )


def learn_outcomes(
    df: DataFrame, roles: ColumnRoles, plan: FeaturePlan, order: Column, learns: Sequence[Column]
) -> list[FeaturePlan]:
    """Learn the outcomes of each level, once for each set of rows, in one Spark job.

    Parameters
    ----------
    plan
        Its encoders' levels and ranges are kept; their tables are learned.
    order
        A number in [0, 1) per row that assigns rows to folds: each returned plan holds a plan per
        fold that was not fitted on the fold's outcomes.
    learns
        Whether a row is in the set, per set; null is no.
    """
    target_encoders = [encoder for encoder in plan.encoders if isinstance(encoder, ByTarget)]
    weight = sample_weight(roles)
    levels = F.posexplode(F.array(*[encoder.level() for encoder in target_encoders])).alias(
        "at", "level"
    )
    keys = [fold_of(order, FOLDS).alias("fold"), class_index(roles).alias("class")]
    sets = F.array_compact(
        F.array(*[F.when(learned, F.lit(k)) for k, learned in enumerate(learns)])
    )
    of_set_df = df.select("*", F.explode(sets).alias(_SET))
    long_df = of_set_df.select(_SET, *keys, weight.alias("weight"), levels)
    cell_rows = (
        long_df.groupBy(_SET, "at", "level", "fold", "class")
        .agg(F.sum("weight").alias("sum"))
        .collect()
    )
    classes = len(roles.class_names)
    counts = [
        {at: np.zeros((FOLDS, encoder.size, classes)) for at, encoder in enumerate(target_encoders)}
        for _ in learns
    ]
    for row in cell_rows:
        counts[row[_SET]][row["at"]][row["fold"], row["level"], row["class"]] += row["sum"]
    return [_with_folds(plan, learned) for learned in counts]


def _with_folds(plan: FeaturePlan, counts: Mapping[int, Array]) -> FeaturePlan:
    """Fill the tables from all rows, and in a plan per fold from those outside it."""
    whole = {at: table.sum(axis=0) for at, table in counts.items()}
    folds = [
        _fill(plan, {at: whole[at] - table[fold] for at, table in counts.items()})
        for fold in range(FOLDS)
    ]
    return replace(_fill(plan, whole), folds=tuple(folds))


def _fill(plan: FeaturePlan, counts: Mapping[int, Array]) -> FeaturePlan:
    positions = iter(range(len(counts)))
    encoders = tuple(
        replace(encoder, table=log_odds(counts[next(positions)]))
        if isinstance(encoder, ByTarget)
        else encoder
        for encoder in plan.encoders
    )
    return FeaturePlan(encoders, missing=plan.missing)


def log_odds(counts: Array) -> tuple[tuple[float, ...], ...]:
    """Return the log odds of each class but the first, per level, shrunk to the prior.

    p = (n_c + m pi_c) / (n + m) with m = `SHRINKAGE` (Micci-Barreca 2001); a level without rows
    has the prior's log odds.

    Parameters
    ----------
    counts
        ``[level, class]``: weights of the rows; a weight of 2 is a row twice.
    """
    prior = counts.sum(axis=0) / (counts.sum() or 1.0)
    prior = np.clip(prior, 1e-9, 1 - 1e-9)
    shares = (counts + SHRINKAGE * prior) / (counts.sum(axis=1, keepdims=True) + SHRINKAGE)
    return tuple(
        tuple(math.log(share / (1 - share)) for share in level[1:]) for level in shares.tolist()
    )
