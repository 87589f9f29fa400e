"""The cost arithmetic: numbers, columns, ``+ - * /``, parentheses, ``min``, ``max``, ``coalesce``.

An expression is parsed here into a small frozen tree and never reaches the SQL parser, so that a
configuration file cannot call a function, run a subquery or read a file. The tree is compiled to
a Spark Column by `sparkweights.costs.spark`; `evaluate` defines the value of every tree.

Null and NaN are treated as missing. An operation with a missing operand is missing, and so is a
division by zero; use ``coalesce`` to supply a default.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sparkweights.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FUNCTIONS = ("min", "max", "coalesce")
MAX_LENGTH = 2_000  # a longer cost is a generated program
MAX_DEPTH = 50  # keeps parser and Spark plan far from their recursion limits
MAX_OPERANDS = 100  # as MAX_DEPTH: a sum of n operands is a tree of depth n - 1


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Name:
    """A column, with the position (from 1) at which the text names it."""

    name: str
    position: int


@dataclass(frozen=True)
class Operation:
    """``left operator right`` with one of ``+ - * /``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """``min``, ``max`` or ``coalesce`` of two or more arguments."""

    function: str
    arguments: tuple[Expression, ...]


Expression = Number | Name | Operation | Call


class Token(NamedTuple):
    """A word of an expression, with its offset in the text."""

    kind: str
    text: str
    offset: int


_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*|`(?:[^`]|``)+`)"
    r"|(?P<symbol>[-+*/(),])"
)


def parse(text: str) -> Expression:
    """Parse the text of a cost.

    Parameters
    ----------
    text
        For instance ``0.18 * credit_limit + 2000``. A column name with dots, spaces or
        quotes goes in backticks.

    Raises
    ------
    ConfigError
        With line and column of the first thing that is not part of the language.

    Examples
    --------
    >>> evaluate(parse("max(2, 3) * limit"), {"limit": 10})
    30.0
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(
            f"A cost expression of {len(text)} characters; at most {MAX_LENGTH} are allowed.",
            hint="compute this cost as a column of the table and name the column here.",
        )
    return ExpressionParser(text).expression()


class ExpressionParser:
    """Recursive descent over one text; each method consumes one grammar rule."""

    pattern = _TOKEN
    subject = "Cost expression"
    symbols = "numbers, columns, + - * /, parentheses, min, max, coalesce"
    hint = (
        "a column name with dots or spaces goes in backticks; for anything richer, compute the "
        "cost as a column of the table and name it here."
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.next = 0
        self.depth = 0

    def expression(self) -> Expression:
        """Return the tree of the whole text."""
        self._require_few(self.tokens)
        tree = self._sum()
        self._end("an operator (+ - * /) or the end of the expression")
        return tree

    def _require_few(self, tokens: Sequence[Token]) -> None:
        operands = [token for token in tokens if token.kind in {"number", "name"}]
        if len(operands) > MAX_OPERANDS:
            raise self._error(
                operands[MAX_OPERANDS], f"at most {MAX_OPERANDS} numbers and columns together"
            )

    def _end(self, allowed: str) -> None:
        token = self._peek()
        if token.kind != "end":
            raise self._error(token, allowed)

    def _tokens(self) -> Iterator[Token]:
        offset = 0
        while offset < len(self.text):
            match = self.pattern.match(self.text, offset)
            if match is None:
                token = Token("other", self.text[offset], offset)
                raise self._error(token, self.symbols)
            if match.lastgroup != "space":
                yield Token(str(match.lastgroup), match.group(), offset)
            offset = match.end()
        yield Token("end", "", offset)

    def _peek(self) -> Token:
        return self.tokens[self.next]

    def _take(self) -> Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def _sum(self) -> Expression:
        tree = self._product()
        while self._peek().text in {"+", "-"}:
            tree = Operation(self._take().text, tree, self._product())
        return tree

    def _product(self) -> Expression:
        tree = self._signed()
        while self._peek().text in {"*", "/"}:
            tree = Operation(self._take().text, tree, self._signed())
        return tree

    def _signed(self) -> Expression:
        if self._peek().text not in {"+", "-"}:
            return self._atom()
        sign = self._take()
        self._descend(sign)
        value = self._signed()
        self.depth -= 1
        if sign.text == "+":
            return value
        return Number(-value.value) if isinstance(value, Number) else _negate(value)

    def _atom(self) -> Expression:
        token = self._take()
        if token.kind == "number":
            return self._literal(token)
        if token.kind == "name":
            return self._call(token) if self._peek().text == "(" else name_of(token)
        if token.text == "(":
            self._descend(token)
            tree = self._sum()
            self._expect(")")
            self.depth -= 1
            return tree
        raise self._error(token, "a number, a column or '('")

    def _literal(self, token: Token) -> Number:
        value = float(token.text)
        if math.isinf(value):
            raise self._error(token, "a finite number")
        return Number(value)

    def _call(self, name: Token) -> Expression:
        if name.text not in FUNCTIONS:
            raise self._error(name, f"one of the functions {', '.join(FUNCTIONS)}")
        self._descend(name)
        self._expect("(")
        arguments = [self._sum()]
        while self._peek().text == ",":
            self._take()
            arguments.append(self._sum())
        closing = self._expect(")")
        self.depth -= 1
        if len(arguments) == 1:
            raise self._error(closing, f"a second argument of {name.text}")
        return Call(name.text, tuple(arguments))

    def _expect(self, symbol: str) -> Token:
        token = self._take()
        if token.text != symbol:
            raise self._error(token, f"'{symbol}'")
        return token

    def _descend(self, token: Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(token, f"at most {MAX_DEPTH} levels of nesting")

    def _error(self, token: Token, allowed: str) -> ConfigError:
        line = self.text.count("\n", 0, token.offset) + 1
        start = self.text.rfind("\n", 0, token.offset) + 1
        token_text = "the end" if token.kind == "end" else f"'{token.text}'"
        return ConfigError(
            f"{self.subject} {self.text!r}: {token_text} at line {line}, column "
            f"{token.offset - start + 1}; expected {allowed}.",
            hint=self.hint,
        )


def name_of(token: Token) -> Name:
    """Return the column that a token names, without its backticks."""
    name = token.text
    if name.startswith("`"):
        name = name[1:-1].replace("``", "`")
    return Name(name, token.offset + 1)


def _negate(tree: Expression) -> Expression:
    return Operation("-", Number(0.0), tree)


def names(tree: Expression) -> tuple[Name, ...]:
    """Return each column the expression reads, once, in order of appearance."""
    by_name: dict[str, Name] = {}
    for name in _iterate_names(tree):
        by_name.setdefault(name.name, name)
    return tuple(by_name.values())


def _iterate_names(tree: Expression) -> Iterator[Name]:
    match tree:
        case Name():
            yield tree
        case Operation(_, left, right):
            yield from _iterate_names(left)
            yield from _iterate_names(right)
        case Call(_, arguments):
            for argument in arguments:
                yield from _iterate_names(argument)
        case Number():
            return


def check_names(tree: Expression, kinds: Mapping[str, str], *, where: str) -> None:
    """Type the expression against a table: every name must be a column of numbers.

    Parameters
    ----------
    kinds
        Column name -> type family; only ``number`` is allowed in arithmetic.
    where
        The expression's key in the configuration, for the message.

    Raises
    ------
    ConfigError
        Naming the column, its position in the expression and what is allowed.
    """
    for name in names(tree):
        if name.name not in kinds:
            allowed = [other for other, kind in kinds.items() if kind == "number"]
            raise ConfigError(
                f"{where}: unknown column '{name.name}' at column {name.position} of "
                f"{render(tree)!r}; the table has {', '.join(sorted(allowed))}.",
                hint=did_you_mean(name.name, allowed) or "name a numeric column of the table.",
            )
        if kinds[name.name] != "number":
            raise ConfigError(
                f"{where}: column '{name.name}' at column {name.position} of {render(tree)!r} "
                f"is {kinds[name.name]}; arithmetic takes numbers.",
                hint="cast it to a number where the table is made.",
            )


def evaluate(tree: Expression, row: Mapping[str, float | None]) -> float | None:
    """Return the value of an expression on one row; this defines the language.

    Examples
    --------
    >>> evaluate(parse("1 / 0"), {}) is None
    True
    >>> evaluate(parse("coalesce(a, 5)"), {"a": None})
    5.0
    """
    match tree:
        case Number(value):
            return value
        case Name(name, _):
            number = row[name]
            return None if number is None or math.isnan(number) else float(number)
        case Operation(operator, left, right):
            return _operate(operator, evaluate(left, row), evaluate(right, row))
        case Call(function, arguments):
            return _apply_function(function, [evaluate(argument, row) for argument in arguments])


def substitute(tree: Expression, values: Mapping[str, float]) -> Expression:
    """Return the expression with numbers instead of some columns; constant parts are evaluated.

    Examples
    --------
    >>> render(substitute(parse("0.5 * amount + fee"), {"amount": 100}))
    '50 + fee'
    """
    match tree:
        case Name(name, _) if name in values:
            return Number(float(values[name]))
        case Operation(operator, left, right):
            tree = Operation(operator, substitute(left, values), substitute(right, values))
        case Call(function, arguments):
            tree = Call(function, tuple(substitute(argument, values) for argument in arguments))
    known = constant(tree)
    return tree if known is None else Number(known)


def _operate(operator: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or (operator == "/" and right == 0):
        return None
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right


def _apply_function(function: str, values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    if function == "coalesce":
        return present[0] if present else None
    if len(present) < len(values):
        return None
    # As in Spark, NaN (of infinite operands) is greater than every number.
    ordered = sorted(present, key=lambda value: (math.isnan(value), value))
    return ordered[0] if function == "min" else ordered[-1]


def render(tree: Expression) -> str:
    """Return the canonical text of an expression; parsing it gives an equal value.

    Examples
    --------
    >>> render(parse("2*( a+1 )"))
    '2 * (a + 1)'
    """
    match tree:
        case Number(value):
            whole = value.is_integer() and abs(value) < 1e15  # exact in a double
            return str(int(value)) if whole else repr(value)
        case Name(name, _):
            return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name.replace('`', '``')}`"
        case Call(function, arguments):
            return f"{function}({', '.join(map(render, arguments))})"
        case Operation(operator, left, right):
            left_text = _operand(left, operator)
            return f"{left_text} {operator} {_operand(right, operator, right=True)}"


def _operand(tree: Expression, operator: str, *, right: bool = False) -> str:
    """Return the text of an operand, in parentheses where its value would change without."""
    text = render(tree)
    if isinstance(tree, Number) and tree.value < 0:
        return f"({text})"
    if not isinstance(tree, Operation):
        return text
    tighter = operator in "*/" and tree.operator in "+-"
    # a + (b + c) keeps its parentheses: floating-point sums and products do not regroup exactly
    same = right and (operator in "*/") == (tree.operator in "*/")
    return f"({text})" if tighter or same else text


def constant(tree: Expression) -> float | None:
    """Return the value of an expression that reads no column, or None.

    An expression without columns whose value is undefined (``1 / 0``) is None as well.
    """
    return None if names(tree) else evaluate(tree, {})
