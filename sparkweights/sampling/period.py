"""Calendar periods, such as the time until an outcome is known."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sparkweights.core.errors import ConfigError


@dataclass(frozen=True)
class Span:
    """A calendar period, such as the time until an outcome is known.

    Attributes
    ----------
    count, unit
        ``3, "month"``; the unit is None where time is a plain number.
    """

    count: float
    unit: str | None

    @classmethod
    def parse(cls, text: str | float, *, where: str) -> Span:
        """Read ``3 months`` or, where time is a number, ``90``.

        Raises
        ------
        ConfigError
            If it is neither, or negative.

        Examples
        --------
        >>> Span.parse("3 months", where="split.gap")
        Span(count=3, unit='month')
        """
        if isinstance(text, (int, float)) and not isinstance(text, bool) and text >= 0:
            return cls(float(text), None)
        match = re.fullmatch(r"\s*(\d+)\s*(day|week|month|quarter|year)s?\s*", str(text))
        if match is None:
            raise ConfigError(
                f"{where}: {text!r}; allowed: a whole number of days, weeks, months, quarters or "
                "years, or a number >= 0 where split.by is a number.",
                hint="for instance 3 months.",
            )
        return cls(int(match[1]), match[2])

    def before(self, moment: float, kind: str, *, where: str) -> float:
        """Return the moment that is this long before another, both as `time_order` counts.

        A day that the earlier month lacks is its last one (31 May less 3 months is 28 February).

        Parameters
        ----------
        kind
            ``number``, ``date`` (days) or ``timestamp`` (microseconds), see `time_kind`.

        Raises
        ------
        ConfigError
            If a calendar unit is taken from a number, or a number from a date.
        """
        if (self.unit is None) != (kind == "number") and self.count:
            raise ConfigError(
                f"{where}: {_spelled(self)}; split.by names a {kind}, from which "
                f"{'calendar units' if kind == 'number' else 'plain numbers'} cannot be taken.",
                hint="write 90" if kind == "number" else "write 3 months, or 90 days.",
            )
        if kind == "number" or not self.count:
            return moment - self.count
        if kind == "date":
            return float((_earlier(_EPOCH + timedelta(days=moment), self) - _EPOCH).days)
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
        days = (at.date() - _earlier(at.date(), self)).days
        return moment - days * 86_400_000_000


_EPOCH = date(1970, 1, 1)


def _spelled(span: Span) -> str:
    return f"{span.count:g}" + (f" {span.unit}s" if span.unit else "")


def _earlier(day: date, span: Span) -> date:
    count = int(span.count)
    if span.unit in {"day", "week"}:
        return day - timedelta(days=count * (7 if span.unit == "week" else 1))
    months = count * {"month": 1, "quarter": 3, "year": 12}[span.unit or "month"]
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
