"""Review: looking at rows by the stated gain saves what it states, and more than another order.

Probabilities are true, costs differ by row, and the right decision of the bad class still costs
something. Outcomes are drawn again and again; what the looks saved is compared with what
`review_gain` stated, and with the looks that a gain without the cost of the right decision would
have chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Bar, figure
from sparkweights.costs.review import review_cost, review_gain

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CAPACITY, PRICE = 0.05, 40.0


def run(open_session: Callable[[], Any], *, quick: bool) -> tuple[dict[str, Any], list[Bar]]:
    """Return stated and realised savings of the looks, for both ways to state them."""
    rng = np.random.default_rng(20)
    rows, draws = (20_000, 40) if quick else (200_000, 400)
    bad = rng.beta(1.2, 8, rows)
    amount = rng.lognormal(6, 1, rows)
    nothing = np.zeros(rows)
    costs = [[nothing, 0.75 * amount], [0.1 * amount + 20, 0.3 * amount]]
    probabilities = [1 - bad, bad]
    expected: Array = np.stack([
        sum(p * cost for p, cost in zip(probabilities, row, strict=True)) for row in costs
    ])  # fmt: skip
    least: list[Array] = [np.minimum(own, other) for own, other in zip(*costs, strict=True)]
    price = np.full(rows, PRICE)
    gain = review_gain(expected.min(axis=0), review_cost(probabilities, least, price))
    partial = review_gain(expected.min(axis=0), price)  # as if the right decision were free
    chosen, other = _most(gain), _most(partial)
    decided = expected.argmin(axis=0)
    saved = np.zeros((draws, 2))
    for draw in range(draws):
        index = (rng.random(rows) < bad).astype(int)
        known = np.choose(index, least) + PRICE
        taken = np.where(decided == 0, np.choose(index, costs[0]), np.choose(index, costs[1]))
        saved[draw] = (taken - known)[chosen].sum(), (taken - known)[other].sum()
    mean, error = saved.mean(axis=0), saved.std(axis=0, ddof=1) / np.sqrt(draws)
    stated = gain[chosen].sum()
    figures = {
        "review_realised_over_stated": figure([mean[0] / stated], "ratio"),
        "review_standard_error": figure([error[0] / stated], "ratio"),
        "review_without_right_cost_realised_over_stated": figure(
            [mean[1] / partial[other].sum()], "ratio"
        ),
        "review_order_without_right_cost_saves": figure([mean[1] / mean[0]], "ratio"),
    }
    miss = abs(mean[0] / stated - 1)
    chance = 3 * error[0] / stated if quick else 0.0  # few draws miss it by chance alone
    return figures, [
        Bar("review: realised saving misses the stated one", miss, max(0.02, chance)),
        Bar("review: saving of another order over this one", mean[1] / mean[0], 1.0),
    ]


def _most(gain: Array) -> Array:
    """Return the rows that gain most, within the capacity, as a mask."""
    least = np.partition(gain, -int(CAPACITY * len(gain)))[-int(CAPACITY * len(gain))]
    return np.asarray((gain >= least) & (gain > 0))
