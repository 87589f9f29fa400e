"""Class frequencies: counts that can be added, subtracted and decayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkweights.weights.diagnostics import Array


@dataclass(frozen=True)
class ClassFrequency:
    """One class in a table: rows, and the sums of their incoming sample weights.

    Without a sample weight column each row counts 1, so all three numbers are equal.
    """

    name: str
    rows: int
    weight_sum: float
    weight_square_sum: float


@dataclass(frozen=True, eq=False)
class ClassFrequencies:
    """The frequencies of all classes of some rows.

    The frequencies of two sets of rows can be added; those of a set can be subtracted when it
    leaves a window; `decayed` frequencies count less with time. The result does not depend on the
    order, up to rounding.

    Attributes
    ----------
    names
        Class names, in index order.
    rows, weight, weight_square
        Per class: the number of rows, the sum of their sample weights and of their squares; arrays
        of shape (classes,). Decayed rows need not be whole numbers.

    Examples
    --------
    >>> january = ClassFrequencies.of(["good", "bad"], [90, 10])
    >>> february = ClassFrequencies.of(["bad", "fraud"], [20, 1])
    >>> both = january + february
    >>> both.names, both.rows.tolist()
    (('good', 'bad', 'fraud'), [90.0, 30.0, 1.0])
    >>> (both - january).rows.tolist()
    [0.0, 20.0, 1.0]
    >>> january.decayed(0.5).prior()
    {'good': 0.9, 'bad': 0.1}
    """

    names: tuple[str, ...]
    rows: Array
    weight: Array
    weight_square: Array

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        rows: Sequence[float] | Array,
        weight: Sequence[float] | Array | None = None,
        weight_square: Sequence[float] | Array | None = None,
    ) -> ClassFrequencies:
        """Return frequencies from numbers per class; without weights each row counts 1."""
        counts = np.asarray(rows, dtype=np.float64)
        return cls(
            tuple(names),
            counts,
            counts if weight is None else np.asarray(weight, dtype=np.float64),
            counts if weight_square is None else np.asarray(weight_square, dtype=np.float64),
        )

    @classmethod
    def of_classes(cls, frequencies: Sequence[ClassFrequency]) -> ClassFrequencies:
        """Return frequencies from one record per class."""
        numbers = np.array(
            [
                (frequency.rows, frequency.weight_sum, frequency.weight_square_sum)
                for frequency in frequencies
            ],
            dtype=float,
        ).reshape(-1, 3)
        return cls(tuple(frequency.name for frequency in frequencies), *numbers.T)

    def __iter__(self) -> Iterator[ClassFrequency]:
        """Yield one record per class, in index order."""
        columns = zip(
            self.names,
            self.rows.tolist(),
            self.weight.tolist(),
            self.weight_square.tolist(),
            strict=True,
        )
        for name, rows, weight, square in columns:
            yield ClassFrequency(name, round(rows), weight, square)

    def __len__(self) -> int:
        return len(self.names)

    def __add__(self, other: ClassFrequencies) -> ClassFrequencies:
        """Return the frequencies of the rows of both; classes are matched by name."""
        names = tuple(dict.fromkeys([*self.names, *other.names]))
        self_numbers, other_numbers = self._align(names), other._align(names)
        return ClassFrequencies(
            names, *(a + b for a, b in zip(self_numbers, other_numbers, strict=True))
        )

    def __sub__(self, other: ClassFrequencies) -> ClassFrequencies:
        """Return the frequencies without some of the rows, each of which was added before.

        Raises
        ------
        InputError
            If a class has fewer rows than are taken away.
        """
        names = tuple(dict.fromkeys([*self.names, *other.names]))
        left = [a - b for a, b in zip(self._align(names), other._align(names), strict=True)]
        missing = [name for name, rows in zip(names, left[0], strict=True) if rows < -_ROUNDING]
        if missing:
            raise InputError(
                f"Class '{missing[0]}' has fewer rows than are taken away from it.",
                hint="subtract only frequencies that were added before.",
            )
        return ClassFrequencies(names, *(np.maximum(numbers, 0.0) for numbers in left))

    def decayed(self, factor: float) -> ClassFrequencies:
        """Return the frequencies of rows that count ``factor`` times as much as before.

        Multiplying the sample weights by a factor multiplies their squares by its square.

        Parameters
        ----------
        factor
            In [0, 1].
        """
        return ClassFrequencies(
            self.names, self.rows * factor, self.weight * factor, self.weight_square * factor**2
        )

    def prior(self) -> dict[str, float]:
        """Return the share of each class by sample weight."""
        shares = self.weight / self.weight.sum()
        return dict(zip(self.names, shares.tolist(), strict=True))

    def _align(self, names: Sequence[str]) -> tuple[Array, Array, Array]:
        """Return the numbers in the order of other names, 0 for a class that is not here."""
        positions = {name: i for i, name in enumerate(self.names)}
        index = np.array([positions.get(name, len(self.names)) for name in names], dtype=int)
        rows, weight, square = (
            np.append(numbers, 0.0)[index]
            for numbers in (self.rows, self.weight, self.weight_square)
        )
        return rows, weight, square


_ROUNDING = 1e-6  # of rows, where decayed ones were added and taken away again
