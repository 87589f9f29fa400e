"""Weights: class frequencies in one pass, schemes, and the rule that weighs every row."""

from sparkweights.weights.diagnostics import WeightDiagnostics
from sparkweights.weights.expressions import class_weight_columns, training_weight
from sparkweights.weights.rule import WINDOWS, Grouping, WeightRule
from sparkweights.weights.schemes import BY_ROW_WARNING, SCHEMES, ClassFrequency, WeightSpec
from sparkweights.weights.summary import ClassSummary, summarise_classes
from sparkweights.weights.weigher import ClassWeigher, CostWeigher, WeigherModel
from sparkweights.weights.weighing import (
    Weighting,
    mean_regrets,
    weigh_classes,
    weigh_frequencies,
)

__all__ = [
    "BY_ROW_WARNING",
    "SCHEMES",
    "WINDOWS",
    "ClassFrequency",
    "ClassSummary",
    "ClassWeigher",
    "CostWeigher",
    "Grouping",
    "WeigherModel",
    "WeightDiagnostics",
    "WeightRule",
    "WeightSpec",
    "Weighting",
    "class_weight_columns",
    "mean_regrets",
    "summarise_classes",
    "training_weight",
    "weigh_classes",
    "weigh_frequencies",
]
