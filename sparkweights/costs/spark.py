"""Cost expressions as Spark Columns, exact on null, NaN, negative and zero values."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import kind_of, number
from sparkweights.costs.expression import Call, Expression, Name, Number, Operation, check_names

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import StructType

    from sparkweights.costs.matrix import CostMatrix


def to_column(tree: Expression) -> Column:
    """Compile an expression to a double Column that is null where its value is missing.

    Built from Column objects alone; no text reaches the SQL parser.
    """
    match tree:
        case Number(value):
            return F.lit(value)
        case Name(name, _):
            return number(name)
        case Operation(operator, left, right):
            return _operation(operator, to_column(left), to_column(right))
        case Call("coalesce", arguments):
            return F.coalesce(*map(to_column, arguments))
        case Call(function, arguments):
            columns = [to_column(argument) for argument in arguments]
            chosen = F.least(*columns) if function == "min" else F.greatest(*columns)
            # Spark's least and greatest skip nulls; a cost with a missing operand is missing.
            return F.when(~reduce(or_, [column.isNull() for column in columns]), chosen)


def _operation(operator: str, left: Column, right: Column) -> Column:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return F.try_divide(left, right)


def cost_columns(matrix: CostMatrix) -> list[list[Column]]:
    """Return ``[decision][class]`` cost Columns of a row."""
    return [[to_column(cell) for cell in row] for row in matrix.cells]


def check_amount(tree: Expression, schema: StructType, *, where: str) -> None:
    """Refuse an amount that reads unknown or non-numeric columns of a table."""
    kinds = {field.name: kind_of(field.dataType) for field in schema}
    check_names(tree, kinds, where=where)


def check_costs(matrix: CostMatrix, schema: StructType) -> None:
    """Refuse a matrix whose expressions read unknown or non-numeric columns of a table.

    Raises
    ------
    ConfigError
        With the cell, the column and its position in the expression.
    """
    kinds = {field.name: kind_of(field.dataType) for field in schema}
    for decision, row in zip(matrix.decisions, matrix.cells, strict=True):
        for name, cell in zip(matrix.classes, row, strict=True):
            check_names(cell, kinds, where=f"costs.{decision}.{name}")
