"""Evaluation: one pass over scored rows with known outcomes, then arithmetic."""

from sparkweights.evaluate.curves import area_under_roc, average_precision, reliability
from sparkweights.evaluate.paired import PairedCosts, collect_paired_costs
from sparkweights.evaluate.passes import Evaluation, collect_evaluation
from sparkweights.evaluate.ranking import AreaShift, compare_areas

__all__ = [
    "AreaShift",
    "Evaluation",
    "PairedCosts",
    "area_under_roc",
    "average_precision",
    "collect_evaluation",
    "collect_paired_costs",
    "compare_areas",
    "reliability",
]
