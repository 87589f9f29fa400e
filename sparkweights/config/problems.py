"""What is wrong with a value of the file, in the file's own words."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
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


def problem_of_values(error: ValidationError, values: Mapping[str, Any]) -> ConfigError:
    """Return the sentence for the first value that is not allowed, of values without a file."""
    return first_problem(error, values, dict.fromkeys(_places(values), 0), None)


def _places(value: object, place: Place = ()) -> Iterator[Place]:
    """Yield the place of a value and of all that it holds."""
    yield place
    if isinstance(value, dict):
        for name, held in value.items():
            yield from _places(held, (*place, name))
    elif isinstance(value, (list, tuple)):
        for i, held in enumerate(value):
            yield from _places(held, (*place, i))


def first_problem(
    error: ValidationError,
    values: Mapping[str, Any],
    lines: Mapping[Place, int],
    path: str | None,
) -> ConfigError:
    """Return the sentence for the first value that is not allowed.

    Parameters
    ----------
    values
        The file's.
    lines
        The line of every place in it.
    path
        Of the file; None where there is none.
    """
    found = [(_place(own, lines), own) for own in error.errors()]
    base = found[0][0]
    # Where several forms are allowed, there is an error for each; the one that went furthest into
    # the value is about the form that was meant.
    group = [(place, own) for place, own in found if place[: len(base)] == base]
    place, problem = max(group, key=lambda one: (len(one[0]), _weight(*one)))
    where = "Config" if path is None else f"{path}:{_line(place, lines)}"
    key = dotted(place)
    if problem["type"] == "extra_forbidden":
        allowed = fields(_model_at(place[:-1]))
        return ConfigError(
            f"Unknown key '{place[-1]}' at {where}: {key}; allowed: {join_names(allowed)}.",
            hint=did_you_mean(str(place[-1]), allowed),
        )
    if problem["type"] == "missing":
        return ConfigError(
            f"Missing key at {where}: {key}; it is required.",
            hint=f"add {key}; the README's example shows its form.",
        )
    allowed_here = dict.fromkeys(_allowed(own) for at, own in group if at == place)
    return ConfigError(
        f"{where}: {key}: {_told(values, place)} is not allowed; allowed: "
        f"{' or '.join(allowed_here)}.",
        hint="correct the value; the project's conf/loan_risk.yaml shows every key.",
    )


def placed(error: ConfigError, lines: Mapping[Place, int], path: str) -> ConfigError:
    """Return an error whose message begins with a key path, with the line of that key."""
    at = {dotted(place): line for place, line in lines.items() if place}
    key = error.message.split(": ", 1)[0]
    while key and key not in at:
        key = key.rpartition(".")[0]
    where = f"{path}:{at[key]}" if key else str(path)
    return ConfigError(f"{where}: {error.message}", hint=error.hint)


def dotted(place: Sequence[str | int]) -> str:
    """Return a place as the file's readers say it, for instance ``columns.keys[0]``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def fields(model: type[BaseModel]) -> list[str]:
    """Return the keys of a section."""
    return [field.alias or name for name, field in model.model_fields.items() if name != "folder"]


def _place(problem: ErrorDetails, lines: Mapping[Place, int]) -> Place:
    """Return where a problem is, without the names of the forms that pydantic tried."""
    place: Place = ()
    for step in problem["loc"]:
        if (*place, step) in lines:
            place = (*place, step)
    return (*place, problem["loc"][-1]) if problem["type"] == "missing" else place


def _weight(place: Place, problem: ErrorDetails) -> int:
    """Return how much a problem tells: a key that no form has most, one of another form least."""
    if problem["type"] != "extra_forbidden":
        return 1
    return 0 if place[-1] in fields(_model_at(place[:-1])) else 2


def _line(place: Place, lines: Mapping[Place, int]) -> int:
    return lines.get(place, lines.get(place[:-1], 1))


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


def _told(values: Any, place: Place) -> str:  # noqa: ANN401 (walks parsed YAML)
    if "options" in place:
        return "its value (not shown, as options may hold secrets)"
    for step in place:
        values = values[step]
    return "nothing" if values is None else f"value {values!r}"


def _model_at(place: Place) -> type[BaseModel]:
    """Return the section that holds the keys under ``place``."""
    model: type[BaseModel] = Config
    for step in place:
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        inner = None if field is None else _section_in(field.annotation)
        if inner is None:
            return model
        model = inner
    return model


def _section_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (a type expression)
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    # Of a list or a union, the first.
    return next(filter(None, map(_section_in, typing.get_args(annotation))), None)
