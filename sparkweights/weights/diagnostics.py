"""The effect of a weighting on the sample and on the risk that a learner minimises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

WORRYING_FACTOR = 5.0  # fewer than one effective row in five
NEGLIGIBLE_LOSS = 0.98  # no warning where a bound reduces a share by less than 2 %


class WeightSums(NamedTuple):
    """Weighted rows, one entry per class: u is the sample weight of a row, w its class weight."""

    weight: Array  # sum of u w
    weight_square: Array  # sum of (u w)^2
    moment: Array  # sum of u w^2
    smallest: Array  # least w
    largest: Array  # greatest w


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
    gradient_variance
        ``sum pi w^2 / (sum pi w)^2``: the factor by which class weights multiply the variance of
        a stochastic gradient of the risk, sample weights apart.
    mean_weight
        Mean of the class weights over the rows; 1 by construction.
    smallest_weight, largest_weight
        Bounds of the class weights, in units of their mean.
    share_before, share_after
        Each class's share of the risk, in index order, without and with class weights.
    share_aimed
        The share with the weights that the scheme gives without floor and cap.
    """

    kish_ess: float
    design_effect: float
    imbalance_ratio: float
    gradient_variance: float
    mean_weight: float
    smallest_weight: float
    largest_weight: float
    share_before: tuple[float, ...]
    share_after: tuple[float, ...]
    share_aimed: tuple[float, ...]

    @property
    def warning(self) -> str | None:
        """A sentence where the weights leave few effective rows, else None."""
        if max(self.design_effect, self.gradient_variance) < WORRYING_FACTOR:
            return None
        return (
            f"The weights leave {self.kish_ess:,.0f} effective rows, one in "
            f"{self.design_effect:.0f}: estimates will be about {self.design_effect**0.5:.1f} "
            f"times noisier, and a stochastic gradient varies {self.gradient_variance:.1f} times "
            "as much. A lower weights.cap or a tempered scheme would help."
        )

    def shortfall(self, names: Sequence[str], scheme: str) -> str | None:
        """Return a sentence where floor or cap reduce the share of the rarest class, else None.

        Parameters
        ----------
        names
            The classes, in index order.
        scheme
            The name of the scheme, for the sentence.

        Examples
        --------
        Balanced weights of 990 and 10 rows would be .505 and 50; a cap of 10 lets the ten rows
        carry 10 x .01 = 10 % of the risk.

        >>> shares = (0.99, 0.01), (0.9, 0.1), (0.5, 0.5)
        >>> diagnostics = WeightDiagnostics(1, 1, 99, 1, 1, 0.9, 10, *shares)
        >>> diagnostics.shortfall(["repay", "default"], "balanced").split(";")[0]
        "Class 'default' carries 10 % of the training weight, not the 50 % of scheme balanced"
        """
        rarest = min(range(len(names)), key=self.share_before.__getitem__)
        carried, aimed = self.share_after[rarest], self.share_aimed[rarest]
        if carried >= aimed * NEGLIGIBLE_LOSS:
            return None
        return (
            f"Class '{names[rarest]}' carries {100 * carried:.3g} % of the training weight, not "
            f"the {100 * aimed:.3g} % of scheme {scheme}; weights.cap or weights.floor keep it "
            f"from a mean weight of {aimed / self.share_before[rarest]:,.4g}. Raise the cap above "
            "that, or lower the floor, to give the class its whole share."
        )


def diagnose(rows: int, before: Array, sums: WeightSums, aims: Array) -> WeightDiagnostics:
    """Return the diagnostics of a weighting.

    Parameters
    ----------
    rows
        Rows of all classes.
    before
        Sum of sample weights per class, in index order.
    sums
        The same rows, weighted.
    aims
        Sum of weights per class as it would be without floor and cap, in any unit.

    Examples
    --------
    Three rows of weight 1 and one of weight 3: ESS = 6^2 / (3 + 9) = 3.

    >>> import numpy as np
    >>> sums = WeightSums(*np.array([[3.0, 3, 3, 1, 1], [3, 9, 9, 3, 3]]).T)
    >>> diagnostics = diagnose(4, np.array([3.0, 1.0]), sums, sums.weight)
    >>> diagnostics.kish_ess, round(diagnostics.gradient_variance, 3)
    (3.0, 1.333)
    """
    total_before, total_after = float(before.sum()), float(sums.weight.sum())
    kish_ess = total_after**2 / float(sums.weight_square.sum())
    return WeightDiagnostics(
        kish_ess=kish_ess,
        design_effect=rows / kish_ess,
        imbalance_ratio=float(before.max() / before.min()),
        gradient_variance=float(sums.moment.sum()) * total_before / total_after**2,
        mean_weight=total_after / total_before,
        smallest_weight=float(sums.smallest.min()),
        largest_weight=float(sums.largest.max()),
        share_before=tuple((before / total_before).tolist()),
        share_after=tuple((sums.weight / total_after).tolist()),
        share_aimed=tuple((aims / aims.sum()).tolist()),
    )
