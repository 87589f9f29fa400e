"""The rule for the weight of a row: arithmetic over its columns, bounds, and factors per group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkweights.costs.expression import Expression, Number, constant, names, parse, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WINDOWS = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True)
class Grouping:
    """The definition of groups of rows: columns, and a window of time.

    Attributes
    ----------
    by
        Columns whose values define the groups.
    time, window
        A date or timestamp column and the calendar unit of its windows, or both None.
    """

    by: tuple[str, ...] = ()
    time: str | None = None
    window: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the grouping reads."""
        return self.by if self.time is None else (*self.by, self.time)

    def __bool__(self) -> bool:
        """Whether there are groups."""
        return bool(self.columns)


UNGROUPED = Grouping()


@dataclass(frozen=True)
class GroupFactors:
    """A factor per class for each group of rows.

    Attributes
    ----------
    grouping
        The definition of the groups.
    factors
        Group key (see `sparkweights.weights.spark.group_key`) -> factor per class.
    otherwise
        The factors of a group that is not in the labelled table, such as next month: those of all
        rows together.
    """

    grouping: Grouping
    factors: Mapping[str, tuple[float, ...]]
    otherwise: tuple[float, ...]


@dataclass(frozen=True)
class WeightRule:
    """w_c(x): the weight of a row if its class were c.

    ``w_c(x) = min(max(scale * factor_c(group of x) * cells[c](x), floor), cap)``, the factor being
    1 without groups. Training uses the weight of the row's own class; the inverse needs the weight
    of every class. Weights that depend on the class alone have constant cells.

    Attributes
    ----------
    scheme
        The name of the scheme of the weights.
    classes
        Class names in index order.
    cells
        The unscaled weight of each class, as arithmetic over the row's columns.
    scale, floor, cap
        ``scale`` makes the mean weight 1; the bounds are in the same unit, the mean weight.
    groups
        Factors per group of rows, or None.
    """

    scheme: str
    classes: tuple[str, ...]
    cells: tuple[Expression, ...]
    scale: float = 1.0
    floor: float = 0.0
    cap: float = math.inf
    groups: GroupFactors | None = None

    @classmethod
    def fixed(cls, scheme: str, weights: Mapping[str, float]) -> WeightRule:
        """Return the rule whose weights depend on the class alone.

        Examples
        --------
        >>> WeightRule.fixed("balanced", {"repay": 0.5, "default": 5.0}).constants
        (0.5, 5.0)
        """
        return cls(scheme, tuple(weights), tuple(Number(float(w)) for w in weights.values()))

    @property
    def constants(self) -> tuple[float, ...] | None:
        """The weight of each class where it is the same for every row, else None."""
        values = [constant(cell) for cell in self.cells]
        if self.groups is not None or any(value is None for value in values):
            return None
        return tuple(self.bounded(value) for value in values if value is not None)

    @property
    def is_uniform(self) -> bool:
        """Whether all classes have the same constant weight, so that no correction is needed."""
        return self.constants is not None and len(set(self.constants)) == 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule reads."""
        read = [name.name for cell in self.cells for name in names(cell)]
        grouped = () if self.groups is None else self.groups.grouping.columns
        return tuple(dict.fromkeys([*read, *grouped]))

    def bounded(self, raw: float) -> float:
        """Return an unscaled weight, scaled and bounded."""
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
            "groups": None if self.groups is None else _groups_to_dict(self.groups),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> WeightRule:
        """Read a rule that `to_dict` wrote."""
        return cls(
            scheme=record["scheme"],
            classes=tuple(record["cells"]),
            cells=tuple(parse(text) for text in record["cells"].values()),
            scale=record["scale"],
            floor=record["floor"],
            cap=math.inf if record["cap"] is None else record["cap"],
            groups=None if record["groups"] is None else _groups_from_dict(record["groups"]),
        )


def _groups_to_dict(groups: GroupFactors) -> dict[str, object]:
    return {
        "by": list(groups.grouping.by),
        "time": groups.grouping.time,
        "window": groups.grouping.window,
        "factors": {key: list(values) for key, values in groups.factors.items()},
        "otherwise": list(groups.otherwise),
    }


def _groups_from_dict(record: Mapping[str, Any]) -> GroupFactors:
    return GroupFactors(
        Grouping(tuple(record["by"]), record["time"], record["window"]),
        {key: _floats(values) for key, values in record["factors"].items()},
        _floats(record["otherwise"]),
    )


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
