"""Corrections of a bundle in numpy: weights inverted, calibration, and a prior shift."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit

from sparkweights.local.costs import amounts
from sparkweights.probability.calibration_fit import (
    MIN_PROBABILITY,
    IsotonicMap,
    SigmoidMap,
    refuse_older_forms,
    targets,
)
from sparkweights.probability.odds import invert_reweighting, reweight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.local.columns import Array, InputColumns
    from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule

_PERIODS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}


def invert_weights(
    probabilities: Sequence[Array], rule: WeightRule, columns: InputColumns
) -> list[Array]:
    """Return p_c(x) proportional to q_c(x) / w_c(x), per class; NaN where a weight is missing."""
    if rule.is_uniform:
        return list(probabilities)
    with np.errstate(all="ignore"):
        return invert_reweighting(probabilities, class_weights(rule, columns))


def class_weights(rule: WeightRule, columns: InputColumns) -> list[Array]:
    """Return w_c(x) of each row for every class; see `sparkweights.weights.rule.WeightRule`."""
    if rule.constants is not None:
        return [np.full(len(columns), weight) for weight in rule.constants]
    cells = [amounts(cell, columns).or_nan() for cell in rule.cells]
    if rule.groups is not None:
        factors = _factors(rule.groups, columns)
        cells = [cell * factors[:, c] for c, cell in enumerate(cells)]
    return [np.clip(rule.scale * cell, rule.floor, rule.cap) for cell in cells]


def calibrate(record: Mapping[str, Any], probabilities: Sequence[Array]) -> list[Array]:
    """Return calibrated probabilities, per class, by a calibration as the manifest states it.

    Raises
    ------
    ModelError
        If an older version of sparkweights wrote it, in another form.
    """
    method = record["method"]
    with refuse_older_forms(method):
        if method == "temperature":
            return _cool(probabilities, record["temperature"])
        kind = IsotonicMap if method == "isotonic" else SigmoidMap
        maps = [kind.from_dict(entry) for entry in record["maps"]]
    mapped = [
        map_(logit(np.clip(probabilities[c], MIN_PROBABILITY, 1 - MIN_PROBABILITY)))
        for c, map_ in zip(targets(len(probabilities)), maps, strict=True)
    ]
    if len(mapped) == 1:
        return [1 - mapped[0], mapped[0]]
    total = reduce(add, mapped)
    return [value / total for value in mapped]


def shift_prior(
    probabilities: Sequence[Array], prior: Mapping[str, float], target: Mapping[str, float]
) -> list[Array]:
    """Return the probabilities of a population with other class shares."""
    factors = [np.asarray(target[name] / share) for name, share in prior.items()]
    return reweight(probabilities, factors)


def _cool(probabilities: Sequence[Array], temperature: float) -> list[Array]:
    """Return p'_c proportional to p_c ^ (1 / temperature)."""
    logs = [np.log(np.maximum(p, MIN_PROBABILITY)) for p in probabilities]
    largest = reduce(np.maximum, logs)
    powers = [np.exp((z - largest) / temperature) for z in logs]
    total = reduce(add, powers)
    return [power / total for power in powers]


def _factors(groups: GroupFactors, columns: InputColumns) -> Array:
    """Return ``[row, class]``: the factors of the row's group."""
    by_group = {tuple(json.loads(key)): factors for key, factors in groups.factors.items()}
    keys = zip(*_group_parts(groups.grouping, columns), strict=True)
    return np.asarray([by_group.get(key, groups.otherwise) for key in keys], dtype=float)


def _group_parts(grouping: Grouping, columns: InputColumns) -> list[Sequence[str | None]]:
    """Return the parts of a row's group; a window of time is named by its first day."""
    parts: list[Sequence[str | None]] = [columns.text(name).tolist() for name in grouping.by]
    if grouping.time is not None and grouping.window is not None:
        first = columns.moment(grouping.time).dt.to_period(_PERIODS[grouping.window]).dt.start_time
        days = first.dt.strftime("%Y-%m-%d")
        parts.append(days.where(first.notna(), None).tolist())
    return parts
