"""Great Expectations suites against a DataFrame; the only module that knows the library.

A suite is Great Expectations' own JSON. Results hold counts and percentages; sample values are
asked for nowhere, so none can reach a log or a file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkweights.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pyspark.sql import DataFrame

SEVERITIES = ("critical", "warning", "info")
# BASIC adds counts to the verdict; a partial_unexpected_count of 0 keeps sample values out.
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Suite:
    """A suite as its file states it: a name and entries, each with an id and a severity."""

    name: str
    expectations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class CheckResult:
    """The result of one expectation.

    Attributes
    ----------
    id
        The expectation's id in the suite.
    type, column, severity
        What was expected, of which column (None for the table), and what a failure means.
    success
        The verdict.
    elements, unexpected
        Values looked at and values that failed, where the expectation counts them.
    observed
        The number observed, for expectations about a table or an aggregate.
    error
        Why the expectation could not be evaluated, or None.
    """

    id: str
    type: str
    column: str | None
    severity: str
    success: bool
    elements: int | None = None
    unexpected: int | None = None
    observed: float | None = None
    error: str | None = None

    @property
    def sentence(self) -> str:
        """The result in words."""
        subject = self.type if self.column is None else f"{self.type}({self.column})"
        if self.error is not None:
            return f"{subject} could not be evaluated: {self.error}"
        if self.unexpected is not None:
            return f"{subject}: {self.unexpected} of {self.elements} values"
        return subject if self.observed is None else f"{subject}: observed {self.observed}"


@dataclass(frozen=True)
class CheckReport:
    """The verdict of a suite on a table; ``success`` means that no critical check failed."""

    suite: str
    table: str
    success: bool
    results: tuple[CheckResult, ...]


def load_suite(path: Path) -> Suite:
    """Read a suite file and give every expectation an id that stays the same between runs.

    Raises
    ------
    ConfigError
        If the file is missing, is not JSON, or is not a suite.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"No expectation suite at '{path}'.", hint="correct the path under checks."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The expectation suite '{path}' cannot be read: {error}.",
            hint="it should be a suite in Great Expectations' JSON.",
        ) from None
    entries = record.get("expectations") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        raise ConfigError(
            f"'{path}' is not an expectation suite: it has no list 'expectations'.",
            hint='a suite looks like {"name": "incoming", "expectations": [...]}.',
        )
    name = str(record.get("name") or path.stem)
    return Suite(name, tuple(_entry(entry, i, path) for i, entry in enumerate(entries)))


def _entry(entry: Any, position: int, path: Path) -> Mapping[str, Any]:  # noqa: ANN401 (JSON)
    where = f"{path}: expectations[{position}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise ConfigError(f"{where} has no 'type'.", hint="name the expectation's type.")
    severity = entry.get("severity", "critical")
    if severity not in SEVERITIES:
        raise ConfigError(
            f"{where}: severity {severity!r}; allowed: {', '.join(SEVERITIES)}.",
            hint=did_you_mean(str(severity), SEVERITIES),
        )
    kwargs = entry.get("kwargs", {})
    about = entry["type"] + json.dumps(kwargs, sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()[:8]
    subject = entry["type"].removeprefix("expect_").removeprefix("column_values_to_")
    fallback = f"{kwargs.get('column', 'table')}:{subject}:{digest}"
    return {**entry, "kwargs": kwargs, "severity": severity, "id": entry.get("id") or fallback}


def run_suite(df: DataFrame, suite: Suite, *, table: str, docs: Path | None = None) -> CheckReport:
    """Run a suite with Great Expectations.

    Parameters
    ----------
    df
        The table; it is read by Great Expectations several times.
    table
        Its name, for the report.
    docs
        A folder for Data Docs, or None to write nothing.

    Raises
    ------
    ConfigError
        If an expectation is not one that Great Expectations knows, or its kwargs are wrong.
    """
    with _quiet_library() as gx:
        context = _context(gx, docs)
        by_position = [_expectation(gx, entry) for entry in suite.expectations]
        native = gx.ExpectationSuite(name=suite.name)
        native.expectations = by_position
        source = context.data_sources.add_spark("tables", persist=False)
        asset = source.add_dataframe_asset(table)
        batch = asset.add_batch_definition_whole_dataframe("whole")
        validation = gx.ValidationDefinition(
            name=f"{suite.name} on {table}", data=batch, suite=context.suites.add(native)
        )
        context.validation_definitions.add(validation)
        checkpoint = gx.Checkpoint(
            name=suite.name, validation_definitions=[validation], result_format=_RESULT_FORMAT
        )
        run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": df})
        (outcome,) = run.run_results.values()
        if docs is not None:
            context.build_data_docs()
    results = tuple(sorted((_result(r) for r in outcome.results), key=lambda result: result.id))
    success = all(result.success or result.severity != "critical" for result in results)
    return CheckReport(suite.name, table, success, results)


@contextmanager
def _quiet_library() -> Iterator[Any]:
    """Import the library where it is needed (it takes seconds), offline and without its logs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415

    # A failing metric is logged with its traceback; the result tells the same in a sentence.
    logger = logging.getLogger("great_expectations")
    level, logger.level = logger.level, logging.CRITICAL
    try:
        yield gx
    finally:
        logger.level = level


def _context(gx: Any, docs: Path | None) -> Any:  # noqa: ANN401 (the library is untyped here)
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
                    "base_directory": str(docs.resolve()),
                },
            },
        )
    return context


def _expectation(gx: Any, entry: Mapping[str, Any]) -> Any:  # noqa: ANN401 (untyped library)
    kwargs = {**entry["kwargs"], "severity": entry["severity"]}
    meta = {**(entry.get("meta") or {}), "sparkweights_id": entry["id"]}
    name = "".join(word.capitalize() for word in entry["type"].split("_"))
    known = [k for k in dir(gx.expectations) if k.startswith("Expect") and k != "Expectation"]
    if name not in known:
        snake = ["".join("_" + c.lower() if c.isupper() else c for c in k)[1:] for k in known]
        raise ConfigError(
            f"Unknown expectation type '{entry['type']}' in the suite.",
            hint=did_you_mean(entry["type"], snake) or "see Great Expectations' gallery.",
        )
    try:
        return getattr(gx.expectations, name)(**kwargs, meta=meta)
    except ValueError as error:
        problems = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise ConfigError(
            f"Expectation '{entry['type']}' ({entry['id']}) has wrong kwargs: {problems}.",
            hint="correct the kwargs in the suite.",
        ) from None


def _result(outcome: Any) -> CheckResult:  # noqa: ANN401 (the library is untyped here)
    config = outcome.expectation_config
    found = outcome.result or {}
    observed = found.get("observed_value")
    # A number is an aggregate; anything else may be a value out of the table.
    is_aggregate = isinstance(observed, (int, float)) and not isinstance(observed, bool)
    return CheckResult(
        id=config.meta["sparkweights_id"],
        type=config.type,
        column=config.kwargs.get("column"),
        severity=str(getattr(config.severity, "value", config.severity) or "critical"),
        success=bool(outcome.success),
        elements=found.get("element_count"),
        unexpected=found.get("unexpected_count"),
        observed=observed if is_aggregate else None,
        error=_error(outcome.exception_info or {}),
    )


def _error(info: Mapping[str, Any]) -> str | None:
    """Return the first line of an evaluation error: Spark's own may quote values further down."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            return str(entry.get("exception_message") or "unknown error").strip().splitlines()[0]
    return None
