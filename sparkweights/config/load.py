"""From a YAML file to a checked `Config`; errors name the file, line and key path."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from sparkweights.config.problems import dotted, fields, first_problem, with_line
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, join_names
from sparkweights.spec.tables import REFERENCE
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.config.problems import KeyPath
    from sparkweights.storage.location import AnyLocation


MAX_BYTES = 500_000  # of a file: tens of thousands of names; the parser reads it in seconds
MAX_NESTING = 20  # the deepest key has 6
MAX_VALUES = 50_000  # of a file whose aliases are replaced by what they stand for


class _Scalars(yaml.SafeLoader):
    """Values as YAML 1.2 reads them.

    In 1.1 ``NO`` is false, ``0500`` is 320, ``1:30`` is 90, and ``1e-3`` is text.
    """

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        """Stop where lists are nested too deep: the scanner's time grows with the depth squared."""
        if self.flow_level > MAX_NESTING:
            raise RecursionError
        super().fetch_flow_collection_start(token_class)


_FLOAT = r"(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)"
_KINDS = {  # of a scalar, the first that fits; all others are text
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": rf"[-+]?(?:{_FLOAT})|\.(?:nan|NaN|NAN)",
    "null": r"~|null|Null|NULL|",
}
_Scalars.yaml_implicit_resolvers = {}
for _kind, _pattern in _KINDS.items():
    _Scalars.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), None
    )

_TAGS: Any = _Scalars("")  # its resolver has no types


def load_config(file: AnyLocation) -> Config:
    """Read, parse and check a configuration file.

    Parameters
    ----------
    file
        Its path; messages show it as it is given here.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, repeats a key, or breaks a rule.
    """
    lines: dict[KeyPath, int] = {}
    path, location = str(file), Location.of(file)
    try:
        values = _plain(_compose(location, path), (), lines, path)
    except RecursionError:
        raise _too_deep(path) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: the file holds {type(values).__name__}, not keys and values.",
            hint="start from the example in the README.",
        )
    if "folder" in values:
        raise ConfigError(
            f"Unknown key 'folder' at {path}:{lines[('folder',)]}; allowed: "
            f"{join_names(fields(Config))}."
        )
    try:
        return Config(**{**values, "folder": location.parent})
    except ConfigError as error:
        if isinstance(error.__cause__, ValidationError):
            raise first_problem(error.__cause__, values, lines, path) from None
        raise with_line(error, lines, path) from None


def _too_deep(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: values are nested too deep, or hold themselves; at most {MAX_NESTING} levels "
        "are allowed.",
        hint="start from the example in the README.",
    )


def _compose(location: Location, path: str) -> yaml.Node:
    try:
        text = location.read_text(limit=MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            f"No configuration file at '{path}'.",
            hint="`sparkweights demo` writes a complete example.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"The configuration file '{path}' cannot be read: {reason}.") from None
    try:
        node = yaml.compose(text, Loader=_Scalars)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(
            f"{path} is not valid YAML{where}: {error.problem}.",
            hint="check indentation, colons and quotes around this line.",
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from None
    if node is None:
        raise ConfigError(f"{path} is empty.", hint="start from the example in the README.")
    return node


def _plain(node: yaml.Node, key_path: KeyPath, lines: dict[KeyPath, int], path: str) -> object:
    """Build values with keys as written (in YAML 1.1 the key ``no`` would be false)."""
    lines[key_path] = node.start_mark.line + 1
    where = f"{path}:{lines[key_path]}"
    if len(key_path) > MAX_NESTING:
        raise _too_deep(where)
    if len(lines) > MAX_VALUES:
        raise ConfigError(
            f"{where}: the file holds more than {MAX_VALUES:,} values; an alias (*name) counts as "
            "what it stands for.",
            hint="write what is needed once; for many columns use a range or a pattern.",
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key_path, lines, path)
    if isinstance(node, yaml.SequenceNode):
        _require_tag(node, yaml.SafeLoader.DEFAULT_SEQUENCE_TAG, key_path, where)
        return [_plain(item, (*key_path, i), lines, path) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, key_path, where)
    raise TypeError(type(node))  # YAML has no other nodes


def _scalar(node: yaml.ScalarNode, key_path: KeyPath, where: str) -> object:
    is_plain = node.style is None
    _require_tag(
        node, _TAGS.resolve(yaml.ScalarNode, node.value, (is_plain, True)), key_path, where
    )
    _require_text(node, where)
    if node.tag == yaml.SafeLoader.DEFAULT_SCALAR_TAG:
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or error
        raise ConfigError(
            f"{where}: {dotted(key_path)}: {_shown(node, key_path)} cannot be read: {reason}.",
            hint="put the value in quotes.",
        ) from None


def _mapping(
    node: yaml.MappingNode, key_path: KeyPath, lines: dict[KeyPath, int], path: str
) -> dict[str, object]:
    _require_tag(node, yaml.SafeLoader.DEFAULT_MAPPING_TAG, key_path, f"{path}:{lines[key_path]}")
    values: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        where = f"{path}:{line}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(
                f"{where}: a key is a list or a section; keys are text.",
                hint="check colons, brackets and question marks around this line.",
            )
        _require_text(key_node, where)
        key = str(key_node.value)
        if key in values:
            raise ConfigError(
                f"{where}: key '{dotted((*key_path, key))}' is given twice.",
                hint="keep one of them.",
            )
        if node.flow_style and value_node.tag.endswith(":null") and not value_node.value:
            raise ConfigError(
                f"{where}: '{dotted((*key_path, key))}' has no value; inside {{...}} a comma "
                "begins a new key.",
                hint="put text that holds a comma in quotes, and a space behind a colon.",
            )
        values[key] = _plain(value_node, (*key_path, key), lines, path)
        lines[(*key_path, key)] = line
    return values


def _require_tag(node: yaml.Node, expected: str, key_path: KeyPath, where: str) -> None:
    """Refuse a tag (``!...``), which asks for another type than the value has."""
    if node.tag != expected:
        raise ConfigError(
            f"{where}: {dotted(key_path) or 'the file'}: {_shown(node, key_path)} cannot be read: "
            f"its tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed.",
            hint="put the value in quotes; tags (!...) are not allowed.",
        )


def _require_text(node: yaml.ScalarNode, where: str) -> None:
    r"""Refuse escapes such as ``"\ud800"``, which no encoding has."""
    try:
        str(node.value).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{where}: a text holds half of a surrogate pair (\\ud800 to \\udfff), which is no "
            "character.",
            hint="write the character itself, or as \\U and eight digits.",
        ) from None


def _shown(node: yaml.Node, key_path: KeyPath) -> str:
    """Return how a message names a value; below ``tables`` it may be the secret of an option."""
    if key_path[:1] == ("tables",) or not isinstance(node, yaml.ScalarNode):
        return "its value"
    return f"'{node.value}'"


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

    return {key: REFERENCE.sub(value, text) for key, text in options.items()}
