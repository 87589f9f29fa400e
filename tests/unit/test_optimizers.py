"""Steps, learning rates and limits of the gradient, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparkweights.models.choices import CONSTANT, COSINE, INVERSE_TIME
from sparkweights.models.optimizers import (
    Adam,
    Clipping,
    Schedule,
    Sgd,
    State,
)

START = State.start(np.array([[1.0, 2.0]]))


def test_sgd_with_momentum_by_hand() -> None:
    """Twice the gradient (1, -2) at rate 0.1 and momentum 0.5: steps of 0.1 g and 0.15 g."""
    gradient = np.array([[1.0, -2.0]])
    once = Sgd(0.5).step(START, gradient, 0.1)
    twice = Sgd(0.5).step(once, gradient, 0.1)
    assert once.parameters == pytest.approx(np.array([[0.9, 2.2]]))
    assert twice.parameters == pytest.approx(np.array([[0.75, 2.5]]))
    assert twice.steps == 2


def test_adam_by_hand() -> None:
    """The first step has the rate's length in each component; the second is from the means."""
    adam = Adam(0.9, 0.99, epsilon=0.0)
    once = adam.step(START, np.array([[4.0, -0.5]]), 0.1)
    assert once.parameters == pytest.approx(np.array([[0.9, 2.1]]))
    twice = adam.step(once, np.array([[0.0, -0.5]]), 0.1)
    mean = 0.9 * 0.1 * 4 / (1 - 0.9**2)
    square = 0.99 * 0.01 * 16 / (1 - 0.99**2)
    moved = 0.9 - 0.1 * mean / math.sqrt(square)
    assert twice.parameters == pytest.approx(np.array([[moved, 2.2]]))


def test_schedules_fall_as_they_say() -> None:
    """Half the rate: after one round of inverse time, and in the middle of a cosine."""
    assert Schedule(0.4, CONSTANT, 10).at(9) == 0.4
    assert Schedule(0.4, INVERSE_TIME, 10).at(1) == 0.2
    assert Schedule(0.4, INVERSE_TIME, 10).at(3) == 0.1
    assert Schedule(0.4, COSINE, 10).at(5) == pytest.approx(0.2)
    assert Schedule(0.4, COSINE, 10).at(12) == pytest.approx(0.0)


def test_clipping_by_norm_keeps_the_direction() -> None:
    """(3, 4) has norm 5: limited to 1 it is (0.6, 0.8); a short gradient stays as it is."""
    clipped = Clipping(norm=1.0).clip(np.array([[[3.0, 4.0]]]))
    assert clipped.gradient == pytest.approx(np.array([[0.6, 0.8]]))
    assert clipped.is_clipped
    short = Clipping(norm=6.0).clip(np.array([[[3.0, 4.0]]]))
    assert (short.gradient == [[3.0, 4.0]]).all()
    assert not short.is_clipped


def test_clipping_by_value_limits_each_component() -> None:
    """Each component on its own."""
    clipped = Clipping(value=1.0).clip(np.array([[[3.0, -0.5]]]))
    assert (clipped.gradient == [[1.0, -0.5]]).all()
    assert clipped.is_clipped


def test_clipping_by_class_limits_what_one_class_adds() -> None:
    """The rare class's rows pull with norm 10, of which 1 is left; the others' pull stays."""
    parts = np.array([[[0.3, 0.4]], [[6.0, 8.0]]])
    clipped = Clipping(by_class=1.0).clip(parts)
    assert clipped.gradient == pytest.approx(np.array([[0.9, 1.2]]))
    assert clipped.is_clipped
    both = Clipping(by_class=1.0, norm=0.15).clip(parts)
    assert np.linalg.norm(both.gradient) == pytest.approx(0.15)


def test_no_limit_clips_nothing() -> None:
    """Not even an enormous gradient."""
    assert not Clipping().clip(np.full((2, 1, 2), 1e9)).is_clipped
