"""Costs and decisions of many rows in numpy; `sparkweights.costs.expression` defines the values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add, and_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.costs.expression import Call, Expression, Name, Number, Operation, constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.local.columns import Array, Flags, InputColumns


class Amounts(NamedTuple):
    """A number per row.

    Attributes
    ----------
    value
        The number; undefined where it is missing.
    is_known
        Whether it is not missing. A number that is known may be NaN, as infinity less infinity is.
    """

    value: Array
    is_known: Flags

    def or_nan(self) -> Array:
        """Return the numbers with NaN for missing ones."""
        return np.where(self.is_known, self.value, np.nan)


def amounts(tree: Expression, columns: InputColumns) -> Amounts:
    """Return the value of an expression on each row; see `sparkweights.costs.expression.evaluate`.

    Examples
    --------
    >>> import pandas as pd
    >>> from sparkweights.costs.expression import parse
    >>> from sparkweights.local.columns import InputColumns
    >>> rows = InputColumns(pd.DataFrame({"amount": [100.0, None]}))
    >>> amounts(parse("0.5 * amount + 2"), rows).or_nan()
    array([52., nan])
    """
    match tree:
        case Number(value):
            return Amounts(np.full(len(columns), value), np.ones(len(columns), dtype=bool))
        case Name(name, _):
            numbers = columns.number(name)
            return Amounts(numbers, ~np.isnan(numbers))
        case Operation(operator, left, right):
            return _operate(operator, amounts(left, columns), amounts(right, columns))
        case Call(function, arguments):
            return _apply(function, [amounts(argument, columns) for argument in arguments])


def _operate(operator: str, left: Amounts, right: Amounts) -> Amounts:
    is_known = left.is_known & right.is_known
    with np.errstate(all="ignore"):
        match operator:
            case "+":
                return Amounts(left.value + right.value, is_known)
            case "-":
                return Amounts(left.value - right.value, is_known)
            case "*":
                return Amounts(left.value * right.value, is_known)
            case _:
                return Amounts(left.value / right.value, is_known & (right.value != 0))


def _apply(function: str, arguments: Sequence[Amounts]) -> Amounts:
    if function == "coalesce":
        value, is_known = arguments[0]
        for other in arguments[1:]:
            value = np.where(is_known, value, other.value)
            is_known = is_known | other.is_known
        return Amounts(value, is_known)
    values = [argument.value for argument in arguments]
    is_known = reduce(and_, [argument.is_known for argument in arguments])
    # To Spark, NaN is above every number: the minimum skips it, the maximum is it.
    return Amounts(reduce(np.fmin if function == "min" else np.maximum, values), is_known)


@dataclass(frozen=True)
class RowCosts:
    """The costs of rows.

    Attributes
    ----------
    cells
        ``[decision][class]``: a cost per row; NaN where it is missing.
    is_usable
        Whether every cost of the row that reads a column is a finite number >= 0.
    """

    cells: tuple[tuple[Array, ...], ...]
    is_usable: Flags

    @classmethod
    def of(cls, matrix: CostMatrix, columns: InputColumns) -> RowCosts:
        """Return the costs of rows by a matrix."""
        cells = tuple(
            tuple(amounts(cell, columns).or_nan() for cell in row) for row in matrix.cells
        )
        checked = [
            cost
            for stated, row in zip(matrix.cells, cells, strict=True)
            for cell, cost in zip(stated, row, strict=True)
            if constant(cell) is None
        ]
        usable = [(cost >= 0) & (cost < np.inf) for cost in checked]
        return cls(cells, reduce(and_, usable, np.ones(len(columns), dtype=bool)))

    def expected(self, probabilities: Array) -> Array:
        """Return ``[row, decision]``: sum_c p_c(x) C[d][c](x), as `DecisionPolicy` has it.

        Parameters
        ----------
        probabilities
            ``[row, class]``: natural probabilities.
        """
        by_class = list(probabilities.T)
        sums = [
            reduce(add, [p * cost for p, cost in zip(by_class, row, strict=True)])
            for row in self.cells
        ]
        return np.stack(sums, axis=1)
