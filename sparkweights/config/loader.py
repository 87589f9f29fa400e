"""From a YAML file to a checked `Config`, with every problem told by file, line and key path."""

from __future__ import annotations

import os
import re
import types
import typing
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from sparkweights.config.schema import Config
from sparkweights.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Place = tuple[str | int, ...]
_SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load_config(path: Path) -> Config:
    """Read, parse and check a configuration file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, repeats a key, or breaks a rule.
    """
    lines: dict[Place, int] = {}
    try:
        values = _plain(_compose(path), (), lines, path)
    except RecursionError:
        raise ConfigError(
            f"{path}: its values are nested too deep, or hold themselves.",
            hint="start from the example in the README.",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: the file holds {type(values).__name__}, not keys and values.",
            hint="start from the example in the README.",
        )
    if "folder" in values:
        raise ConfigError(
            f"Unknown key 'folder' at {path}:{lines[('folder',)]}; allowed: {_allowed(Config)}."
        )
    try:
        config = Config(**{**values, "folder": path.resolve().parent})
    except ValidationError as error:
        raise _first_problem(error, values, lines, path) from None
    try:
        config.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    return config


def _compose(path: Path) -> yaml.Node:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"No configuration file at '{path}'.",
            hint="`sparkweights demo` writes a complete example.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"The configuration file '{path}' cannot be read: {reason}.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(
            f"{path} is not valid YAML{where}: {error.problem}.",
            hint="check indentation, colons and quotes around this place.",
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from None
    if node is None:
        raise ConfigError(f"{path} is empty.", hint="start from the example in the README.")
    return node


def _plain(node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:  # noqa: ANN401
    """Build values with keys as written (in YAML 1.1 the key ``no`` would be false)."""
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in found:
                raise ConfigError(
                    f"{path}:{key_node.start_mark.line + 1}: key '{_dotted((*place, key))}' is "
                    "given twice.",
                    hint="keep one of them.",
                )
            if node.flow_style and value_node.tag.endswith(":null") and not value_node.value:
                raise ConfigError(
                    f"{path}:{key_node.start_mark.line + 1}: '{_dotted((*place, key))}' has no "
                    "value; inside {...} a comma begins a new key.",
                    hint="put text that holds a comma in quotes, and a space behind a colon.",
                )
            found[key] = _plain(value_node, (*place, key), lines, path)
            lines[(*place, key)] = key_node.start_mark.line + 1
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, i), lines, path) for i, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or error
        raise ConfigError(
            f"{path}:{lines[place]}: {_dotted(place)}: '{node.value}' cannot be read: {reason}.",
            hint="put the value in quotes; tags (!...) are not allowed.",
        ) from None


def _dotted(place: Sequence[str | int]) -> str:
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _first_problem(
    error: ValidationError, values: Mapping[str, Any], lines: Mapping[Place, int], path: Path
) -> ConfigError:
    problem = error.errors()[0]
    place: Place = tuple(problem["loc"])
    # Pydantic appends the branch of a union it tried; the file knows nothing of that.
    while place and place not in lines and problem["type"] != "missing":
        place = place[:-1]
    where = f"{path}:{lines.get(place, lines.get(place[:-1], 1))}"
    key = _dotted(place)
    if problem["type"] == "extra_forbidden":
        allowed = _fields(_model_at(place[:-1]))
        return ConfigError(
            f"Unknown key '{place[-1]}' at {where}: {key}; allowed: {listed(allowed)}.",
            hint=did_you_mean(str(place[-1]), allowed),
        )
    if problem["type"] == "missing":
        return ConfigError(
            f"Missing key at {where}: {key}; it is required.",
            hint=f"add {key}; the README's example shows its form.",
        )
    value = _value_at(values, place)
    detail = problem["msg"].removeprefix("Value error, ")
    return ConfigError(
        f"{where}: {key}: value {value!r} is not allowed; {_lower(detail)}.",
        hint="correct the value; the project's conf/loan_risk.yaml shows every key.",
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _value_at(values: Any, place: Place) -> Any:  # noqa: ANN401 (walks parsed YAML)
    for step in place:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return values
    return values


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
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(filter(None, map(_section_in, typing.get_args(annotation))), None)
    return None


def _fields(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items() if name != "folder"]


def _allowed(model: type[BaseModel]) -> str:
    return listed(_fields(model))


def resolve_secrets(options: Mapping[str, str], *, where: str) -> dict[str, str]:
    """Replace ``${NAME}`` by the environment's value, as late as possible and never logged.

    Raises
    ------
    ConfigError
        If the variable is not set; its value is in no message.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                f"{where}: the environment has no variable '{name}'.",
                hint=f"export {name} before the run.",
            )
        return os.environ[name]

    return {key: _SECRET.sub(value, text) for key, text in options.items()}
