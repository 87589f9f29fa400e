"""Cost expressions and conditions as Spark Columns, exact on null, NaN, negative and zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import TYPE_CHECKING, Literal

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column, kind_of, number
from sparkweights.core.errors import ConfigError, did_you_mean
from sparkweights.costs.condition import (
    Both,
    Comparison,
    Condition,
    Either,
    Flag,
    IsNan,
    IsNull,
    Membership,
    Operand,
    Text,
)
from sparkweights.costs.expression import Call, Expression, Name, Number, Operation, check_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column
    from pyspark.sql.types import StructType

    from sparkweights.costs.matrix import CostMatrix

_COMPARATORS: dict[str, Callable[[Column, Column], Column]] = {
    "==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
_LITERALS = (Number, Text, Flag)
_KINDS = {Number: "a number", Text: "text", Flag: "true or false"}
_LARGEST_LONG = 2**63
_MAX_DIGITS = 38  # of Spark's decimals


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


Nan = Literal["missing", "largest"]


def to_condition(tree: Condition, schema: StructType, *, where: str, nan: Nan) -> Column:
    """Compile a condition to a boolean Column; where it is null, the condition does not hold.

    Built from Column objects alone. A comparison of a column with a literal has the column's own
    type, so that Spark can push it down to the reader of a file.

    Parameters
    ----------
    where
        The condition's key, for messages.
    nan
        Whether NaN is missing, as in costs, or larger than any number, as in SQL.

    Raises
    ------
    ConfigError
        If a column is unknown, or its type does not fit what it is compared with.
    """
    return _Conditions(schema, where, nan).compile(tree)


@dataclass(frozen=True)
class _Conditions:
    """The compiler of conditions about one table."""

    schema: StructType
    where: str
    nan: Nan

    def compile(self, tree: Condition) -> Column:
        match tree:
            case Both(parts):
                return reduce(and_, map(self.compile, parts))
            case Either(parts):
                return reduce(or_, map(self.compile, parts))
            case IsNull(name, negated):
                missing = column(name.name).isNull()
                if self._is_fractional(name) and self.nan == "missing":
                    missing |= F.isnan(column(name.name))
                return ~missing if negated else missing
            case IsNan(name, negated):
                self._require(name, isinstance(self._type(name), T.NumericType), "a number")
                is_nan = F.isnan(column(name.name))
                return ~is_nan if negated else is_nan
            case Membership(name, values, negated):
                data_type = self._type(name)
                literals = [self._literal(name, value, data_type) for value in values]
                member = column(name.name).isin(*literals)
                return self._unless_nan(~member if negated else member, name)
            case Comparison(operator, left, right):
                compared = _COMPARATORS[operator](*self._sides(left, right))
                return self._unless_nan(compared, left, right)

    def _sides(self, left: Operand, right: Operand) -> tuple[Column, Column]:
        if isinstance(left, _LITERALS) and isinstance(right, _LITERALS):
            raise ConfigError(
                f"{self.where}: a comparison reads no column.", hint="name a column on one side."
            )
        if isinstance(left, _LITERALS):
            return self._literal(right, left, self._type(right)), self._column(right)
        if isinstance(right, _LITERALS):
            return self._column(left), self._literal(left, right, self._type(left))
        kinds = kind_of(self._type(left)), kind_of(self._type(right))
        if kinds[0] != kinds[1]:
            raise ConfigError(
                f"{self.where}: {kinds[0]} is compared with {kinds[1]}.",
                hint="cast one of the columns where the table is made.",
            )
        return self._column(left), self._column(right)

    def _column(self, operand: Operand) -> Column:
        return column(operand.name) if isinstance(operand, Name) else to_column(_numeric(operand))

    def _type(self, operand: Operand) -> T.DataType:
        """Return the type of an operand that is no literal."""
        if not isinstance(operand, Name):
            kinds = {field.name: kind_of(field.dataType) for field in self.schema}
            check_names(_numeric(operand), kinds, where=self.where)
            return T.DoubleType()
        types = {field.name: field.dataType for field in self.schema}
        if operand.name not in types:
            raise ConfigError(
                f"{self.where}: unknown column '{operand.name}'; the table has "
                f"{', '.join(sorted(types))}.",
                hint=did_you_mean(operand.name, types) or "name a column of the table.",
            )
        return types[operand.name]

    def _literal(self, other: Operand, value: Operand, data_type: T.DataType) -> Column:
        """Return a literal as a value of the type that it is compared with."""
        match value, data_type:
            case Text(text), T.StringType():
                return F.lit(text)
            case Text(text), T.DateType() | T.TimestampType() | T.TimestampNTZType():
                moment = date if isinstance(data_type, T.DateType) else datetime
                if _parses(moment.fromisoformat, text):
                    return F.lit(text).cast(data_type)
            case Text(text), T.NumericType() if _parses(float, text):
                return _number(float(text), data_type)
            case Number(number_), T.NumericType():
                return _number(number_, data_type)
            case Flag(flag), T.BooleanType():
                return F.lit(flag)
            case _:
                pass
        name = f"column '{other.name}'" if isinstance(other, Name) else "an expression"
        raise ConfigError(
            f"{self.where}: {name} is {kind_of(data_type)}; it is compared with "
            f"{_KINDS[type(value)]}.",
            hint="numbers are compared with numbers, text with text in quotes, booleans with true "
            "or false, dates and times with text such as '2024-01-31' or '2024-01-31T12:00:00'.",
        )

    def _require(self, name: Name, fits: bool, what: str) -> None:  # noqa: FBT001
        if not fits:
            raise ConfigError(
                f"{self.where}: column '{name.name}' is {kind_of(self._type(name))}, not {what}.",
                hint="correct the condition.",
            )

    def _is_fractional(self, operand: Operand) -> bool:
        return isinstance(operand, Name) and isinstance(
            self._type(operand), (T.DoubleType, T.FloatType)
        )

    def _unless_nan(self, compared: Column, *operands: Operand) -> Column:
        """Return a comparison that does not hold for NaN, where NaN is missing.

        The comparison itself stays a part of a conjunction, which Spark pushes down.
        """
        if self.nan == "missing":
            for operand in operands:
                if isinstance(operand, Name) and self._is_fractional(operand):
                    compared &= ~F.isnan(column(operand.name))
        return compared


def _numeric(operand: Operand) -> Expression:
    assert not isinstance(operand, Text | Flag)  # noqa: S101 (literals are handled before)
    return operand


def _parses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _number(value: float, data_type: T.DataType) -> Column:
    """Return a number as SQL's literals have it: exact beside exact types, a double elsewhere."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)) or not math.isfinite(value):
        return F.lit(value)
    if value.is_integer() and abs(value) < _LARGEST_LONG:
        return F.lit(int(value))
    digits = format(Decimal(repr(value)), "f")
    return F.lit(Decimal(digits)) if len(digits) <= _MAX_DIGITS else F.lit(value)
