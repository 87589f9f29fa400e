"""Gradients against finite differences, and weights against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from sparkweights.models.losses import ClassLoss, log_probabilities, one_hot, softmax_loss


def _batch(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, features, soft targets and weights; some tables have known classes."""
    rng = np.random.default_rng(seed)
    classes, features = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    margins = 1 if classes == 2 and seed % 2 else classes
    x = rng.normal(size=(40, features))
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, 40 - classes)])
    t = one_hot(y, classes) if seed % 3 else rng.dirichlet(np.ones(classes), 40)
    return rng.normal(size=(margins, features + 1)), x, t, rng.gamma(1.0, size=40)


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]))
def test_gradient_equals_finite_differences(seed: int, gamma: float) -> None:
    """For 2 to 5 classes, soft targets, weights, a factor per class, and a penalty."""
    b, x, t, w = _batch(seed)
    alpha = tuple(np.random.default_rng(seed).uniform(0.2, 3, t.shape[1]).tolist())
    loss = ClassLoss(gamma, alpha)

    def value(flat: np.ndarray) -> float:
        return softmax_loss(flat.reshape(b.shape), x, t, w, loss=loss, l2=0.3).value

    def gradient(flat: np.ndarray) -> np.ndarray:
        return softmax_loss(flat.reshape(b.shape), x, t, w, loss=loss, l2=0.3).gradient.ravel()

    # Central differences: the error of one-sided ones grows with the curvature, to 2e-6 here.
    steps = 1e-5 * np.eye(b.size)
    numeric = [(value(b.ravel() + step) - value(b.ravel() - step)) / 2e-5 for step in steps]
    assert np.linalg.norm(gradient(b.ravel()) - numeric) < 1e-6


def test_gamma_zero_is_the_weighted_cross_entropy_exactly() -> None:
    """To the last bit, value and gradient, with the residual of softmax regression as oracle."""
    b, x, t, w = _batch(4)
    found = softmax_loss(b, x, t, w, loss=ClassLoss(0.0))
    logs = log_probabilities(b, x)
    share = w / w.sum()
    residual = (np.exp(logs) * t.sum(axis=1, keepdims=True) - t) * share[:, None]
    assert found.value == float(share @ -(t * logs).sum(axis=1))
    assert (found.gradient[:, :-1] == residual.T @ x).all()


def test_factor_of_a_class_is_the_weight_of_its_rows() -> None:
    """With known classes, alpha and a class weight are one thing, for the focal loss as well."""
    b, x, t, w = _batch(5)
    alpha = np.linspace(0.5, 2, t.shape[1])
    y = t.argmax(axis=1)
    by_alpha = softmax_loss(b, x, t, w, loss=ClassLoss(2.0, tuple(alpha)))
    by_weight = softmax_loss(b, x, t, w * alpha[y], loss=ClassLoss(2.0))
    scale = (w * alpha[y]).sum() / w.sum()  # the mean divides by the sum of the weights
    assert by_alpha.value == pytest.approx(by_weight.value * scale)
    assert by_alpha.gradient == pytest.approx(by_weight.gradient * scale)


def test_focal_loss_of_one_row_by_hand() -> None:
    """At q = 1/4 of the own class: (3/4)^2 log 4."""
    b = np.array([[0.0, np.log(1 / 3)]])
    found = softmax_loss(b, np.zeros((1, 1)), one_hot(np.ones(1), 2), np.ones(1), loss=_FOCAL)
    assert found.value == pytest.approx(0.75**2 * np.log(4))


_FOCAL = ClassLoss(2.0)


def test_softmax_loss_equals_scikit_learn() -> None:
    """The value is the weighted log loss of the softmax probabilities."""
    b, x, t, w = _batch(4)
    q = np.exp(log_probabilities(b, x))
    oracle = log_loss(t.argmax(axis=1), q, sample_weight=w, labels=np.arange(t.shape[1]))
    assert softmax_loss(b, x, t, w).value == pytest.approx(oracle)


def test_one_margin_is_the_log_odds_of_the_second_class() -> None:
    """Two margins, of which the first is 0, have the same loss."""
    b, x, _, w = _batch(7)
    b, t = b[:1], np.random.default_rng(7).dirichlet([1, 1], len(x))
    two = softmax_loss(np.vstack([0 * b, b]), x, t, w, loss=_FOCAL)
    one = softmax_loss(b, x, t, w, loss=_FOCAL)
    assert one.value == pytest.approx(two.value)
    assert one.gradient[0] == pytest.approx(two.gradient[1])


def test_softmax_loss_weight_two_is_the_row_twice() -> None:
    """Loss and gradient both."""
    b, x, t, _ = _batch(4)
    w = np.where(np.arange(40) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(40), w.astype(int))
    found = softmax_loss(b, x, t, w)
    repeated = softmax_loss(b, x[twice], t[twice], np.ones(len(twice)))
    assert found.value == pytest.approx(repeated.value)
    assert found.gradient == pytest.approx(repeated.gradient)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_loss_large_margins_do_not_overflow(gamma: float) -> None:
    """A margin of a thousand is a certainty, not an error, on the right side and on the wrong."""
    b = np.array([[0.0, 1e3], [0.0, -1e3]])
    for label, expected in ((0.0, 0.0), (1.0, 2e3)):
        target = one_hot(np.array([label]), 2)
        found = softmax_loss(b, np.ones((1, 1)), target, np.ones(1), loss=ClassLoss(gamma))
        assert found.value == pytest.approx(expected)
        assert np.isfinite(found.gradient).all()
