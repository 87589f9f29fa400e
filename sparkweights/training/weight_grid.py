"""Candidate weights on a log scale.

Weights act by their ratio, so the grid is evenly spaced by its logarithm. Candidates are compared
in `sparkweights.training.trials`.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import InputError
from sparkweights.training.trials import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.models.declaration import ParamValue


def log_grid(low: float, high: float, points: int) -> tuple[float, ...]:
    """Return ratios evenly spaced by their logarithm, both ends included.

    Examples
    --------
    >>> log_grid(1, 16, 3)
    (1.0, 4.0, 16.0)
    """
    return tuple(float(f"{value:.6g}") for value in np.geomspace(low, high, points))


def candidates(
    ratios: Sequence[float], params: Mapping[str, Sequence[ParamValue]], *, configured: bool
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
    log_range = math.log(max(shares) / min(shares))
    if log_range == 0:
        if ratio == 1:
            return dict.fromkeys(prior, 1.0)
        if len(shares) > 2:  # of two, the second gets the weight
            raise InputError(
                "All classes are equally common, so there is no rarest one whose weight could be "
                "tuned.",
                hint="tune model parameters alone: set tune.points to 1 and tune.ratio to [1, 1].",
            )
        return dict(zip(prior, (1.0, ratio), strict=True))
    power = math.log(ratio) / log_range
    return {name: float(f"{(max(shares) / share) ** power:.6g}") for name, share in prior.items()}
