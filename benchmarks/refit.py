"""What a model saves that learns from every labelled row, by the rows that there are.

Give Me Some Credit and a curved law; XGBoost alone with the product's parameters and a sigmoid, the
Bayes decision on 12,000 other rows. Once 60 % of the rows fit and 20 % calibrate, as with
``train: {refit: none}``; once all rows fit, and the sigmoid is that of five cross-fitted models, as
with ``refit: all``. Of each size, many draws. Wanted: a gain up to as many rows as ``refit: auto``
lets all of them be learned from.
"""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from benchmarks.harness import Bar, arguments, figure, report
from benchmarks.public_tables import curved, load_problems
from sparkweights.models.registry import declaration
from sparkweights.training.cross_fit import AUTO_ROWS

if TYPE_CHECKING:
    from benchmarks.public_tables import Array, Problem, Rows

SIZES = {2_000: 24, 10_000: 12, 50_000: 6, 100_000: 4}  # rows -> draws of them
TESTED, FOLDS = 12_000, 5


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=max(SIZES), repeat=1, quick_rows=min(SIZES))
    credit = next(one for one in load_problems() if one.name == "give me some credit")
    figures: dict[str, dict[str, float]] = {}
    bars = []
    for problem in (credit, curved(max(SIZES) + TESTED, seed=1)):
        for rows, draws in SIZES.items():
            if rows > given.rows:
                continue
            gains = [_gain(problem, rows, seed) for seed in range(max(given.repeat, 1) * draws)]
            error = statistics.stdev(gains) / len(gains) ** 0.5
            name = f"{problem.name}, {rows:,} rows: savings of all rows less those of parts"
            figures[name] = {**figure(gains, "savings"), "standard error": round(error, 5)}
            print(f"{name}: {statistics.mean(gains):.4f} +- {error:.4f}", file=sys.stderr)
            if rows <= AUTO_ROWS:
                bars.append(Bar(f"{name}, mean", statistics.mean(gains), 0.0, at_most=False))
    return report("refit", figures, bars)


def _gain(problem: Problem, rows: int, seed: int) -> float:
    """Return the savings of a model of all rows less those of a model of a part of them."""
    drawn = np.random.default_rng(seed).permutation(len(problem.frame))
    tested, known = drawn[:TESTED], drawn[TESTED : TESTED + rows]
    fitted, calibrated = known[: rows * 6 // 10], known[rows * 6 // 10 : rows * 8 // 10]
    of_part = _Model(problem, fitted, seed)
    parts = _sigmoid(of_part.margin(calibrated), problem.label[calibrated])
    of_all = _Model(problem, known, seed)
    margin = np.zeros(rows)
    dealt = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for inner, held in dealt.split(known, problem.label[known]):
        margin[held] = _Model(problem, known[inner], seed).margin(known[held])
    crossed = _sigmoid(margin, problem.label[known])
    found = [
        _savings(problem, tested, sigmoid.predict_proba(model.margin(tested)[:, None])[:, 1])
        for model, sigmoid in ((of_all, crossed), (of_part, parts))
    ]
    return found[0] - found[1]


class _Model:
    """XGBoost on the numeric columns of some rows."""

    def __init__(self, problem: Problem, rows: Rows, seed: int) -> None:
        defaults: dict[str, Any] = dict(declaration("xgboost").defaults)
        trees = defaults.pop("n_estimators")
        self.features = problem.frame[list(problem.numeric)].to_numpy(np.float64)
        data = xgb.DMatrix(self.features[rows], problem.label[rows])
        params = {**defaults, "objective": "binary:logistic", "seed": seed, "nthread": 1}
        self.booster = xgb.train(params, data, trees)

    def margin(self, rows: Rows) -> Array:
        """Return the log odds of rows, within what a sigmoid can take."""
        p = self.booster.predict(xgb.DMatrix(self.features[rows])).astype(np.float64)
        return np.asarray(logit(np.clip(p, 1e-6, 1 - 1e-6)))


def _sigmoid(margin: Array, label: Array) -> LogisticRegression:
    return LogisticRegression(C=1e6, max_iter=500).fit(margin[:, None], label)


def _savings(problem: Problem, rows: Rows, p: Array) -> float:
    """Return 1 - cost of the Bayes decisions / cost of the best constant decision."""
    costs = problem.matrix()[rows]
    expected = costs @ np.stack([1 - p, p], axis=1)[:, :, None]
    realised = np.take_along_axis(costs, problem.label[rows].astype(int)[:, None, None], 2)[..., 0]
    decided = np.take_along_axis(realised, expected[..., 0].argmin(axis=1)[:, None], 1)
    return float(1 - decided.sum() / realised.sum(axis=0).min())


if __name__ == "__main__":
    sys.exit(main())
