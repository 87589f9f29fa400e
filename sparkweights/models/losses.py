"""Losses of weighted softmax regression with their exact gradients: arithmetic on rows.

A row with the softmax probabilities q, the target shares t and the weight w has the loss
``w sum_k t_k alpha_k (1 - q_k)^gamma (-log q_k)``. With gamma = 0 it is the weighted cross-entropy,
else the focal loss (Lin et al. 2017, "Focal loss for dense object detection", eq. 5). What the
focal loss does to probabilities is inverted by `sparkweights.probability.focal`.

Arrays of rows and classes are kept class by class in memory: there are few classes, and numpy is
slow where the axis of the inner loop is short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Loss(NamedTuple):
    """A loss and its gradient, of the shape of the parameters."""

    value: float
    gradient: Array


@dataclass(frozen=True)
class ClassLoss:
    """The loss of a row: cross-entropy, or focal loss where ``gamma`` > 0.

    Attributes
    ----------
    gamma
        >= 0; the larger, the less a row counts whose class is predicted already.
    alpha
        A factor > 0 per class; None for 1 each.
    """

    gamma: float = 0.0
    alpha: tuple[float, ...] | None = None

    def of_rows(self, logs: Array, targets: Array) -> Array:
        """Return the loss of each row, without its weight.

        Parameters
        ----------
        logs
            ``[row, class]``, log q; see `log_probabilities`.
        targets
            ``[row, class]``, shares that sum to 1 in a row.
        """
        focus = 1.0 if self.gamma == 0 else _others(logs) ** self.gamma
        return np.asarray(-(self._scaled(targets) * focus * logs).sum(axis=1))

    def margin_slopes(self, logs: Array, targets: Array) -> Array:
        """Return ``[row, class]``: the derivative of `of_rows` by the row's margins."""
        pull = self._scaled(targets)
        if self.gamma != 0:
            pull = pull * focal_pull(logs, self.gamma)
        return np.asarray(np.exp(logs) * pull.sum(axis=1, keepdims=True) - pull)

    def _scaled(self, targets: Array) -> Array:
        return targets if self.alpha is None else targets * np.asarray(self.alpha)


def focal_pull(logs: Array, gamma: float) -> Array:
    """Return ``-q dl/dq`` of the focal loss ``l = -(1 - q)^gamma log q``, from log q; 1 at gamma 0.

    It is ``r^gamma (1 - gamma q log(q) / r)`` with r = 1 - q, where log(q) / r is -1 in the limit
    of q = 1.
    """
    others = _others(logs)
    quotient = np.divide(logs, others, out=np.full_like(logs, -1.0), where=others > 0)
    return np.asarray(others**gamma * (1 - gamma * np.exp(logs) * quotient))


def _others(logs: Array) -> Array:
    """Return 1 - q from log q, without loss of digits where q is almost 1."""
    return np.asarray(-np.expm1(logs))


def one_hot(labels: Array, classes: int) -> Array:
    """Return ``[row, class]``: 1 for the class's index, 0 for the others."""
    return np.asarray((np.arange(classes)[:, None] == labels).T, dtype=np.float64)


def log_probabilities(parameters: Array, features: Array) -> Array:
    """Return ``[row, class]``: log q of each row.

    Parameters
    ----------
    parameters
        ``[margin, position + 1]``, the intercepts last. One margin per class; or, with two classes,
        one margin alone, the log odds of the second class.
    features
        ``[row, position]``.
    """
    margins = parameters[:, :-1] @ features.T + parameters[:, -1:]
    if len(parameters) == 1:
        # log q is -log(1 + exp(-m)) of the second class, in the form that cannot overflow.
        both = np.concatenate([-margins, margins])
        return np.asarray((np.minimum(both, 0.0) - np.log1p(np.exp(-np.abs(margins)))).T)
    margins -= margins.max(axis=0)
    return np.asarray((margins - np.log(np.exp(margins).sum(axis=0))).T)


def gradient_of(slopes: Array, features: Array, margins: int) -> Array:
    """Return ``[margin, position + 1]``: the sum over rows of their slopes times their features.

    Parameters
    ----------
    slopes
        ``[row, class]``: the derivative of the loss by the margins, with the row's weight.
    margins
        Rows of the parameters; see `log_probabilities`.
    """
    slopes = slopes[:, -margins:]
    return np.concatenate([slopes.T @ features, slopes.sum(axis=0)[:, None]], axis=1)


def penalty(parameters: Array, l2: float) -> Loss:
    """Return ``l2 / 2`` times the sum of squares of the slopes; intercepts are not penalised."""
    slopes = parameters.copy()
    slopes[:, -1] = 0.0
    return Loss(float(l2 / 2 * (slopes**2).sum()), l2 * slopes)


def softmax_loss(
    parameters: Array,
    features: Array,
    targets: Array,
    weights: Array,
    *,
    loss: ClassLoss | None = None,
    l2: float = 0.0,
) -> Loss:
    """Return the mean loss of weighted rows, with a penalty of the slopes, and its gradient.

    A row counts by its weight, whatever its class, so class weights scale the pull of a class and
    not its form. The gradient of the cross-entropy by the parameters of class c is
    ``sum w_i (q_i[c] - t_i[c]) x_i / sum w_i`` (Bishop 2006, eq. 4.109, with weights).

    Parameters
    ----------
    parameters, features
        See `log_probabilities`.
    targets
        ``[row, class]``, shares that sum to 1 in a row; of known classes, see `one_hot`.
    weights
        Training weight per row, with a sum > 0.
    loss
        Of a row; by default cross-entropy.
    l2
        See `penalty`.

    Examples
    --------
    Two rows at the origin cost log 2 each, whatever their weights:

    >>> rows, targets = np.zeros((2, 1)), np.eye(2)
    >>> loss = softmax_loss(np.zeros((2, 2)), rows, targets, np.array([1.0, 3.0]))
    >>> round(loss.value, 6), loss.gradient[:, 1].tolist()
    (0.693147, [0.25, -0.25])
    """
    of_row = ClassLoss() if loss is None else loss
    logs = log_probabilities(parameters, features)
    shares = weights / weights.sum()
    slopes = of_row.margin_slopes(logs, targets) * shares[:, None]
    penalised = penalty(parameters, l2)
    return Loss(
        float(shares @ of_row.of_rows(logs, targets)) + penalised.value,
        gradient_of(slopes, features, len(parameters)) + penalised.gradient,
    )
