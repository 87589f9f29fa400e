"""Encoders of `sparkweights.features.encoders` in numpy, read from their record in the manifest.

Each class has the fields of the encoder of the same kind; a test compares them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from sparkweights.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.local.columns import Array, Flags, InputColumns, Numbers

    Table = tuple[tuple[float, ...], ...]


class LocalEncoder(ABC):
    """From the columns of rows to positions of their feature vectors."""

    kind: ClassVar[str]

    @abstractmethod
    def positions(self, columns: InputColumns) -> list[Array]:
        """Return each position, for all rows."""

    def numbers(self) -> Sequence[str]:
        """Return the columns that may be infinite."""
        return ()


@dataclass(frozen=True)
class LocalNumber(LocalEncoder):
    """A number, or its normal score; and a flag where it is missing."""

    name: str
    median: float | None
    flag_missing: bool
    knots: Table = ()
    kind: ClassVar[str] = "number"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the number or its score, and the flag."""
        stated = columns.number(self.name)
        missing = np.isnan(stated)
        value = _filled(stated, self.median)
        if self.knots:
            knots = np.asarray(self.knots)
            value = np.interp(value, knots[:, 0], knots[:, 1])
        return [value, missing.astype(float)] if self.flag_missing else [value]

    def numbers(self) -> Sequence[str]:
        """Return the column."""
        return (self.name,)


@dataclass(frozen=True)
class LocalBlock(LocalEncoder):
    """Many plain numbers, then flags of the missing ones."""

    names: tuple[str, ...]
    medians: tuple[float | None, ...]
    flagged: tuple[str, ...]
    kind: ClassVar[str] = "block"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the numbers, then the flags."""
        stated = {name: columns.number(name) for name in self.names}
        filled = [
            _filled(stated[name], median)
            for name, median in zip(self.names, self.medians, strict=True)
        ]
        return [*filled, *(np.isnan(stated[name]).astype(float) for name in self.flagged)]

    def numbers(self) -> Sequence[str]:
        """Return the columns."""
        return self.names


@dataclass(frozen=True)
class LocalCategory(LocalEncoder):
    """A category as a 0/1 position per level, one for a missing value, and one for any other."""

    name: str
    levels: tuple[str, ...]
    kind: ClassVar[str] = "onehot"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the 0/1 positions."""
        level = _level(columns, self.name, self.levels)
        count = len(self.levels)
        return [(level == at).astype(float) for at in [*range(count), count + 1, count]]


@dataclass(frozen=True)
class LocalCode(LocalEncoder):
    """A category as one code."""

    name: str
    levels: tuple[str, ...]
    kind: ClassVar[str] = "ordered"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the code."""
        return [_level(columns, self.name, self.levels).astype(float)]


@dataclass(frozen=True)
class LocalTarget(LocalEncoder):
    """A category as the log odds of each class but the first on its level."""

    name: str
    table: Table
    classes: tuple[str, ...]
    levels: tuple[str, ...]
    kind: ClassVar[str] = "target"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the log odds of each class."""
        return list(np.asarray(self.table)[_level(columns, self.name, self.levels)].T)


@dataclass(frozen=True)
class LocalBins(LocalEncoder):
    """A number as the log odds of each class but the first in its range."""

    name: str
    table: Table
    classes: tuple[str, ...]
    edges: tuple[float, ...]
    kind: ClassVar[str] = "binned"

    def positions(self, columns: InputColumns) -> list[Array]:
        """Return the log odds of each class."""
        value = columns.number(self.name)
        level = np.searchsorted(self.edges, value)  # an edge belongs to the range below it
        level = np.where(np.isnan(value), len(self.edges) + 1, level)
        return list(np.asarray(self.table)[level].T)

    def numbers(self) -> Sequence[str]:
        """Return the column."""
        return (self.name,)


ENCODERS: Mapping[str, type[LocalEncoder]] = {
    encoder.kind: encoder
    for encoder in (LocalNumber, LocalBlock, LocalCategory, LocalCode, LocalTarget, LocalBins)
}


@dataclass(frozen=True)
class LocalPlan:
    """How rows become feature vectors; see `sparkweights.features.plan.FeaturePlan`."""

    encoders: tuple[LocalEncoder, ...]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> LocalPlan:
        """Read what `FeaturePlan.to_dict` wrote.

        Raises
        ------
        ModelError
            If an encoder is of a kind that is not known here.
        """
        encoders = []
        for stated in record["encoders"]:
            kind = stated["kind"]
            if kind not in ENCODERS:
                raise ModelError(
                    f"The model has features of the encoding '{kind}', which cannot be computed "
                    "without Spark.",
                    hint="score with sparkweights.load_bundle.",
                )
            values = {name: _frozen(value) for name, value in stated.items() if name != "kind"}
            encoders.append(ENCODERS[kind](**values))
        return cls(tuple(encoders))

    def matrix(self, columns: InputColumns) -> Array:
        """Return ``[row, position]``."""
        parts = [part for encoder in self.encoders for part in encoder.positions(columns)]
        return np.column_stack(parts) if parts else np.empty((len(columns), 0))

    def is_usable(self, columns: InputColumns) -> Flags:
        """Return, per row, whether none of its numbers is infinite."""
        usable = np.ones(len(columns), dtype=bool)
        for encoder in self.encoders:
            for name in encoder.numbers():
                usable &= ~np.isinf(columns.number(name))
        return usable


def _filled(value: Array, median: float | None) -> Array:
    return value if median is None else np.where(np.isnan(value), median, value)


def _level(columns: InputColumns, name: str, levels: tuple[str, ...]) -> Numbers:
    """Return the position of a category among its levels; then any other value, then null."""
    value = pd.Index(columns.text(name), dtype=object)
    position = pd.Index(levels, dtype=object).get_indexer(value)
    position = np.where(position < 0, len(levels), position)
    return np.asarray(np.where(value.isna(), len(levels) + 1, position))


def _frozen(value: object) -> object:
    """Return lists as tuples, as the encoders hold them."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
