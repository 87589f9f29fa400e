"""Gradients against finite differences, and weights against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from sklearn.metrics import log_loss

from sparkweights.models.losses import softmax_loss


def _batch(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes, features = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    x = rng.normal(size=(40, features))
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, 40 - classes)])
    return rng.normal(size=(classes, features)), x, y, rng.gamma(1.0, size=40)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_softmax_gradient_equals_finite_differences(seed: int) -> None:
    """For 2 to 5 classes and random weights."""
    b, x, y, w = _batch(seed)

    def value(flat: np.ndarray) -> float:
        return softmax_loss(flat.reshape(b.shape), x, y, w).value

    def gradient(flat: np.ndarray) -> np.ndarray:
        return softmax_loss(flat.reshape(b.shape), x, y, w).gradient.ravel()

    assert check_grad(value, gradient, b.ravel()) < 1e-6


def test_softmax_loss_equals_scikit_learn() -> None:
    """The value is the weighted log loss of the softmax probabilities."""
    b, x, y, w = _batch(3)
    q = np.exp(x @ b.T)
    q /= q.sum(axis=1, keepdims=True)
    oracle = log_loss(y, q, sample_weight=w, labels=np.arange(len(b)))
    assert softmax_loss(b, x, y, w).value == pytest.approx(oracle)


def test_softmax_loss_weight_two_is_the_row_twice() -> None:
    """Loss and gradient both."""
    b, x, y, _ = _batch(4)
    w = np.where(np.arange(40) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(40), w.astype(int))
    ours = softmax_loss(b, x, y, w)
    theirs = softmax_loss(b, x[twice], y[twice], np.ones(len(twice)))
    assert ours.value == pytest.approx(theirs.value)
    assert ours.gradient == pytest.approx(theirs.gradient)


def test_softmax_loss_large_margins_do_not_overflow() -> None:
    """A margin of a thousand is a certainty, not an error."""
    found = softmax_loss(np.array([[1e3], [-1e3]]), np.ones((1, 1)), np.array([1]), np.ones(1))
    assert found.value == pytest.approx(2e3)
    assert np.isfinite(found.gradient).all()
