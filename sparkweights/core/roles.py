"""The roles of columns, and names of columns, without Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


ClassValue = bool | int | float | str


@dataclass(frozen=True)
class ColumnRoles:
    """The role of each column, resolved once from the configuration.

    Attributes
    ----------
    keys
        Columns that identify a row.
    label
        The outcome column of the labelled table.
    classes
        Class name -> its value in the label column, or a tuple of its values, in declared order.
        The order gives each class its index in vectors and arrays.
    numeric, categorical
        Feature columns.
    sensitive
        Columns kept for reports that are never features.
    weight
        An incoming sample weight, or None.
    time
        The column that orders rows in time, or None.
    """

    keys: tuple[str, ...]
    label: str
    classes: Mapping[str, ClassValue | tuple[ClassValue, ...]]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    sensitive: tuple[str, ...] = ()
    weight: str | None = None
    time: str | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, in index order."""
        return tuple(self.classes)

    @property
    def class_values(self) -> dict[str, tuple[ClassValue, ...]]:
        """Class name -> its values in the label column."""
        return {
            name: value if isinstance(value, tuple) else (value,)
            for name, value in self.classes.items()
        }

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns, numeric first."""
        return (*self.numeric, *self.categorical)


def in_index_order(classes: Mapping[str, ClassValue]) -> dict[str, ClassValue]:
    """Return the classes in the order of MLlib's vectors, whose entry i belongs to label i.

    Values 0, 1, ... (or false and true) are labels themselves; other values have to be indexed
    first, and keep the order in which they are declared.

    Examples
    --------
    >>> in_index_order({"defaulted": 1, "repaid": 0})
    {'repaid': 0, 'defaulted': 1}
    >>> in_index_order({"defaulted": "yes", "repaid": "no"})
    {'defaulted': 'yes', 'repaid': 'no'}
    """
    labels = {name: float(value) for name, value in classes.items() if not isinstance(value, str)}
    if sorted(labels.values()) != list(range(len(classes))):
        return dict(classes)
    return {name: classes[name] for name in sorted(labels, key=labels.__getitem__)}


def quoted(name: str) -> str:
    """Return ``name`` in backticks, so that dots and spaces in it are part of the name.

    Examples
    --------
    >>> quoted("loan.amount")
    '`loan.amount`'
    """
    return "`" + name.replace("`", "``") + "`"


def reason_cols(top: int) -> tuple[str, ...]:
    """Return the names of the reason columns.

    Examples
    --------
    >>> reason_cols(2)
    ('reason_1', 'reason_2')
    """
    return tuple(f"reason_{i + 1}" for i in range(top))
