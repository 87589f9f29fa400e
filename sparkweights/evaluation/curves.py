"""The curves of a class as a few hundred points, for figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparkweights.evaluation.cost_curves import brier_curve, cost_profile, lower_envelope
from sparkweights.evaluation.discrimination import gains, precision_recall_curve, roc_curve
from sparkweights.evaluation.evaluation import reliability_bins
from sparkweights.evaluation.score_table import ratio

if TYPE_CHECKING:
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.evaluation.score_table import Array, ScoreTable

POINTS = 200
SHARES = (0.01, 0.02, 0.05, *(tenth / 10 for tenth in range(1, 11)))
PRICES = 50


def class_curves(
    evaluation: Evaluation,
    name: str,
    *,
    threshold: float | None = None,
    iso_cost_slope: float | None = None,
) -> dict[str, Any]:
    """Return the curves of one class, ready for JSON; one that the rows do not determine is absent.

    Parameters
    ----------
    threshold
        Threshold of the class's probability, where the model has the same for all rows.
    iso_cost_slope
        Of the lines of equal cost in the ROC plane, where costs are the same for all rows.

    Returns
    -------
    dict
        ``roc``, ``precision_recall``, ``reliability_before``, ``cost_by_cut``: lists of points;
        ``operating``: the point of the decisions taken; ``by_share``: gains, lift, cost and profit
        (over the better constant decision) of declining the riskiest shares of the rows;
        ``cost_curve``: corners of Drummond & Holte's lower envelope; ``brier_curve``.
    """
    table, decided = evaluation.tables[name], evaluation.confusion(name)
    if not 0 < table.prior < 1:
        return {}
    ranked, caught = roc_curve(table), precision_recall_curve(table)
    curves: dict[str, Any] = {
        "roc": _points(ranked.false_positive_rate, ranked.recall),
        "precision_recall": _points(caught.recall[1:], caught.precision[1:]),
        "operating": {
            "fall_out": ratio(decided.false_positives, table.negatives.sum()),
            "recall": decided.recall,
            "precision": decided.precision,
        },
    }
    curves["by_share"] = _by_share(table)
    envelope, prices = lower_envelope(table), np.linspace(0, 1, PRICES + 1)
    curves["cost_curve"] = _points(envelope.probability_cost, envelope.cost)
    curves["brier_curve"] = _points(prices, brier_curve(table, prices))
    if iso_cost_slope is not None:
        curves["iso_cost_slope"] = iso_cost_slope
    before = evaluation.weighted_tables.get(name)
    if before is not None:
        curves["reliability_before"] = [list(group) for group in reliability_bins(before)]
    if table.cost_positive is not None:
        profile = cost_profile(table)
        thresholds = np.minimum(profile.threshold, 1.0)  # infinity is drawn at the end of the axis
        curves["cost_by_cut"] = _points(thresholds[::-1], profile.cost[::-1])
        curves["cut"] = threshold
    return curves


def _by_share(table: ScoreTable) -> list[dict[str, float]]:
    """Return gain, lift, cost and profit of declining the riskiest shares of the rows."""
    shares = np.array(SHARES)
    caught = gains(table, shares)
    rows = {"share": shares, "gain": caught, "lift": caught / shares}
    if table.cost_positive is not None:
        profile = cost_profile(table)
        cost = profile.cost_at_shares(shares)
        rows |= {"cost": cost, "profit": profile.reference - cost}
    return [{name: float(values[i]) for name, values in rows.items()} for i in range(len(shares))]


def _points(x: Array, y: Array) -> list[list[float]]:
    """Return at most `POINTS` points, evenly spaced along the curve, with both ends."""
    if len(x) > POINTS:
        distance = np.r_[0, np.cumsum(_steps(x) + _steps(y))]
        kept = np.searchsorted(distance, np.linspace(0, distance[-1], POINTS), side="left")
        chosen = np.unique(np.r_[0, np.minimum(kept, len(x) - 1), len(x) - 1, np.argmin(y)])
        x, y = x[chosen], y[chosen]
    return [[float(a), float(b)] for a, b in zip(x, y, strict=True)]


def _steps(values: Array) -> Array:
    """Return the length of each step, as a share of the range."""
    span = float(np.ptp(values))
    return np.abs(np.diff(values)) / span if span else np.zeros(len(values) - 1)
