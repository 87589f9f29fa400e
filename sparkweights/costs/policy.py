"""Expected cost of each decision, and the decision that costs least."""

from __future__ import annotations

from functools import reduce
from operator import add, and_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column


def expected_costs(
    probabilities: Sequence[Column], costs: Sequence[Sequence[Column]]
) -> list[Column]:
    """Return sum_c p_c(x) C[d][c](x) for every decision d.

    Parameters
    ----------
    probabilities
        Natural probability per class; see `Ledger.require_natural`.
    costs
        ``[decision][class]`` in the money of the table.
    """
    return [
        reduce(add, [p * cost for p, cost in zip(probabilities, row, strict=True)]) for row in costs
    ]


def cheapest_decision(expected: Sequence[Column], decisions: Sequence[str]) -> Column:
    """Return the name of the decision of least expected cost (the Bayes decision).

    A tie goes to the decision declared first; null where an expected cost is null or NaN, which
    Spark takes for equal to itself.
    """
    least = F.least(*expected)
    chosen = F.lit(None).cast("string")
    for name, cost in reversed(list(zip(decisions, expected, strict=True))):
        chosen = F.when(cost == least, name).otherwise(chosen)
    defined = reduce(and_, [cost.isNotNull() & ~F.isnan(cost) for cost in expected])
    return F.when(defined, chosen)


def realised_cost(
    decision: Column,
    index: Column,
    decisions: Sequence[str],
    costs: Sequence[Sequence[Column]],
) -> Column:
    """Return what a decision cost, given the class that turned out to be true."""
    paid = F.lit(None).cast("double")
    for name, row in zip(decisions, costs, strict=True):
        of_class = F.lit(None).cast("double")
        for c, cost in enumerate(row):
            of_class = F.when(index == c, cost).otherwise(of_class)
        paid = F.when(decision == name, of_class).otherwise(paid)
    return paid
