"""Weighting schemes as arithmetic on class frequencies, and what a weighting does to the risk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING

from sparkweights.costs.language import (
    Call,
    Expression,
    Number,
    Operation,
    constant,
    parse,
    render,
)
from sparkweights.errors import ConfigError, InputError, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.costs.matrix import CostMatrix

SCHEMES = ("none", "balanced", "cost", "manual")
FLOOR = 1e-3  # of the mean weight; a row of weight 0 would leave nothing to undo


@dataclass(frozen=True)
class ClassFrequency:
    """One class in a table: rows, and the sums of their incoming sample weights.

    Without a sample weight column each row counts 1, so all three numbers are equal.
    """

    name: str
    rows: int
    weight_sum: float
    weight_square_sum: float


@dataclass(frozen=True)
class WeightRule:
    """w_c(x): the weight a row would carry if its class were c.

    ``w_c(x) = min(max(scale * cells[c](x), floor), cap)``. Training uses the weight of the
    row's own class; undoing needs the weight of every class. Weights that depend on the class
    alone have constant cells.

    Attributes
    ----------
    scheme
        The name of the scheme that made the rule.
    classes
        Class names in index order.
    cells
        The unscaled weight of each class, as arithmetic over the row's columns.
    scale, floor, cap
        ``scale`` makes the mean weight 1; the bounds are in the same unit, the mean weight.
    """

    scheme: str
    classes: tuple[str, ...]
    cells: tuple[Expression, ...]
    scale: float = 1.0
    floor: float = 0.0
    cap: float = math.inf

    @property
    def constants(self) -> tuple[float, ...] | None:
        """The weight of each class where it is the same for every row, else None."""
        values = [constant(cell) for cell in self.cells]
        if any(value is None for value in values):
            return None
        return tuple(self.bounded(value) for value in values if value is not None)

    def bounded(self, raw: float) -> float:
        """Return the weight that an unscaled weight becomes."""
        return min(max(self.scale * raw, self.floor), self.cap)

    def to_dict(self) -> dict[str, object]:
        """Return the rule ready for JSON; `from_dict` reads it back."""
        return {
            "scheme": self.scheme,
            "cells": {
                name: render(cell) for name, cell in zip(self.classes, self.cells, strict=True)
            },
            "scale": self.scale,
            "floor": self.floor,
            "cap": None if math.isinf(self.cap) else self.cap,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, object]) -> WeightRule:
        """Read a rule that `to_dict` wrote."""
        cells = record["cells"]
        assert isinstance(cells, dict)  # noqa: S101 (narrows the JSON type; checksums guard it)
        cap = record["cap"]
        return cls(
            scheme=str(record["scheme"]),
            classes=tuple(cells),
            cells=tuple(parse(text) for text in cells.values()),
            scale=float(str(record["scale"])),
            floor=float(str(record["floor"])),
            cap=math.inf if cap is None else float(str(cap)),
        )


def fixed_rule(
    scheme: str,
    frequencies: Sequence[ClassFrequency],
    *,
    manual: Mapping[str, float] | None = None,
    cap: float = math.inf,
) -> WeightRule:
    """Return the rule of a scheme whose weights depend on the class alone.

    ``none`` is 1 for each class. ``balanced`` is ``W / (K W_c)``, with W the sum of sample
    weights: each class carries the same share of the risk (the formula of scikit-learn's
    ``compute_class_weight``, after King & Zeng 2001). ``manual`` takes the numbers as ratios.
    All are scaled to a mean of 1 over the rows and held under ``cap``, a multiple of that mean.

    Parameters
    ----------
    frequencies
        One entry per class, in index order, each with at least one row.

    Raises
    ------
    ConfigError
        If a manual weight is missing, unknown, or not a finite number > 0; or the cap is
        below 1, the mean weight.
    InputError
        If a class has no rows.
    """
    require_every_class(frequencies)
    names = tuple(frequency.name for frequency in frequencies)
    shares = [frequency.weight_sum for frequency in frequencies]
    if scheme == "balanced":
        raw = [sum(shares) / (len(shares) * share) for share in shares]
    elif scheme == "manual":
        raw = _manual(manual or {}, names)
    else:
        raw = [1.0] * len(shares)
    values = capped(raw, shares, cap)
    return WeightRule(scheme, names, tuple(Number(value) for value in values))


def require_every_class(frequencies: Sequence[ClassFrequency]) -> None:
    """Refuse a table in which a class has no rows, or no weight.

    Raises
    ------
    InputError
        Naming the classes.
    """
    empty = [frequency.name for frequency in frequencies if frequency.weight_sum <= 0]
    if empty:
        present = {f.name: f.rows for f in frequencies if f.weight_sum > 0}
        raise InputError(
            f"No rows of class {listed(empty)} in the labelled table; it holds "
            f"{listed(f'{rows} of {name}' for name, rows in present.items())}. "
            "Weights need at least one row of every class.",
            hint="check the values under columns.classes, or the filter that made the table.",
        )


def _manual(manual: Mapping[str, float], names: Sequence[str]) -> list[float]:
    for name, value in manual.items():
        if name not in names:
            raise ConfigError(
                f"weights.manual: unknown class '{name}'; columns.classes has {listed(names)}.",
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
            f"weights.manual: no weight for class {listed(missing)}.",
            hint="write 1 for the class that the others are compared with.",
        )
    return [manual[name] for name in names]


def capped(raw: Sequence[float], shares: Sequence[float], cap: float) -> list[float]:
    """Scale weights to mean 1 with none above ``cap``, keeping the ratios of the others.

    Parameters
    ----------
    raw
        One positive weight per class.
    shares
        The sum of sample weights per class.
    cap
        The largest weight allowed, as a multiple of the mean weight; >= 1.

    Examples
    --------
    >>> capped([1, 99], [99, 1], cap=10)
    [0.9090909090909091, 10.0]
    """
    if cap < 1:
        raise ConfigError(
            f"weights.cap: {cap}; the cap is a multiple of the mean weight and cannot be below 1.",
            hint="write a number such as 50, or leave cap out.",
        )
    total = sum(shares)
    held: set[int] = set()
    while True:
        # Those at the cap are known; the rest share what is left of the mean.
        left = total - sum(cap * shares[c] for c in held)
        free = sum(raw[c] * shares[c] for c in range(len(raw)) if c not in held)
        scale = left / free if free > 0 else 0.0
        values = [cap if c in held else raw[c] * scale for c in range(len(raw))]
        over = {c for c, value in enumerate(values) if value > cap} - held
        if not over:
            return values
        held |= over


def regret_cells(matrix: CostMatrix) -> tuple[Expression, ...]:
    """Return the cost scheme's unscaled weight of each class: the regret of being wrong about it.

    For class c, the mean over decisions of ``C[d][c] - min_d C[d][c]``, taken over the
    decisions other than the best one. With two decisions this is ``C[wrong][c] - C[right][c]``,
    the only weights under which the cut at 1/2 makes the Bayes decision (Elkan 2001; Zadrozny,
    Langford & Abe 2003).
    """
    cells: list[Expression] = []
    for c in range(len(matrix.classes)):
        costs = [row[c] for row in matrix.cells]
        cells.append(_regret(costs))
    return tuple(cells)


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
