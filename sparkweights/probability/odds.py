"""Reweighting of probabilities and its inverse: the one formula behind weights and priors.

Written with operators only, so it works on floats and on Spark Columns alike.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", bound=Any)


def reweight(probabilities: Sequence[T], factors: Sequence[T]) -> list[T]:
    """Return what probabilities become where class c counts ``factors[c]`` times: p_c f_c / sum.

    Learning with weights w_c, on a sample that keeps class c at the rate r_c, or for a population
    with other shares does this to probabilities (Elkan 2001, theorem 2; Saerens, Latinne &
    Decaestecker 2002, eq. 2.4).

    Examples
    --------
    >>> reweight([0.9, 0.1], [1.0, 9.0])
    [0.5, 0.5]
    """
    return _normalise([p * f for p, f in zip(probabilities, factors, strict=True)])


def invert_reweighting(probabilities: Sequence[T], factors: Sequence[T]) -> list[T]:
    """Return the probabilities that `reweight` made these of.

    For two classes: logit p = logit q - log(f_1 / f_0) (King & Zeng 2001, eq. 7).

    Examples
    --------
    >>> invert_reweighting([0.5, 0.5], [1.0, 4.0])
    [0.8, 0.2]
    """
    return _normalise([p / f for p, f in zip(probabilities, factors, strict=True)])


def _normalise(values: list[T]) -> list[T]:
    total = reduce(add, values)
    return [value / total for value in values]
