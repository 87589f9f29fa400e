"""The requested weights: a scheme with its parameters, bounds and groups; no arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.weights.rule import UNGROUPED, Grouping

if TYPE_CHECKING:
    from collections.abc import Mapping


SCHEMES = (
    "none",
    "balanced",
    "inverse_sqrt",
    "tempered",
    "effective_number",
    "cost",
    "cost_balanced",
    "cost_by_row",
    "manual",
)


BY_ROW = "cost_by_row"


BY_COST = ("cost", "cost_balanced", BY_ROW)


BY_ROW_WARNING = (
    "weights.scheme cost_by_row weights each row by its own cost and divides by that weight "
    "afterwards. That is right only for a model that has learned log(w1(x) / w0(x)); finite trees "
    "and linear models have not, so their ranking and probabilities are worse. With heavy-tailed "
    "amounts: probabilities of .4 to .5 times the true ones where amounts are largest, decisions "
    "that cost 8 to 10 % more, an AUC of .62 instead of .68. The decision uses the row's amounts "
    "under every scheme; use weights.scheme cost, which weights by the mean regret of the class."
)


_FROM_FREQUENCIES = ("balanced", "inverse_sqrt", "tempered", "effective_number", "cost_balanced")


_NEEDS = {"tempered": "power", "effective_number": "beta", "manual": "manual"}


@dataclass(frozen=True)
class WeightSpec:
    """The requested weights.

    Attributes
    ----------
    scheme
        One of `SCHEMES`.
    power
        Of ``tempered``: the weight is the class's share to the power of minus this, in [0, 1].
    beta
        Of ``effective_number``, in [0, 1).
    manual
        Of ``manual``: class name -> weight; only the ratios matter.
    floor, cap
        Bounds of every weight, as multiples of the mean weight: floor <= 1 <= cap.
    grouping
        Weights are chosen per group; each group keeps its share of the risk.

    Raises
    ------
    ConfigError
        If a value is out of its range, or does not belong to the scheme.
    """

    scheme: str = "balanced"
    power: float | None = None
    beta: float | None = None
    manual: Mapping[str, float] | None = None
    floor: float = 0.0
    cap: float = math.inf
    grouping: Grouping = UNGROUPED

    def __post_init__(self) -> None:
        _check_scheme(self)
        _check_range(
            "weights.power", self.power, "0 <= power <= 1", holds=0 <= (self.power or 0) <= 1
        )
        _check_range("weights.beta", self.beta, "0 <= beta < 1", holds=0 <= (self.beta or 0) < 1)
        _check_range(
            "weights.floor",
            self.floor,
            "a multiple of the mean weight between 0 and 1",
            holds=0 <= self.floor <= 1,
        )
        _check_range(
            "weights.cap",
            self.cap,
            "a multiple of the mean weight, not below 1",
            holds=self.cap >= 1,
        )
        if self.grouping and self.scheme not in _FROM_FREQUENCIES:
            raise ConfigError(
                f"weights.by and weights.window: scheme {self.scheme!r} does not depend on "
                f"frequencies; schemes that can differ by group: {join_names(_FROM_FREQUENCIES)}.",
                hint="choose one of these schemes, or leave by and window out.",
            )

    @property
    def per_row(self) -> bool:
        """Whether rows of one class may have different weights within a group."""
        return self.scheme == BY_ROW

    @property
    def by_cost(self) -> bool:
        """Whether the weights follow from the costs, so that they need some."""
        return self.scheme in BY_COST


def _check_scheme(spec: WeightSpec) -> None:
    if spec.scheme not in SCHEMES:
        raise ConfigError(
            f"weights.scheme: {spec.scheme!r} is not available; available: {join_names(SCHEMES)}.",
            hint=did_you_mean(spec.scheme, SCHEMES),
        )
    for scheme, key in _NEEDS.items():
        given = getattr(spec, key) is not None
        if given != (spec.scheme == scheme):
            raise ConfigError(
                f"weights.{key} and weights.scheme: {spec.scheme!r} do not go together; scheme "
                f"{scheme} needs {key}, and only it does.",
                hint=f"set scheme: {scheme} and {key}, or neither.",
            )


def _check_range(key: str, value: float | None, allowed: str, *, holds: bool) -> None:
    # A comparison with NaN is false, so NaN ends here as well.
    if value is not None and not holds:
        raise ConfigError(f"{key}: {value}; allowed: {allowed}.")
