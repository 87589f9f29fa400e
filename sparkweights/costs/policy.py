"""The decision rule: expected costs, the decision, and realised costs.

No other module combines costs with probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add, and_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.costs.expression import constant
from sparkweights.costs.matrix import REVIEW
from sparkweights.costs.review import review_cost, review_gain
from sparkweights.costs.spark import cost_columns, to_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

    from sparkweights.costs.expression import Expression
    from sparkweights.costs.matrix import CostMatrix


@dataclass(frozen=True)
class DecisionPolicy:
    """Decide by least expected cost (the Bayes decision), and compute realised costs.

    Probabilities are given as one Column per class, in index order; they must be natural (see
    `sparkweights.probability.corrections.Ledger.require_natural`). All amounts are in the currency
    of the table's cost columns.

    Attributes
    ----------
    matrix
        cost[decision][class].
    review_price
        Cost of a review of a row, without the decision that follows it; None without review.
    costs_col
        An array column that holds ``[decision][class]`` costs, to be read instead of the columns
        that the matrix names; None to read those.
    """

    matrix: CostMatrix
    review_price: Expression | None = None
    costs_col: str | None = None

    def reading(self, costs_col: str) -> DecisionPolicy:
        """Return the policy that reads costs from an array column."""
        return replace(self, costs_col=costs_col)

    def costs(self) -> list[list[Column]]:
        """Return the costs of a row, ``[decision][class]``."""
        if self.costs_col is None:
            return cost_columns(self.matrix)
        costs = F.col(self.costs_col)
        return [
            [F.get(F.get(costs, d), c) for c in range(len(self.matrix.classes))]
            for d in range(len(self.matrix.decisions))
        ]

    def expected_costs(self, probabilities: Sequence[Column]) -> dict[str, Column]:
        """Return sum_c p_c(x) C[d][c](x) for every decision d of the matrix."""
        return {
            name: reduce(add, [p * cost for p, cost in zip(probabilities, row, strict=True)])
            for name, row in zip(self.matrix.decisions, self.costs(), strict=True)
        }

    def cheapest(self, expected: Mapping[str, Column]) -> Column:
        """Return the name of the decision of least expected cost.

        A tie goes to the decision declared first. Null where an expected cost is null or NaN,
        which Spark takes for equal to itself.

        Parameters
        ----------
        expected
            Decision -> its expected cost.
        """
        least = F.least(*expected.values())
        chosen = F.lit(None).cast("string")
        for name, cost in reversed(list(expected.items())):
            chosen = F.when(cost == least, name).otherwise(chosen)
        defined = reduce(and_, [cost.isNotNull() & ~F.isnan(cost) for cost in expected.values()])
        return F.when(defined, chosen)

    def decide(self, probabilities: Sequence[Column]) -> Column:
        """Return the decision of least expected cost, without review; see `cheapest`."""
        return self.cheapest(self.expected_costs(probabilities))

    def realised_cost(self, decision: Column | str, index: Column) -> Column:
        """Return the realised cost of a decision, given the row's true class.

        Parameters
        ----------
        decision
            A column of names, or one name for every row.
        index
            The row's class as its index.

        Returns
        -------
        Column
            Null where the matrix lacks the decision or the class.
        """
        chosen = F.lit(decision) if isinstance(decision, str) else decision
        realised = F.lit(None).cast("double")
        for name, row in zip(self.matrix.decisions, self.costs(), strict=True):
            realised = F.when(chosen == name, _of_class(row, index)).otherwise(realised)
        return realised

    def realised_cost_of(self, probabilities: Sequence[Column], index: Column) -> Column:
        """Return the realised cost of the decision that `decide` takes."""
        return self.realised_cost(self.decide(probabilities), index)

    def expected_review_cost(self, probabilities: Sequence[Column]) -> Column:
        """Return the expected cost of a review, with the decision that follows it."""
        cost: Column = review_cost(probabilities, self._least(), self._price())
        return cost

    def review_gain(self, probabilities: Sequence[Column]) -> Column:
        """Return the expected saving of a review, net of its price."""
        expected = self.expected_costs(probabilities)
        gain: Column = review_gain(
            F.least(*expected.values()), self.expected_review_cost(probabilities)
        )
        return gain

    def realised_review_cost(self, index: Column) -> Column:
        """Return the realised cost of a review: its price plus the least cost of the true class."""
        return self._price() + _of_class(self._least(), index)

    def faults(self) -> list[Column]:
        """Return, per cost that reads a column, its name where it is not a finite number >= 0."""
        checked = [
            (f"cost {decision}.{name}", cost)
            for decision, cells, row in zip(
                self.matrix.decisions, self.matrix.cells, self.costs(), strict=True
            )
            for name, cell, cost in zip(self.matrix.classes, cells, row, strict=True)
            if constant(cell) is None
        ]
        if self.review_price is not None:
            checked.append((f"cost {REVIEW}", self._price()))
        return [
            F.when(~F.coalesce((cost >= 0) & (cost < float("inf")), F.lit(col=False)), F.lit(text))
            for text, cost in checked
        ]

    def fault(self) -> Column:
        """Return what a row lacks to be priced, as text; null where it lacks nothing."""
        unpriced = F.coalesce(*self.faults(), F.lit(None).cast("string"))
        return F.concat(F.lit("no finite number >= 0 for "), unpriced)

    def _least(self) -> list[Column]:
        return [to_column(cell) for cell in self.matrix.least]

    def _price(self) -> Column:
        if self.review_price is None:
            raise ConfigError(
                "This decision policy has no review; its price is not known.",
                hint="give review_price.",
            )
        return to_column(self.review_price)


def _of_class(costs: Sequence[Column], index: Column) -> Column:
    """Return the cost of the row's class; null where the index is none."""
    chosen = F.lit(None).cast("double")
    for c, cost in enumerate(costs):
        chosen = F.when(index == c, cost).otherwise(chosen)
    return chosen
