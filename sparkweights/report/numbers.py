"""How numbers are formatted, on the terminal and on a page; None and NaN are not known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkweights.records.base import Interval

NOTHING = "\u2013"
NO_SAVINGS = "not defined"  # where the best constant decision is free
_WHOLE_FROM, _PLAIN_FROM, _PLAIN_TO = 100, 1e-3, 1e6


def _written(value: float | None, form: str) -> str:
    return NOTHING if value is None or math.isnan(value) else format(value, form)


def known(value: float | None) -> float:
    """Return a number for a drawing or a sum; NaN where it is not known."""
    return math.nan if value is None else value


def count(value: float | None) -> str:
    """Write a number of rows.

    Examples
    --------
    >>> count(1234567), count(97.3)
    ('1,234,567', '97')
    """
    return _written(value, ",.0f")


def amount(value: float | None) -> str:
    """Write an amount: whole from 100 on, else with two digits.

    Examples
    --------
    >>> amount(67566800.4), amount(-3.14159)
    ('67,566,800', '-3.14')
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:,.2f}"


def span(interval: Interval) -> str:
    """Write an interval of amounts, both ends alike.

    Examples
    --------
    >>> span((-9.5, 728)), span((-9.5, 1))
    ('-10 to 728', '-9.50 to 1.00')
    """
    low, high = interval
    if low is None or high is None:
        return f"{amount(low)} to {amount(high)}"
    digits = 0 if max(abs(low), abs(high)) >= _WHOLE_FROM else 2
    return f"{low:,.{digits}f} to {high:,.{digits}f}"


def percent(share: float | None) -> str:
    """Write a share, with a third digit where two would say 0.

    Examples
    --------
    >>> percent(0.2212), percent(0.00034)
    ('22.1 %', '0.034 %')
    """
    if share is None or math.isnan(share):
        return NOTHING
    size = abs(share)
    if size >= _PLAIN_FROM or size == 0:
        return f"{share:.1%}".replace("%", " %")
    return f"{share * 100:.2g} %"


def percent_span(interval: Interval) -> str:
    """Write an interval of shares."""
    return " to ".join(map(percent, interval))


def savings(value: float | None) -> str:
    """Write savings; they are not defined where no share of a cost can be saved.

    Examples
    --------
    >>> savings(0.367), savings(None)
    ('36.7 %', 'not defined')
    """
    return NO_SAVINGS if value is None or math.isnan(value) else percent(value)


def savings_span(interval: Interval) -> str:
    """Write the interval of savings."""
    written = percent_span(interval)
    return NO_SAVINGS if NOTHING in written else written


def ratio(value: float | None) -> str:
    """Write a ratio of two amounts."""
    return _written(value, ".2f")


def ratio_span(interval: Interval) -> str:
    """Write an interval of ratios."""
    return " to ".join(map(ratio, interval))


def measure(value: float | None) -> str:
    """Write a measure that lies between 0 and 1, such as an AUC."""
    return _written(value, ".4f")


def measure_span(interval: Interval) -> str:
    """Write an interval of measures."""
    return " to ".join(map(measure, interval))


def index(value: float | None) -> str:
    """Write a stability index."""
    return _written(value, ".3f")


def p_value(value: float | None) -> str:
    """Write a p-value with two digits."""
    return _written(value, ".2g")


def number(value: float | None) -> str:
    """Write a number with four digits that count.

    Examples
    --------
    >>> number(1.27249), number(0.5), number(48000)
    ('1.272', '0.5', '48,000')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return str(value)
    size = abs(value)
    if size and not _PLAIN_FROM <= size < _PLAIN_TO:
        return f"{value:,.0f}" if size >= _PLAIN_TO else f"{value:.3g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def number_span(interval: Interval) -> str:
    """Write an interval of numbers."""
    return " to ".join(map(number, interval))
