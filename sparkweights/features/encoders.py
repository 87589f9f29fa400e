"""Encoders from one column, or a block of columns, to positions of the feature vector.

An encoder is a small frozen record that was learned from the fit rows; applying it is Column
arithmetic that reads its column once. Null, NaN and values that are not in the fit rows have
defined encodings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pyspark.sql import functions as F

from sparkweights.core.column_math import balanced_sum, literal_array
from sparkweights.core.columns import column, number, text, unless_nan

if TYPE_CHECKING:
    from pyspark.sql import Column

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Encoder(ABC):
    """The interface of an encoder in the feature plan."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The name of each position."""

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The column that each position was made from."""

    @abstractmethod
    def array(self) -> Column:
        """Return the positions of a row as an array of doubles."""

    @property
    def increasing(self) -> tuple[bool, ...]:
        """Whether each position keeps the order of its column's values."""
        return (False,) * len(self.labels)

    @property
    def native_missing(self) -> bool:
        """Whether a missing number stays NaN."""
        return False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns that may be infinite."""
        return ()


@dataclass(frozen=True)
class ColumnEncoder(Encoder):
    """An encoder of one column."""

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The column, for each position."""
        return (self.name,) * len(self.labels)

    @abstractmethod
    def values(self) -> list[Column]:
        """Return each position of a row."""

    def array(self) -> Column:
        """Return the positions of a row."""
        return F.array(*[value.cast("double") for value in self.values()])


@dataclass(frozen=True)
class NumericFeature(ColumnEncoder):
    """A number: its column, the value that replaces a missing one, and whether to flag it.

    Attributes
    ----------
    median
        None where a missing value stays NaN, for learners that split on it themselves.
    knots
        (value, normal score) pairs between which a value's score is interpolated; empty where the
        value itself is the feature.
    """

    median: float | None
    flag_missing: bool
    knots: Table = ()
    kind: ClassVar[str] = "number"

    @property
    def labels(self) -> tuple[str, ...]:
        """The column, and its flag."""
        return (self.name, f"{self.name} is missing") if self.flag_missing else (self.name,)

    @property
    def native_missing(self) -> bool:
        """Without a median."""
        return self.median is None

    @property
    def increasing(self) -> tuple[bool, ...]:
        """The number, or its score; not its flag."""
        return (True, False)[: len(self.labels)]

    def values(self) -> list[Column]:
        """Return the number or its score, and the flag."""
        flag = [number(self.name).isNull()] if self.flag_missing else []
        return [self._score(), *flag]

    def _score(self) -> Column:
        value = F.coalesce(number(self.name), F.lit(_median_or_nan(self.median)))
        if not self.knots:
            return value
        # NaN is above every number in Spark, so it is after the last knot, where it stays NaN.
        # A chain of cases over the knots, one expression each, exceeds Java's method size.
        pieces = [
            (start, low, (end - start) / (high - low))
            for (low, start), (high, end) in pairwise(self.knots)
        ]
        (first, start), (last, end) = self.knots[0], self.knots[-1]
        starts, lows, slopes = zip((start, first, 0.0), *pieces, (end, last, 0.0), strict=True)
        passed = balanced_sum([(value >= F.lit(low)).cast("int") for low, _ in self.knots])
        rise = (value - F.get(literal_array(lows), passed)) * F.get(literal_array(slopes), passed)
        return F.get(literal_array(starts), passed) + rise

    @property
    def numbers(self) -> tuple[str, ...]:
        """The column."""
        return (self.name,)


@dataclass(frozen=True)
class NumericBlock(Encoder):
    """Many plain numbers as one array, so that the plan of a query does not grow with them.

    Attributes
    ----------
    names, medians
        The columns, and the value that replaces a missing one of each; None where it stays NaN.
    flagged
        The columns that were missing on some fit row.
    """

    names: tuple[str, ...]
    medians: tuple[float | None, ...]
    flagged: tuple[str, ...]
    kind: ClassVar[str] = "block"

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns, then the flags."""
        return (*self.names, *(f"{name} is missing" for name in self.flagged))

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns, then those of the flags."""
        return (*self.names, *self.flagged)

    @property
    def native_missing(self) -> bool:
        """Without a median of some column."""
        return None in self.medians

    @property
    def increasing(self) -> tuple[bool, ...]:
        """The numbers; not their flags."""
        return (True,) * len(self.names) + (False,) * len(self.flagged)

    def array(self) -> Column:
        """Return the numbers with medians or NaN for missing ones, then the flags."""
        medians = F.lit([_median_or_nan(median) for median in self.medians])
        filled = F.transform(
            _doubles(self.names),
            lambda value, at: F.coalesce(unless_nan(value), F.get(medians, at)),
        )
        if not self.flagged:
            return filled
        flags = F.transform(
            _doubles(self.flagged), lambda value: unless_nan(value).isNull().cast("double")
        )
        return F.concat(filled, flags)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns."""
        return self.names


def _median_or_nan(median: float | None) -> float:
    return float("nan") if median is None else median


def _doubles(names: tuple[str, ...]) -> Column:
    return F.array(*[column(name).cast("double") for name in names])


def is_infinite(value: Column) -> Column:
    """Whether a number is infinite; null where it is null."""
    return F.abs(value.cast("double")) == float("inf")


@dataclass(frozen=True)
class CategoricalFeature(ColumnEncoder):
    """A category as one 0/1 position per level, one for null, and one for every other value.

    Attributes
    ----------
    levels
        As text, in alphabetical order.
    """

    levels: tuple[str, ...]
    kind: ClassVar[str] = "onehot"

    @property
    def labels(self) -> tuple[str, ...]:
        """The levels, null, and the rest."""
        return (
            *(f"{self.name} = {level}" for level in self.levels),
            f"{self.name} is missing",
            f"{self.name} is another value",
        )

    def values(self) -> list[Column]:
        """Return the 0/1 positions."""
        value = text(self.name)
        known = F.coalesce(value.isin(*self.levels), F.lit(col=True))
        values = [F.coalesce(value == F.lit(level), F.lit(col=False)) for level in self.levels]
        return [*values, value.isNull(), ~known]


def _level(name: str, levels: tuple[str, ...]) -> Column:
    """Return the position of a category among its levels; then any other value, then null."""
    value = text(name)
    position = F.array_position(F.lit(list(levels)), value)
    known = F.when(position > 0, position - 1).otherwise(F.lit(len(levels)))
    return F.when(value.isNull(), F.lit(len(levels) + 1)).otherwise(known).cast("int")


@dataclass(frozen=True)
class OrderedFeature(ColumnEncoder):
    """A category as one code: its level's alphabetical position, then other values, then null."""

    levels: tuple[str, ...]
    kind: ClassVar[str] = "ordered"

    @property
    def labels(self) -> tuple[str, ...]:
        """The column."""
        return (self.name,)

    def values(self) -> list[Column]:
        """Return the code."""
        return [_level(self.name, self.levels)]


@dataclass(frozen=True)
class ByTarget(ColumnEncoder):
    """A column as the log odds of each class but the first on its level.

    Attributes
    ----------
    table
        Per level, the log odds of each class against all others, shrunk to the prior.
    classes
        The classes of the positions.
    """

    table: Table
    classes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that the log odds are of."""
        return tuple(f"{self.name}: log odds of {name}" for name in self.classes)

    @property
    @abstractmethod
    def size(self) -> int:
        """How many levels there are."""

    @abstractmethod
    def level(self) -> Column:
        """Return the level of a row, from 0."""

    def values(self) -> list[Column]:
        """Return the log odds of each class."""
        level = self.level()
        by_class = zip(*self.table, strict=True)
        return [F.get(literal_array(odds), level) for odds in by_class]


@dataclass(frozen=True)
class TargetFeature(ByTarget):
    """A category as the log odds of each class on its level in the fit rows."""

    levels: tuple[str, ...]
    kind: ClassVar[str] = "target"

    @property
    def size(self) -> int:
        """The levels, other values, and null."""
        return len(self.levels) + 2

    def level(self) -> Column:
        """Return the position of the row's level."""
        return _level(self.name, self.levels)


@dataclass(frozen=True)
class BinnedFeature(ByTarget):
    """A number as the log odds of each class in its range: binned weights of evidence.

    Attributes
    ----------
    edges
        The upper ends of all ranges but the last, each belonging to its range.
    """

    edges: tuple[float, ...]
    kind: ClassVar[str] = "binned"

    @property
    def size(self) -> int:
        """The ranges, and missing values."""
        return len(self.edges) + 2

    def level(self) -> Column:
        """Return the position of the row's range."""
        value = number(self.name)
        level = F.lit(len(self.edges))
        for position, edge in reversed(list(enumerate(self.edges))):
            level = F.when(value <= edge, F.lit(position)).otherwise(level)
        return F.when(value.isNull(), F.lit(len(self.edges) + 1)).otherwise(level)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The column."""
        return (self.name,)


ENCODERS: dict[str, type[Encoder]] = {
    encoder.kind: encoder
    for encoder in (
        NumericFeature,
        NumericBlock,
        CategoricalFeature,
        OrderedFeature,
        TargetFeature,
        BinnedFeature,
    )
}
