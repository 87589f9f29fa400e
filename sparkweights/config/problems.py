"""Errors of values in the configuration file, by line and key path."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

KeyPath = tuple[str | int, ...]
_SECTION = "a section of keys and values"
# Pydantic's type of an error -> what would have been allowed.
_ALLOWED = {
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
    "tuple_type": "a list, for instance [a, b]",
    "string_type": "text (in quotes, if it looks like something else)",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": "text without control characters",
}


def problem_of_values(error: ValidationError, values: Mapping[str, object]) -> ConfigError:
    """Return the sentence for the first value that is not allowed, of values without a file."""
    return first_problem(error, values, dict.fromkeys(_key_paths(values), 0), None)


def _key_paths(value: object, key_path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the key path of a value and of all nested values."""
    yield key_path
    if isinstance(value, dict):
        for name, nested in value.items():
            yield from _key_paths(nested, (*key_path, name))
    elif isinstance(value, (list, tuple)):
        for i, nested in enumerate(value):
            yield from _key_paths(nested, (*key_path, i))


def first_problem(
    error: ValidationError,
    values: Mapping[str, object],
    lines: Mapping[KeyPath, int],
    path: str | None,
) -> ConfigError:
    """Return the sentence for the first value that is not allowed.

    Parameters
    ----------
    values
        The file's.
    lines
        Key path -> line in the file.
    path
        Of the file; None where there is none.
    """
    problems = [(_key_path(details, lines), details) for details in error.errors()]
    base = problems[0][0]
    # Where several forms are allowed, there is an error for each; that of the longest key path is
    # about the intended form.
    group = [(key_path, details) for key_path, details in problems if key_path[: len(base)] == base]
    key_path, problem = max(group, key=lambda candidate: (len(candidate[0]), _weight(*candidate)))
    where = "Config" if path is None else f"{path}:{_line(key_path, lines)}"
    key = dotted(key_path)
    if problem["type"] == "extra_forbidden":
        allowed = fields(_model_at(key_path[:-1]))
        return ConfigError(
            f"Unknown key '{key_path[-1]}' at {where}: {key}; allowed: {join_names(allowed)}.",
            hint=did_you_mean(str(key_path[-1]), allowed),
        )
    if problem["type"] == "missing":
        return ConfigError(
            f"Missing key at {where}: {key}; it is required.",
            hint=f"add {key}; the README's example shows its form.",
        )
    allowed_here = dict.fromkeys(_allowed(details) for at, details in group if at == key_path)
    return ConfigError(
        f"{where}: {key}: {_describe(values, key_path)} is not allowed; allowed: "
        f"{' or '.join(allowed_here)}.",
        hint="correct the value; the project's conf/loan_risk.yaml shows every key.",
    )


def with_line(error: ConfigError, lines: Mapping[KeyPath, int], path: str) -> ConfigError:
    """Return an error whose message begins with a key path, with the line of that key."""
    at = {dotted(key_path): line for key_path, line in lines.items() if key_path}
    key = error.message.split(": ", 1)[0]
    while key and key not in at:
        key = key.rpartition(".")[0]
    where = f"{path}:{at[key]}" if key else str(path)
    return ConfigError(f"{where}: {error.message}", hint=error.hint)


def dotted(key_path: Sequence[str | int]) -> str:
    """Return a key path as text, for instance ``columns.keys[0]``."""
    text = ""
    for step in key_path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def fields(model: type[BaseModel]) -> list[str]:
    """Return the keys of a section."""
    return [field.alias or name for name, field in model.model_fields.items() if name != "folder"]


def _key_path(problem: ErrorDetails, lines: Mapping[KeyPath, int]) -> KeyPath:
    """Return the key path of a problem, without pydantic's names of union members."""
    key_path: KeyPath = ()
    for step in problem["loc"]:
        if (*key_path, step) in lines:
            key_path = (*key_path, step)
    return (*key_path, problem["loc"][-1]) if problem["type"] == "missing" else key_path


def _weight(key_path: KeyPath, problem: ErrorDetails) -> int:
    """Return the rank of a problem: keys unknown to every form first, keys of another form last."""
    if problem["type"] != "extra_forbidden":
        return 1
    return 0 if key_path[-1] in fields(_model_at(key_path[:-1])) else 2


def _line(key_path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    return lines.get(key_path, lines.get(key_path[:-1], 1))


def _allowed(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        return str(context["expected"])
    if problem["type"] == "too_short":
        return "at least one entry"
    if problem["type"] in _ALLOWED:
        return _ALLOWED[problem["type"]]
    detail = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return detail[:1].lower() + detail[1:]


def _describe(values: object, key_path: KeyPath) -> str:
    if "options" in key_path:
        return "its value (not shown, as options may hold secrets)"
    for step in key_path:
        if isinstance(values, Mapping):
            values = values[step]
        elif isinstance(values, Sequence):
            values = values[int(step)]
    if isinstance(values, Mapping):  # there may be options with secrets in it
        return "a section of keys and values"
    if isinstance(values, (list, tuple)):
        return "a list"
    return "nothing" if values is None else f"value {values!r}"


def _model_at(key_path: KeyPath) -> type[BaseModel]:
    """Return the section that holds the keys under ``key_path``."""
    model: type[BaseModel] = Config
    for step in key_path:
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        inner = None if field is None else _section_in(field.annotation)
        if inner is None:
            return model
        model = inner
    return model


def _section_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    # Of a list or a union, the first.
    return next(filter(None, map(_section_in, typing.get_args(annotation))), None)
