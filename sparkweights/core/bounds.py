"""The values that a parameter accepts, as error messages and docs state them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sparkweights.core.errors import join_names


@dataclass(frozen=True)
class Bound:
    """The values that a Param accepts: a type with its range, or a list of choices.

    Attributes
    ----------
    type
        bool, int, float or str.
    low, high
        The range of a number, both included.
    choices
        The words allowed; where they are MLlib's, a positive number is allowed as well.
    or_number
        Whether a positive number may stand instead of a choice.
    """

    type: type
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    or_number: bool = False

    def __str__(self) -> str:
        """Say what is allowed."""
        if self.type is bool:
            return "true or false"
        if self.choices:
            return f"one of {join_names(self.choices)}" + (" or a number" if self.or_number else "")
        if self.type is str:
            return "a text"
        kind = "a whole number" if self.type is int else "a number"
        low = "" if self.low == float("-inf") else f" >= {self.low:g}"
        high = "" if self.high == float("inf") else f"{' and' if low else ''} <= {self.high:g}"
        return f"{kind}{low}{high}"

    def admits(self, value: object) -> bool:
        """Whether ``value`` is allowed."""
        if self.choices:
            known = isinstance(value, str) and value in self.choices
            return known or (self.or_number and _is_positive_number(str(value)))
        if isinstance(value, bool) or self.type is bool:
            return isinstance(value, bool) and self.type is bool
        if self.type is str:
            return isinstance(value, str) and bool(value)
        if not isinstance(value, int if self.type is int else (int, float)):
            return False
        return self.low <= value <= self.high and abs(value) <= sys.float_info.max


def _is_positive_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
