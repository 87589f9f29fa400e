"""Weighted losses of linear models with their gradients: arithmetic on a batch of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Loss(NamedTuple):
    """A loss and its gradient, of the shape of the coefficients."""

    value: float
    gradient: Array


def softmax_loss(coefficients: Array, features: Array, labels: Array, weights: Array) -> Loss:
    """Return the weighted multinomial log loss, ``-sum w_i log q_i[y_i] / sum w_i``.

    Its gradient for class c is ``sum w_i (q_i[c] - [y_i = c]) x_i / sum w_i`` (Bishop 2006, eq.
    4.109, with weights): a row counts by its weight, whatever its class, so class weights scale the
    pull of a class and not its form.

    Parameters
    ----------
    coefficients
        ``[class, feature]``; append a feature of ones for intercepts.
    features
        ``[row, feature]``.
    labels
        Class index per row.
    weights
        Training weight per row, with a sum > 0.

    Examples
    --------
    Two rows at the origin cost log 2 each, whatever their weights:

    >>> loss = softmax_loss(np.zeros((2, 1)), np.ones((2, 1)), np.array([0, 1]), np.array([1, 3]))
    >>> round(loss.value, 6), loss.gradient.ravel().tolist()
    (0.693147, [0.25, -0.25])
    """
    margins = features @ coefficients.T
    margins = margins - margins.max(axis=1, keepdims=True)
    logs = margins - np.log(np.exp(margins).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    index = labels.astype(int)
    share = weights / weights.sum()
    residual = np.exp(logs)
    residual[rows, index] -= 1
    return Loss(float(-share @ logs[rows, index]), (residual * share[:, None]).T @ features)
