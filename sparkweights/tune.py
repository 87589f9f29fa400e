"""How much weight pays? Candidates on a log scale, and a choice that allows for chance.

Weights act by their ratio, so a grid is even in its logarithm. A weight is chosen for money on
held-out rows, the least of those that chance could not tell from the best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from sparkweights.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEVEL = 0.95


@dataclass(frozen=True)
class Settings:
    """What one trial fits with.

    Attributes
    ----------
    ratio
        Weight of the rarest class over that of the commonest; None for the configured scheme.
    params
        The learner's parameters that are tried, by name.
    """

    ratio: float | None
    params: Mapping[str, Any]

    @property
    def weighting(self) -> float:
        """How far from no weights at all: the size of the logarithm of the ratio."""
        return math.inf if self.ratio is None else abs(math.log(self.ratio))


@dataclass(frozen=True)
class Trial:
    """What settings cost on the rows that were held out of each fold.

    Attributes
    ----------
    costs
        Mean realised cost of a row, in the money of the table, per fold.
    """

    settings: Settings
    costs: tuple[float, ...]

    @property
    def cost(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.costs))

    @property
    def standard_error(self) -> float:
        """Of the mean over the folds."""
        return float(np.std(self.costs, ddof=1) / math.sqrt(len(self.costs)))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the cost, by Student's t over the folds."""
        return _interval(self.costs)


@dataclass(frozen=True)
class Effect:
    """What weighting is worth at the same parameters: the cheapest ratio against none.

    Attributes
    ----------
    ratio
        The cheapest.
    saving
        Cost of a row without weights minus with this ratio; 0 where no weights are cheapest.
    interval
        Its 95 % interval, from the differences by fold.
    """

    ratio: float
    saving: float
    interval: tuple[float, float]

    @property
    def matters(self) -> bool:
        """Whether chance alone is an unlikely reason for the saving."""
        return self.interval[0] > 0


def log_grid(low: float, high: float, points: int) -> tuple[float, ...]:
    """Return ratios evenly spaced by their logarithm, both ends included.

    Examples
    --------
    >>> log_grid(1, 16, 3)
    (1.0, 4.0, 16.0)
    """
    return tuple(float(f"{value:.6g}") for value in np.geomspace(low, high, points))


def candidates(
    ratios: Sequence[float], params: Mapping[str, Sequence[Any]], *, configured: bool
) -> list[Settings]:
    """Return every combination, the first values of each parameter first.

    Parameters
    ----------
    configured
        Whether the configured scheme takes part beside the ratios.
    """
    weights = [*ratios, *([None] if configured else [])]
    return [
        Settings(ratio, dict(zip(params, values, strict=True)))
        for values in product(*params.values())
        for ratio in weights
    ]


def ratio_weights(prior: Mapping[str, float], ratio: float) -> dict[str, float]:
    """Return class weights whose rarest class weighs ``ratio`` times the commonest.

    The other classes lie between, evenly by the logarithm of their share.

    Raises
    ------
    InputError
        If there are more than two classes and all are equally common.

    Examples
    --------
    >>> ratio_weights({"repay": 0.8, "late": 0.16, "default": 0.032}, 9.0)
    {'repay': 1.0, 'late': 3.0, 'default': 9.0}
    """
    shares = list(prior.values())
    spread = math.log(max(shares) / min(shares))
    if spread == 0:
        if ratio == 1:
            return dict.fromkeys(prior, 1.0)
        if len(shares) > 2:  # noqa: PLR2004 (of two, the second is the one to weigh)
            raise InputError(
                "All classes are equally common, so there is no rarest one whose weight could be "
                "tuned.",
                hint="tune model parameters alone: set tune.points to 1 and tune.ratio to [1, 1].",
            )
        return dict(zip(prior, (1.0, ratio), strict=True))
    power = math.log(ratio) / spread
    return {name: float(f"{(max(shares) / share) ** power:.6g}") for name, share in prior.items()}


def choose(trials: Sequence[Trial]) -> Trial:
    """Return the least weighted trial within one standard error of the cheapest.

    Of equally weighted ones the first, so parameters are best listed from simple to complex. The
    rule is that of Breiman et al. (1984, sec. 3.4.3).
    """
    best = cheapest(trials)
    good = [trial for trial in trials if trial.cost <= best.cost + best.standard_error]
    return min(good, key=lambda trial: trial.settings.weighting)


def cheapest(trials: Sequence[Trial]) -> Trial:
    """Return the trial of least mean cost."""
    return min(trials, key=lambda trial: trial.cost)


def effect_of_weights(trials: Sequence[Trial]) -> Effect | None:
    """Compare the cheapest ratio with no weights; None where the grid lacks a ratio of 1."""
    weighed = [trial for trial in trials if trial.settings.ratio is not None]
    best = cheapest(weighed)
    plain = [
        trial
        for trial in weighed
        if trial.settings.ratio == 1 and trial.settings.params == best.settings.params
    ]
    if not plain:
        return None
    differences = np.subtract(plain[0].costs, best.costs)
    ratio = best.settings.ratio
    assert ratio is not None  # noqa: S101 (narrows the type)
    return Effect(ratio, float(differences.mean()), _interval(differences.tolist()))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    reach = stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)
