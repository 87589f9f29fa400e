"""Conditions on rows: comparisons of cost expressions and columns with ``and``, ``or``, ``not``.

A condition is parsed here into a small frozen tree and never reaches the SQL parser. The syntax is
a subset of SQL, so that a condition means the same there: ``= == != <> < <= > >=``, ``[not] in``,
``[not] between``, ``is [not] null``, ``isnan(column)``. Operands are cost expressions, text in
quotes (for dates as well, as ``'2024-01-31'``), ``true`` and ``false``.

``not`` is resolved while parsing, so that a tree is made of comparisons, ``and`` and ``or``. A
comparison with a missing operand does not hold, and neither does its negation, as in SQL.
`sparkweights.costs.spark` compiles a tree to a Column; `holds` defines the value of every tree.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError
from sparkweights.costs.expression import (
    MAX_LENGTH,
    Expression,
    ExpressionParser,
    Name,
    Number,
    Token,
    evaluate,
    name_of,
    names,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_COMPARISONS = 100  # keeps Spark's plan far from its recursion limit
COMPARATORS = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SAME = {"=": "==", "<>": "!="}
_KEYWORDS = ("and", "or", "not", "in", "is", "null", "between", "true", "false")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^'\\]|'')*'|\"[^\"\\]*\")"
    r"|(?P<name>[^\W\d]\w*|`(?:[^`]|``)+`)"
    r"|(?P<symbol>==|!=|<>|<=|>=|[-+*/(),=<>])"
)


@dataclass(frozen=True)
class Text:
    """Text in quotes; compared with a date or a time, it is one in ISO 8601."""

    value: str


@dataclass(frozen=True)
class Flag:
    """``true`` or ``false``."""

    value: bool


Literal = Number | Text | Flag
Operand = Expression | Text | Flag


@dataclass(frozen=True)
class Comparison:
    """``left operator right`` with one of ``== != < <= > >=``."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Membership:
    """Whether a column has one of these values, or none of them."""

    name: Name
    values: tuple[Literal, ...]
    negated: bool = False


@dataclass(frozen=True)
class IsNull:
    """Whether a column is null, or is not."""

    name: Name
    negated: bool = False


@dataclass(frozen=True)
class IsNan:
    """Whether a column of numbers is NaN, or is not."""

    name: Name
    negated: bool = False


@dataclass(frozen=True)
class Both:
    """``and`` of two or more conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """``or`` of two or more conditions."""

    parts: tuple[Condition, ...]


Condition = Comparison | Membership | IsNull | IsNan | Both | Either


def parse_condition(text: str) -> Condition:
    """Parse the text of a condition.

    Parameters
    ----------
    text
        For instance ``amount > 0 and status in ('paid', 'open')``. A column name with dots or
        spaces goes in backticks.

    Raises
    ------
    ConfigError
        With line and column of the first thing that is not part of the language.

    Examples
    --------
    >>> holds(parse_condition("not (a > 1 or b is null)"), {"a": 1, "b": 2})
    True
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(
            f"A condition of {len(text)} characters; at most {MAX_LENGTH} are allowed.",
            hint="compute it as a boolean column of the table and compare that with true.",
        )
    tree = _ConditionParser(text).condition()
    require_short(tree)
    return tree


def require_short(tree: Condition) -> None:
    """Refuse a condition of more than `MAX_COMPARISONS` comparisons."""
    count = sum(1 for _ in _iterate_leaves(tree))
    if count > MAX_COMPARISONS:
        raise ConfigError(
            f"A condition of {count} comparisons; at most {MAX_COMPARISONS} are allowed.",
            hint="list values with 'in', or compute it as a boolean column of the table.",
        )


class _ConditionParser(ExpressionParser):
    """The grammar of conditions on top of that of expressions."""

    pattern = _TOKEN
    subject = "Condition"
    symbols = (
        "numbers, columns, text in quotes, + - * /, = != < <= > >=, parentheses, and, or, not, in, "
        "between, is null"
    )
    hint = (
        "a column name with dots or spaces goes in backticks, text in quotes; for anything richer, "
        "compute a boolean column in the table and compare it with true."
    )

    def condition(self) -> Condition:
        """Return the tree of the whole text."""
        tree = self._either()
        self._end("a comparison (= != < <= > >=), and, or, or the end of the condition")
        return tree

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._takes("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._negation()]
        while self._takes("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _negation(self) -> Condition:
        token = self._peek()
        if not self._takes("not"):
            return self._predicate()
        self._descend(token)
        tree = negate(self._negation())
        self.depth -= 1
        return tree

    def _predicate(self) -> Condition:
        token = self._peek()
        if token.text == "(" and self._is_condition_in_parentheses():
            self._descend(self._take())
            tree = self._either()
            self._expect(")")
            self.depth -= 1
            return tree
        if token.kind == "name" and token.text.lower() == "isnan":
            self._take()
            self._expect("(")
            name = self._column()
            self._expect(")")
            return IsNan(name)
        return self._comparison(self._operand())

    def _comparison(self, left: Operand) -> Condition:
        token = self._take()
        word = token.text.lower()
        if token.text in COMPARATORS:
            operator = _SAME.get(token.text, token.text)
            return Comparison(operator, left, self._operand())
        if token.kind == "name" and word == "not":
            token = self._take()
            word = token.text.lower()
            if token.kind == "name" and word in {"in", "between"}:
                return negate(self._set_or_range(word, left, token))
            raise self._error(token, "in or between")
        if token.kind == "name" and word in {"in", "between"}:
            return self._set_or_range(word, left, token)
        if token.kind == "name" and word == "is" and isinstance(left, Name):
            negated = self._takes("not")
            if not self._takes("null"):
                raise self._error(self._peek(), "null")
            return IsNull(left, negated)
        raise self._error(token, "a comparison: = != < <= > >=, in, between, is null")

    def _set_or_range(self, word: str, left: Operand, token: Token) -> Condition:
        if word == "between":
            low = self._operand()
            if not self._takes("and"):
                raise self._error(self._peek(), "and")
            return Both((Comparison(">=", left, low), Comparison("<=", left, self._operand())))
        if not isinstance(left, Name):
            raise self._error(token, "a column before 'in'")
        self._expect("(")
        values = [self._literal_value()]
        while self._peek().text == ",":
            self._take()
            values.append(self._literal_value())
        self._expect(")")
        return Membership(left, tuple(values))

    def _operand(self) -> Operand:
        token, start = self._peek(), self.next
        if token.kind == "text":
            self._take()
            quote = token.text[0]
            return Text(token.text[1:-1].replace(quote * 2, quote))
        if token.kind == "name" and token.text.lower() in {"true", "false"}:
            self._take()
            return Flag(token.text.lower() == "true")
        tree = self._sum()
        self._require_few(self.tokens[start : self.next])
        return tree

    def _atom(self) -> Expression:
        token = self._peek()
        if token.kind == "name" and token.text.lower() in _KEYWORDS:
            raise self._error(token, "a number, a column or text in quotes")
        return super()._atom()

    def _literal_value(self) -> Literal:
        token, value = self._peek(), self._operand()
        if not isinstance(value, Number | Text | Flag):
            raise self._error(token, "a number or text in quotes")
        return value

    def _column(self) -> Name:
        token = self._take()
        if token.kind != "name":
            raise self._error(token, "a column")
        return name_of(token)

    def _takes(self, word: str) -> bool:
        token = self._peek()
        if token.kind != "name" or token.text.lower() != word:
            return False
        self._take()
        return True

    def _is_condition_in_parentheses(self) -> bool:
        """Whether the parentheses that open here hold a condition, not part of an operand."""
        depth = 0
        for position in range(self.next, len(self.tokens)):
            text = self.tokens[position].text
            depth += (text == "(") - (text == ")")
            if depth == 0:
                after = self.tokens[position + 1]
                return after.kind == "end" or after.text.lower() in {"and", "or", ")"}
        return True


def negate(tree: Condition) -> Condition:
    """Return the condition that holds where this one does not, missing values apart."""
    match tree:
        case Comparison(operator, left, right):
            return Comparison(_NEGATED[operator], left, right)
        case Both(parts):
            return Either(tuple(map(negate, parts)))
        case Either(parts):
            return Both(tuple(map(negate, parts)))
        case _:
            return replace(tree, negated=not tree.negated)


def condition_names(tree: Condition) -> tuple[Name, ...]:
    """Return each column that a condition reads, once, in order of appearance."""
    by_name: dict[str, Name] = {}
    for leaf in _iterate_leaves(tree):
        operands = (leaf.left, leaf.right) if isinstance(leaf, Comparison) else (leaf.name,)
        for operand in operands:
            if not isinstance(operand, Text | Flag):
                for name in names(operand):
                    by_name.setdefault(name.name, name)
    return tuple(by_name.values())


def _iterate_leaves(tree: Condition) -> Iterator[Comparison | Membership | IsNull | IsNan]:
    if isinstance(tree, Both | Either):
        for part in tree.parts:
            yield from _iterate_leaves(part)
    else:
        yield tree


Value = float | str | bool | None


def holds(tree: Condition, row: Mapping[str, Value]) -> bool:
    """Return whether a condition holds on one row; this defines the language.

    Null and NaN are treated as missing: `IsNull` holds for both, no comparison holds for either.

    Examples
    --------
    >>> holds(parse_condition("a != 1"), {"a": None})
    False
    """
    match tree:
        case Both(parts):
            return all(holds(part, row) for part in parts)
        case Either(parts):
            return any(holds(part, row) for part in parts)
        case IsNull(name, negated):
            return (_value(name, row) is None) != negated
        case IsNan(name, negated):
            value = row[name.name]
            return (isinstance(value, float) and math.isnan(value)) != negated
        case Membership(name, values, negated):
            value = _value(name, row)
            return value is not None and (value in {entry.value for entry in values}) != negated
        case Comparison(operator, left, right):
            return _compare(operator, _value(left, row), _value(right, row))


def _value(operand: Operand, row: Mapping[str, Value]) -> Value:
    match operand:
        case Text(value) | Flag(value):
            return value
        case Name(name, _):
            found = row[name]
            return None if isinstance(found, float) and math.isnan(found) else found
        case _:
            numbers = {key: value for key, value in row.items() if not isinstance(value, str)}
            return evaluate(operand, numbers)


def _compare(operator: str, left: Value, right: Value) -> bool:
    if left is None or right is None:
        return False
    if isinstance(left, str) != isinstance(right, str):
        raise TypeError("text is compared with text alone")
    order = (left > right) - (left < right)  # type: ignore[operator]
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]
