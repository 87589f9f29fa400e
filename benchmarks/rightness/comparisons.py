"""Comparisons of decisions: champion and challenger, and what `tune` says of weights.

Equals: a laxer set of decisions lets good rows pass, each a small gain, and bad ones, each a large
loss, so that both sets cost the same on average. Tuning: a logistic model of a truth that is no
logistic one, so that weights save, or of one that is, so that they do not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.harness import Bar, figure
from sparkweights.evaluation.block_intervals import mean_interval
from sparkweights.evaluation.intervals import BLOCKS
from sparkweights.evaluation.paired import ALIKE, BETTER, WORSE, PairedCosts
from sparkweights.training.trials import FoldCosts, Settings, Trial, compare_trials
from sparkweights.training.weight_grid import log_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.evaluation.score_table import Array

ROWS = 20_000


class Equals(NamedTuple):
    """Two sets of decisions of equal cost, one of them laxer.

    Attributes
    ----------
    share
        Of bad rows among those decided differently; a loss is (1 - share) / share gains.
    sigma
        Of the logarithm of the amounts that scale gains and losses.
    events
        Bad rows that are expected among those decided differently: how much laxer it is.
    truth
        How often losses happen, over what equal cost would take.
    """

    share: float
    sigma: float
    events: float
    truth: float = 1.0

    @property
    def name(self) -> str:
        """The setting in a word."""
        return f"share_{self.share:g}_sigma_{self.sigma:g}_events_{self.events:g}"


EQUALS = [
    Equals(share, sigma, events)
    for share in (0.02, 0.002)
    for sigma in (0.0, 1.2)
    for events in (0.5, 25.0)
]


def count_verdicts(setting: Equals, *, draws: int, seed: int = 1) -> dict[str, int]:
    """Return how often the laxer decisions are called better, worse, or neither."""
    rng = np.random.default_rng(seed)
    found = dict.fromkeys((BETTER, WORSE, ALIKE), 0)
    for _ in range(draws):
        found[_compare(setting, rng).verdict] += 1
    return found


def _compare(setting: Equals, rng: np.random.Generator) -> PairedCosts:
    changed = int(rng.poisson(setting.events / setting.share))
    bad = rng.random(changed) < setting.share * setting.truth
    amounts = rng.lognormal(-(setting.sigma**2) / 2, setting.sigma, changed)
    loss = (1 - setting.share) / setting.share
    sums = _sums(np.where(bad, loss, -1.0) * amounts, changed, rng)
    counts = {"good": float(np.sum(~bad)), "bad": float(np.sum(bad))}
    rows = max(ROWS, changed)
    found = PairedCosts(rows, 0.0, sums.sum() / rows, (0.0, 0.0), counts)
    if found.scarce:  # whatever the interval, which takes time
        return found
    return replace(found, interval=mean_interval(sums, np.full(BLOCKS, rows / BLOCKS)))


def _sums(values: Array, rows: int, rng: np.random.Generator) -> Array:
    """Deal rows into blocks, and return the blocks' sums."""
    blocks = rng.integers(0, BLOCKS, rows)
    return np.bincount(blocks, weights=values, minlength=BLOCKS).astype(float)


RATIOS = log_grid(1, 40, 8)
FOLDS, TUNING_BLOCKS = 3, 100
LOSS = 20.0  # cost of a bad row that is let pass, over that of a good one that is not


def draw_equal_trials(rng: np.random.Generator) -> list[Trial]:
    """Draw candidates that are laxer by their weight ratio, and all cost the same on average.

    A candidate decides as the one before it and, on some more rows, otherwise: gains of 1 and
    losses of `LOSS` that balance, 10 losses more for each candidate in all folds.
    """
    shape = (len(RATIOS) - 1, FOLDS, TUNING_BLOCKS)
    expected = 10 / (FOLDS * TUNING_BLOCKS)
    gains = np.cumsum(rng.poisson(expected * LOSS, shape), axis=0)
    losses = np.cumsum(rng.poisson(expected, shape), axis=0) * LOSS
    base = rng.poisson(4, (FOLDS, 2, TUNING_BLOCKS)) * np.array([[[5.0], [LOSS]]])
    weights = np.full(TUNING_BLOCKS, 40.0)
    change = np.concatenate([np.zeros((1, *base.shape)), np.stack([-gains, losses], axis=2)])
    return [
        Trial(Settings(ratio, {}), tuple(FoldCosts(sums, weights) for sums in base + own))
        for ratio, own in zip(RATIOS, change, strict=True)
    ]


def draw_forward_trials(
    rng: np.random.Generator, *, rows: int = 40_000, group: float = 0.08, growth: float = 2.0
) -> list[Trial]:
    """Fit logistic models forward in time, and price them on the span that follows.

    Parameters
    ----------
    group
        Share of rows whose risk is high and falls with what raises that of the others: the model
        has no term for it, and without weights it follows them. 0 makes it the true model.
    growth
        By how much the logarithm of the amounts grows over the years: later spans cost more,
        whatever the weights.
    """
    time = np.arange(rows) / rows
    x = rng.normal(size=(rows, 4))
    x[:, 0] = rng.random(rows) < group
    plain = -3.6 + 0.7 * x[:, 1] + 0.4 * x[:, 2]
    logit = np.where(x[:, 0] > 0, 0.3 - 0.8 * x[:, 1], plain)
    bad = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    design = np.column_stack([np.ones(rows), x])
    amounts = rng.lognormal(-0.125, 0.5, rows) * np.exp(growth * time)
    span = np.minimum((time * (FOLDS + 1)).astype(int), FOLDS)
    block = rng.integers(0, TUNING_BLOCKS, rows)
    trials = []
    for ratio in RATIOS:
        folds = []
        for number in range(1, FOLDS + 1):
            fitted, tested = span < number, span == number
            slopes = _logistic(design[fitted], bad[fitted], np.where(bad[fitted] > 0, ratio, 1.0))
            odds = np.exp(design[tested] @ slopes) / ratio  # the weights undone
            declined = odds * LOSS > 1
            happened = bad[tested] > 0
            cost = np.where(happened, LOSS * ~declined, 1.0 * declined) * amounts[tested]
            sums = [
                np.bincount(block[tested], cost * (happened == side), TUNING_BLOCKS)
                for side in (False, True)
            ]
            weights = np.bincount(block[tested], minlength=TUNING_BLOCKS).astype(float)
            folds.append(FoldCosts(np.array(sums), weights))
        trials.append(Trial(Settings(ratio, {}), tuple(folds)))
    return trials


def _logistic(design: Array, bad: Array, weights: Array) -> Array:
    """Fit by Newton's method."""
    slopes = np.zeros(design.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-(design @ slopes)))
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design
        slopes = slopes + np.linalg.solve(
            hessian + 1e-6 * np.eye(len(slopes)), design.T @ (weights * (bad - p))
        )
    return slopes


def shares_of_verdicts(
    draw: Callable[[np.random.Generator], list[Trial]],
    *,
    draws: int,
    forward: bool = False,
    seed: int = 3,
) -> dict[str, float]:
    """Return in which share of draws weighting pays, and what is then true of the choice."""
    rng = np.random.default_rng(seed)
    pays, weighted, saved = [], [], []
    for _ in range(draws):
        trials = draw(rng)
        verdict = compare_trials(trials, forward=forward)
        pays.append(verdict.effect is not None and verdict.effect.matters)
        weighted.append(verdict.chosen.settings.weighting > 0)
        costs = [trial.cost for trial in trials]
        saved.append(1 - min(costs) / costs[0])
    return {
        "pays": float(np.mean(pays)),
        "weights_chosen": float(np.mean(weighted)),
        "contradicted": float(np.mean(np.not_equal(pays, weighted))),
        "saved": float(np.mean(saved)),
    }


def run(open_session: object, *, quick: bool) -> tuple[dict[str, Any], list[Bar]]:
    """Simulate at full size, or a few draws of each."""
    del open_session  # no engine is needed
    draws = 40 if quick else 1_000
    counts = {one.name: count_verdicts(one, draws=draws) for one in EQUALS}
    better = {name: found[BETTER] / draws for name, found in counts.items()}
    real = Equals(0.02, 0.0, 60.0, truth=0.5)
    power = count_verdicts(real, draws=max(draws // 4, 20))[BETTER] / max(draws // 4, 20)
    equal = shares_of_verdicts(draw_equal_trials, draws=draws)
    fewer = 4 if quick else 60
    forward = shares_of_verdicts(draw_forward_trials, draws=fewer, forward=True)
    idle = shares_of_verdicts(
        lambda rng: draw_forward_trials(rng, group=0.0), draws=fewer, forward=True
    )
    figures = {
        f"{verdict.split()[0]}_{name}": figure([found[verdict] / draws], "share")
        for name, found in counts.items()
        for verdict in (BETTER, WORSE)
    }
    for name, found in (("equal", equal), ("forward", forward), ("forward_idle", idle)):
        figures |= {f"tune_{name}_{key}": figure([value], "share") for key, value in found.items()}
    figures["better_where_it_is"] = figure([power], "share")
    slack = 0.1 if quick else 0.0  # forty draws tell little
    contradicted = max(equal["contradicted"], forward["contradicted"], idle["contradicted"])
    return figures, [
        Bar("compare_better_between_equals", max(better.values()), 0.035 + slack),
        Bar("compare_better_found", power, 0.8 - slack, at_most=False),
        Bar("tune_matters_between_equals", equal["pays"], 0.035 + slack),
        Bar("tune_matters_idle", idle["pays"], 0.035 + slack),
        Bar("tune_weights_where_they_save", forward["weights_chosen"], 0.8 - slack, at_most=False),
        Bar("tune_contradictions", contradicted, 0.0),
    ]
