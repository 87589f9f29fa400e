"""Alarms of `monitor` on tables that did not change: calibration and stability indices.

Probabilities are beta distributed with a coefficient of variation of 1.5, and true. Rows are few
and events rare, down to half an event per table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Bar, figure
from sparkweights.evaluation.drift import (
    Stability,
    holm,
    homogeneity_p_value,
    score_stability,
    stability_index,
)
from sparkweights.evaluation.rare_counts import count_p_value
from sparkweights.monitoring.alarms import MISS_LEVEL, has_drifted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.evaluation.score_table import Array

PSI_LIMIT, TOLERANCE = 0.2, 0.1
TABLES = ((500, 0.001), (500, 0.02), (2_000, 0.005), (20_000, 0.0005), (20_000, 0.05))


def _probabilities(rng: np.random.Generator, rows: int, base: float) -> Array:
    size = (1 - base) / (1.5**2 * base) - 1
    return np.asarray(rng.beta(base * size, (1 - base) * size, rows))


def is_missed(y: Array, p: Array, w: Array) -> bool:
    """Return whether `monitor` takes the probabilities for wrong."""
    happened, expected = float((w * y).sum()), float((w * p).sum())
    plain, weighted = float((w * p * (1 - p)).sum()), float((w**2 * p * (1 - p)).sum())
    p_value = count_p_value(happened, expected, weighted, weight_ratio=weighted / plain)
    return abs(expected - happened) > TOLERANCE * happened and p_value < MISS_LEVEL


def _calibration(repeat: int, *, weighted: bool, factor: float = 1.0) -> list[float]:
    """Return the share of alarms by table, where outcomes are so many times as likely as stated."""
    rng, alarms = np.random.default_rng(5), []
    for rows, base in TABLES if factor == 1.0 else ((1_000, 0.001),):
        found = []
        for _ in range(repeat):
            p = _probabilities(rng, rows, base)
            y = (rng.random(rows) < np.minimum(factor * p, 1)).astype(float)
            w = rng.choice([1.0, 20.0], rows) if weighted else np.ones(rows)
            found.append(is_missed(y, p, w))
        alarms.append(float(np.mean(found)))
    return alarms


def _indices(repeat: int, rows: int, *, weight: float) -> float:
    """Return how often one of 20 columns or the score is over its limit.

    Half of the rows have the weight. 14 columns have tenths, 6 have 31 levels of uneven shares;
    the reference has 5,000 rows.
    """
    rng, alarms = np.random.default_rng(6), []
    uneven = 1 / np.arange(1, 32) ** 1.2
    laws = [np.full(10, 0.1)] * 14 + [uneven / uneven.sum()] * 6
    reference = 5_000

    def draw(size: int, law: Array) -> tuple[Array, float]:
        halves = size // 2, size - size // 2
        counts = rng.multinomial(halves[0], law) + weight * rng.multinomial(halves[1], law)
        total = halves[0] + weight * halves[1]
        return counts, total**2 / (halves[0] + weight**2 * halves[1])

    for _ in range(repeat):
        indices, p_values = [], []
        for law in laws:
            (before, n), (after, m) = draw(reference, law), draw(rows, law)
            indices.append(stability_index(before, after))
            p_values.append(homogeneity_p_value(before, after, (n, m)))
        scores = [np.sort(_probabilities(rng, size, 0.0001)) for size in (reference, rows)]
        found = score_stability(np.ones(reference), np.ones(rows), (scores[0], scores[1]))
        indices.append(found.index)
        p_values.append(found.p_value)
        pairs = zip(indices, holm(p_values), strict=True)
        alarms.append(any(has_drifted(Stability(*pair), PSI_LIMIT) for pair in pairs))
    return float(np.mean(alarms))


def run(open_session: Callable[[], Any], *, quick: bool) -> tuple[dict[str, Any], list[Bar]]:
    """Simulate tables that did not change, and one whose outcomes are ten times as likely."""
    repeat = 100 if quick else 2_000
    alarms = _calibration(repeat, weighted=False)
    weighted = _calibration(repeat, weighted=True)
    caught = _calibration(repeat, weighted=False, factor=10.0)
    figures = {
        "monitor_calibration_false_alarms": figure(alarms, "share"),
        "monitor_calibration_false_alarms_weighted": figure(weighted, "share"),
        "monitor_tenfold_error_at_10_events_found": figure(caught, "share"),
    }
    bars = [
        Bar("monitor: false alarms of calibration", max(alarms), 0.01),
        Bar("monitor: the same with weights of 1 and 20", max(weighted), 0.01),
        Bar("monitor: tenfold error at 10 events missed", 1 - min(caught), 0.05),
    ]
    for rows in (50, 500, 50_000):
        for weight in (1.0, 20.0):
            share = _indices(50 if quick else 1_000, rows, weight=weight)
            name = f"{rows} rows, weights 1 and {weight:g}"
            figures[f"monitor_psi_false_alarms_{rows}_{weight:g}"] = figure([share], "share")
            bars.append(Bar(f"monitor: false alarms of 21 indices, {name}", share, 0.01))
    return figures, bars
