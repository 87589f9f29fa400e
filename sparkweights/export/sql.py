"""A formula as one SQL query, in the standard's words: CASE, COALESCE, NULLIF, EXP, LN, CAST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.errors import ModelError
from sparkweights.export.formula import NUMBER, ScoringFormula, describe
from sparkweights.export.terms import Apply, Case, Constant, Term, Value, names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INFIX = {"+": " + ", "*": " * ", "-": " - ", "<": " < ", "<=": " <= ", "=": " = ", "and": " AND "}
_CALLS = {"exp": "EXP", "log": "LN", "coalesce": "COALESCE"}
_ROWS = "rows"


@dataclass(frozen=True)
class Dialect:
    """How an engine writes names, texts and the type of numbers.

    Attributes
    ----------
    quote
        Encloses a name; it is doubled inside of one.
    double
        The type of double precision.
    escapes
        Whether a backslash in a text begins an escape.
    """

    quote: str
    double: str
    escapes: bool

    def name(self, name: str) -> str:
        """Return a quoted name."""
        return self.quote + name.replace(self.quote, 2 * self.quote) + self.quote

    def text(self, text: str) -> str:
        """Return a quoted text."""
        if self.escapes:
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", "''") + "'"

    def number(self, name: str) -> str:
        """Return a number or a boolean as a number."""
        return f"CAST({self.name(name)} AS {self.double})"


DIALECTS: Mapping[str, Dialect] = {
    "sql": Dialect('"', "DOUBLE PRECISION", escapes=False),
    "spark_sql": Dialect("`", "DOUBLE", escapes=True),
}


def to_sql(formula: ScoringFormula, table: str, dialect: Dialect) -> str:
    """Return the query that scores a table.

    Parameters
    ----------
    table
        The name of the table, quoted where it needs quotes.

    Returns
    -------
    str
        A query of the keys and the outputs of the formula. Steps that read others are in later
        subqueries, as SQL knows no names within one SELECT.
    """
    levels = _levels(formula)
    keys = [dialect.name(key) for key in formula.keys]
    read = [
        f"{_input(name, kind, dialect)} AS {dialect.name(name)}"
        for name, kind in formula.inputs.items()
        if name not in formula.keys
    ]
    queries = [f"{_ROWS}_0 AS (\n{_select([*keys, *read], table)}\n)"]
    for level, steps in enumerate(levels, start=1):
        stated = [
            f"{_render(formula.steps[name], dialect)} AS {dialect.name(name)}" for name in steps
        ]
        before = f"{_ROWS}_{level - 1}"
        queries.append(f"{_ROWS}_{level} AS (\n{_select([f'{before}.*', *stated], before)}\n)")
    outputs = [*keys, *map(dialect.name, formula.outputs)]
    return (
        f"-- {describe(formula)}\n"
        f"WITH {', '.join(queries)}\n{_select(outputs, f'{_ROWS}_{len(levels)}')}\n"
    )


def _levels(formula: ScoringFormula) -> list[list[str]]:
    """Return the steps by the subquery that they are computed in."""
    level = dict.fromkeys(formula.inputs, 0)
    for name, term in formula.steps.items():
        level[name] = 1 + max((level[read] for read in names(term)), default=0)
    last = max(level.values())
    return [
        [name for name in formula.steps if level[name] == number] for number in range(1, last + 1)
    ]


def _select(columns: Sequence[str], table: str) -> str:
    return "  SELECT\n    " + ",\n    ".join(columns) + f"\n  FROM {table}"


def _input(name: str, kind: str, dialect: Dialect) -> str:
    """Return a column as the formula reads it; of a number, NaN as null.

    Engines differ in whether NaN equals itself; where it does, it is above every number.
    """
    column = dialect.name(name)
    if kind != NUMBER:
        return column
    number = dialect.number(name)
    is_nan = f"{number} <> {number} OR ({number} > 0 AND -{number} > 0)"
    return f"CASE WHEN {is_nan} THEN NULL ELSE {number} END"


def _render(term: Term, dialect: Dialect) -> str:
    match term:
        case Constant(value):
            return "NULL" if value is None else _constant(value, dialect)
        case Value(name):
            return dialect.name(name)
        case Apply(function, arguments):
            return _apply(function, [_render(argument, dialect) for argument in arguments])
        case Case(branches, otherwise):
            stated = " ".join(
                f"WHEN {_render(condition, dialect)} THEN {_render(value, dialect)}"
                for condition, value in branches
            )
            return f"CASE {stated} ELSE {_render(otherwise, dialect)} END"
        case _:
            raise TypeError(type(term).__name__)


def _apply(function: str, arguments: Sequence[str]) -> str:
    if function == "missing":
        return f"{arguments[0]} IS NULL"
    if function == "/":
        return f"({arguments[0]} / NULLIF({arguments[1]}, 0.0E0))"
    if function in _INFIX:
        return "(" + _INFIX[function].join(arguments) + ")"
    return f"{_CALLS[function]}({', '.join(arguments)})"


def _constant(value: float | str, dialect: Dialect) -> str:
    return dialect.text(value) if isinstance(value, str) else _number(float(value))


def _number(value: float) -> str:
    """Return a literal of double precision: with an exponent, as one without is a decimal.

    Raises
    ------
    ModelError
        If it is not finite.
    """
    text = repr(value)
    if "n" in text:  # inf, nan
        raise ModelError(
            f"The model holds the number {text}, which SQL cannot state.", hint="train again."
        )
    literal = text if "e" in text else f"{text}E0"
    return f"({literal})" if value < 0 else literal
