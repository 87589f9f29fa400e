"""Decisions: undo what bent the training, calibrate, adapt, and choose what costs least."""

from sparkweights.decision.calibrate import (
    CALIBRATIONS,
    CalibrationFit,
    Calibrator,
    calibrate_scores,
    calibrator_from_dict,
    collect_calibration_table,
    fit_calibrator,
)
from sparkweights.decision.calibration_fit import CalibrationTable, Choice, choose_method
from sparkweights.decision.decide import cheapest_decision, expected_costs, realised_cost
from sparkweights.decision.ledger import RESAMPLING, WEIGHTS, Ledger, require_prior
from sparkweights.decision.review import (
    REVIEW,
    ReviewCut,
    collect_review_cut,
    is_reviewed,
    review_gain,
)
from sparkweights.decision.shift import LabelShift, collect_histogram, estimate_shift
from sparkweights.decision.stages import CostDecider, ExpectedCostEvaluator, ProbabilityCorrector

__all__ = [
    "CALIBRATIONS",
    "RESAMPLING",
    "REVIEW",
    "WEIGHTS",
    "CalibrationFit",
    "CalibrationTable",
    "Calibrator",
    "Choice",
    "CostDecider",
    "ExpectedCostEvaluator",
    "LabelShift",
    "Ledger",
    "ProbabilityCorrector",
    "ReviewCut",
    "calibrate_scores",
    "calibrator_from_dict",
    "cheapest_decision",
    "choose_method",
    "collect_calibration_table",
    "collect_histogram",
    "collect_review_cut",
    "estimate_shift",
    "expected_costs",
    "fit_calibrator",
    "is_reviewed",
    "realised_cost",
    "require_prior",
    "review_gain",
]
