"""Rounds of synchronous training on blocks of rows: arithmetic, wherever the blocks are kept.

In a round, every block of rows is given the same state and returns one small result; the results
are combined into the next state. There are two rules.

All rows at once (``batch_rows`` 0)
    A block returns its part of the gradient. The sum over the blocks is the exact gradient of the
    weighted objective, and one step of the optimizer follows it. The objective of the cross-entropy
    is convex, so that gradient descent of a small enough rate, with or without momentum, converges
    to its minimum: MLlib's weighted logistic regression has the same one, with the same penalty.

Batches
    A block makes one step per batch of its own rows, and returns its state; the next state is the
    mean of the blocks' states by their rows (local SGD; Stich 2019, "Local SGD converges fast and
    communicates little"). Each step follows an unbiased estimate of the block's own gradient. Rows
    must have been assigned to blocks at random, so that the blocks have almost the same minimum;
    the mean of the states then converges to the minimum of the objective if the rate falls to 0,
    and stays in a neighbourhood of it, whose size is proportional to the rate, if it does not.

Clipping biases the gradient while it acts, and then so does its limit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.core.errors import ConfigError
from sparkweights.models.batches import class_balanced, drawn, permuted, proportional
from sparkweights.models.choices import CLASS_BALANCED, UNIFORM
from sparkweights.models.losses import gradient_of, log_probabilities, one_hot, penalty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sparkweights.models.batches import Batch, Rows
    from sparkweights.models.losses import Array, ClassLoss
    from sparkweights.models.optimizers import Clipping, Optimizer, Schedule, State

_CHUNK = 16_384  # rows whose numbers fit the processor's cache
_KEYS = 1 << 64

Singles = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class RoundSettings:
    """What a block needs to know besides the state.

    Attributes
    ----------
    classes
        How many there are.
    loss, l2
        See `sparkweights.models.losses.softmax_loss`.
    batch_rows
        Rows of a batch; 0 for all rows at once.
    steps
        Steps of each block in a round, with batches; a multiple of ``passes``.
    passes
        How often a round passes over the rows of a block, with uniform batches.
    sampling
        How rows are drawn into batches: ``uniform``, each once in a pass; ``class_balanced``; or
        ``loss``, in proportion to weight times loss at the start of the round.
    optimizer, schedule, clipping
        See `sparkweights.models.optimizers`.
    weight
        Sum of the training weights of all rows.
    rows
        Of all blocks.
    seed
        Of the batches.
    """

    classes: int
    loss: ClassLoss
    l2: float
    batch_rows: int
    steps: int
    passes: int
    sampling: str
    optimizer: Optimizer
    schedule: Schedule
    clipping: Clipping
    weight: float
    rows: int
    seed: int

    @property
    def uses_all_rows(self) -> bool:
        """Whether a round is one step along the gradient of all rows."""
        return self.batch_rows == 0


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that are kept together.

    Attributes
    ----------
    key
        A number that identifies the block, the same on every run.
    features
        ``[row, position]``, standardised.
    labels
        Class index per row.
    weights
        Training weight per row.
    """

    key: int
    features: Singles
    labels: Array
    weights: Array


class BlockResult(NamedTuple):
    """What a block returns from a round.

    Attributes
    ----------
    key, rows
        The block's.
    arrays
        The parts of the gradient, or the arrays of the state; see `State.arrays`.
    losses, weights
        Per class: the sums of weight times loss, at the start of the round, and of the weights.
    gradient_sum
        The sum of the gradients of its steps, before clipping.
    square_sum
        The sum of their squared norms.
    largest
        The largest norm of a gradient after clipping.
    clipped
        How many of the steps were clipped.
    """

    key: int
    rows: int
    arrays: Array
    losses: Array
    weights: Array
    gradient_sum: Array
    square_sum: float
    largest: float
    clipped: int


@dataclass(frozen=True)
class Round:
    """The record of a round.

    Attributes
    ----------
    loss
        The objective at the start of the round: mean loss of the weighted rows, and penalty.
    class_losses
        Mean loss of the weighted rows of each class, at the start of the round.
    gradient_norm
        Norm of the mean gradient of the round's steps, before clipping.
    gradient_variance
        Sum over the components of the variance between the gradients of the steps; NaN with one
        step.
    largest
        The largest norm of a gradient after clipping.
    clipped
        Share of the steps that were clipped.
    rate
        The learning rate of the first step.
    """

    loss: float
    class_losses: tuple[float, ...]
    gradient_norm: float
    gradient_variance: float
    largest: float
    clipped: float
    rate: float


@np.errstate(over="ignore", invalid="ignore")  # `run_rounds` refuses what is not finite
def block_round(block: Block, state: State, number: int, settings: RoundSettings) -> BlockResult:
    """Return what a block adds to the round ``number``, counted from 0."""
    row_losses, parts = _evaluate(block, state, settings)
    classes = settings.classes
    labels = block.labels.astype(np.int64)
    losses = _sum_by_class(block.weights * row_losses, labels, classes)
    weights = _sum_by_class(block.weights, labels, classes)
    seen = (block.key, len(block.labels))
    if settings.uses_all_rows:
        nothing = np.zeros_like(state.parameters)
        return BlockResult(*seen, parts, losses, weights, nothing, 0.0, 0.0, 0)
    return _make_steps(block, state, number, settings, row_losses)._replace(
        losses=losses, weights=weights
    )


def _sum_by_class(values: Array, labels: Rows, classes: int) -> Array:
    return np.asarray(np.bincount(labels, values, classes), dtype=np.float64)


def _evaluate(block: Block, state: State, settings: RoundSettings) -> tuple[Array, Array]:
    """Return the loss of each row, and the parts of the gradient by class if they are needed."""
    margins = len(state.parameters)
    groups = settings.classes if settings.clipping.by_class is not None else 1
    parts = np.zeros((groups, *state.parameters.shape))
    losses = np.empty(len(block.labels))
    for start in range(0, len(losses), _CHUNK):
        rows = slice(start, start + _CHUNK)
        features = block.features[rows].astype(np.float64)
        logs = log_probabilities(state.parameters, features)
        targets = one_hot(block.labels[rows], settings.classes)
        losses[rows] = settings.loss.of_rows(logs, targets)
        if settings.uses_all_rows:
            factors = block.weights[rows, None] / settings.weight
            slopes = settings.loss.margin_slopes(logs, targets) * factors
            parts += _parts(slopes, features, block.labels[rows], margins, groups)
    return losses, parts


def _parts(slopes: Array, features: Array, labels: Array, margins: int, groups: int) -> Array:
    """Return ``[group, margin, position + 1]``: the gradient by the class of the rows."""
    if groups == 1:
        return gradient_of(slopes, features, margins)[None]
    return np.stack([
        gradient_of(slopes[labels == c], features[labels == c], margins) for c in range(groups)
    ])  # fmt: skip


def _make_steps(
    block: Block, state: State, number: int, settings: RoundSettings, row_losses: Array
) -> BlockResult:
    """Return the state of a block after its steps of the round."""
    mean_weight = settings.weight / settings.rows
    gradient_sum = np.zeros_like(state.parameters)
    square_sum, largest, clipped = 0.0, 0.0, 0
    for step, batch in enumerate(_batches(block, number, settings, row_losses)):
        features = block.features[batch.rows].astype(np.float64)
        labels = block.labels[batch.rows]
        logs = log_probabilities(state.parameters, features)
        factors = batch.shares * block.weights[batch.rows] / mean_weight
        slopes = settings.loss.margin_slopes(logs, one_hot(labels, settings.classes))
        groups = settings.classes if settings.clipping.by_class is not None else 1
        parts = _parts(slopes * factors[:, None], features, labels, len(state.parameters), groups)
        parts = _with_penalty(parts, state, settings)
        gradient, is_clipped = settings.clipping.clip(parts)
        rate = settings.schedule.at(number + step / settings.steps)
        state = settings.optimizer.step(state, gradient, rate)
        unclipped = parts.sum(axis=0)
        gradient_sum += unclipped
        square_sum += float((unclipped**2).sum())
        largest = max(largest, float(np.linalg.norm(gradient)))
        clipped += is_clipped
    nothing = np.zeros(settings.classes)
    return BlockResult(
        block.key,
        len(block.labels),
        state.arrays(),
        nothing,
        nothing,
        gradient_sum,
        square_sum,
        largest,
        clipped,
    )


def _batches(
    block: Block, number: int, settings: RoundSettings, row_losses: Array
) -> Iterator[Batch]:
    """Yield the batches of a block's round; the same for the same seed, round and block."""
    random = np.random.default_rng([settings.seed % _KEYS, number, block.key % _KEYS])
    if settings.sampling == UNIFORM:
        return permuted(len(block.labels), settings.steps, random, passes=settings.passes)
    probabilities = (
        class_balanced(block.labels)
        if settings.sampling == CLASS_BALANCED
        else proportional(block.weights * row_losses)
    )
    return drawn(probabilities, settings.batch_rows, settings.steps, random)


def _with_penalty(parts: Array, state: State, settings: RoundSettings) -> Array:
    if settings.l2 == 0:
        return parts
    return np.concatenate([parts, penalty(state.parameters, settings.l2).gradient[None]])


@np.errstate(over="ignore", invalid="ignore")
def combine(
    results: Sequence[BlockResult], state: State, number: int, settings: RoundSettings
) -> tuple[State, Round]:
    """Return the state after a round, and the round's record.

    The results are added in the order of their keys, so that the sums have the same digits on
    every run.
    """
    ordered = sorted(results, key=lambda result: result.key)
    rate = settings.schedule.at(number)
    if settings.uses_all_rows:
        parts = _with_penalty(_total(r.arrays for r in ordered), state, settings)
        gradient, is_clipped = settings.clipping.clip(parts)
        largest = float(np.linalg.norm(gradient))
        norm = float(np.linalg.norm(parts.sum(axis=0)))
        after = settings.optimizer.step(state, gradient, rate)
        measures = (norm, math.nan, largest, float(is_clipped), rate)
    else:
        arrays = _total(r.arrays * (r.rows / settings.rows) for r in ordered)
        after = replace(
            state,
            parameters=arrays[0],
            first=arrays[1],
            second=arrays[2],
            steps=state.steps + settings.steps,
        )
        measures = (*_moments(ordered, settings), rate)
    losses, weights = _total(r.losses for r in ordered), _total(r.weights for r in ordered)
    objective = float(losses.sum() / settings.weight) + penalty(state.parameters, settings.l2).value
    by_class = np.divide(losses, weights, out=np.full_like(losses, np.nan), where=weights > 0)
    return after, Round(objective, tuple(by_class.tolist()), *measures)


def _moments(
    results: Sequence[BlockResult], settings: RoundSettings
) -> tuple[float, float, float, float]:
    """Return norm and variance of the gradients, their largest norm, and the share clipped."""
    steps = settings.steps * len(results)
    total = _total(result.gradient_sum for result in results)
    square_sum = sum(result.square_sum for result in results)
    spread = square_sum - float((total**2).sum()) / steps
    variance = max(spread, 0.0) / (steps - 1) if steps > 1 else math.nan
    clipped = sum(result.clipped for result in results) / steps
    norm = float(np.linalg.norm(total)) / steps
    return norm, variance, max(result.largest for result in results), clipped


def _total(arrays: Iterable[Array]) -> Array:
    return np.asarray(np.sum(list(arrays), axis=0))


@dataclass(frozen=True)
class Limits:
    """What ends a training.

    Attributes
    ----------
    rounds
        The largest number of rounds.
    tol
        A round that changes the objective by less than this share of it is the last; 0 for no
        such end.
    seconds
        No round begins later than this; 0 for no limit. It makes the number of rounds, and with it
        the model, depend on the machine.
    """

    rounds: int
    tol: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class RoundsResult:
    """The parameters after each round, and the rounds' records."""

    parameters: tuple[Array, ...]
    rounds: tuple[Round, ...]


def run_rounds(
    run: Callable[[State, int], Sequence[BlockResult]],
    start: State,
    settings: RoundSettings,
    limits: Limits,
    report: Callable[[str], None],
) -> RoundsResult:
    """Run rounds from a state on.

    Parameters
    ----------
    run
        Returns the results of `block_round` for every block, given a state and the number of the
        round.
    report
        Is told of each round before it begins.

    Raises
    ------
    ConfigError
        If the objective is no longer finite.
    """
    state, begun = start, time.monotonic()
    parameters, rounds, ends = list[np.ndarray](), list[Round](), list[float]()
    for number in range(limits.rounds):
        ends.append(time.monotonic() - begun)
        if rounds and 0 < limits.seconds <= ends[-1]:
            break
        report(_progress(rounds, limits, ends))
        state, entry = combine(run(state, number), state, number, settings)
        if not (math.isfinite(entry.loss) and np.isfinite(state.parameters).all()):
            raise ConfigError(
                f"model.params: the loss is not finite in round {number + 1}; the steps are too "
                "long.",
                hint="choose a smaller learning_rate, or limit the gradient by clip_norm.",
            )
        parameters.append(state.parameters)
        rounds.append(entry)
        if number and _has_converged(rounds[-2], entry, limits.tol):
            break
    return RoundsResult(tuple(parameters), tuple(rounds))


def _has_converged(before: Round, entry: Round, tol: float) -> bool:
    return abs(before.loss - entry.loss) < tol * abs(entry.loss)


def _progress(rounds: Sequence[Round], limits: Limits, ends: Sequence[float]) -> str:
    """Return the line of the next round, with the estimated time that all rounds still take.

    Parameters
    ----------
    ends
        Seconds until the start, and until the end of each round. The first round is left out of
        the estimate as soon as there is another: the rows are packed in it.
    """
    line = f"round {len(rounds) + 1} of {limits.rounds}"
    if not rounds:
        return line
    timed = ends[1:] if len(ends) > 2 else ends
    left = (timed[-1] - timed[0]) / (len(timed) - 1) * (limits.rounds - len(rounds))
    if limits.seconds:
        left = min(left, limits.seconds - ends[-1])
    return f"{line}: loss {rounds[-1].loss:.5g}, {left:.0f} s left"
