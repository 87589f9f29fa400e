"""Great Expectations itself: its expectations, its batch of a DataFrame, its own run, its results.

Sample values are never requested, so that none can reach a log or a file.
"""

from __future__ import annotations

import logging
import math
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import ConfigError, did_you_mean, without_values
from sparkweights.quality.suite import CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.storage.location import Location

    MetricId = tuple[object, ...]  # the key of a metric in the library

Native = Any  # an object of Great Expectations, which has no type annotations
# BASIC adds counts to the verdict; a partial_unexpected_count of 0 keeps sample values out.
OF_SCHEMA = ("table.columns", "table.column_types", "table.column_count")  # they read no row
_NO_FILE_NAME = re.compile(r"[^\w.-]+")  # of a suite's name, which becomes that of a page
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}


def open_batch(gx: Native, df: DataFrame, table: str) -> Native:
    """Return Great Expectations' batch of a table, loaded into its engine; no row is read."""
    batch = _whole(_context(gx, None), table).get_batch(batch_parameters={"dataframe": df})
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
    suite = _native_suite(gx, expectations, name)
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


def write_docs(
    gx: Native,
    expectations: Sequence[Native],
    outcomes: Sequence[Native],
    *,
    name: str,
    table: str,
    docs: Location,
) -> None:
    """Write the library's Data Docs from existing results; nothing is run.

    Parameters
    ----------
    outcomes
        The library's own results for the expectations.
    name, table
        Of the suite and the table, for the pages.
    docs
        The folder to write into.
    """
    from great_expectations.core import (  # noqa: PLC0415 (with the library)
        ExpectationSuiteValidationResult,
        RunIdentifier,
    )
    from great_expectations.data_context.types.resource_identifiers import (  # noqa: PLC0415
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    context, name = _context(gx, docs), _NO_FILE_NAME.sub("_", name)
    context.suites.add(_native_suite(gx, expectations, name))
    run, of_suite = RunIdentifier(run_time=datetime.now(UTC)), ExpectationSuiteIdentifier(name)
    statistics = _statistics(outcomes)
    meta = {
        "run_id": run,
        "great_expectations_version": gx.__version__,
        "batch_spec": {"data_asset_name": table},  # the pages read the table's name from it
    }
    context.validation_results_store.store_validation_results(
        suite_validation_result=ExpectationSuiteValidationResult(
            success=not statistics["unsuccessful_expectations"],
            results=list(outcomes),
            suite_name=name,
            statistics=statistics,
            meta=meta,
        ),
        suite_validation_result_identifier=ValidationResultIdentifier(
            expectation_suite_identifier=of_suite, run_id=run, batch_identifier=table
        ),
        expectation_suite_identifier=of_suite,
    )
    context.build_data_docs()


def _statistics(outcomes: Sequence[Native]) -> dict[str, object]:
    passed, evaluated = sum(outcome.success for outcome in outcomes), len(outcomes)
    return {
        "evaluated_expectations": evaluated,
        "successful_expectations": passed,
        "unsuccessful_expectations": evaluated - passed,
        "success_percent": 100 * passed / evaluated if evaluated else None,
    }


def as_column_metric(engine: Native, name: str, metric: Native) -> Native | None:
    """Return the metric that gives the Column of a metric of rows.

    None where there is none, or where its condition depends on other rows.
    """
    from great_expectations.core.metric_function_types import (  # noqa: PLC0415 (with the library)
        MetricPartialFunctionTypes as Kinds,
    )
    from great_expectations.exceptions import GreatExpectationsError  # noqa: PLC0415
    from great_expectations.expectations.registry import get_metric_provider  # noqa: PLC0415
    from great_expectations.validator.metric_configuration import (  # noqa: PLC0415
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
    from great_expectations.expectations.registry import get_metric_provider  # noqa: PLC0415

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
    from great_expectations.validator.metrics_calculator import MetricsCalculator  # noqa: PLC0415

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


def _native_suite(gx: Native, expectations: Sequence[Native], name: str) -> Native:
    native = gx.ExpectationSuite(name=name)
    native.expectations = list(expectations)
    return native


def _whole(context: Native, table: str) -> Native:
    source = context.data_sources.add_spark("tables", persist=False)
    return source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("whole")


@contextmanager
def quiet_library() -> Iterator[Native]:
    """Import the library where it is needed (it takes seconds), offline and without its logs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415

    # A failing metric is logged with its traceback; the result has its error message.
    logger = logging.getLogger("great_expectations")
    level, logger.level = logger.level, logging.CRITICAL
    try:
        yield gx
    finally:
        logger.level = level


def _context(gx: Native, docs: Location | None) -> Native:
    from great_expectations.data_context.types.base import (  # noqa: PLC0415 (with the library)
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    # The default would leave a temporary folder behind on every run.
    in_memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(
        mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=in_memory)
    )
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    if docs is not None:
        context.add_data_docs_site(
            site_name="docs",
            site_config={
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": docs.local_path,
                },
            },
        )
    return context


def expectation(gx: Native, entry: Mapping[str, Any]) -> Native:
    """Return the library's expectation for an entry of a suite.

    Raises
    ------
    ConfigError
        If the library knows none of this type, or its kwargs are wrong.
    """
    kwargs = {**entry["kwargs"], "severity": entry["severity"]}
    meta = {**(entry.get("meta") or {}), "sparkweights_id": entry["id"]}
    known = {
        kind.expectation_type: kind
        for name, kind in vars(gx.expectations).items()
        if name.startswith("Expect") and name != "Expectation"
    }
    if entry["type"] not in known:
        raise ConfigError(
            f"Unknown expectation type '{entry['type']}' in the suite.",
            hint=did_you_mean(entry["type"], known) or "see Great Expectations' gallery.",
        )
    from great_expectations.exceptions import (  # noqa: PLC0415 (with the library)
        GreatExpectationsError,
    )

    try:
        return known[entry["type"]](**kwargs, meta=meta)
    except (ValueError, TypeError, GreatExpectationsError) as error:
        lines = str(error).splitlines()
        problems = "; ".join(line.strip() for line in lines[1:] or lines)
        raise ConfigError(
            f"Expectation '{entry['type']}' ({entry['id']}) has wrong kwargs: {problems}.",
            hint="correct the kwargs in the suite.",
        ) from None


def result_of(outcome: Native) -> CheckResult:
    """Return a result of the library as a `CheckResult`."""
    config = outcome.expectation_config
    result = outcome.result or {}
    observed = result.get("observed_value")
    # A number is an aggregate; anything else may be a value of the table.
    is_aggregate = (
        isinstance(observed, (int, float))
        and not isinstance(observed, bool)
        and math.isfinite(observed)  # JSON has no NaN
    )
    return CheckResult(
        id=config.meta["sparkweights_id"],
        type=config.type,
        column=config.kwargs.get("column"),
        severity=str(getattr(config.severity, "value", config.severity) or "critical"),
        success=bool(outcome.success),
        elements=result.get("element_count"),
        unexpected=result.get("unexpected_count"),
        observed=observed if is_aggregate else None,
        error=_error(outcome.exception_info or {}),
    )


def _error(info: Mapping[str, object]) -> str | None:
    """Return the first line of an evaluation error: later lines of Spark's may quote values."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            message = str(entry.get("exception_message") or "unknown error").strip().splitlines()[0]
            return without_values(message)
    return None
