"""How often 95 % intervals hold the truth: costs with rare heavy losses, and measures of a score.

Amounts are lognormal (deviation 1.2 of the logarithm), approving one that fails costs its amount,
declining a sound one a constant; a calibrated score of known law, deviation 1.3 of its log odds,
decides. Percentile, BCa and bootstrap-t intervals are made from the same blocks; the product's is
bootstrap-t.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, ndtr, ndtri

from benchmarks.harness import Bar, figure
from sparkweights.evaluation.influence import MEASURES, BlockTable, measure_interval
from sparkweights.evaluation.intervals import (
    EVALUATION_BLOCKS,
    percentile_interval,
    ratio_interval,
)
from sparkweights.evaluation.score_table import BINS, ScoreTable, bin_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

    from sparkweights.evaluation.calibration import Groups as Numbers
    from sparkweights.evaluation.score_table import Array

BASES = (0.05, 0.01, 0.002)
EVENTS = (10, 30, 100)
ENOUGH = 100  # events from which the bars hold; fewer are shown
DEVIATION, SPREAD = 1.2, 1.3
MANY = 400  # customers from which the bars hold
OLDER_EVERY = 5
NAMES = ("percentile", "BCa", "bootstrap-t")


def run(
    open_session: Callable[[], SparkSession],
    *,
    quick: bool,
) -> tuple[dict[str, Any], list[Bar]]:
    """Count how often each interval holds the truth."""
    figures: dict[str, Any] = {}
    bars: list[Bar] = []
    for base in BASES:
        for events in EVENTS[:2] if quick else EVENTS:
            money = money_coverage(base, events, 20 if quick else 1_000)
            for (quantity, name), value in money.items():
                figures[f"{quantity}, {base:g}, {events} events: {name}"] = figure([value], "%")
                if events >= ENOUGH and name == "bootstrap-t":
                    bars += within(f"{quantity}, {base:g}, {events} events", value)
            held = score_coverage(base, events, 20 if quick else 1_000)
            for name, value in held.items():
                figures[f"{name}, {base:g}, {events} events"] = figure([value], "%")
                if events >= ENOUGH:
                    bars += within(f"{name}, {base:g}, {events} events", value)
    for customers in (50, MANY):
        held = cluster_coverage(customers, 20 if quick else 400)
        for name, value in held.items():
            figures[f"{name}, {customers} customers of 40 rows"] = figure([value], "%")
            if customers >= MANY and "rows taken" not in name:
                bars += within(f"{name}, {customers} customers", value)
    return figures, bars


def within(name: str, value: float) -> list[Bar]:
    """Return the two promises of a coverage."""
    return [
        Bar(f"{name}: covers, at least", value, 92.5, at_most=False),
        Bar(f"{name}: covers, at most", value, 97.5),
    ]


def decide(rng: np.random.Generator, rows: int, base: float) -> tuple[Array, Array, Array]:
    """Return what approving, declining, and deciding each row costs."""
    log_odds = np.log(base / (1 - base)) - SPREAD**2 / 2 + rng.normal(0, SPREAD, rows)
    p, amount = expit(log_odds), rng.lognormal(4, DEVIATION, rows)
    lost = np.exp(4 + DEVIATION**2 / 2) * base / (1 - base)
    bad = rng.random(rows) < p
    approve, decline = np.where(bad, amount, 0.0), np.where(bad, 0.0, lost)
    return approve, decline, np.where(p * amount > (1 - p) * lost, decline, approve)


@cache
def truth(base: float) -> tuple[float, float, float]:
    """Return the mean costs of `decide`, from many rows."""
    rng = np.random.default_rng(1)
    means = [[part.mean() for part in decide(rng, 1_000_000, base)] for _ in range(8)]
    approve, decline, ours = np.mean(means, axis=0)
    return float(approve), float(decline), float(ours)


def money_coverage(base: float, events: int, draws: int) -> dict[tuple[str, str], float]:
    """Return in how many of a hundred draws each interval of a cost and of savings is right."""
    rng = np.random.default_rng(events)
    approve, decline, ours = truth(base)
    wanted = {
        "cost of approving all": approve,
        "cost of our decisions": ours,
        "savings": ours / min(approve, decline),
    }
    held = {(quantity, name): 0 for quantity in wanted for name in NAMES}
    few = max(draws // OLDER_EVERY, 1)  # the intervals that are not the product's
    for turn in range(draws):
        rows = int(events / base)
        block = rng.integers(0, EVALUATION_BLOCKS, rows)
        drawn = [np.ones(rows), *decide(rng, rows, base)]
        sums = [np.bincount(block, weights=part, minlength=EVALUATION_BLOCKS) for part in drawn]
        held_blocks = sums[0] > 0
        weight, *costs = (part[held_blocks].astype(np.float64) for part in sums)
        best = min(costs[:2], key=lambda part: float(part.sum()))
        pairs = ((costs[0], weight), (costs[2], weight), (costs[2], best))
        for (quantity, true), (part, whole) in zip(wanted.items(), pairs, strict=True):
            ends = dict(zip(NAMES[-1:], [ratio_interval(part, whole)], strict=True))
            if turn < few:
                ends |= dict(zip(NAMES[:-1], older_intervals(part, whole, rng), strict=True))
            for name, (low, high) in ends.items():
                held[quantity, name] += low <= true <= high
    return {
        (quantity, name): 100 * count / (draws if name == NAMES[-1] else few)
        for (quantity, name), count in held.items()
    }


def older_intervals(
    part: Array, whole: Array, rng: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the percentile and the BCa interval (Efron 1987) of a ratio of sums over blocks."""
    blocks = len(part)
    counts = rng.multinomial(blocks, np.full(blocks, 1 / blocks), 1_000).astype(float)
    wholes = counts @ whole
    drawn = (counts @ part) / np.where(wholes > 0, wholes, np.inf)
    found = part.sum() / max(whole.sum(), np.finfo(float).tiny)
    left_out = (part.sum() - part) / np.where(whole < whole.sum(), whole.sum() - whole, np.inf)
    gap = left_out.mean() - left_out
    speed = (gap**3).sum() / max(6 * (gap**2).sum() ** 1.5, np.finfo(float).tiny)
    bias = ndtri(np.clip((drawn < found).mean(), 1e-3, 1 - 1e-3))
    ends = bias + ndtri([0.025, 0.975])
    levels = np.clip(ndtr(bias + ends / (1 - speed * ends)), 0, 1)
    low, high = np.quantile(drawn, levels, method="weibull")
    return percentile_interval(drawn), (float(low), float(high))


def laws(base: float) -> tuple[Array, Array]:
    """Return a grid of probabilities and the share of the rows that has each."""
    grid = np.linspace(-4.5, 4.5, 1_201)
    share = np.exp(-(grid**2) / 2)
    p = expit(np.log(base / (1 - base)) - SPREAD**2 / 2 + SPREAD * grid)
    return p, share / share.sum()


def score_coverage(base: float, events: int, draws: int) -> dict[str, float]:
    """Return in how many of a hundred draws each measure's interval is right."""
    rng = np.random.default_rng(events)
    p, share = laws(base)
    whole = ScoreTable(p, 1e9 * share * p, 1e9 * share * (1 - p))
    rows = events / float(share @ p)
    held = dict.fromkeys(MEASURES, 0)
    for _ in range(draws):
        positives, negatives = (
            rng.poisson(rows * share * part).astype(float) for part in (p, 1 - p)
        )
        table = ScoreTable(p, positives, negatives)
        for name, (influence, _) in MEASURES.items():
            low, high = measure_interval(table, name, (positives.sum(), negatives.sum()))
            held[name] += low <= influence(whole).value <= high
    return {name: 100 * count / draws for name, count in held.items()}


def cluster_rows(rng: np.random.Generator, customers: int) -> Iterator[Array]:
    """Yield customer, probability, outcome and amount of 40 rows each, alike within a customer."""
    whose = np.repeat(np.arange(customers), 40)
    own = rng.normal(0, 1, customers)[whose]
    log_odds = -2.5 + own + rng.normal(0, 0.5, len(whose))
    # What the score does not know is shared by the customer's rows as well.
    hidden = rng.normal(0, 1, customers)[whose]
    yield whose.astype(np.float64)
    yield expit(log_odds)
    yield (rng.random(len(whose)) < expit(log_odds + hidden)).astype(float)
    yield rng.lognormal(4, 0.7, customers)[whose]


@cache
def cluster_truth() -> tuple[dict[str, float], float]:
    """Return the measures, and the mean cost of approving, of very many customers."""
    _, p, y, amount = cluster_rows(np.random.default_rng(2), 50_000)
    table = ScoreTable.from_rows(p, y)
    return {name: of(table).value for name, (of, _) in MEASURES.items()}, float((y * amount).mean())


def cluster_coverage(customers: int, draws: int) -> dict[str, float]:
    """Return coverage where rows of one customer stay together, and as if they were independent."""
    rng = np.random.default_rng(customers)
    measures, cost = cluster_truth()
    held = {name: 0 for own in MEASURES for name in (own, f"{own}, rows taken as independent")}
    held["cost of approving all"] = 0
    for _ in range(draws):
        whose, p, y, amount = cluster_rows(rng, customers)
        block = rng.integers(0, EVALUATION_BLOCKS, customers)[whose.astype(int)]
        table, blocks = ScoreTable.from_rows(p, y), block_table(block, p, y)
        rows = float(y.sum()), float((1 - y).sum())
        for name, true in measures.items():
            low, high = measure_interval(table, name, rows, blocks)
            held[name] += low <= true <= high
            low, high = measure_interval(table, name, rows)
            held[f"{name}, rows taken as independent"] += low <= true <= high
        lost, counts = (np.bincount(block, weights=part) for part in (y * amount, y**0))
        low, high = ratio_interval(lost.astype(np.float64), counts.astype(np.float64))
        held["cost of approving all"] += low <= cost <= high
    return {name: 100 * count / draws for name, count in held.items()}


def block_table(block: Numbers, p: Array, y: Array) -> BlockTable:
    """Return what the distributed pass sums by block."""
    place = block.astype(int), (bin_numbers(p) // (BINS // 128)).astype(int)
    sides = [np.zeros((EVALUATION_BLOCKS, 128)) for _ in range(2)]
    for own, weight in zip(sides, (y, 1 - y), strict=True):
        np.add.at(own, place, weight)
    sums = [np.bincount(place[0], weights=part, minlength=EVALUATION_BLOCKS).astype(float)
            for part in ((p - y) ** 2, p)]  # fmt: skip
    return BlockTable(sides[0], sides[1], sums[0], sums[1])
