"""Areas and savings read from bins, beside those of the rows, at bases of 50 % to a millionth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from benchmarks.harness import Bar, figure
from sparkweights.evaluation.cost_curves import cost_profile
from sparkweights.evaluation.discrimination import average_precision, roc_auc
from sparkweights.evaluation.score_table import ScoreTable, least_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from sparkweights.evaluation.score_table import Array

# Base, spread of the log odds, rows.
CASES = ((1e-6, 1.5, 2_000_000), (1e-4, 1.3, 1_000_000), (0.002, 1.3, 500_000), (0.5, 1.0, 200_000))


def run(
    open_session: Callable[[], SparkSession],
    *,
    quick: bool,
) -> tuple[dict[str, Any], list[Bar]]:
    """Compare a table of bins with one of distinct scores."""
    figures: dict[str, Any] = {}
    worst = dict.fromkeys(("AUC", "average precision", "savings"), 0.0)
    for base, spread, rows in CASES:
        p, positive = draw(base, spread, rows // 20 if quick else rows)
        costs = np.array([np.where(positive, 1 / base, 0.0), np.where(positive, 0.0, 1.0)])
        found = [
            measures(ScoreTable.from_rows(p, positive, edges=edges, costs=costs))
            for edges in (None, least_scores(p), np.arange(8_192) / 8_192)
        ]
        for i, name in enumerate(worst):
            exact, own, uniform = (values[i] for values in found)
            worst[name] = max(worst[name], abs(own - exact))
            figures[f"{name} at base {base:g}: exact, bins, uniform bins"] = figure(
                [exact, own, uniform], "share"
            )
    bars = [Bar(f"bins: {name} off by", gap, 1e-3) for name, gap in worst.items()]
    bars[-1] = Bar("bins: savings off by", worst["savings"], 5e-3)
    return figures, bars


def draw(base: float, spread: float, rows: int) -> tuple[Array, Array]:
    """Return probabilities of this mean log odds, and whether each row is of the class.

    Of the rarest class a hundred times as many rows are drawn, which leaves the ranking alone.
    """
    rng = np.random.default_rng(20)
    centre = np.log(base / (1 - base)) - spread**2 / 2 * (1 - 2 * base)
    p = expit(centre + rng.normal(0, spread, rows))
    positive = rng.random(rows) < np.minimum(p * (100 if base == CASES[0][0] else 1), 1)
    return np.asarray(p), positive.astype(np.float64)


def measures(table: ScoreTable) -> tuple[float, float, float]:
    """Return area, average precision, and savings at the best cut."""
    best = float(np.nanmax(cost_profile(table).savings))
    return roc_auc(table), average_precision(table), best
