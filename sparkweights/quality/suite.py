"""Expectation suites and their results: files and records; nothing here runs a check.

A suite is Great Expectations' own JSON. Results hold counts and percentages, never values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import ConfigError, did_you_mean
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.storage.location import AnyLocation

MAX_BYTES = 5_000_000  # of a suite's file: ten thousand expectations
SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True)
class Suite:
    """A suite as its file states it: a name and entries, each with an id and a severity."""

    name: str
    expectations: tuple[Mapping[str, Any], ...]

    @property
    def sha(self) -> str:
        """A digest of every expectation with its bounds."""
        text = json.dumps(self.expectations, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class CheckResult:
    """The result of one expectation.

    Attributes
    ----------
    id
        The expectation's id in the suite.
    type, column, severity
        The expectation, its column (None for the table), and how severe a failure is.
    success
        The verdict.
    elements, unexpected
        Values examined and values that failed, where the expectation counts them.
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
    """The verdict of a suite on a table.

    Attributes
    ----------
    suite, suite_sha
        Its name, and a digest of its expectations, which distinguishes versions of one name.
    table
        The table's name.
    success
        Whether no critical check failed.
    results
        One per expectation, in the order of ids.
    """

    suite: str
    suite_sha: str
    table: str
    success: bool
    results: tuple[CheckResult, ...]

    @property
    def failing(self) -> frozenset[str]:
        """Ids of the expectations that some value fails, or may fail, whatever the verdict."""
        return frozenset(result.id for result in self.results if result.unexpected != 0)


def load_suite(file: AnyLocation) -> Suite:
    """Read a suite file and give every expectation an id that stays the same between runs.

    Raises
    ------
    ConfigError
        If the file is missing, is not JSON, or is not a suite.
    """
    path = Location.of(file)
    try:
        record = json.loads(path.read_text(limit=MAX_BYTES))
    except FileNotFoundError:
        raise ConfigError(
            f"No expectation suite at '{path}'.", hint="correct the path under checks."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ConfigError(
            f"The expectation suite '{path}' cannot be read: {reason}.",
            hint="it should be a suite in Great Expectations' JSON.",
        ) from None
    entries = record.get("expectations") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        raise ConfigError(
            f"'{path}' is not an expectation suite: it has no list 'expectations'.",
            hint='a suite looks like {"name": "incoming", "expectations": [...]}.',
        )
    name = str(record.get("name") or path.stem)
    expectations = tuple(_entry(entry, i, path) for i, entry in enumerate(entries))
    positions: dict[str, int] = {}
    for i, entry in enumerate(expectations):
        first = positions.setdefault(entry["id"], i)
        if first != i:
            raise ConfigError(
                f"{path}: expectations[{first}] and expectations[{i}] are both '{entry['id']}'.",
                hint="give each a different id, or remove the copy.",
            )
    return Suite(name, expectations)


def _entry(entry: Any, position: int, path: Location) -> Mapping[str, Any]:  # noqa: ANN401 (JSON)
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
    for key, value in (("kwargs", kwargs), ("meta", entry.get("meta") or {})):
        if not isinstance(value, dict):
            raise ConfigError(
                f"{where}: {key} is {value!r}; allowed: an object.",
                hint='for instance "kwargs": {"column": "amount"}.',
            )
    if not isinstance(entry.get("id") or "", str) or "meta" in kwargs:
        raise ConfigError(
            f"{where}: an id is text, and meta stands beside kwargs.",
            hint="correct the entry.",
        )
    about = entry["type"] + json.dumps(kwargs, sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()[:8]
    subject = entry["type"].removeprefix("expect_").removeprefix("column_values_to_")
    fallback = f"{kwargs.get('column', 'table')}:{subject}:{digest}"
    return {**entry, "kwargs": kwargs, "severity": severity, "id": entry.get("id") or fallback}
