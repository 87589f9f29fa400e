"""Terms: the arithmetic that every export can state, with operators as numbers have them.

A value may be missing. An operation with a missing operand is missing, and so is a division by
zero; a comparison with a missing operand does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 1.7976931348623157e308  # the largest double; what exceeds it is infinite
MAX_EXPONENT = 700.0  # engines refuse the exponential function of numbers a little further from 0


class Term:
    """A number, a text or a condition of a row; the operators make further terms."""

    def __add__(self, other: Term | float) -> Term:
        return apply("+", self, other)

    def __radd__(self, other: float) -> Term:
        return apply("+", other, self)

    def __sub__(self, other: Term | float) -> Term:
        return apply("-", self, other)

    def __rsub__(self, other: float) -> Term:
        return apply("-", other, self)

    def __mul__(self, other: Term | float) -> Term:
        return apply("*", self, other)

    def __rmul__(self, other: float) -> Term:
        return apply("*", other, self)

    def __truediv__(self, other: Term | float) -> Term:
        return apply("/", self, other)

    def __rtruediv__(self, other: float) -> Term:
        return apply("/", other, self)

    def __neg__(self) -> Term:
        match self:
            case Constant(float() as value):
                return Constant(-value)
            case Apply("-", (Constant(0.0), negated)):
                return negated
            case _:
                return apply("-", 0.0, self)

    def __lt__(self, other: Term | float) -> Term:
        return apply("<", self, other)

    def __le__(self, other: Term | float) -> Term:
        return apply("<=", self, other)


@dataclass(frozen=True)
class Constant(Term):
    """A number or a text that is the same on every row; None is a missing value."""

    value: float | str | None


@dataclass(frozen=True)
class Value(Term):
    """The value of a column of the row, or of an earlier step."""

    name: str


@dataclass(frozen=True)
class Apply(Term):
    """A function of terms.

    Attributes
    ----------
    function
        ``+ *`` of two or more; ``- / < <= =`` of two; ``exp``, ``log``, ``missing`` of one;
        ``and``, ``coalesce`` of one or more.
    """

    function: str
    arguments: tuple[Term, ...]


@dataclass(frozen=True)
class Case(Term):
    """The value behind the first condition that holds, else another.

    Attributes
    ----------
    branches
        Pairs of a condition and a value.
    """

    branches: tuple[tuple[Term, Term], ...]
    otherwise: Term


MISSING = Constant(None)


def as_term(value: Term | float | str) -> Term:
    """Return a number or a text as a term."""
    return value if isinstance(value, Term) else Constant(value)


def apply(function: str, *arguments: Term | float | str) -> Term:
    """Return a function of terms."""
    return Apply(function, tuple(map(as_term, arguments)))


def total(terms: Sequence[Term]) -> Term:
    """Return a sum; of no term, 0."""
    if not terms:
        return Constant(0.0)
    return terms[0] if len(terms) == 1 else Apply("+", tuple(terms))


def case(*branches: tuple[Term, Term | float | str], otherwise: Term | float | str) -> Term:
    """Return the value behind the first condition that holds."""
    if not branches:
        return as_term(otherwise)
    pairs = tuple((condition, as_term(value)) for condition, value in branches)
    return Case(pairs, as_term(otherwise))


def is_missing(term: Term) -> Term:
    """Return whether a value is missing."""
    return apply("missing", term)


def clip(term: Term, low: float, high: float) -> Term:
    """Return a number limited to a range."""
    return case((term < low, low), (apply("<", high, term), high), otherwise=term)


def extreme(terms: Sequence[Term], values: Sequence[Term], otherwise: Term) -> Term:
    """Return the value that belongs to the least of some numbers; the first where several are.

    ``otherwise`` is returned where one of them is missing.
    """
    if len(terms) == 1:
        return case((is_missing(terms[0]), otherwise), otherwise=values[0])
    branches = []
    for k, (term, value) in enumerate(zip(terms, values, strict=True)):
        others = [term <= other for j, other in enumerate(terms) if j != k]
        branches.append((others[0] if len(others) == 1 else apply("and", *others), value))
    return case(*branches, otherwise=otherwise)


def expit(log_odds: Term) -> Term:
    """Return 1 / (1 + exp(-x)), of log odds that are limited to `MAX_EXPONENT` on both sides."""
    return 1.0 / (1.0 + apply("exp", -log_odds))


def interpolate(term: Term, knots: Sequence[float], values: Sequence[float]) -> Term:
    """Return the piecewise linear function through points, constant outside of them.

    A missing number stays missing. Conditions are nested by halves, so that a row is compared with
    few knots.
    """
    kept = [
        k
        for k, value in enumerate(values)
        if k in {0, len(values) - 1} or not values[k - 1] == value == values[k + 1]
    ]
    points = [(float(knots[k]), float(values[k])) for k in kept]

    def between(low: int, high: int) -> Term:
        if high - low == 1:
            (left, first), (right, second) = points[low], points[high]
            slope = (second - first) / (right - left)
            return Constant(first) if slope == 0 else first + slope * (term - left)
        middle = (low + high) // 2
        return case(
            (term <= points[middle][0], between(low, middle)), otherwise=between(middle, high)
        )

    inner = between(0, len(points) - 1) if len(points) > 1 else Constant(points[0][1])
    return case(
        (is_missing(term), MISSING),
        (term <= points[0][0], points[0][1]),
        (apply("<=", points[-1][0], term), points[-1][1]),
        otherwise=inner,
    )


def plain(term: Term) -> object:
    """Return a term ready for JSON: a number, null, or a list of a function and its arguments.

    Examples
    --------
    >>> plain(Value("income") * 2.0)
    ['*', ['value', 'income'], 2.0]
    """
    match term:
        case Constant(str() as text):
            return ["text", text]
        case Constant(value):
            return value
        case Value(name):
            return ["value", name]
        case Apply(function, arguments):
            return [function, *map(plain, arguments)]
        case Case(branches, otherwise):
            pairs = [plain(part) for branch in branches for part in branch]
            return ["case", *pairs, plain(otherwise)]
        case _:
            raise TypeError(type(term).__name__)


def names(term: Term) -> set[str]:
    """Return the columns and steps that a term reads."""
    match term:
        case Value(name):
            return {name}
        case Apply(_, arguments):
            return set().union(*map(names, arguments))
        case Case(branches, otherwise):
            parts = [part for branch in branches for part in branch]
            return set().union(*map(names, [*parts, otherwise]))
        case _:
            return set()
