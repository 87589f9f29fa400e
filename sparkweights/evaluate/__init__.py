"""Evaluation: one pass over scored rows with known outcomes, then arithmetic."""

from sparkweights.evaluate.curves import area_under_roc, average_precision, reliability
from sparkweights.evaluate.passes import Evaluation, collect_evaluation
from sparkweights.evaluate.ranking import AreaShift, compare_areas

__all__ = [
    "AreaShift",
    "Evaluation",
    "area_under_roc",
    "average_precision",
    "collect_evaluation",
    "compare_areas",
    "reliability",
]
