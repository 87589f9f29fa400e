"""Class shares from scores alone: tables without a shift, with other rows, and with a shift.

A row has logit p = a + 1.05 z, z standard normal (AUC about .77), and p is its true probability.
A missed event costs 20 times a false alarm. The source has 10,000 labelled rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Bar, figure
from sparkweights.probability.label_shift import NOT_LABEL_SHIFT, SIGNIFICANCE, estimate_shift
from sparkweights.probability.priors import ScoreHistogram
from sparkweights.probability.score_cells import level_of, levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.probability.priors import Array

SLOPE, RATIO, SOURCE_ROWS, BASE = 1.05, 20.0, 10_000, 0.05


def histogram(p: Array, y: Array | None = None, w: Array | None = None) -> ScoreHistogram:
    """Return what `label_shift.collect_histogram` does of the rows of two classes."""
    weight = np.ones(len(p)) if w is None else w
    index = np.zeros(len(p), dtype=int) if y is None else y.astype(int)
    cell, columns = level_of(p, 2), 1 if y is None else 2
    rows = np.zeros((levels(2), columns))
    squares, sums = np.zeros_like(rows), np.zeros(len(rows))
    np.add.at(rows, (cell, index), weight)
    np.add.at(squares, (cell, index), weight**2)
    np.add.at(sums, cell, weight * p)
    occupied = rows.sum(axis=1) > 0
    mean = sums[occupied] / rows[occupied].sum(axis=1)
    return ScoreHistogram(np.column_stack([1 - mean, mean]), rows[occupied], squares[occupied])


@dataclass(frozen=True)
class Law:
    """Calibrated scores of two classes with a base rate."""

    base: float
    intercept: float

    @classmethod
    def of(cls, base: float) -> Law:
        """Find the intercept that gives the base rate."""
        z = np.random.default_rng(0).normal(size=100_000)
        low, high = -20.0, 10.0
        for _ in range(50):
            middle = (low + high) / 2
            mean = (1 / (1 + np.exp(-middle - SLOPE * z))).mean()
            low, high = (middle, high) if mean < base else (low, middle)
        return cls(base, low)

    @property
    def prior(self) -> dict[str, float]:
        """The natural shares by class name."""
        return {"good": 1 - self.base, "bad": self.base}

    def draw(self, rng: np.random.Generator, rows: int, added: float = 0.0) -> tuple[Array, Array]:
        """Return true probabilities and outcomes; ``added`` makes every row riskier (logit)."""
        logit = self.intercept + SLOPE * rng.normal(size=rows) + added
        p = 1 / (1 + np.exp(-logit))
        return p, (rng.random(rows) < p).astype(float)

    def draw_shifted(self, rng: np.random.Generator, rows: int, share: float) -> Array:
        """Return scores, calibrated to the base rate, of rows of which a share is bad."""
        bads = int(rng.binomial(rows, share))
        p, y = self.draw(rng, round(2 * max(bads / self.base, rows)) + 1_000)
        return np.concatenate([p[y == 1][:bads], p[y == 0][: rows - bads]])

    def moved(self, p: Array, share: float) -> Array:
        """Return probabilities for a population of which a share is bad."""
        odds = p / (1 - p) * (share / (1 - share)) / (self.base / (1 - self.base))
        return np.asarray(odds / (1 + odds))


def cost(true: Array, used: Array) -> float:
    """Return the expected cost of the least-cost decisions by ``used``, by the true p."""
    return float(np.where(used * (RATIO + 1) > 1, 1 - true, RATIO * true).mean())


def used_share(shift: LabelShift, law: Law) -> float:
    """Return the share of bad rows that decisions are taken for."""
    return (shift.target_prior() or law.prior)["bad"]


def is_outside(shift: LabelShift, law: Law) -> bool:
    """Return whether decisions moved to a share that its interval does not hold."""
    if not shift.shifted:
        return False
    low, high = shift.estimates[0].interval()[1]
    return not low - 1e-9 <= used_share(shift, law) <= high + 1e-9


def _unshifted(repeat: int) -> tuple[list[float], float]:
    """Return the share of small tables moved by setting, and that of shares outside intervals."""
    rng, moved, outside = np.random.default_rng(1), [], []
    for base in (0.01, 0.05, 0.2):
        law = Law.of(base)
        for rows in (20, 50, 100, 150, 200, 300):
            found = []
            for _ in range(repeat):
                p, y = law.draw(rng, SOURCE_ROWS)
                target = histogram(law.draw(rng, rows)[0])
                shift = estimate_shift(histogram(p, y=y), target, law.prior)
                found.append(shift.shifted)
                outside.append(is_outside(shift, law))
            moved.append(float(np.mean(found)))
    return moved, float(np.mean(outside))


def _weighted(repeat: int) -> float:
    """Return how often the no-shift test refuses where good rows are thinned to a weight of 20."""
    rng, law, refused = np.random.default_rng(2), Law.of(BASE), []
    for _ in range(repeat):
        p, y = law.draw(rng, 40_000)
        kept = (y == 1) | (rng.random(len(y)) < 1 / 20)
        source = histogram(p[kept], y=y[kept], w=np.where(y[kept] == 1, 1.0, 20.0))
        target = histogram(law.draw(rng, 20_000)[0])
        p_value = estimate_shift(source, target, law.prior).p_value
        refused.append(p_value is not None and p_value < SIGNIFICANCE)
    return float(np.mean(refused))


def _riskier(repeat: int, rows: int) -> tuple[float, float, float]:
    """Return excess cost with and without the cap, and how often the fit test refuses."""
    rng, law = np.random.default_rng(3), Law.of(BASE)
    excess, uncapped, refused = [], [], []
    for _ in range(repeat):
        p, y = law.draw(rng, SOURCE_ROWS)
        seen, _ = law.draw(rng, rows, added=0.2)
        shift = estimate_shift(histogram(p, y=y), histogram(seen), law.prior)
        refused.append(shift.verdict == NOT_LABEL_SHIFT)
        best = cost(seen, seen)
        excess.append(cost(seen, law.moved(seen, used_share(shift, law))) / best - 1)
        share = (shift.estimated() or law.prior)["bad"]
        uncapped.append(cost(seen, law.moved(seen, share)) / best - 1)
    return float(np.mean(excess)), float(np.mean(uncapped)), float(np.mean(refused))


def _shifted(repeat: int, rows: int, share: float) -> tuple[float, float, float, float]:
    """Return how often a shift is found and covered, and excess cost without and with it.

    The odds may move by a factor of 4, as a lender would set it who expects such shares.
    """
    rng, law = np.random.default_rng(4), Law.of(BASE)
    found, covered, natural, adapted = [], [], [], []
    for _ in range(repeat):
        p, y = law.draw(rng, SOURCE_ROWS)
        seen = law.draw_shifted(rng, rows, share)
        shift = estimate_shift(histogram(p, y=y), histogram(seen), law.prior, max_shift=4)
        low, high = shift.estimates[0].interval()[1]
        found.append(shift.shifted)
        covered.append(low <= share <= high)
        true = law.moved(seen, share)
        best = cost(true, true)
        natural.append(cost(true, seen) / best - 1)
        adapted.append(cost(true, law.moved(seen, used_share(shift, law))) / best - 1)
    return (
        float(np.mean(found)),
        float(np.mean(covered)),
        float(np.mean(natural)),
        float(np.mean(adapted)),
    )


def run(open_session: Callable[[], Any], *, quick: bool) -> tuple[dict[str, Any], list[Bar]]:
    """Simulate tables without a shift, with riskier rows, and with a shift of the classes."""
    repeat = 10 if quick else 150
    moved, outside = _unshifted(repeat)
    weighted = _weighted(60 if quick else 300)
    figures = {
        "shift_unshifted_tables_moved": figure(moved, "share"),
        "shift_unshifted_outside_interval": figure([outside], "share"),
        "shift_weights_of_20_refused": figure([weighted], "share"),
    }
    bars = [
        Bar("shift: unshifted tables moved", float(np.mean(moved)), 0.01),
        Bar("shift: moved to a share outside its interval", outside, 0.0),
        Bar("shift: false alarms at weights of 20", weighted, 0.05),
    ]
    for rows in (2_000, 10_000):
        excess, uncapped, refused = _riskier(repeat, rows)
        name = f"shift_riskier_{rows}"
        figures |= {
            f"{name}_excess_cost": figure([excess], "share"),
            f"{name}_excess_cost_without_cap": figure([uncapped], "share"),
            f"{name}_refused": figure([refused], "share"),
        }
        bars.append(Bar(f"shift: excess cost of riskier rows, {rows:,}", excess, 0.1))
    bars.append(Bar("shift: riskier rows refused, 10,000", refused, 0.7, at_most=False))
    for share, rows in ((0.02, 10_000), (0.09, 10_000), (0.15, 2_000)):
        found, covered, natural, adapted = _shifted(repeat // 2, rows, share)
        name = f"shift_to_{share:g}"
        figures |= {
            f"{name}_found": figure([found], "share"),
            f"{name}_covered": figure([covered], "share"),
            f"{name}_excess_cost_natural": figure([natural], "share"),
            f"{name}_excess_cost": figure([adapted], "share"),
        }
        if share > BASE:  # a fall to .02 is found in half of the draws only
            bars.append(
                Bar(f"shift: excess cost at {share:g} over natural", adapted / natural, 0.5)
            )
    return figures, bars
