"""The distortion of probabilities by the focal loss, and its inverse.

The focal loss is not proper: the q that minimises its risk where the classes have the probabilities
eta is not eta. But q determines eta (Charoenphakdee et al., CVPR 2021, "On focal loss for
class-posterior probability estimation", theorem 11). At the minimum of ``sum_k eta_k l_k(q_k)``
over the simplex, with ``l_k(q) = -alpha_k (1 - q)^gamma log q``, the derivatives
``eta_k l_k'(q_k)`` are equal for all classes, so ``eta_k`` is proportional to ``1 / |l_k'(q_k)|``.

The formula is written with operators and five functions, so that it works on arrays and on Spark
Columns alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T", bound=Any)

_SMALLEST = 1e-300  # lower probabilities are clipped, so that each has a logarithm


@dataclass(frozen=True)
class Functions(Generic[T]):
    """The functions of an engine: of arrays, or of Columns.

    Attributes
    ----------
    log, log1p, exp
        Of one value.
    greatest
        The larger of two values.
    choose
        The second value where the first holds, else the third.
    """

    log: Callable[[T], T]
    log1p: Callable[[T], T]
    exp: Callable[[T], T]
    greatest: Callable[[T, Any], T]
    choose: Callable[[Any, Any, Any], Any]


NUMPY: Functions[Any] = Functions(np.log, np.log1p, np.exp, np.maximum, np.where)


def invert_focal(
    probabilities: Sequence[T],
    gamma: float,
    alpha: Sequence[float] | None = None,
    *,
    functions: Functions[T] = NUMPY,
) -> list[T]:
    """Return the probabilities of the classes, from those that focal loss learns.

    With r = 1 - q, ``1 / |l'(q)|`` is ``q / (alpha r^gamma (1 - gamma q log(q) / r))``. It is
    computed in logarithms, where r is the sum of the other classes' probabilities.

    Parameters
    ----------
    probabilities
        q of each class, in index order; they sum to 1.
    gamma
        Of the loss, >= 0; with 0 the loss is proper, and ``alpha`` alone is inverted.
    alpha
        Of the loss: a factor > 0 per class; None for 1 each.

    Examples
    --------
    Focal loss learns probabilities nearer to 1/2:

    >>> [round(float(p), 3) for p in invert_focal([0.7, 0.3], 2.0)]
    [0.906, 0.094]
    """
    logs = [
        _log_inverse_slope(p, _sum_of_others(probabilities, k), gamma, functions)
        - float(np.log(1.0 if alpha is None else alpha[k]))
        for k, p in enumerate(probabilities)
    ]
    largest = reduce(functions.greatest, logs)
    powers = [functions.exp(value - largest) for value in logs]
    total = reduce(add, powers)
    return [power / total for power in powers]


def _sum_of_others(probabilities: Sequence[T], k: int) -> T:
    return reduce(add, [p for c, p in enumerate(probabilities) if c != k])


def _log_inverse_slope(p: T, others: T, gamma: float, functions: Functions[T]) -> T:
    """Return log(1 / |l'(p)|) of the focal loss, from p and from 1 - p."""
    q, r = (functions.greatest(value, _SMALLEST) for value in (p, others))
    # Each of the two forms of log q keeps its digits where the other loses them.
    is_low = q < 0.5
    log_q = functions.choose(
        is_low, functions.log(q), functions.log1p(-functions.choose(is_low, 0.5, r))
    )
    result: T = log_q - gamma * functions.log(r) - functions.log(1 - gamma * q * log_q / r)
    return result
