"""The cost matrix: the cost of each decision for each true class."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.costs.expression import Call, Expression, Number, constant, names, parse, render

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class CostMatrix:
    """cost[decision][class], each cell a number or arithmetic over a row's columns.

    Attributes
    ----------
    decisions
        Decision names in declared order; ties go to the earlier one.
    classes
        Class names in index order.
    cells
        ``cells[d][c]`` is the cost of decision ``d`` when class ``c`` is true, in the currency of
        the table, >= 0.
    """

    decisions: tuple[str, ...]
    classes: tuple[str, ...]
    cells: tuple[tuple[Expression, ...], ...]

    @classmethod
    def parse(
        cls, costs: Mapping[str, Mapping[str, str | float]], classes: Sequence[str]
    ) -> CostMatrix:
        """Build the matrix from the configuration's nested mapping.

        Raises
        ------
        ConfigError
            If a decision misses a class or names an unknown one, a number is negative or not
            finite, an expression does not parse, or fewer than two decisions are given.
        """
        if len(costs) < 2:  # with one decision there is no choice
            raise ConfigError(
                f"costs: {len(costs)} decision given ({join_names(costs)}); at least two are "
                "needed.",
                hint="give each decision its cost per class, also where it is 0.",
            )
        cells = tuple(_row(decision, row, classes) for decision, row in costs.items())
        return cls(tuple(costs), tuple(classes), cells)

    @classmethod
    def of(cls, costs: Costs | None, classes: Sequence[str]) -> CostMatrix:
        """Return the matrix of costs in any form that the public interfaces take.

        Parameters
        ----------
        costs
            A matrix, the nested mapping of `parse`, or None for 0/1 loss.
        classes
            Class names in index order, which may differ from that of a given matrix.

        Raises
        ------
        ConfigError
            As `parse`.
        """
        if costs is None:
            return cls.zero_one(classes)
        return cls.parse(plain_costs(costs), classes)

    @classmethod
    def zero_one(cls, classes: Sequence[str]) -> CostMatrix:
        """Return 0/1 loss: one decision per class, 1 for every mistake."""
        cells = tuple(
            tuple(Number(0.0 if decided == true else 1.0) for true in classes)
            for decided in classes
        )
        return cls(tuple(classes), tuple(classes), cells)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the costs read."""
        column_names = [name.name for row in self.cells for cell in row for name in names(cell)]
        return tuple(dict.fromkeys(column_names))

    @property
    def least(self) -> tuple[Expression, ...]:
        """The cost of the least-cost decision of each class: min_d C[d][c], in index order.

        Examples
        --------
        >>> matrix = CostMatrix.parse({"approve": {"good": 0, "bad": 1000},
        ...                            "decline": {"good": 200, "bad": 150}}, ["good", "bad"])
        >>> matrix.least
        (Number(value=0.0), Number(value=150.0))
        """
        least_costs: list[Expression] = []
        for cells in zip(*self.cells, strict=True):
            values = [constant(cell) for cell in cells]
            constants = [value for value in values if value is not None]
            all_constant = len(constants) == len(values)
            least_costs.append(Number(min(constants)) if all_constant else Call("min", cells))
        return tuple(least_costs)

    def numbers(self) -> tuple[tuple[float, ...], ...] | None:
        """Return the matrix as numbers where no cell reads a column, else None."""
        rows = [[constant(cell) for cell in row] for row in self.cells]
        if self.columns or any(value is None for row in rows for value in row):
            return None
        return tuple(tuple(value for value in row if value is not None) for row in rows)

    def always_best(self) -> str | None:
        """Return the decision that costs no more than any other for every class, or None.

        With such a matrix no model is needed. None where a cost reads a column;
        `sparkweights.weights.frequencies` checks these matrices on the rows.
        """
        rows = self.numbers()
        if rows is None:
            return None
        for decision, row in zip(self.decisions, rows, strict=True):
            if all(row[c] <= other[c] for other in rows for c in range(len(row))):
                return decision
        return None

    def bayes_threshold(self) -> float | None:
        """Return the probability of the second class above which the second decision costs less.

        For two classes, two decisions and fixed costs with C[i][j] the cost of decision i for
        class j, the threshold is ``(C10 - C00) / (C10 - C00 + C01 - C11)`` (Elkan 2001, eq. 2);
        None for every other matrix, or where one decision always costs less.

        Examples
        --------
        >>> CostMatrix.parse({"approve": {"good": 0, "bad": 20},
        ...                   "decline": {"good": 1, "bad": 0}}, ["good", "bad"]).bayes_threshold()
        0.047619047619047616
        """
        rows = self.numbers()
        if rows is None or len(self.decisions) != 2 or len(self.classes) != 2:
            return None
        false_positive, false_negative = rows[1][0] - rows[0][0], rows[0][1] - rows[1][1]
        if false_positive <= 0 or false_negative <= 0:
            return None
        return false_positive / (false_positive + false_negative)

    def to_dict(self) -> dict[str, dict[str, str]]:
        """Return ``{decision: {class: text}}``, ready for JSON and for `parse`."""
        return {
            decision: {name: render(cell) for name, cell in zip(self.classes, row, strict=True)}
            for decision, row in zip(self.decisions, self.cells, strict=True)
        }


def plain_costs(costs: object) -> dict[str, Mapping[str, str | float]]:
    """Return costs as the nested mapping of `CostMatrix.parse`, which JSON can hold.

    Raises
    ------
    ConfigError
        If they are neither a matrix nor such a mapping.
    """
    if isinstance(costs, CostMatrix):
        return dict(costs.to_dict())
    if not isinstance(costs, dict) or not all(isinstance(row, dict) for row in costs.values()):
        raise ConfigError(
            f"costs: a {type(costs).__name__}; allowed: a CostMatrix, or a mapping of each "
            "decision to its cost per class.",
            hint="write {'approve': {'repaid': 0, 'defaulted': 900}, ...}.",
        )
    return costs


def _row(
    decision: str, row: Mapping[str, str | float], classes: Sequence[str]
) -> tuple[Expression, ...]:
    where = f"costs.{decision}"
    for name in row:
        if name not in classes:
            raise ConfigError(
                f"{where}: unknown class '{name}'; columns.classes has {join_names(classes)}.",
                hint=did_you_mean(name, classes),
            )
    missing = [name for name in classes if name not in row]
    if missing:
        raise ConfigError(
            f"{where}: no cost for class {join_names(missing)}; every class needs one.",
            hint="write 0 where the decision is free.",
        )
    return tuple(parse_amount(row[name], where=f"{where}.{name}") for name in classes)


def parse_amount(value: str | float, *, where: str) -> Expression:
    """Parse an amount: a number, or arithmetic over columns.

    Raises
    ------
    ConfigError
        If it does not parse, or is a number that is not finite and >= 0.
    """
    if isinstance(value, str):
        try:
            tree = parse(value)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    else:
        tree = Number(float(value) if abs(value) <= sys.float_info.max else math.inf)
    amount = constant(tree)
    if not names(tree) and (amount is None or not 0 <= amount < math.inf):
        raise ConfigError(
            f"{where}: cost {value!r} is {'undefined' if amount is None else amount}; "
            "a cost is a finite number >= 0.",
            hint="a gain is the other decision's cost: add the same amount to every decision "
            "of this class until none is negative.",
        )
    return tree


REVIEW = "review"  # the decision's name
Costs = CostMatrix | Mapping[str, Mapping[str, str | float]]
"""Costs of decisions: a matrix, or ``{decision: {class: number or arithmetic over columns}}``."""
