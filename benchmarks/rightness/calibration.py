"""Calibration against known probabilities: what sigmoid, isotonic and ``auto`` cost more.

Scores are normal around the base rate's logit; the true logit is a known function of the score:
the score itself, or one of seven distortions, as models with too much or too little confidence,
boosted trees and single trees have them. A calibration is fitted to drawn outcomes, and each score
is decided at four cost ratios. The excess is the expected cost under the true probability over
the least possible, minus 1, averaged over the ratios and draws; no outcome is drawn to judge it.

``isotonic_raw`` is pool adjacent violators kept 1 / (n + 2) from 0 and 1, without shrinking.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit

from benchmarks.harness import Bar, figure
from sparkweights.probability.calibration_fit import (
    CELL,
    CalibrationTable,
    choose_method,
    fit_isotonic,
    fit_sigmoid,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

SPREAD = 1.5  # standard deviation of the scores, in logit: an AUC of about .82 where calibrated
GRID = np.linspace(-5 * SPREAD, 5 * SPREAD, 4_001)
DENSITY = np.exp(-0.5 * (GRID / SPREAD) ** 2) / np.exp(-0.5 * (GRID / SPREAD) ** 2).sum()
CUTS = (-1.0, 0.0, 1.0, 2.0)  # logit of the cost ratios' thresholds, from that of the base rate
DISTORTIONS: Mapping[str, Callable[[Array], Array]] = {
    "calibrated": lambda u: u,
    "overconfident": lambda u: 0.5 * u,
    "underconfident": lambda u: 1.8 * u,
    "flat_top": lambda u: np.where(u > 0, 0.3 * u, 1.2 * u),
    "flat_bottom": lambda u: np.where(u > 0, 1.2 * u, 0.3 * u),
    "saturated": lambda u: 2 * np.tanh(u / 2),
    "steps": lambda u: 1.8 * np.round(u / 1.5),
    "wavy": lambda u: u + 0.6 * np.sin(1.5 * u),
}
SIZES = (
    (200, 20),
    (1_000, 10),
    (1_000, 30),
    (1_000, 50),
    (1_500, 75),
    (2_000, 100),
    (20_000, 200),
    (5_000, 500),
    (20_000, 1_000),
    (20_000, 4_000),
    (20_000, 10_000),
)  # fmt: skip  (rows, expected events)


def tabulate(
    scores: Array,
    index: Array,
    *,
    weight: Array | None = None,
    fold: Array | None = None,
) -> CalibrationTable:
    """Return the table that Spark would collect from rows of two classes.

    Parameters
    ----------
    scores
        Logit of the second class's probability.
    index
        Class index of each row.
    """
    w = np.ones_like(scores) if weight is None else weight
    folds = np.zeros(len(scores), np.int64) if fold is None else fold.astype(np.int64)
    keys = np.stack([folds, np.floor(scores / CELL).astype(np.int64)])
    (own_fold, cell), place = np.unique(keys, axis=1, return_inverse=True)
    count, event = len(cell), index == 1

    def total(values: Array) -> Array:
        return np.bincount(place.ravel(), values, count).astype(float)

    return CalibrationTable(
        classes=("good", "bad"),
        fold=own_fold,
        target=np.ones(count, np.int64),
        cell=cell,
        logit=total(w * scores) / total(w),
        positives=total(w * event),
        negatives=total(w * ~event),
        positive_squares=total(w * w * event),
        negative_squares=total(w * w * ~event),
        positive_rows=total(event.astype(float)),
        negative_rows=total((~event).astype(float)),
    )


def truth(kind: str, base_rate: float) -> Callable[[Array], Array]:
    """Return the true probability as a function of the score, with this mean."""
    distorted = DISTORTIONS[kind]
    centre = logit(base_rate)

    def miss(shift: float) -> float:
        return float(DENSITY @ expit(distorted(GRID) + shift)) - base_rate

    shift = float(brentq(miss, -25, 25))

    def probability(scores: Array) -> Array:
        found: Array = expit(distorted(scores - centre) + shift)
        return found

    return probability


def excess_cost(true: Array, shown: Array, base_rate: float) -> float:
    """Return by which share decisions by ``shown`` on the grid cost more than by the truth."""
    excess = []
    for cut in CUTS:
        threshold = expit(logit(base_rate) + cut)
        decline, approve = (1 - true) * threshold, true * (1 - threshold)
        paid = DENSITY @ np.where(shown >= threshold, decline, approve)
        excess.append(float(paid / (DENSITY @ np.minimum(decline, approve))) - 1)
    return math.fsum(excess) / len(excess)


def draw(
    rng: np.random.Generator, kind: str, rows: int, events: int
) -> tuple[Array, Array, Array, Array]:
    """Draw scores and outcomes; return them with the grid's scores and their true probabilities."""
    rate = events / rows
    probability = truth(kind, rate)
    grid = GRID + logit(rate)
    while True:
        scores = rng.normal(logit(rate), SPREAD, rows)
        index = (rng.random(rows) < probability(scores)).astype(float)
        if min(index.sum(), rows - index.sum()) >= 5:  # training refuses fewer
            return scores, index, grid, probability(grid)


def calibrated(scores: Array, index: Array, grid: Array) -> dict[str, Array]:
    """Return the probabilities on the grid by each calibration of the drawn rows."""
    table = tabulate(scores, index)
    found = {"sigmoid": fit_sigmoid(table, 1)(grid), "isotonic": fit_isotonic(table, 1)(grid)}
    order = np.argsort(scores)
    pooled = isotonic_regression(index[order]).x
    margin = 1 / (len(index) + 2)
    raw = np.clip(np.interp(grid, scores[order], pooled), margin, 1 - margin)
    return {
        **found,
        "auto": found[choose_method("auto", table).method],
        "isotonic_raw": raw,
    }


def measure(kind: str, rows: int, events: int, draws: int) -> dict[str, float]:
    """Return the mean excess cost of each calibration."""
    rng = np.random.default_rng([rows, events, sorted(DISTORTIONS).index(kind)])
    sums: dict[str, float] = {}
    for _ in range(draws):
        scores, index, grid, true = draw(rng, kind, rows, events)
        for name, shown in calibrated(scores, index, grid).items():
            sums[name] = sums.get(name, 0.0) + excess_cost(true, shown, events / rows) / draws
    return sums


def ends(kind: str, draws: int) -> dict[str, list[float]]:
    """Return mean p over true p where scores are highest and lowest, 1 % of them each.

    40 events of 2,000 rows, the case in which blocks of few rows are the most certain.
    """
    rng = np.random.default_rng(7)
    ratios: dict[str, list[float]] = {"top": [], "bottom": [], "raw_top": [], "raw_bottom": []}
    mass = np.cumsum(DENSITY)
    sides = {"top": mass > 0.99, "bottom": mass < 0.01}  # a hundredth
    for _ in range(draws):
        scores, index, grid, true = draw(rng, kind, 2_000, 40)
        shown = calibrated(scores, index, grid)
        for side, at in sides.items():
            for prefix, name in (("", "isotonic"), ("raw_", "isotonic_raw")):
                ratio = (DENSITY[at] @ shown[name][at]) / (DENSITY[at] @ true[at])
                ratios[prefix + side].append(float(ratio))
    return ratios


def run(
    open_session: Callable[[], SparkSession],
    *,
    quick: bool,
) -> tuple[dict[str, Any], list[Bar]]:
    """Return the excess costs, and whether ``auto`` keeps close to the better of the two."""
    figures: dict[str, Any] = {}
    worst = 0.0
    for rows, events in SIZES[2::4] if quick else SIZES:
        draws = 20 if quick else int(np.clip(1_500_000 / rows, 60, 200))
        found = {kind: measure(kind, rows, events, draws) for kind in DISTORTIONS}
        for kind, excess in found.items():
            better = min(excess["sigmoid"], excess["isotonic"])
            worst = max(worst, excess["auto"] / better)
            figures[f"calibration_{kind}_{rows}_rows_{events}_events"] = {
                **{name: round(100 * value, 3) for name, value in excess.items()},
                "unit": "% over the least cost",
            }
    for kind in ("calibrated", "overconfident"):
        for name, ratios in ends(kind, 20 if quick else 300).items():
            figures[f"calibration_{kind}_{name}_p_over_true_p"] = figure(ratios, "ratio")
    bars = [Bar("calibration_auto_over_better_of_two", worst, 2.0 if quick else 1.25)]
    return figures, bars
