"""What one expectation asks of a table, as Columns: Great Expectations' own where it has them.

The library asks the table anew for nearly every metric. What it asks is a Column, though: the
condition under which a row is unexpected, or an aggregate. Here these are sorted by what they cost
a pass over the rows; nothing is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column
from sparkweights.quality.library import OF_SCHEMA, RESULT_FORMAT, gathered, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

# Java's own errors, as that of a broken pattern, arrive without Spark's name.
ENGINE_ERRORS = (PySparkException, Py4JError)
COUNT, KEPT, VALUES = ".unexpected_count", ".filtered_row_count", ".unexpected_values"
ROWS = "table.row_count"
REPEATED = ("column_values.unique", "compound_columns.unique")
# Values out of the table, which are asked for nowhere.
SAMPLES = ("column.distinct_values.not_in_set", "column.distinct_values.missing_from_column")
_PAIR = {"both_values_are_missing": "all", "either_value_is_missing": "any", "neither": "none"}
_MANY = {"all_values_are_missing": "all", "any_value_is_missing": "any", "never": "none"}
# These are about numbers, whatever their kwargs.
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

    columns: tuple[str, ...]
    kept: Column


@dataclass(frozen=True)
class Need:
    """What one expectation needs, and how to get it; every metric goes by the library's id.

    Attributes
    ----------
    native
        The library's expectation.
    judged
        The condition under which a row is unexpected.
    counted
        Other conditions whose rows are counted, as missing values are.
    light
        Aggregates that ride on any pass over the rows.
    heavy
        Aggregates that keep many values, as a median does.
    repeated
        Values that must be unique.
    known
        Values that need no rows.
    rows
        Ids of the number of rows.
    kept
        Id of the number of rows that are not passed over -> id of the number of those that are.
    by_row
        Whether a row by itself is judged, so that it can be set aside.
    """

    native: Any
    judged: dict[Any, Column] = field(default_factory=dict)
    counted: dict[Any, Column] = field(default_factory=dict)
    light: dict[Any, Column] = field(default_factory=dict)
    heavy: dict[Any, Column] = field(default_factory=dict)
    repeated: dict[Any, Repeated] = field(default_factory=dict)
    known: dict[Any, Any] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    kept: dict[Any, Any] = field(default_factory=dict)
    by_row: bool = False

    @property
    def ids(self) -> list[Any]:
        """The ids of every metric that comes from the rows."""
        parts = (self.judged, self.counted, self.light, self.heavy, self.repeated)
        return [id_ for part in parts for id_ in part] + [*self.rows, *self.kept]


def sort_needs(df: DataFrame, engine: Any, natives: Sequence[Any]) -> list[Need | None]:  # noqa: ANN401 (untyped library)
    """Sort what expectations ask for; None for one that the library has to run itself.

    Parameters
    ----------
    df
        The table; its schema is read.
    engine
        The library's, on a table of the same schema.
    """
    asked = [_asked(native, engine) for native in natives]
    wanted = [
        part
        for metrics in asked
        for metric in (metrics or {}).values()
        if (part := gathered(engine, metric.metric_name, metric)) is not None
    ]
    made = resolved(engine, wanted)
    texts = {entry.name for entry in df.schema if isinstance(entry.dataType, T.StringType)}
    numbers = {entry.name for entry in df.schema if isinstance(entry.dataType, T.NumericType)}
    needs = [
        None
        if metrics is None or _casts_text(native, texts, numbers) or _has_broken_pattern(df, native)
        else _sorted(native, metrics, made, engine)
        for native, metrics in zip(natives, asked, strict=True)
    ]
    return _require_rows(df, needs)


def _asked(native: Any, engine: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 (untyped library)
    """Return the metrics that an expectation asks for; None where only its own run can tell."""
    if getattr(native, "row_condition", None):
        return None
    try:
        wanted = native.get_validation_dependencies(
            execution_engine=engine, runtime_configuration={"result_format": RESULT_FORMAT}
        )
    except Exception:  # noqa: BLE001 (an expectation may raise anything; its own run reports it)
        return None
    found: Mapping[str, Any] = wanted.metric_configurations
    return found


def _casts_text(native: Any, texts: set[str], numbers: set[str]) -> bool:  # noqa: ANN401 (untyped library)
    """Whether Spark would cast text to numbers, which stops a pass at the first other text."""
    names = {getattr(native, name, None) for name in ("column", "column_A", "column_B")}
    names |= set(getattr(native, "column_list", None) or ())
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


def _has_broken_pattern(df: DataFrame, native: Any) -> bool:  # noqa: ANN401 (untyped library)
    """Whether Java cannot read a regular expression, which would stop a pass at its first row."""
    one = getattr(native, "regex", None)
    patterns = [*([one] if one else []), *(getattr(native, "regex_list", None) or ())]
    try:
        for pattern in patterns:  # one row, once for a suite
            df.sparkSession.createDataFrame([("",)], "x string").select(
                F.col("x").rlike(str(pattern))
            ).first()
    except ENGINE_ERRORS:
        return True
    return False


def _sorted(
    native: Any,  # noqa: ANN401 (untyped library)
    metrics: Mapping[str, Any],
    made: Mapping[Any, Any],
    engine: Any,  # noqa: ANN401 (as above)
) -> Need | None:
    need = Need(native)
    for metric in metrics.values():
        name = metric.metric_name  # the key may be another
        if _without_columns(need, name, metric):
            continue
        part = gathered(engine, name, metric)
        if part is None or part.id not in made:
            return None
        if name in OF_SCHEMA:
            need.known[metric.id] = made[part.id]
        elif name.endswith(COUNT):
            passed = ignored(native)
            condition = made[part.id][0] if passed is None else made[part.id][0] & ~passed
            own = name.removesuffix(COUNT) == getattr(native, "map_metric", None)
            (need.judged if own else need.counted)[metric.id] = condition
        else:
            (need.heavy if "distinct" in name else need.light)[metric.id] = made[part.id][0]
    return replace(need, by_row=bool(need.judged))


def _without_columns(need: Need, name: str, metric: Any) -> bool:  # noqa: ANN401 (untyped library)
    """Note a metric for which the library has no Column, if there is another way to it."""
    native = need.native
    if name == ROWS:
        need.rows.append(metric.id)
    elif name.endswith(VALUES) or name in SAMPLES:
        need.known[metric.id] = []
    elif name.endswith(KEPT):
        passed = (f"{name} passed over", metric.id)
        need.counted[passed] = _or_never(ignored(native))
        need.kept[metric.id] = passed
    elif name.endswith(COUNT) and name.removesuffix(COUNT) in REPEATED:
        need.repeated[metric.id] = _repeated(native)
    elif name in _LIGHT or name in _HEAVY:
        value, kwargs = column(metric.metric_domain_kwargs["column"]), metric.metric_value_kwargs
        part, own = (need.light, _LIGHT) if name in _LIGHT else (need.heavy, _HEAVY)
        part[metric.id] = own[name](value, kwargs or {})
    else:
        return False
    return True


def _require_rows(df: DataFrame, needs: Sequence[Need | None]) -> list[Need | None]:
    """Leave to the library what a row does not decide: windows over rows cannot be filtered by."""

    def decided(found: Sequence[Need | None]) -> bool:
        conditions = [
            one
            for need in found
            if need is not None
            for one in (*need.judged.values(), *need.counted.values())
        ]
        light = [one for need in found if need is not None for one in need.light.values()]
        try:
            _ = df.filter(reduce(or_, conditions, F.lit(col=False))).schema
            _ = df.agg(F.count(F.lit(1)), *light).schema
        except PySparkException:
            return False
        return True

    if decided(needs):  # one question, where there is nothing to leave
        return list(needs)
    return [need if decided([need]) else None for need in needs]


def _repeated(native: Any) -> Repeated:  # noqa: ANN401 (untyped library)
    if getattr(native, "column_list", None) is not None:
        return Repeated(tuple(native.column_list), ~_or_never(ignored(native)))
    return Repeated((native.column,), column(native.column).isNotNull())


def _or_never(passed: Column | None) -> Column:
    return F.lit(col=False) if passed is None else passed


def ignored(native: Any) -> Column | None:  # noqa: ANN401 (untyped library)
    """Return whether an expectation about several columns passes over a row; None: never."""
    rule = getattr(native, "ignore_row_if", None)
    if rule is None:
        return None
    pair = getattr(native, "column_A", None) is not None
    names = [native.column_A, native.column_B] if pair else list(native.column_list)
    missing = [column(name).isNull() for name in names]
    which = (_PAIR if pair else _MANY)[rule]
    if which == "none":
        return None
    return reduce(or_, missing) if which == "any" else ~reduce(or_, [~one for one in missing])


def _number(value: Column) -> Column:
    """Return a number without NaN, which the library's quantiles pass over."""
    return F.nanvl(value.cast("double"), F.lit(None))


def _share(part: Column, whole: Column) -> Column:
    return F.coalesce(F.try_divide(part, whole), F.lit(0.0))


def _outside(value: Column, kwargs: Mapping[str, Any]) -> Column:
    allowed = kwargs.get("value_set")
    return F.count_distinct(F.when(~value.isin(*allowed), value) if allowed else value)


def _absent(value: Column, kwargs: Mapping[str, Any]) -> Column:
    wanted = kwargs.get("value_set")
    if not wanted:
        return F.lit(0)
    return F.lit(len(wanted)) - F.count_distinct(F.when(value.isin(*wanted), value))


def _histogram(value: Column, kwargs: Mapping[str, Any]) -> Column:
    """Count values by bins; each holds its lower edge, the last one its upper edge too."""
    edges, known = list(kwargs["bins"]), _number(value)
    counts = [
        F.count_if((known >= low) & ((known < high) if i < len(edges) - 2 else (known <= high)))
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    return F.array(*counts)


def _between(value: Column, kwargs: Mapping[str, Any]) -> Column:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    held = value.isNotNull()
    if low is not None:
        held &= (value > low) if kwargs.get("strict_min") else (value >= low)
    if high is not None:
        held &= (value < high) if kwargs.get("strict_max") else (value <= high)
    return F.count_if(held)


# What the library computes with queries of its own, as the aggregates that give the same: those
# that only count, and those that keep many values.
_LIGHT: Mapping[str, Callable[[Column, Mapping[str, Any]], Column]] = {
    "column.histogram": _histogram,
    "column_values.between.count": _between,
    "column_values.nonnull.count": lambda value, _: F.count(value),
}
_HEAVY: Mapping[str, Callable[[Column, Mapping[str, Any]], Column]] = {
    "column.median": lambda value, _: F.coalesce(F.median(_number(value)), F.lit(float("nan"))),
    "column.non_null_proportion": lambda value, _: _share(F.count(value), F.count(F.lit(1))),
    "column.unique_proportion": lambda value, _: _share(F.count_distinct(value), F.count(value)),
    "column.quantile_values": lambda value, kwargs: F.percentile_approx(
        _number(value), list(kwargs["quantiles"]), _EXACT
    ),
    "column.distinct_values.not_in_set.count": _outside,
    "column.distinct_values.missing_from_column.count": _absent,
}
