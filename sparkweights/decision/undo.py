"""Undo what class weights did to probabilities."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from sparkweights.weights import WeightRule, class_weight_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column


def undo_weights(weighted: Sequence[Column], rule: WeightRule) -> list[Column]:
    """Return the natural probabilities behind probabilities learned with weights.

    Training with w_c(x) estimates q_c(x) proportional to w_c(x) p_c(x), so p_c(x) is
    proportional to q_c(x) / w_c(x), normalised over the classes (Elkan 2001, theorem 2; for two
    classes logit p = logit q - log(w1 / w0), King & Zeng 2001).

    Parameters
    ----------
    weighted
        q_c(x) per class, in index order.
    rule
        The rule whose weights were used in training, with the row's own w_c(x).

    Returns
    -------
    list of Column
        p_c(x) per class; null where a weight is.
    """
    if rule.even:
        return list(weighted)
    natural = [
        probability / weight
        for probability, weight in zip(weighted, class_weight_columns(rule), strict=True)
    ]
    total = reduce(add, natural)
    return [value / total for value in natural]
