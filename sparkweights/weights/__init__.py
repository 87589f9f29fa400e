"""Weights: class frequencies in one pass, schemes, and the rule that weighs every row."""

from sparkweights.weights.diagnostics import WeightDiagnostics
from sparkweights.weights.schemes import SCHEMES, ClassFrequency, WeightRule
from sparkweights.weights.summary import ClassSummary, summarise_classes
from sparkweights.weights.weighing import (
    Weighting,
    class_weight_columns,
    training_weight,
    weigh_classes,
)

__all__ = [
    "SCHEMES",
    "ClassFrequency",
    "ClassSummary",
    "WeightDiagnostics",
    "WeightRule",
    "Weighting",
    "class_weight_columns",
    "summarise_classes",
    "training_weight",
    "weigh_classes",
]
