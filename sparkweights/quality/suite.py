"""Expectation suites and their results: files and records; nothing here runs a check.

A suite is Great Expectations' own JSON. Results hold counts and percentages, never values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from sparkweights.core.errors import ConfigError
from sparkweights.quality.entries import Dialect, read_entry
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.storage.location import AnyLocation

MAX_BYTES = 5_000_000  # of a suite's file: ten thousand expectations
Mostly = Literal["rows", "table"]
_NONE: Mapping[str, object] = MappingProxyType({})
_OLD_NOTICE = (
    "The suite '{path}' has the form of Great Expectations before 1.0; it was converted. Save it "
    "with a release of 1.x to keep other tools from refusing it."
)


@dataclass(frozen=True)
class Suite:
    """A suite as its file states it.

    Attributes
    ----------
    name
        Its name.
    expectations
        Its entries, each with an id and a severity; parameters have their values.
    notices
        What was converted while it was read.
    mostly
        What a critical check of rows with ``mostly`` decides: with ``rows``, each failing row is
        set aside; with ``table``, none is, and the check fails or passes for the table.
    """

    name: str
    expectations: tuple[Mapping[str, Any], ...]
    notices: tuple[str, ...] = ()
    mostly: Mostly = "rows"

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
        The number observed, for expectations about a table or an aggregate; of dates and times,
        text in ISO 8601.
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
    observed: float | str | None = None
    error: str | None = None

    @property
    def sentence(self) -> str:
        """The result in words."""
        subject = self.type if self.column is None else f"{self.type}({self.column})"
        if self.error is not None:
            return f"{subject} could not be evaluated: {self.error}"
        if self.unexpected is not None and self.elements is None:
            return f"{subject}: {self.unexpected} rows"
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


def load_suite(file: AnyLocation, parameters: Mapping[str, object] = _NONE) -> Suite:
    """Read a suite file and give every expectation an id that stays the same between runs.

    Parameters
    ----------
    parameters
        Name -> value, for ``{"$PARAMETER": name}`` in the file; they replace those of the file.

    Raises
    ------
    ConfigError
        If the file is missing, is not JSON, or is not a suite of data alone.
    """
    path = Location.of(file)
    record = _read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("expectations"), list):
        raise ConfigError(
            f"'{path}' is not an expectation suite: it has no list 'expectations'.",
            hint='a suite looks like {"name": "incoming", "expectations": [...]}.',
        )
    dialect = Dialect.of(record)
    values = {**dialect.parameters, **parameters}
    expectations = tuple(
        read_entry(entry, f"{path}: expectations[{i}]", dialect, values)
        for i, entry in enumerate(record["expectations"])
    )
    positions: dict[str, int] = {}
    for i, entry in enumerate(expectations):
        first = positions.setdefault(entry["id"], i)
        if first != i:
            raise ConfigError(
                f"{path}: expectations[{first}] and expectations[{i}] are both '{entry['id']}'.",
                hint="give each a different id, or remove the copy.",
            )
    notices = (_OLD_NOTICE.format(path=path),) if dialect.is_old else ()
    return Suite(dialect.name or path.stem, expectations, notices)


def _read_json(path: Location) -> object:
    try:
        record = json.loads(path.read_text(limit=MAX_BYTES))
        json.dumps(record, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
    except FileNotFoundError:
        raise ConfigError(
            f"No expectation suite at '{path}'.", hint="correct the path under checks."
        ) from None
    except UnicodeEncodeError:
        raise ConfigError(
            f"The expectation suite '{path}': a text holds half of a surrogate pair (\\ud800 to "
            "\\udfff), which is no character.",
            hint="write the character itself, or both halves of its pair.",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ConfigError(
            f"The expectation suite '{path}' cannot be read: {reason}.",
            hint="it should be a suite in Great Expectations' JSON.",
        ) from None
    return record
