"""Steps along gradients: SGD with momentum, Adam, schedules of the learning rate, and clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from sparkweights.models.choices import CONSTANT, COSINE, INVERSE_TIME

if TYPE_CHECKING:
    from sparkweights.models.losses import Array


@dataclass(frozen=True, eq=False)
class State:
    """Parameters, and what the optimizer remembers of earlier gradients.

    Attributes
    ----------
    parameters
        ``[margin, position + 1]``; see `sparkweights.models.losses.log_probabilities`.
    first, second
        Of the same shape: moving sums or means of the gradient and of its square.
    steps
        How many were made.
    """

    parameters: Array
    first: Array
    second: Array
    steps: int = 0

    @classmethod
    def start(cls, parameters: Array) -> State:
        """Return the state before the first step."""
        return cls(parameters, np.zeros_like(parameters), np.zeros_like(parameters))

    def arrays(self) -> Array:
        """Return ``[3, margin, position + 1]``: everything that a mean of states averages."""
        return np.stack([self.parameters, self.first, self.second])


class Optimizer(Protocol):
    """A rule that turns a gradient into a step."""

    def step(self, state: State, gradient: Array, rate: float) -> State:
        """Return the state after a step of the learning rate ``rate``."""


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with momentum: ``v = momentum v + g``, ``b = b - rate v``.

    Attributes
    ----------
    momentum
        In [0, 1); 0 for plain gradient descent.
    """

    momentum: float = 0.0

    def step(self, state: State, gradient: Array, rate: float) -> State:
        """Return the state after a step of the learning rate ``rate``."""
        velocity = self.momentum * state.first + gradient
        parameters = state.parameters - rate * velocity
        return replace(state, parameters=parameters, first=velocity, steps=state.steps + 1)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1): steps in units of the gradient's own size.

    Attributes
    ----------
    decay, square_decay
        Of the moving means of the gradient and of its square (beta 1 and beta 2).
    epsilon
        Keeps the step finite where the gradient vanishes.
    """

    decay: float = 0.9
    square_decay: float = 0.999
    epsilon: float = 1e-8

    def step(self, state: State, gradient: Array, rate: float) -> State:
        """Return the state after a step of the learning rate ``rate``."""
        steps = state.steps + 1
        first = self.decay * state.first + (1 - self.decay) * gradient
        second = self.square_decay * state.second + (1 - self.square_decay) * gradient**2
        mean = first / (1 - self.decay**steps)
        square = second / (1 - self.square_decay**steps)
        parameters = state.parameters - rate * mean / (np.sqrt(square) + self.epsilon)
        return State(parameters, first, second, steps)


@dataclass(frozen=True)
class Schedule:
    """The learning rate by time, which is counted in rounds.

    Attributes
    ----------
    rate
        At the start.
    form
        ``constant``; ``inverse_time``, ``rate / (1 + time)``, whose sum over time diverges and
        whose sum of squares does not, so that steps along noisy gradients converge (Robbins & Monro
        1951); or ``cosine``, ``rate (1 + cos(pi time / rounds)) / 2``, which ends at 0.
    rounds
        How many are planned.
    """

    rate: float
    form: str = CONSTANT
    rounds: int = 1

    def at(self, time: float) -> float:
        """Return the learning rate at a time.

        Examples
        --------
        >>> Schedule(0.4, "inverse_time").at(1)
        0.2
        >>> [round(Schedule(0.4, "cosine", rounds=4).at(time), 3) for time in (0, 2, 4)]
        [0.4, 0.2, 0.0]
        """
        if self.form == INVERSE_TIME:
            return self.rate / (1 + time)
        if self.form == COSINE:
            return self.rate * (1 + math.cos(math.pi * min(time / self.rounds, 1))) / 2
        return self.rate


class Clipped(NamedTuple):
    """A gradient after clipping, and whether that changed it."""

    gradient: Array
    is_clipped: bool


@dataclass(frozen=True)
class Clipping:
    """Limits of a gradient, each None for no limit; applied in the order of the attributes.

    Attributes
    ----------
    by_class
        The largest Euclidean norm of what the rows of one class add to the gradient.
    norm
        The largest Euclidean norm of the gradient.
    value
        The largest absolute value of one of its components.
    """

    by_class: float | None = None
    norm: float | None = None
    value: float | None = None

    def clip(self, parts: Array) -> Clipped:
        """Return the clipped gradient.

        Parameters
        ----------
        parts
            ``[part, margin, position + 1]``: what the rows of each class add to the gradient, and
            what belongs to no class; with no limit ``by_class``, any split.
        """
        gradients = parts
        if self.by_class is not None:
            gradients = np.stack([_shorten(part, self.by_class) for part in parts])
        gradient = gradients.sum(axis=0)
        if self.norm is not None:
            gradient = _shorten(gradient, self.norm)
        if self.value is not None:
            gradient = np.clip(gradient, -self.value, self.value)
        return Clipped(gradient, not np.array_equal(gradient, parts.sum(axis=0)))


def _shorten(gradient: Array, norm: float) -> Array:
    """Return the gradient, scaled to a norm if its own is larger."""
    size = float(np.linalg.norm(gradient))
    return gradient if size <= norm else gradient * (norm / size)
