"""The p-value of a count of events, given the probability of an event in each row.

The count is then Poisson-binomial, with mean sum p and variance sum p (1 - p): the error under the
given probabilities. The error at the observed share is 0 where no event is observed, and a test
with it would reject right probabilities.
"""

from __future__ import annotations

import math

from scipy.special import betainc, gammainc, gammaincc

_POISSON = 1e-9  # mean probability below which binomial and Poisson distribution are equal


def count_p_value(
    observed: float, expected: float, variance: float, *, weight_ratio: float = 1.0
) -> float:
    """Return the two-sided p-value of a count of events, twice the smaller tail.

    Tails are those of the binomial distribution with the same mean and variance: N pi = sum p and
    N pi (1 - pi) = sum p (1 - p), N not necessarily whole (Ehm 1991, theorem 1, bounds the
    distance). It has the skewness of few events, which a normal approximation lacks.

    Parameters
    ----------
    observed
        Events; sum w y where rows have sample weights w.
    expected
        sum p; sum w p with weights.
    variance
        sum p (1 - p); sum w^2 p (1 - p) with weights.
    weight_ratio
        sum w^2 p (1 - p) / sum w p (1 - p); 1 without weights, and w where every weight is w. The
        weighted count is treated as a count times this ratio.

    Examples
    --------
    No event where 10 were expected of 1,000 rows, 2 * 0.99^1000:

    >>> round(count_p_value(0, 10, 9.9), 7)
    8.63e-05
    """
    if variance <= 0:
        return 1.0 if math.isclose(observed, expected, abs_tol=1e-9) else 0.0
    mean, count = expected / weight_ratio, observed / weight_ratio
    share = max(1 - variance / weight_ratio**2 / mean, _POISSON)
    trials = mean / share
    # A scaled count is between two whole numbers; both tails include the next whole number.
    at_most, at_least = math.ceil(count - 1e-9), math.floor(count + 1e-9)
    return min(1.0, 2 * min(_below(at_most, trials, share), _above(at_least, trials, share)))


def _below(count: int, trials: float, share: float) -> float:
    """Return P(X <= count)."""
    if count >= trials:
        return 1.0
    if share <= _POISSON:
        return float(gammaincc(count + 1, trials * share))
    return float(betainc(trials - count, count + 1, 1 - share))


def _above(count: int, trials: float, share: float) -> float:
    """Return P(X >= count)."""
    if count <= 0:
        return 1.0
    if share <= _POISSON:
        return float(gammainc(count, trials * share))
    return 0.0 if count > trials else float(betainc(count, trials - count + 1, share))
