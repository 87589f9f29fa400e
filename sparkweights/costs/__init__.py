"""Costs: the matrix cost[decision][class], its arithmetic, and its Spark Columns."""

from sparkweights.costs.expressions import check_costs, cost_columns, to_column
from sparkweights.costs.language import Expression, Number, parse, render
from sparkweights.costs.matrix import CostMatrix

__all__ = [
    "CostMatrix",
    "Expression",
    "Number",
    "check_costs",
    "cost_columns",
    "parse",
    "render",
    "to_column",
]
