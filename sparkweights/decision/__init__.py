"""Decisions: undo the weights, calibrate, and choose what costs least."""

from sparkweights.decision.calibrate import Calibrator, fit_calibrator
from sparkweights.decision.decide import cheapest_decision, expected_costs, realised_cost
from sparkweights.decision.ledger import Ledger
from sparkweights.decision.undo import undo_weights

__all__ = [
    "Calibrator",
    "Ledger",
    "cheapest_decision",
    "expected_costs",
    "fit_calibrator",
    "realised_cost",
    "undo_weights",
]
