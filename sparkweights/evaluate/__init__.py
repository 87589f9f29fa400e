"""Evaluation: one pass over scored rows with known outcomes, then arithmetic."""

from sparkweights.evaluate.curves import class_curves
from sparkweights.evaluate.evaluation import ClassEvaluation, Evaluation, reliability_bins
from sparkweights.evaluate.paired import Decided, PairedCosts, collect_paired_costs
from sparkweights.evaluate.passes import Scored, collect_evaluation, collect_segments
from sparkweights.evaluate.ranking import AreaShift, compare_areas
from sparkweights.evaluate.table import ScoreTable

__all__ = [
    "AreaShift",
    "ClassEvaluation",
    "Decided",
    "Evaluation",
    "PairedCosts",
    "ScoreTable",
    "Scored",
    "class_curves",
    "collect_evaluation",
    "collect_paired_costs",
    "collect_segments",
    "compare_areas",
    "reliability_bins",
]
