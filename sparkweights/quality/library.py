"""Great Expectations itself: its expectations, its batch of a DataFrame, its own run, its results.

Sample values are never requested, so that none can reach a log or a file.
"""

from __future__ import annotations

import logging
import math
import os
import re
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sparkweights.core.columns import column
from sparkweights.core.errors import ConfigError, did_you_mean, without_values
from sparkweights.core.extras import CHECKS
from sparkweights.core.roles import quoted
from sparkweights.quality.entries import UNEXPECTED_ROWS
from sparkweights.quality.suite import CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    MetricId = tuple[object, ...]  # the key of a metric in the library

Native = Any  # an object of Great Expectations, which has no type annotations
# BASIC adds counts to the verdict; a partial_unexpected_count of 0 keeps sample values out.
OF_SCHEMA = ("table.columns", "table.column_types", "table.column_count")  # they read no row
# Kwargs that name columns. Spark reads a dot as access to a field; the library puts some into SQL.
_COLUMNS = ("column", "column_A", "column_B", "column_list", "column_set")
_SAME_NAMES: Mapping[str, str] = MappingProxyType({})
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?)?")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}


def open_batch(gx: Native, df: DataFrame, table: str) -> Native:
    """Return Great Expectations' batch of a table, loaded into its engine; no row is read."""
    batch = _whole(context_of(gx), table).get_batch(batch_parameters={"dataframe": df})
    batch.data.execution_engine.batch_manager.load_batch_list(batch_list=[batch])
    return batch


def run_natively(
    gx: Native, batch: Native, expectations: Sequence[Native], name: str
) -> list[Native]:
    """Run expectations with the library's own validator, which reads the table several times.

    Raises
    ------
    ConfigError
        If the library refuses an expectation's kwargs.
    """
    suite = native_suite(gx, expectations, name)
    try:
        return list(batch.validate(suite, result_format=RESULT_FORMAT).results)
    except (ValueError, TypeError, LookupError) as error:
        if len(expectations) > 1:  # run separately, to name the one that fails
            return [
                result
                for native in expectations
                for result in run_natively(gx, batch, [native], name)
            ]
        (native,) = expectations
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"Expectation '{native.expectation_type}' ({native.meta['sparkweights_id']}) cannot "
            f"be run: {reason}.",
            hint="correct its kwargs in the suite.",
        ) from None


def as_column_metric(engine: Native, name: str, metric: Native) -> Native | None:
    """Return the metric that gives the Column of a metric of rows.

    None where there is none, or where its condition depends on other rows.
    """
    from great_expectations.core.metric_function_types import (
        MetricPartialFunctionTypes as Kinds,
    )
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.registry import get_metric_provider
    from great_expectations.validator.metric_configuration import (
        MetricConfiguration,
    )

    if name in OF_SCHEMA:
        return metric
    count = name.endswith(".unexpected_count")
    source_metric = (
        f"{name.removesuffix('.unexpected_count')}.{'condition' if count else 'aggregate_fn'}"
    )
    try:
        _, function = get_metric_provider(source_metric, engine)
    except (GreatExpectationsError, KeyError):
        return None
    kind = Kinds.MAP_CONDITION_FN if count else Kinds.AGGREGATE_FN
    if getattr(function, "metric_fn_type", None) != kind:
        return None
    part = MetricConfiguration(
        metric_name=source_metric,
        metric_domain_kwargs=metric.metric_domain_kwargs,
        metric_value_kwargs=metric.metric_value_kwargs,
    )
    return None if _reads_rows(engine, part) else part


def _reads_rows(engine: Native, metric: Native) -> bool:
    """Whether a metric's Column depends on other rows, as a z-score does on the mean."""
    from great_expectations.expectations.registry import get_metric_provider

    provider, _ = get_metric_provider(metric.metric_name, engine)
    needs = provider.get_evaluation_dependencies(metric=metric, execution_engine=engine)
    for name, needed in needs.items():
        if name in OF_SCHEMA or name.startswith("table.row_count"):
            continue  # every metric of rows depends on their number, which its Column does not use
        if not name.endswith((".map", ".condition", ".aggregate_fn")):
            return True
        if _reads_rows(engine, needed):
            return True
    return False


def compute_metrics(engine: Native, metrics: Sequence[Native]) -> dict[MetricId, Native]:
    """Return the values of metrics by id; those that fail are left out."""
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    calculator = MetricsCalculator(execution_engine=engine, show_progress_bars=False)
    values, _ = calculator.compute_metrics(metric_configurations=list(metrics))
    return dict(values)


def evaluate(native: Native, metrics: Mapping[MetricId, object], engine: Native) -> Native | None:
    """Return the library's result for an expectation whose metrics are known; None if it raises."""
    try:
        return native.metrics_validate(
            dict(metrics),
            runtime_configuration={"result_format": RESULT_FORMAT},
            execution_engine=engine,
        )
    except Exception:  # noqa: BLE001 (an expectation may raise anything; its own run reports it)
        return None


def native_suite(gx: Native, expectations: Sequence[Native], name: str) -> Native:
    """Return the library's suite of these expectations."""
    native = gx.ExpectationSuite(name=name)
    native.expectations = list(expectations)
    return native


def _whole(context: Native, table: str) -> Native:
    source = context.data_sources.add_spark("tables", persist=False)
    return source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("whole")


@contextmanager
def quiet_library() -> Iterator[Native]:
    """Import the library where it is needed (it takes seconds), offline and without its logs.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    CHECKS.require("An expectation suite needs", "leave the suites out of the configuration")
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    # A failing metric is logged with its traceback; the result has its error message.
    logger = logging.getLogger("great_expectations")
    level, logger.level = logger.level, logging.CRITICAL
    try:
        yield gx
    finally:
        logger.level = level


def context_of(gx: Native) -> Native:
    """Return a context of the library that writes nothing."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    # The default would leave a temporary folder behind on every run.
    in_memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(
        mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=in_memory)
    )
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def expectation(
    gx: Native, entry: Mapping[str, Any], names: Mapping[str, str] = _SAME_NAMES
) -> Native:
    """Return the library's expectation for an entry of a suite, without its ``row_condition``.

    Parameters
    ----------
    names
        Column -> its name in the library's batch, where that differs.

    Raises
    ------
    ConfigError
        If the library knows none of this type, or its kwargs are wrong.
    """
    kwargs = {
        key: _renamed(value, names) if key in _COLUMNS else value
        for key, value in entry["kwargs"].items()
        if key not in {"row_condition", "condition_parser"}
    }
    meta = {
        **(entry.get("meta") or {}),
        "sparkweights_id": entry["id"],
        "sparkweights_column": entry["kwargs"].get("column"),
    }
    known = known_types(gx)
    if entry["type"] not in known:
        raise ConfigError(
            f"Unknown expectation type '{entry['type']}' in the suite.",
            hint=did_you_mean(entry["type"], known) or "see Great Expectations' gallery.",
        )
    from great_expectations.exceptions import (
        GreatExpectationsError,
    )

    try:
        return known[entry["type"]](**kwargs, severity=entry["severity"], meta=meta)
    except (ValueError, TypeError, OverflowError, GreatExpectationsError) as error:
        lines = str(error).splitlines()
        problems = "; ".join(line.strip() for line in lines[1:] or lines)
        raise ConfigError(
            f"Expectation '{entry['type']}' ({entry['id']}) has wrong kwargs: {problems}.",
            hint="correct the kwargs in the suite.",
        ) from None


def known_types(gx: Native) -> dict[str, Native]:
    """Return the library's types of expectations by name."""
    return {
        kind.expectation_type: kind
        for name, kind in vars(gx.expectations).items()
        if name.startswith(("Expect", "UnexpectedRows")) and name != "Expectation"
    }


def _renamed(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    return names.get(value, value) if isinstance(value, str) else value


def quoted_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names that `pyspark.sql.functions.col` takes, where they differ from the column's.

    With a dot in a name, the library itself expects its quoted form.
    """
    return {name: quoted(name) for name in names if "." in name or "`" in name}


def with_plain_names(df: DataFrame) -> tuple[DataFrame, dict[str, str]]:
    """Return a table for the library's own run, and its columns' new names where they differ.

    The library puts names into SQL in some places, so that a column's name could be run as SQL.
    """
    taken = {name.casefold() for name in df.columns}
    free = (name for i in count() if (name := f"column_{i}") not in taken)
    names = {name: next(free) for name in df.columns if not _PLAIN_NAME.fullmatch(name)}
    if not names:
        return df, names
    return df.select(*[column(name).alias(names.get(name, name)) for name in df.columns]), names


def failed_with(native: Native, message: str) -> Native:
    """Return the library's result for an expectation that could not be evaluated."""
    from great_expectations.core import ExpectationValidationResult

    info = {"raised_exception": True, "exception_traceback": None, "exception_message": message}
    return ExpectationValidationResult(
        success=False, expectation_config=native.configuration, result={}, exception_info=info
    )


def result_of(outcome: Native) -> CheckResult:
    """Return a result of the library as a `CheckResult`."""
    config = outcome.expectation_config
    result = outcome.result or {}
    observed, unexpected = result.get("observed_value"), result.get("unexpected_count")
    if config.type == UNEXPECTED_ROWS:  # what it observes is the number of rows that fail
        observed, unexpected = None, observed
    return CheckResult(
        id=config.meta["sparkweights_id"],
        type=config.type,
        column=config.meta["sparkweights_column"],
        severity=str(getattr(config.severity, "value", config.severity) or "critical"),
        success=bool(outcome.success),
        elements=result.get("element_count"),
        unexpected=unexpected,
        observed=_observed(observed),
        error=_error(outcome.exception_info or {}),
    )


def _observed(value: object) -> float | str | None:
    """Return an observed number, or a date or time as text; any other text may be a row's value."""
    match value:
        case bool():
            return None
        case int() | float() | Decimal() if math.isfinite(value):  # JSON has no NaN
            return float(value) if isinstance(value, Decimal) else value
        case date():  # a datetime is one as well
            return value.isoformat()
        case str() if _DATE.fullmatch(value):  # of the library's own run
            return value
        case _:
            return None


def _error(info: Mapping[str, object]) -> str | None:
    """Return the first line of an evaluation error: later lines of Spark's may quote values."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            message = str(entry.get("exception_message") or "unknown error").strip().splitlines()[0]
            return without_values(message)
    return None
