"""Weighting schemes: from class frequencies and costs to one number per class."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ConfigError, InputError, did_you_mean, join_names
from sparkweights.costs.expression import Call, Expression, Number, Operation, constant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.weights.class_frequencies import ClassFrequency
    from sparkweights.weights.spec import WeightSpec

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

COST_FLOOR = 1e-3  # of the mean weight; a weight of 0 cannot be inverted


def raw_weights(
    spec: WeightSpec,
    names: Sequence[str],
    shares: Sequence[float] | Array,
    regrets: Sequence[float] = (),
) -> Array:
    """Return the scheme's weight per class before scaling and bounds.

    With W_c the sum of sample weights of class c, pi_c its share and R_c its mean regret:

    - ``balanced``: 1 / pi_c; each class carries the same share of the risk (scikit-learn's
      ``compute_class_weight``, after King & Zeng 2001).
    - ``inverse_sqrt``, ``tempered``: pi_c^-1/2 and pi_c^-power (Mikolov et al. 2013;
      Mahajan et al. 2018): between no weights (power 0) and balanced (power 1).
    - ``effective_number``: (1 - beta) / (1 - beta^W_c) (Cui et al. 2019, eq. 2).
    - ``cost``: R_c; the threshold 1/2 of the weighted probability is then the Bayes decision
      on the classes' mean costs (Elkan 2001, theorem 1, with a cost per class).
      ``cost_balanced``: R_c / pi_c.
    - ``manual``: the numbers given. ``none``, ``cost_by_row``: 1.

    Parameters
    ----------
    shares
        Sum of sample weights per class, each > 0.
    regrets
        Mean regret per class, each >= 0 and one > 0, for ``cost`` and ``cost_balanced``; see
        `sparkweights.weights.choose.mean_regrets`.

    Raises
    ------
    ConfigError
        If a manual weight is missing, unknown, or not a finite number > 0; or the scheme needs
        mean regrets and there are none.
    """
    of_class = np.asarray(shares, dtype=np.float64)
    pi = of_class / of_class.sum()
    match spec.scheme:
        case "balanced":
            return np.asarray(of_class.sum() / of_class)
        case "cost" | "cost_balanced":
            balance = 1 / pi if spec.scheme == "cost_balanced" else 1.0
            return np.asarray(_positive_regrets(spec, names, regrets) * balance)
        case "inverse_sqrt" | "tempered":
            power = 0.5 if spec.scheme == "inverse_sqrt" else spec.power
            return np.asarray(pi ** -float(power or 0.0))
        case "effective_number" if spec.beta:
            # 1 - beta^n loses all digits for beta near 1; expm1 does not.
            return np.asarray((1 - spec.beta) / -np.expm1(of_class * math.log(spec.beta)))
        case "manual":
            return np.array(_manual(spec.manual or {}, names), dtype=np.float64)
    return np.ones(len(of_class))


def _positive_regrets(spec: WeightSpec, names: Sequence[str], regrets: Sequence[float]) -> Array:
    if len(regrets) != len(names):
        raise ConfigError(
            f"weights.scheme: {spec.scheme!r} weights by the mean regret of each class; "
            f"{len(regrets)} were given for {len(names)} classes.",
            hint="call weigh_classes with a cost matrix, or choose scheme balanced.",
        )
    # A class without regret has the weight of the floor at any scale; a tiny regret replaces 0.
    return np.maximum(np.array(regrets, dtype=np.float64), max(regrets) * 1e-12)


def require_every_class(frequencies: Iterable[ClassFrequency]) -> None:
    """Refuse a table in which a class has no rows, or no weight.

    Raises
    ------
    InputError
        Naming the classes.
    """
    known = list(frequencies)
    empty = [frequency.name for frequency in known if frequency.weight_sum <= 0]
    if empty:
        present = {f.name: f.rows for f in known if f.weight_sum > 0}
        raise InputError(
            f"No rows of class {join_names(empty)} in the labelled table; it holds "
            f"{join_names(f'{rows} of {name}' for name, rows in present.items())}. "
            "Weights need at least one row of every class.",
            hint="check the values under columns.classes, or the filter that made the table.",
        )


def _manual(manual: Mapping[str, float], names: Sequence[str]) -> list[float]:
    for name, value in manual.items():
        if name not in names:
            raise ConfigError(
                f"weights.manual: unknown class '{name}'; the classes are {join_names(names)}.",
                hint=did_you_mean(name, names),
            )
        if not 0 < value < math.inf:
            raise ConfigError(
                f"weights.manual.{name}: weight {value}; a weight is a finite number > 0.",
                hint="to leave a class out, filter its rows from the labelled table.",
            )
    missing = [name for name in names if name not in manual]
    if missing:
        raise ConfigError(
            f"weights.manual: no weight for class {join_names(missing)}.",
            hint="write 1 for the class that the others are compared with.",
        )
    return [manual[name] for name in names]


def bounded_scale(
    raw: Sequence[float] | Array, shares: Sequence[float] | Array, floor: float, cap: float
) -> float:
    """Return the s for which min(max(s * raw, floor), cap) has the mean 1 under ``shares``.

    That mean grows with s, from floor to cap, and is linear between the points where a value
    meets a bound; so bisection finds the piece, and the piece gives s exactly.

    Raises
    ------
    InputError
        If the weights underflow: their ratio exceeds the range of a double.

    Examples
    --------
    >>> s = bounded_scale([1, 99], [99, 1], floor=0, cap=10)
    >>> round(s, 6), min(99 * s, 10)
    (0.909091, 10)
    """
    values, mass = np.asarray(raw, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        total, weighted = mass.sum(), float((mass * values).sum())
        scale = total / weighted if weighted > 0 else math.inf
        scaled = values * scale
    if not (0 < scale < math.inf) or not np.isfinite(scaled).all() or (scaled == 0).any():
        raise InputError(
            f"The weights span {values.min():g} to {values.max():g}; scaled to a mean of 1 the "
            "smallest would be 0 or the largest infinite.",
            hint="choose weights whose ratio is below 1e300, or a scheme with a power below 1.",
        )
    if scaled.min() >= floor and scaled.max() <= cap:
        return float(scale)
    # Without a cap the floor can only lift the mean, so the scale can only shrink.
    low, high = floor / scaled.max(), 1.0 if math.isinf(cap) else cap / scaled.min()
    for _ in range(200):
        middle = math.sqrt(low * high) if low > 0 else high / 2
        mean = (mass * np.clip(scaled * middle, floor, cap)).sum() / total
        low, high = (middle, high) if mean < 1 else (low, middle)
        if high <= low * (1 + 1e-15):
            break
    free = (scaled * high > floor) & (scaled * high < cap)
    bounded_sum = (mass * np.clip(scaled * high, floor, cap))[~free].sum()
    scaled_sum = (mass * scaled)[free].sum()
    return float(scale * ((total - bounded_sum) / scaled_sum if scaled_sum > 0 else high))


def bounded_weights(
    raw: Sequence[float] | Array, shares: Sequence[float] | Array, floor: float, cap: float
) -> Array:
    """Scale weights to mean 1 within bounds, keeping the ratios of those that meet none.

    Examples
    --------
    >>> bounded_weights([1, 99], [99, 1], floor=0, cap=10).round(6).tolist()
    [0.909091, 10.0]
    """
    scaled = np.asarray(raw, dtype=np.float64) * bounded_scale(raw, shares, floor, cap)
    return np.asarray(np.clip(scaled, floor, cap))


def regret_cells(matrix: CostMatrix) -> tuple[Expression, ...]:
    """Return a row's regret for each class, the unscaled weight of scheme cost_by_row.

    For class c, the mean over decisions of ``C[d][c] - min_d C[d][c]``, taken over the
    decisions other than the best one. With two decisions this is ``C[wrong][c] - C[right][c]``,
    the only weights under which the threshold 1/2 makes each row's Bayes decision (Elkan 2001;
    Zadrozny, Langford & Abe 2003).
    """
    return tuple(_regret([row[c] for row in matrix.cells]) for c in range(len(matrix.classes)))


def _regret(costs: Sequence[Expression]) -> Expression:
    fixed = [constant(cost) for cost in costs]
    numbers = [value for value in fixed if value is not None]
    others = float(len(costs) - 1)
    if len(numbers) == len(costs):
        return Number(sum(value - min(numbers) for value in numbers) / others)
    total: Expression = reduce(
        partial(Operation, "+"), [c for c, value in zip(costs, fixed, strict=True) if value != 0]
    )
    if 0.0 not in numbers:  # costs are >= 0, so a free decision is the best one
        least = Operation("*", Number(others + 1), Call("min", tuple(costs)))
        total = Operation("-", total, least)
    return total if others == 1 else Operation("/", total, Number(others))
