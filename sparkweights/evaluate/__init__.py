"""Evaluation: one pass over scored rows with known outcomes, then arithmetic."""

from sparkweights.evaluate.curves import area_under_roc, average_precision
from sparkweights.evaluate.passes import Evaluation, collect_evaluation

__all__ = ["Evaluation", "area_under_roc", "average_precision", "collect_evaluation"]
