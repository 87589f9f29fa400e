"""The entries of a suite's file: older releases' form, parameters, and what is refused.

A suite is data. What one of the library's expectations would interpret as a program is refused
here: SQL, patterns that can take for ever, and addresses of other files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.core.patterns import require_fast
from sparkweights.costs.expression import MAX_LENGTH, constant, names, parse, substitute
from sparkweights.quality.conditions import row_condition, unexpected_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEVERITIES = ("critical", "warning", "info")
UNEXPECTED_ROWS = "unexpected_rows_expectation"
PARAMETER = "$PARAMETER"
MAX_WILDCARDS = 10  # of a LIKE pattern; the time of a match grows with their number as an exponent
# They ask for values of the table or for files, and do not change a verdict.
_WITHOUT_EFFECT = ("result_format", "catch_exceptions", "include_config", "batch_id")
_OLD_KEYS = ("expectation_suite_name", "data_asset_type", "evaluation_parameters")


@dataclass(frozen=True)
class Dialect:
    """What the head of a suite's file says about its entries.

    Attributes
    ----------
    name
        The suite's name, or None.
    is_old
        Whether the file is of a release before 1.0 of Great Expectations.
    parameters
        Name -> value of the parameters that the file itself sets.
    """

    name: str | None
    is_old: bool
    parameters: Mapping[str, object]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Dialect:
        """Return the dialect of a suite's record."""
        entries = record.get("expectations")
        old_entry = isinstance(entries, list) and any(
            isinstance(entry, dict) and "expectation_type" in entry for entry in entries
        )
        is_old = old_entry or any(key in record for key in _OLD_KEYS)
        name = record.get("name") or record.get("expectation_suite_name")
        parameters = record.get("suite_parameters") or record.get("evaluation_parameters") or {}
        return cls(
            None if name is None else str(name),
            is_old,
            parameters if isinstance(parameters, dict) else {},
        )


def read_entry(
    entry: object, where: str, dialect: Dialect, parameters: Mapping[str, object]
) -> Mapping[str, Any]:
    """Return one entry with type, kwargs, severity and id.

    Parameters
    ----------
    entry
        As the file states it.
    where
        Its place in the file, for messages.
    parameters
        Name -> value of the suite's parameters.

    Raises
    ------
    ConfigError
        If it is not an entry of a suite, or not data alone.
    """
    if isinstance(entry, dict) and dialect.is_old and "expectation_type" in entry:
        entry = {"type": entry["expectation_type"], **entry}
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
    id_ = entry.get("id") or _id(entry["type"], kwargs)
    kwargs = {key: value for key, value in kwargs.items() if key not in _WITHOUT_EFFECT}
    try:
        kwargs = {key: _resolve(value, parameters) for key, value in kwargs.items()}
        _require_data(entry["type"], kwargs)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    return {**entry, "kwargs": kwargs, "severity": severity, "id": id_}


def _id(type_: str, kwargs: Mapping[str, Any]) -> str:
    """Return an id that stays the same while the file does, whatever its parameters' values."""
    about = type_ + json.dumps(kwargs, sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()[:8]
    subject = type_.removeprefix("expect_").removeprefix("column_values_to_")
    return f"{kwargs.get('column', 'table')}:{subject}:{digest}"


def _resolve(value: object, parameters: Mapping[str, object]) -> object:
    """Return a value of an entry with parameters replaced by their values."""
    match value:
        case {"$PARAMETER": expression, **others}:
            default = others.get(f"{PARAMETER}.{expression}")  # of releases before 1.0
            return _parameter(expression, parameters, default)
        case dict():
            return {key: _resolve(part, parameters) for key, part in value.items()}
        case list():
            return [_resolve(part, parameters) for part in value]
        case _:
            return value


def _parameter(expression: object, parameters: Mapping[str, object], default: object) -> object:
    """Return the value of a parameter, or of the arithmetic of numeric ones."""
    if isinstance(expression, str) and expression in parameters:
        value = parameters[expression]
        return list(value) if isinstance(value, tuple) else value
    if default is not None:
        return default
    if not isinstance(expression, str) or len(expression) > MAX_LENGTH:
        raise ConfigError(f"{PARAMETER} names no parameter.", hint="give it a name as text.")
    tree = parse(expression)
    numbers = {
        name: float(value)
        for name, value in parameters.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    for name in names(tree):
        if name.name not in numbers:
            kind = "is no number" if name.name in parameters else "has no value"
            raise ConfigError(
                f"Parameter '{name.name}' {kind}; those with a value: {join_names(parameters)}.",
                hint=did_you_mean(name.name, parameters)
                or f"set checks.parameters.{name.name} in the configuration.",
            )
    value = constant(substitute(tree, numbers))
    if value is None:
        raise ConfigError(
            f"{PARAMETER} {expression!r} has no value.", hint="it divides by zero; correct it."
        )
    return value


def _require_data(type_: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse an entry that hands a program to an interpreter."""
    for key in kwargs:
        if key.endswith("query") and type_ != UNEXPECTED_ROWS:
            raise ConfigError(
                f"'{key}' is SQL; SQL of a suite is not run.",
                hint="compute what it selects as a column where the table is made, and expect "
                f"something of that column; or write an {UNEXPECTED_ROWS}.",
            )
    if type_ == UNEXPECTED_ROWS:
        unexpected_rows(kwargs.get("unexpected_rows_query"))
    if kwargs.get("row_condition") is not None:
        row_condition(kwargs["row_condition"], kwargs.get("condition_parser"))
    for pattern in _texts(kwargs, "regex", "regex_list"):
        require_fast(pattern)
    for pattern in _texts(kwargs, "like_pattern", "like_pattern_list"):
        if pattern.count("%") > MAX_WILDCARDS:
            raise ConfigError(
                f"A LIKE pattern of {pattern.count('%')} wildcards; at most {MAX_WILDCARDS} are "
                "allowed.",
                hint="split it into several expectations.",
            )
    _require_own_schema(kwargs.get("json_schema"))


def _require_own_schema(schema: object) -> None:
    """Refuse a JSON schema that reads other addresses, or holds a slow pattern."""
    for key, value in _pairs(schema):
        if key in {"$ref", "$dynamicRef", "$recursiveRef"} and not str(value).startswith("#"):
            raise ConfigError(
                f"The json_schema has a {key} to another file; it is not read.",
                hint="copy the definition into the schema, and refer to it with '#/...'.",
            )
        if key == "pattern" and isinstance(value, str):
            require_fast(value)
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                require_fast(pattern)


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    """Yield every key of nested objects with its value."""
    remaining = [value]
    while remaining:
        match remaining.pop():
            case dict() as part:
                yield from part.items()
                remaining.extend(part.values())
            case list() as part:
                remaining.extend(part)
            case _:
                pass


def _texts(kwargs: Mapping[str, Any], *keys: str) -> list[str]:
    """Return every text of these kwargs, each of which is a text or a list."""
    values = [kwargs.get(key) for key in keys]
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [text for texts in lists for text in texts if isinstance(text, str)]
