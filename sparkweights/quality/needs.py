"""The metrics that an expectation needs, as Columns: those of Great Expectations where it has them.

The library runs a query for nearly every metric. Each query consists of a Column: the condition
under which a row is unexpected, or an aggregate. This module sorts these Columns by how they can be
added to a pass over the rows; no row is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.quality.library import (
    OF_SCHEMA,
    RESULT_FORMAT,
    as_column_metric,
    compute_metrics,
    quoted_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.quality.library import MetricId, Native

    Kwargs = Mapping[str, Any]  # of an expectation or a metric, from JSON

UNEXPECTED_ROW_COUNT = "unexpected_rows_query.row_count"
COUNT, KEPT, VALUES = ".unexpected_count", ".filtered_row_count", ".unexpected_values"
ROWS = "table.row_count"
REPEATED = ("column_values.unique", "compound_columns.unique")
# Metrics that return values of the table; they are never computed.
SAMPLES = (
    "unexpected_rows_query.table",
    "column.distinct_values.not_in_set",
    "column.distinct_values.missing_from_column",
)
_PAIR = {"both_values_are_missing": "all", "either_value_is_missing": "any", "neither": "none"}
_MANY = {"all_values_are_missing": "all", "any_value_is_missing": "any", "never": "none"}
# These need numbers, whatever their kwargs.
_OF_NUMBERS = (
    "ExpectColumnKLDivergenceToBeLessThan",
    "ExpectColumnMeanToBeBetween",
    "ExpectColumnMedianToBeBetween",
    "ExpectColumnQuantileValuesToBeBetween",
    "ExpectColumnStdevToBeBetween",
    "ExpectColumnSumToBeBetween",
)
# These have numbers in their kwargs, but count or measure text.
_OF_COUNTS = ("ExpectColumnUnique", "ExpectColumnProportion", "ExpectColumnValueLengths")
_EXACT = 2_147_483_647  # percentile_approx's accuracy at which it errs by no rank


@dataclass(frozen=True)
class Repeated:
    """Values, of the kept rows, that occur more than once; the rows that hold them are counted."""

    columns: tuple[Column, ...]
    kept: Column


@dataclass(frozen=True)
class Need:
    """The metrics that one expectation needs, by the library's id with the scope appended.

    Expectations with different row conditions share the library's ids, so that the scope is needed
    to tell their metrics apart.

    Attributes
    ----------
    native
        The library's expectation.
    scope
        The row condition as text; empty without one.
    condition
        The rows that the expectation is about; None without a row condition.
    unexpected
        The condition under which a row is unexpected.
    counts
        Other conditions whose rows are counted, as missing values are.
    light
        Aggregates that any pass over the rows can include.
    heavy
        Aggregates that keep many values, as a median does.
    repeated
        Values that must be unique.
    known
        Values that need no rows; their ids have no scope.
    rows
        Ids of the number of rows.
    kept
        Id of the number of rows that are not ignored -> id of the number of those that are.
    by_row
        Whether the verdict is by row, so that a failing row can be quarantined.
    """

    native: Native
    scope: str = ""
    condition: Column | None = None
    unexpected: dict[MetricId, Column] = field(default_factory=dict)
    counts: dict[MetricId, Column] = field(default_factory=dict)
    light: dict[MetricId, Column] = field(default_factory=dict)
    heavy: dict[MetricId, Column] = field(default_factory=dict)
    repeated: dict[MetricId, Repeated] = field(default_factory=dict)
    known: dict[MetricId, object] = field(default_factory=dict)
    rows: list[MetricId] = field(default_factory=list)
    kept: dict[MetricId, MetricId] = field(default_factory=dict)
    by_row: bool = False

    @property
    def ids(self) -> list[MetricId]:
        """The ids of every metric that comes from the rows."""
        parts = (self.unexpected, self.counts, self.light, self.heavy, self.repeated)
        return [id_ for part in parts for id_ in part] + [*self.rows, *self.kept]

    def scoped(self, id_: MetricId) -> MetricId:
        """Return a metric's id with the scope of this expectation."""
        return (*id_, self.scope)

    def count_rows(self, rows: int, metrics: Mapping[MetricId, object]) -> object:
        """Return the number of rows that the expectation is about, from the values of metrics."""
        if self.condition is None:
            return rows
        return next((metrics[id_] for id_ in self.counts if id_[0] == ROWS), rows)

    def within(self, condition: Column) -> Column:
        """Return a condition on the rows that the expectation is about."""
        return condition if self.condition is None else self.condition & condition


@dataclass(frozen=True)
class Request:
    """An expectation of the library, and what the suite states beside it.

    Attributes
    ----------
    native
        The library's expectation, without its row condition.
    scope, condition
        The row condition, as text and as a Column; empty and None without one.
    unexpected_rows
        The condition under which a row is unexpected, where the suite states it as SQL.
    """

    native: Native
    scope: str = ""
    condition: Column | None = None
    unexpected_rows: Column | None = None


def sort_needs(df: DataFrame, engine: Native, requests: Sequence[Request]) -> list[Need | None]:
    """Return what each expectation needs; None for one that the library has to run itself.

    Parameters
    ----------
    df
        The table; its schema is read.
    engine
        The library's execution engine, on a table of the same schema.
    """
    asked = [_asked(request.native, engine) for request in requests]
    columns = [
        part
        for metrics in asked
        for metric in (metrics or {}).values()
        if (part := as_column_metric(engine, metric.metric_name, metric)) is not None
    ]
    values = compute_metrics(engine, columns)
    quoted = quoted_names(df.columns)
    types = {quoted.get(entry.name, entry.name): entry.dataType for entry in df.schema}
    texts = {name for name, data_type in types.items() if isinstance(data_type, T.StringType)}
    numbers = {name for name, data_type in types.items() if isinstance(data_type, T.NumericType)}
    needs = [
        None
        if metrics is None
        or _casts_text(request.native, texts, numbers)
        or _has_broken_pattern(df, request.native)
        else _sorted(request, metrics, values, engine)
        for request, metrics in zip(requests, asked, strict=True)
    ]
    return _require_rows(df, needs)


def _asked(native: Native, engine: Native) -> Mapping[str, Native] | None:
    """Return the metrics that an expectation asks for; None where the library must run it."""
    if any("`" in name.strip("`") for name in columns_of(native)):
        return None  # the library quotes such a name wrongly, and puts it into SQL
    try:
        dependencies = native.get_validation_dependencies(
            execution_engine=engine, runtime_configuration={"result_format": RESULT_FORMAT}
        )
    except Exception:  # noqa: BLE001 (an expectation may raise anything; its own run reports it)
        return None
    metrics: Mapping[str, Native] = dependencies.metric_configurations
    return metrics


def columns_of(native: Native) -> list[str]:
    """Return the columns that an expectation reads, as it names them."""
    single = [getattr(native, name, None) for name in ("column", "column_A", "column_B")]
    return [name for name in single if name] + list(getattr(native, "column_list", None) or ())


def _casts_text(native: Native, texts: set[str], numbers: set[str]) -> bool:
    """Whether Spark would cast text to numbers, which fails at the first text that is no number."""
    names = set(columns_of(native))
    bounds = [getattr(native, name, None) for name in ("min_value", "max_value", "sum_total")]
    allowed = [*bounds, *(getattr(native, "value_set", None) or ())]
    words = (value for value in allowed if isinstance(value, str) and not _is_number(value))
    if numbers & names and any(words):
        return True
    if not texts & names:
        return False
    kind = type(native).__name__
    if kind in _OF_NUMBERS or kind.startswith(_OF_COUNTS):
        return kind in _OF_NUMBERS
    return any(isinstance(value, (int, float)) for value in allowed)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _has_broken_pattern(df: DataFrame, native: Native) -> bool:
    """Whether Java cannot parse a regular expression, which would fail at the first row."""
    regex = getattr(native, "regex", None)
    patterns = [*([regex] if regex else []), *(getattr(native, "regex_list", None) or ())]
    try:
        for pattern in patterns:  # a query of one row, once per suite
            df.sparkSession.createDataFrame([("",)], "x string").select(
                F.col("x").rlike(str(pattern))
            ).first()
    except SPARK_ERRORS:
        return True
    return False


def _sorted(
    request: Request,
    metrics: Mapping[str, Native],
    values: Mapping[MetricId, Native],
    engine: Native,
) -> Need | None:
    native = request.native
    need = Need(native, request.scope, request.condition)
    for metric in metrics.values():
        name = metric.metric_name  # the key of the mapping may differ
        if name.endswith(UNEXPECTED_ROW_COUNT) and request.unexpected_rows is not None:
            need.unexpected[need.scoped(metric.id)] = need.within(request.unexpected_rows)
            continue
        if _without_columns(need, name, metric):
            continue
        part = as_column_metric(engine, name, metric)
        if part is None or part.id not in values:
            return None
        if name in OF_SCHEMA:
            need.known[metric.id] = values[part.id]
        elif name.endswith(COUNT):
            skipped = ignored(native)
            condition = values[part.id][0] if skipped is None else values[part.id][0] & ~skipped
            is_native_metric = name.removesuffix(COUNT) == getattr(native, "map_metric", None)
            conditions = need.unexpected if is_native_metric else need.counts
            conditions[need.scoped(metric.id)] = need.within(condition)
        else:
            aggregates = need.heavy if "distinct" in name else need.light
            aggregates[need.scoped(metric.id)] = values[part.id][0]
    return replace(need, by_row=bool(need.unexpected))


def _without_columns(need: Need, name: str, metric: Native) -> bool:
    """Add a metric for which the library has no Column, if this module can compute it."""
    native, id_ = need.native, need.scoped(metric.id)
    if name == ROWS and need.condition is not None:
        need.counts[id_] = need.condition
    elif name == ROWS:
        need.rows.append(id_)
    elif name.endswith(VALUES) or name in SAMPLES:
        need.known[metric.id] = []
    elif name.endswith(KEPT) and need.condition is not None:
        need.counts[id_] = need.condition & ~_or_never(ignored(native))
    elif name.endswith(KEPT):
        skipped = (f"{name} ignored", metric.id, need.scope)
        need.counts[skipped] = _or_never(ignored(native))
        need.kept[id_] = skipped
    elif name.endswith(COUNT) and name.removesuffix(COUNT) in REPEATED:
        need.repeated[id_] = _repeated(need)
    elif name in _LIGHT or name in _HEAVY:
        value, kwargs = F.col(metric.metric_domain_kwargs["column"]), metric.metric_value_kwargs
        part, builders = (need.light, _LIGHT) if name in _LIGHT else (need.heavy, _HEAVY)
        part[id_] = builders[name](value, kwargs or {})
    else:
        return False
    return True


def _require_rows(df: DataFrame, needs: Sequence[Need | None]) -> list[Need | None]:
    """Return needs, with None for one whose conditions contain window functions."""

    def is_by_row(candidates: Sequence[Need | None]) -> bool:
        conditions = [
            condition
            for need in candidates
            if need is not None
            for condition in (*need.unexpected.values(), *need.counts.values())
        ]
        light = [value for need in candidates if need is not None for value in need.light.values()]
        try:
            _ = df.filter(reduce(or_, conditions, F.lit(col=False))).schema
            _ = df.agg(F.count(F.lit(1)), *light).schema
        except PySparkException:
            return False
        return True

    if is_by_row(needs):  # one analysis for all, in the usual case
        return list(needs)
    return [need if is_by_row([need]) else None for need in needs]


def _repeated(need: Need) -> Repeated:
    native = need.native
    columns = tuple(map(F.col, columns_of(native)))
    if getattr(native, "column_list", None) is not None:
        return Repeated(columns, need.within(~_or_never(ignored(native))))
    return Repeated(columns, need.within(columns[0].isNotNull()))


def _or_never(condition: Column | None) -> Column:
    return F.lit(col=False) if condition is None else condition


def ignored(native: Native) -> Column | None:
    """Return when an expectation about several columns ignores a row; None where it never does."""
    rule = getattr(native, "ignore_row_if", None)
    if rule is None:
        return None
    pair = getattr(native, "column_A", None) is not None
    missing = [F.col(name).isNull() for name in columns_of(native)]
    which = (_PAIR if pair else _MANY)[rule]
    if which == "none":
        return None
    return (
        reduce(or_, missing)
        if which == "any"
        else ~reduce(or_, [~is_missing for is_missing in missing])
    )


def _number(value: Column) -> Column:
    """Return a number, null where it is NaN: the library's quantiles ignore NaN."""
    return F.nanvl(value.cast("double"), F.lit(None))


def _share(part: Column, whole: Column) -> Column:
    return F.coalesce(F.try_divide(part, whole), F.lit(0.0))


def _outside(value: Column, kwargs: Kwargs) -> Column:
    allowed = kwargs.get("value_set")
    return F.count_distinct(F.when(~value.isin(*allowed), value) if allowed else value)


def _absent(value: Column, kwargs: Kwargs) -> Column:
    allowed = kwargs.get("value_set")
    if not allowed:
        return F.lit(0)
    return F.lit(len(allowed)) - F.count_distinct(F.when(value.isin(*allowed), value))


def _histogram(value: Column, kwargs: Kwargs) -> Column:
    """Count values by bins; each holds its lower edge, the last one its upper edge too."""
    edges, known = list(kwargs["bins"]), _number(value)
    counts = [
        F.count_if((known >= low) & ((known < high) if i < len(edges) - 2 else (known <= high)))
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    return F.array(*counts)


def _between(value: Column, kwargs: Kwargs) -> Column:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    inside = value.isNotNull()
    if low is not None:
        inside &= (value > low) if kwargs.get("strict_min") else (value >= low)
    if high is not None:
        inside &= (value < high) if kwargs.get("strict_max") else (value <= high)
    return F.count_if(inside)


# Metrics that the library computes by separate queries, as equivalent aggregates: those that only
# count, and those that keep many values.
_LIGHT: Mapping[str, Callable[[Column, Kwargs], Column]] = {
    "column.histogram": _histogram,
    "column_values.between.count": _between,
    "column_values.nonnull.count": lambda value, _: F.count(value),
}
_HEAVY: Mapping[str, Callable[[Column, Kwargs], Column]] = {
    "column.median": lambda value, _: F.coalesce(F.median(_number(value)), F.lit(float("nan"))),
    "column.non_null_proportion": lambda value, _: _share(F.count(value), F.count(F.lit(1))),
    "column.unique_proportion": lambda value, _: _share(F.count_distinct(value), F.count(value)),
    "column.quantile_values": lambda value, kwargs: F.percentile_approx(
        _number(value), list(kwargs["quantiles"]), _EXACT
    ),
    "column.distinct_values.not_in_set.count": _outside,
    "column.distinct_values.missing_from_column.count": _absent,
}
