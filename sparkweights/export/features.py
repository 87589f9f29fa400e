"""Encoders as terms: what each position of the feature vector is, and what a linear model makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sparkweights.core.errors import ModelError
from sparkweights.export.terms import (
    LARGEST,
    Term,
    Value,
    apply,
    as_term,
    case,
    interpolate,
    is_missing,
    total,
)
from sparkweights.local.encoders import (
    LocalBins,
    LocalBlock,
    LocalCategory,
    LocalCode,
    LocalNumber,
    LocalTarget,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.local.columns import Array
    from sparkweights.local.encoders import LocalEncoder, LocalPlan


class Positions(Protocol):
    """The positions of the feature vector that one encoder makes."""

    @property
    def width(self) -> int:
        """How many there are."""

    def position(self, at: int) -> Term:
        """Return one of them."""

    def points(self, slopes: Array) -> list[Term]:
        """Return the terms of a linear model, given the slope of each position."""


@dataclass(frozen=True)
class NumberPositions:
    """Positions that are numbers of their own."""

    values: tuple[Term, ...]

    @property
    def width(self) -> int:
        """How many there are."""
        return len(self.values)

    def position(self, at: int) -> Term:
        """Return one of them."""
        return self.values[at]

    def points(self, slopes: Array) -> list[Term]:
        """Return slope times position, without those of slope 0."""
        pairs = zip(slopes.tolist(), self.values, strict=True)
        return [slope * value for slope, value in pairs if slope != 0]


@dataclass(frozen=True)
class LevelPositions:
    """Positions that are constant on each level of a column: a category, or a range of a number.

    Attributes
    ----------
    conditions
        Of each level but the last, which has the rows where none of them holds.
    table
        ``[level, position]``.
    """

    conditions: tuple[Term, ...]
    table: Array

    @property
    def width(self) -> int:
        """How many there are."""
        return self.table.shape[1]

    def position(self, at: int) -> Term:
        """Return one of them."""
        return self._by_level(self.table[:, at])

    def points(self, slopes: Array) -> list[Term]:
        """Return the sum over the positions as one number per level: a scorecard's points."""
        points = self.table @ slopes
        return [self._by_level(points)] if points.any() else []

    def _by_level(self, values: Array) -> Term:
        *first, last = values.tolist()
        return case(*zip(self.conditions, first, strict=True), otherwise=last)


def positions_of(plan: LocalPlan, kinds: Mapping[str, str | None]) -> list[Positions]:
    """Return the positions of each encoder, in the order of the feature vector.

    Parameters
    ----------
    kinds
        Column -> its kind in the labelled table.

    Raises
    ------
    ModelError
        If an encoder cannot be stated as terms.
    """
    return [_positions(encoder, kinds) for encoder in plan.encoders]


def is_infinite(plan: LocalPlan) -> Term:
    """Return 1 where a number of the row is infinite, else 0."""
    numbers = dict.fromkeys(name for encoder in plan.encoders for name in encoder.numbers())
    branches = [
        (condition, 1.0)
        for name in numbers
        for condition in (apply("<", LARGEST, Value(name)), Value(name) < -LARGEST)
    ]
    return case(*branches, otherwise=0.0)


def _positions(encoder: LocalEncoder, kinds: Mapping[str, str | None]) -> Positions:
    match encoder:
        case LocalNumber(name, median, flag_missing, knots):
            return NumberPositions(tuple(_number(name, median, knots, flagged=flag_missing)))
        case LocalBlock(names, medians, flagged):
            filled = [_filled(n, median) for n, median in zip(names, medians, strict=True)]
            return NumberPositions((*filled, *map(_missing_flag, flagged)))
        case LocalCategory(name, levels):
            return LevelPositions(_level_conditions(name, levels, kinds), np.eye(len(levels) + 2))
        case LocalCode(name, levels):
            count = len(levels)
            codes = np.array([*range(count), count + 1, count], dtype=float)
            return LevelPositions(_level_conditions(name, levels, kinds), codes[:, None])
        case LocalTarget(name, table, _, levels):
            *known, other, missing = table
            rows = np.asarray([*known, missing, other])
            return LevelPositions(_level_conditions(name, levels, kinds), rows)
        case LocalBins(name, table, _, edges):
            *ranges, last, missing = table
            value = Value(name)
            conditions = [*(value <= edge for edge in edges), is_missing(value)]
            return LevelPositions(tuple(conditions), np.asarray([*ranges, missing, last]))
        case _:
            raise ModelError(
                f"The model has features of the encoding '{encoder.kind}', which exports do not "
                "know.",
                hint="choose another encoding under distill.features.",
            )


def _number(
    name: str, median: float | None, knots: Sequence[Sequence[float]], *, flagged: bool
) -> list[Term]:
    value = _filled(name, median)
    if knots:
        value = interpolate(value, [x for x, _ in knots], [y for _, y in knots])
    return [value, _missing_flag(name)] if flagged else [value]


def _filled(name: str, median: float | None) -> Term:
    return Value(name) if median is None else apply("coalesce", Value(name), median)


def _missing_flag(name: str) -> Term:
    return case((is_missing(Value(name)), 1.0), otherwise=0.0)


def _level_conditions(
    name: str, levels: Sequence[str], kinds: Mapping[str, str | None]
) -> tuple[Term, ...]:
    """Return whether a row is of each level, and then whether its value is missing."""
    kind, value = kinds.get(name), Value(name)
    match kind:
        case "text":
            stated = [as_term(level) for level in levels]
        case "boolean":
            stated = [as_term(1.0 if level == "true" else 0.0) for level in levels]
        case "number" if all(level.lstrip("-").isdecimal() for level in levels):
            stated = [as_term(float(level)) for level in levels]
        case _:
            what = "numbers with decimals" if kind == "number" else f"of kind {kind}"
            raise ModelError(
                f"The categories of column '{name}' are {what}; exports compare texts, booleans "
                "and whole numbers.",
                hint="convert the column to text, and train again.",
            )
    return (*(apply("=", value, level) for level in stated), is_missing(value))


def linear(positions: Sequence[Positions], slopes: Array, intercept: float) -> Term:
    """Return ``intercept + sum of slope * position``.

    A position that is missing on a row makes the sum missing only where its slope is not 0.
    """
    terms, first = [as_term(float(intercept))], 0
    for each in positions:
        terms += each.points(slopes[first : first + each.width])
        first += each.width
    return total(terms)


def every_position(positions: Sequence[Positions]) -> list[Term]:
    """Return each position of the feature vector."""
    return [each.position(at) for each in positions for at in range(each.width)]
