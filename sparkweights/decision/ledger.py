"""The ledger: what bent the data away from the population, and what of it has been undone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sparkweights.errors import ModelError
from sparkweights.weights import WeightRule

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Ledger:
    """The history of a set of probabilities.

    Attributes
    ----------
    prior
        The natural share of each class in the labelled table.
    weights
        The rule that weighted the training rows.
    weights_undone
        Whether the probabilities have been corrected for it.
    calibration
        The method fitted on held-out rows without class weights, or ``none``.
    """

    prior: Mapping[str, float]
    weights: WeightRule
    weights_undone: bool = False
    calibration: str = "none"

    def after_undoing(self) -> Ledger:
        """Return the ledger of the corrected probabilities.

        Raises
        ------
        ModelError
            If the weights were undone before: correcting twice bends the other way.
        """
        if self.weights_undone:
            raise ModelError(
                f"The {self.weights.scheme} weights of these probabilities were undone already; "
                "undoing them twice would bend the probabilities the other way.",
                hint="use the probabilities as they are.",
            )
        return replace(self, weights_undone=True)

    def after_calibrating(self, method: str) -> Ledger:
        """Return the ledger of probabilities calibrated to the natural prior."""
        self.require_natural()
        return replace(self, calibration=method)

    def require_natural(self) -> None:
        """Refuse to price probabilities that still carry weights.

        Raises
        ------
        ModelError
            Because costs would count twice: weights of C_FN and C_FP *and* a cut at
            C_FP / (C_FP + C_FN) really cut at 1 / (1 + w^2), w being C_FN / C_FP.
        """
        if not self.weights_undone and not self.weights.even:
            raise ModelError(
                f"These probabilities still carry the {self.weights.scheme} weights of the "
                "training; pricing them with the costs as well would count the costs twice "
                "(with weights of ratio w it cuts at 1 / (1 + w^2) instead of 1 / (1 + w)).",
                hint="undo the weights first.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger ready for JSON; `from_dict` reads it back."""
        return {
            "prior": dict(self.prior),
            "weights": self.weights.to_dict(),
            "weights_undone": self.weights_undone,
            "calibration": self.calibration,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Ledger:
        """Read a ledger that `to_dict` wrote."""
        return cls(
            prior=record["prior"],
            weights=WeightRule.from_dict(record["weights"]),
            weights_undone=record["weights_undone"],
            calibration=record["calibration"],
        )
