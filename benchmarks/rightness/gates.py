"""The gates of a model: how often a sound one is stopped, and a wrong one is not.

Base rate: calibrated probabilities of known law on test rows, stratified by class or not, some of
them calibrated on other rows; and ten times too high and too low. Money: expected over realised
cost of Bayes decisions with lognormal amounts. By customer: both, where the outcomes and amounts of
a customer's 40 rows are alike and the split keeps them together.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, ndtr

from benchmarks.harness import Bar, figure
from benchmarks.rightness.intervals import MANY, block_table
from sparkweights.core.errors import QualityGateError
from sparkweights.evaluation.cost_calibration import CostCalibration, StakeSums, cost_calibration
from sparkweights.evaluation.evaluation import Cell, Evaluation
from sparkweights.evaluation.intervals import EVALUATION_BLOCKS
from sparkweights.evaluation.score_table import ScoreTable, least_scores
from sparkweights.quality.gates import gate_base_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from sparkweights.evaluation.calibration import Groups as Numbers
    from sparkweights.evaluation.score_table import Array

EVENTS = (10, 100, 1_000)
BASE, SPREAD, DEVIATION = 0.01, 1.3, 1.2
TOLERANCE, COST_TOLERANCE = 0.1, 0.15


def run(
    open_session: Callable[[], SparkSession],
    *,
    quick: bool,
) -> tuple[dict[str, Any], list[Bar]]:
    """Count false alarms and misses."""
    figures: dict[str, Any] = {}
    bars: list[Bar] = []
    for events in EVENTS[:1] if quick else EVENTS:
        draws = 20 if quick else int(np.clip(30_000 / events, 200, 600))
        for stratified in (True, False):
            how = "stratified" if stratified else "by time"
            rates = base_rate_alarms(events, draws, stratified=stratified)
            for factor, share in rates.items():
                name = f"base rate, {how}, {events} events, p x {factor:g}: stopped"
                figures[name] = figure([share], "%")
                if factor == 1:
                    bars.append(Bar(name, share, 1.0))
                else:
                    bars.append(Bar(name, share, 95.0, at_most=False))
        found = cost_alarms(events, draws)
        for name, share in found.items():
            figures[f"money, {events} events: {name}"] = figure([share], "%")
        bars.append(Bar(f"money, {events} events: sound, stopped", found["sound: stopped"], 1.0))
        bars.append(Bar(f"money, {events} events: sound, warned", found["sound: warned"], 1.0))
    for customers in (50, MANY):
        for name, share in customer_alarms(customers, 20 if quick else 600).items():
            figures[f"{customers} customers: {name}"] = figure([share], "%")
            if customers == MANY and "independent" not in name:
                sound = "sound" in name
                limit = 1.0 if sound else 95.0
                bars.append(Bar(f"{customers} customers: {name}", share, limit, at_most=sound))
    return figures, bars


def scores(rng: np.random.Generator, rows: int) -> Array:
    """Return calibrated probabilities whose mean is about `BASE`."""
    centre = np.log(BASE / (1 - BASE)) - SPREAD**2 / 2
    return np.asarray(expit(centre + rng.normal(0, SPREAD, rows)))


def base_rate_alarms(events: int, draws: int, *, stratified: bool) -> dict[float, float]:
    """Return in how many of a hundred draws the gate stops p times a factor."""
    rng = np.random.default_rng(events + stratified)
    stopped = dict.fromkeys((1.0, 0.1, 10.0), 0)
    for _ in range(draws):
        rows = int(events / BASE)
        if stratified:  # a third of rows whose shares by class are the whole table's
            p = scores(rng, 3 * rows)
            bad = (rng.random(len(p)) < p).astype(np.float64)
            order = np.argsort(bad, kind="stable")
            p, bad = p[order][::3], bad[order][::3]
            prior = float(bad.mean())
            p = calibrated(p, prior)
        else:
            p = scores(rng, rows)
            bad = (rng.random(rows) < p).astype(np.float64)
        for factor in stopped:
            told = np.clip(p * factor, 0, 0.999)
            stopped[factor] += is_stopped(told, bad, stratified=stratified)
    return {factor: 100 * count / draws for factor, count in stopped.items()}


def calibrated(p: Array, share: float) -> Array:
    """Return probabilities moved in log odds to a mean: what any calibration does at least."""
    odds, shift = p / (1 - p), 0.0
    for _ in range(8):
        now = odds * np.exp(shift) / (1 + odds * np.exp(shift))
        shift += float((share - now.mean()) / (now * (1 - now)).mean())
    return np.asarray(odds * np.exp(shift) / (1 + odds * np.exp(shift)))


def customer_alarms(customers: int, draws: int) -> dict[str, float]:
    """Return in how many of a hundred draws each gate stops, of rows that depend on each other."""
    rng = np.random.default_rng(customers)
    counts: dict[str, int] = defaultdict(int)
    for _ in range(draws):
        p, amount, bad, block = customer_rows(rng, customers)
        counts["sound, base rate"] += is_stopped(p, bad, block=block)
        counts["sound, base rate, rows taken as independent"] += is_stopped(p, bad)
        counts["p x 0.1, base rate"] += is_stopped(p / 10, bad, block=block)
        counts["p x 10, base rate"] += is_stopped(np.minimum(p * 10, 0.999), bad, block=block)
        costs = compare(block, p, amount, bad, clustered=True)
        counts["sound, money"] += bool(costs.far_off(COST_TOLERANCE))
    return {name: 100 * count / draws for name, count in counts.items()}


def customer_rows(rng: np.random.Generator, customers: int) -> tuple[Array, Array, Array, Numbers]:
    """Return probability, amount, outcome and block of 40 rows per customer.

    The outcome is whether a standard normal variable, of which the customer's rows share a part of
    .3 of the variance, is below the probability's quantile: the probabilities are right, and the
    outcomes depend on each other.
    """
    whose = np.repeat(np.arange(customers), 40)

    def alike(share: float) -> Array:
        own, common = rng.normal(size=len(whose)), rng.normal(size=customers)[whose]
        return np.asarray(np.sqrt(share) * common + np.sqrt(1 - share) * own)

    p = expit(np.log(0.05 / 0.95) - SPREAD**2 / 2 + SPREAD * alike(0.6))
    bad = (ndtr(alike(0.3)) < p).astype(np.float64)
    block = rng.integers(0, EVALUATION_BLOCKS, customers)[whose]
    amount = np.asarray(np.exp(4 + DEVIATION * alike(0.6)))
    return np.asarray(p), amount, np.asarray(bad), block


def is_stopped(
    p: Array, bad: Array, *, stratified: bool = False, block: Numbers | None = None
) -> bool:
    """Whether the gate stops this model; rows of a block may depend on each other."""
    table = ScoreTable.from_rows(p, bad, edges=least_scores(p))
    rows = float(len(p))
    evaluation = Evaluation(
        tables={"good": table.complement(), "bad": table},
        cells={"no": {"good": Cell(int(rows - bad.sum()), rows - float(bad.sum()), 0.0),
                      "bad": Cell(int(bad.sum()), float(bad.sum()), 0.0)}},
        constant_costs={"no": np.zeros(1)},
        policy_costs={},
        block_weights=np.array([rows]),
        block_losses=np.zeros(1),
        square_weights={"good": rows - float(bad.sum()), "bad": float(bad.sum())},
        right_decisions={"good": "no", "bad": "no"},
        block_tables={} if block is None else {
            "good": block_table(block, 1 - p, 1 - bad), "bad": block_table(block, p, bad)
        },
    )  # fmt: skip
    try:
        gate_base_rate(evaluation, TOLERANCE, stratified=stratified, calibration_share=1.0)
    except QualityGateError:
        return True
    return False


def cost_alarms(events: int, draws: int) -> dict[str, float]:
    """Return in how many of a hundred draws costs are off, and the total's interval is right."""
    rng = np.random.default_rng(events)
    laws = ("sound", "too low at high amounts", "a tenth of p")
    counts = {f"{name}: {what}": 0 for name in laws for what in ("warned", "stopped")}
    counts["sound: interval holds 1"] = 0
    for _ in range(draws):
        rows = int(events / BASE)
        p, amount = scores(rng, rows), rng.lognormal(4, DEVIATION, rows)
        bad = (rng.random(rows) < p).astype(np.float64)
        low_at_top = p * np.where(amount > np.quantile(amount, 0.9), 0.4, 1.0)
        for name, told in zip(laws, (p, low_at_top, p / 10), strict=True):
            block = rng.integers(0, EVALUATION_BLOCKS, rows)
            found = compare(block, told, amount, bad)
            counts[f"{name}: warned"] += bool(found.off(COST_TOLERANCE))
            counts[f"{name}: stopped"] += bool(found.far_off(COST_TOLERANCE))
            if name == "sound":
                low, high = found.total.interval
                counts["sound: interval holds 1"] += low <= 1 <= high
    return {name: 100 * count / draws for name, count in counts.items()}


def compare(
    block: Numbers, p: Array, amount: Array, bad: Array, *, clustered: bool = False
) -> CostCalibration:
    """Return expected against realised cost of Bayes decisions, as the distributed pass sums it."""
    lost = 0.1 * amount + 5
    decline = p * amount > (1 - p) * lost
    of_bad, of_good = np.where(decline, 0.0, amount), np.where(decline, lost, 0.0)
    expected = p * of_bad + (1 - p) * of_good
    realised = np.where(bad > 0, of_bad, of_good)
    octaves = np.floor(np.log2(np.maximum(amount, lost)) * 8)
    levels, level = np.unique(octaves, return_inverse=True)

    def by_block(values: Array) -> Array:
        found = np.zeros((EVALUATION_BLOCKS, len(levels)))
        np.add.at(found, (block, level), values)
        return found

    def by_class(power: int) -> Array:
        parts = ((1 - p) * (of_good - expected) ** power, p * (of_bad - expected) ** power)
        return np.array([np.bincount(level, weights=part) for part in parts])

    sums = StakeSums(
        2.0 ** (levels / 8),
        by_block(np.ones(len(p))),
        by_block(expected),
        by_block(realised),
        by_class(2),
        by_class(3),
    )
    return cost_calibration(sums, np.ones(2), clustered=clustered)
