"""Conditions in suites, as trees of the product's own language; none reaches the SQL parser.

Great Expectations has three forms of a ``row_condition``: an object, text such as
``col("amount") > 0``, and text for the engine's own parser. The third is read as a condition of
`sparkweights.costs.condition`, whose syntax is a subset of SQL. So is the condition of an
``unexpected_rows_expectation``.
"""

from __future__ import annotations

import re

from sparkweights.core.errors import ConfigError
from sparkweights.costs.condition import (
    Both,
    Comparison,
    Condition,
    Either,
    Flag,
    IsNull,
    Literal,
    Membership,
    Text,
    negate,
    parse_condition,
    require_short,
)
from sparkweights.costs.expression import MAX_DEPTH, Name, Number

PARSERS = (None, "spark", "great_expectations", "great_expectations__experimental__")
_HINT = (
    "write text such as \"amount > 0 and status in ('open', 'paid')\": comparisons, and, or, not, "
    "in, between, is null."
)
_COMPARISON = re.compile(
    r"""col\("(?P<column>[^"]+)"\)\s*(?:(?P<present>\.notnull\(\))"""
    r"""|(?P<operator>==|!=|<=|>=|<|>)\s*(?:(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"""
    r"""|(?:date\()?(?:"(?P<text>[^"']*)"|'(?P<quoted>[^"']*)')\)?))""",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"\s*select\s+(?:\*|[\w\s,.`]+?)\s+from\s+\{batch\}(?:\s+(?:as\s+)?(?!where\b)[^\W\d]\w*)?"
    r"\s+where\s(?P<condition>.+)",
    re.IGNORECASE | re.DOTALL,
)


def row_condition(value: object, parser: object) -> Condition:
    """Return a suite's ``row_condition`` as a tree.

    Parameters
    ----------
    value
        As the suite states it: text, or an object of the library.
    parser
        The ``condition_parser`` beside it.

    Raises
    ------
    ConfigError
        If it is none of the library's forms, or is not part of the language.
    """
    if parser not in PARSERS:
        allowed = ", ".join(str(name) for name in PARSERS if name)
        raise ConfigError(
            f"condition_parser {parser!r} is not one of {allowed}.",
            hint=f"leave condition_parser out, and {_HINT}",
        )
    tree = _of_text(value) if isinstance(value, str) else _of_object(value, 1)
    require_short(tree)
    return tree


def unexpected_rows(query: object) -> Condition:
    """Return the condition of an ``unexpected_rows_expectation``; its SQL is not run.

    Raises
    ------
    ConfigError
        If the query is more than a condition on the rows of the table.
    """
    match = _QUERY.fullmatch(query.strip().rstrip(";")) if isinstance(query, str) else None
    if match is None:
        raise ConfigError(
            "The unexpected_rows_query is no condition on rows; SQL of a suite is not run.",
            hint="write SELECT * FROM {batch} WHERE followed by comparisons, and, or, not, in, "
            "between, is null; what needs more is computed as a column where the table is made.",
        )
    return parse_condition(match["condition"])


def _of_text(text: str) -> Condition:
    if not text.lstrip().startswith("col("):
        return parse_condition(text)
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        raise ConfigError("A row_condition with col(...) cannot be read.", hint=_HINT)
    name = Name(match["column"], 1)
    if match["present"]:
        return IsNull(name, negated=True)
    quoted = match["text"] if match["text"] is not None else match["quoted"]
    value = Number(float(match["number"])) if match["number"] else Text(quoted)
    return Comparison(match["operator"], name, value)


def _of_object(value: object, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise ConfigError(f"A row_condition of more than {MAX_DEPTH} levels.", hint=_HINT)
    match value:
        case {"type": "and" | "or" as kind, "conditions": [_, *_] as conditions}:
            parts = tuple(_of_object(part, depth + 1) for part in conditions)
            return Both(parts) if kind == "and" else Either(parts)
        case {"type": "nullity", "column": column, "is_null": bool(is_null)}:
            return IsNull(_name(column), negated=not is_null)
        case {"type": "comparison", "column": column, "operator": operator, "parameter": parameter}:
            return _comparison(_name(column), operator, parameter)
        case {"type": "pass_through", "pass_through_filter": str(text)}:
            return _of_text(text)
        case _:
            raise ConfigError("A row_condition is none of the library's.", hint=_HINT)


def _comparison(name: Name, operator: object, parameter: object) -> Condition:
    match operator, parameter:
        case "IN" | "NOT_IN", [_, *_]:
            member = Membership(name, tuple(map(_literal, parameter)))
            return negate(member) if operator == "NOT_IN" else member
        case "==" | "!=" | "<" | "<=" | ">" | ">=", _:
            return Comparison(str(operator), name, _literal(parameter))
        case _:
            raise ConfigError(
                "A row_condition's operator is one of ==, !=, <, <=, >, >=, and IN or NOT_IN with "
                "a list.",
                hint=_HINT,
            )


def _name(column: object) -> Name:
    match column:
        case {"name": str(name)} | str(name):
            return Name(name, 1)
        case _:
            raise ConfigError(
                "A row_condition's column has no name.", hint='for instance {"name": "amount"}.'
            )


def _literal(value: object) -> Literal:
    match value:
        case bool():
            return Flag(value)
        case int() | float():
            return Number(float(value))
        case str():
            return Text(value)
        case _:
            raise ConfigError(
                "A row_condition compares with numbers, text, true and false.", hint=_HINT
            )


def row_condition_text(value: object) -> str:
    """Return a ``row_condition`` as people read it, for the pages about a suite."""
    match value:
        case str():
            return value
        case {"type": "and" | "or" as kind, "conditions": list() as parts}:
            return "(" + f" {kind} ".join(map(row_condition_text, parts)) + ")"
        case {"type": "nullity", "column": column, "is_null": is_null}:
            return f"{_name(column).name} is {'null' if is_null else 'not null'}"
        case {"column": column, "operator": operator, "parameter": parameter}:
            return f"{_name(column).name} {str(operator).replace('_', ' ')} {parameter}"
        case {"pass_through_filter": text}:
            return str(text)
        case _:
            return ""
