"""Score rows by a formula in JSON: `Scorer(json.load(file)).score(row)`, of a dictionary.

This file needs Python alone. A missing value is None or NaN; the result holds None where a number
is missing, and the decision "unscorable" where no decision follows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": lambda *values: sum(values),
    "*": lambda *values: math.prod(values),
    "-": lambda left, right: left - right,
    "/": lambda left, right: left / right if right else None,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "=": lambda left, right: left == right,
    "and": lambda *conditions: all(conditions),
    "exp": math.exp,
    "log": math.log,
}


class Scorer:
    """The model as a function of a row."""

    def __init__(self, formula: Mapping[str, Any]) -> None:
        self.formula = formula

    def score(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return probabilities, expected costs and the decision of a row."""
        values = {}
        for name, kind in self.formula["inputs"].items():
            value = row.get(name)
            if isinstance(value, float) and math.isnan(value):
                value = None
            as_stated = float if kind == "number" else str
            values[name] = None if value is None else as_stated(value)
        for name, term in self.formula["steps"].items():
            values[name] = evaluate(term, values)
        return {name: values[name] for name in self.formula["outputs"]}


def evaluate(term: object, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 (a number or a text)
    """Return the value of a term: a number, None, or a list of a function and its arguments."""
    if not isinstance(term, list):
        return term
    function, *arguments = term
    if function in {"value", "text"}:
        return values[arguments[0]] if function == "value" else arguments[0]
    if function == "case":
        *branches, otherwise = arguments
        pairs = zip(branches[::2], branches[1::2], strict=True)
        holding = (value for condition, value in pairs if evaluate(condition, values))
        return evaluate(next(holding, otherwise), values)
    operands = [evaluate(argument, values) for argument in arguments]
    if function == "coalesce":
        return next((operand for operand in operands if operand is not None), None)
    if function == "missing":
        return operands[0] is None
    return None if None in operands else FUNCTIONS[function](*operands)
