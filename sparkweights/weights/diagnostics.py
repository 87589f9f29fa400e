"""What a weighting does to the sample and to the risk that a learner minimises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.weights.schemes import ClassFrequency

WORRYING_DESIGN_EFFECT = 5.0  # fewer than one row in five still counts


@dataclass(frozen=True)
class WeightDiagnostics:
    """A weighting in numbers.

    Attributes
    ----------
    kish_ess
        Effective sample size, ``(sum w)^2 / sum w^2`` (Kish 1965), in rows.
    design_effect
        Rows / kish_ess: by how much the variance of a mean grows.
    imbalance_ratio
        Weight of the largest class over that of the smallest, before weighting.
    mean_weight
        Mean of the training weights; 1 by construction.
    smallest_weight, largest_weight
        Bounds of the training weights, in units of their mean.
    share_before, share_after
        Each class's share of the risk, in index order, without and with class weights.
    """

    kish_ess: float
    design_effect: float
    imbalance_ratio: float
    mean_weight: float
    smallest_weight: float
    largest_weight: float
    share_before: tuple[float, ...]
    share_after: tuple[float, ...]

    @property
    def warning(self) -> str | None:
        """A sentence where the weights leave few effective rows, else None."""
        if self.design_effect < WORRYING_DESIGN_EFFECT:
            return None
        return (
            f"The weights leave {self.kish_ess:,.0f} effective rows, one in "
            f"{self.design_effect:.0f}: estimates will be about {self.design_effect**0.5:.1f} "
            "times noisier. A lower weights.cap would help."
        )


def diagnose(
    frequencies: Sequence[ClassFrequency],
    weighted: Sequence[tuple[float, float]],
    bounds: tuple[float, float],
) -> WeightDiagnostics:
    """Return the diagnostics of a weighting from its sums per class.

    Parameters
    ----------
    frequencies
        Rows and sample weights per class.
    weighted
        Per class, the sum and the sum of squares of sample weight x class weight.
    bounds
        Smallest and largest class weight.

    Examples
    --------
    Three rows of weight 1 and one of weight 3: ESS = 6^2 / (3 + 9) = 3.

    >>> from sparkweights.weights.schemes import ClassFrequency
    >>> rows = [ClassFrequency("a", 3, 3.0, 3.0), ClassFrequency("b", 1, 1.0, 1.0)]
    >>> diagnose(rows, [(3.0, 3.0), (3.0, 9.0)], (1.0, 3.0)).kish_ess
    3.0
    """
    rows = sum(frequency.rows for frequency in frequencies)
    before = [frequency.weight_sum for frequency in frequencies]
    after = [total for total, _ in weighted]
    kish_ess = sum(after) ** 2 / sum(square for _, square in weighted)
    return WeightDiagnostics(
        kish_ess=kish_ess,
        design_effect=rows / kish_ess,
        imbalance_ratio=max(before) / min(before),
        mean_weight=sum(after) / sum(before),
        smallest_weight=bounds[0],
        largest_weight=bounds[1],
        share_before=tuple(share / sum(before) for share in before),
        share_after=tuple(share / sum(after) for share in after),
    )
