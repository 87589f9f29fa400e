"""Calibration maps fitted to a table of sums: sigmoid, isotonic and temperature.

`sparkweights.probability.calibration` collects the table in one Spark job; all that follows is
arithmetic on the driver. A map takes the logit of a natural probability to a better probability.

Sample weights w count rows in the estimates (2 is the row twice). Where errors matter, class c
counts with its effective rows, (sum w)^2 / sum w^2 (Kish 1965), so the unit of the weights has no
effect.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit

from sparkweights.core.errors import ModelError
from sparkweights.probability.settings import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Indices = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

CELL = 0.01  # width of a score cell in logit; its mean score is kept, so fits err by CELL^2
MIN_PROBABILITY = 1e-12  # probabilities are kept this far from 0 and 1 before a logarithm
# Excess over the least cost, sigmoid and isotonic: at 10 events sigmoid is lower under each of
# eight distortions (calibrated scores 3.5 and 4.4 %, a flat top 4.8 and 5.3 %); at 50 calibrated
# scores .8 and 1.0 %, a flat top 2.8 and 2.2 %; at 1,000 .04 and .07 %, 2.2 and .4 %.
# `python -m benchmarks.rightness --case calibration` measures it, over four cost ratios.
ISOTONIC_EVENTS = 50.0
FEW_EVENTS = 50.0  # the slope of a sigmoid has a standard error of about 1 / sqrt(events)
KNOTS = 500  # of a stored isotonic map: some hundredths of logit apart
_GROUPS = (4, 30)  # least and most groups of rows that test the sigmoid's fit
MAX_TEMPERATURE = 1_000.0
_GRADIENT = 1e-14  # of the mean log loss at the fit; where events are rare, its curvature is small


class Cells(NamedTuple):
    """Rows of one target class by score, ascending; entries are sums over the cell's rows."""

    logit: Array  # weighted mean of logit p
    positives: Array  # weight of rows of the class
    negatives: Array  # weight of the others


@dataclass(frozen=True)
class SigmoidMap:
    """logit p' = slope * logit p + intercept, with logit p limited to [-bound, bound]."""

    slope: float
    intercept: float
    bound: float

    def __call__(self, scores: Array) -> Array:
        """Return calibrated probabilities of logits."""
        probabilities: Array = expit(
            self.slope * np.clip(scores, -self.bound, self.bound) + self.intercept
        )
        return probabilities

    def to_dict(self) -> dict[str, object]:
        """Return the numbers, ready for JSON."""
        return {"slope": self.slope, "intercept": self.intercept, "bound": self.bound}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a map that `to_dict` wrote."""
        return cls(record["slope"], record["intercept"], record["bound"])


@dataclass(frozen=True)
class IsotonicMap:
    """A monotone function of logit p: linear between uniform knots, constant outside of them.

    Attributes
    ----------
    low, step
        Logit of the first knot, and the distance of two.
    probabilities
        The calibrated probability at each knot; at least two.
    """

    low: float
    step: float
    probabilities: tuple[float, ...]

    def __call__(self, scores: Array) -> Array:
        """Return calibrated probabilities of logits."""
        knots = self.low + self.step * np.arange(len(self.probabilities))
        return np.interp(scores, knots, self.probabilities)

    def to_dict(self) -> dict[str, object]:
        """Return the numbers, ready for JSON."""
        return {"low": self.low, "step": self.step, "probabilities": list(self.probabilities)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a map that `to_dict` wrote."""
        return cls(record["low"], record["step"], tuple(record["probabilities"]))


@contextmanager
def refuse_older_forms(method: str) -> Iterator[None]:
    """Refuse the record of a calibration that lacks a number while it is read.

    Raises
    ------
    ModelError
        Naming the number.
    """
    try:
        yield
    except KeyError as error:
        raise ModelError(
            f"The calibration '{method}' of the model has no {error.args[0]!r}: an older version "
            "of sparkweights wrote it, in another form.",
            hint="train again.",
        ) from None


@dataclass(frozen=True, eq=False)
class CalibrationTable:
    """Rows that calibrate, summed by fold, target class and cell of logit p.

    All arrays have one entry per occupied (fold, target, cell).

    Attributes
    ----------
    classes
        Class names in index order.
    fold, target, cell
        The fold of the rows, the index of the class whose score it is (of two classes the second
        alone), and floor(logit p / `CELL`).
    logit
        Weighted mean of logit p.
    positives, negatives
        Sum of the sample weights of rows of the class, and of the others.
    positive_squares, negative_squares
        Sum of their squares.
    positive_rows, negative_rows
        How many rows.
    """

    classes: tuple[str, ...]
    fold: Indices
    target: Indices
    cell: Indices
    logit: Array
    positives: Array
    negatives: Array
    positive_squares: Array
    negative_squares: Array
    positive_rows: Array
    negative_rows: Array

    @property
    def targets(self) -> tuple[int, ...]:
        """The classes that get a map: of two the second, of more each against the rest."""
        return targets(len(self.classes))

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that rows are in, ascending."""
        return tuple(int(fold) for fold in np.unique(self.fold))

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each class has."""
        counts = self._by_class(self.positive_rows, self.negative_rows)
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}

    @property
    def events(self) -> dict[str, float]:
        """The effective rows of each class, (sum w)^2 / sum w^2 (Kish 1965)."""
        sums = self._by_class(self.positives, self.negatives)
        squares = self._by_class(self.positive_squares, self.negative_squares)
        pairs = zip(sums, squares, strict=True)
        kish = [total**2 / square if square > 0 else 0.0 for total, square in pairs]
        return dict(zip(self.classes, kish, strict=True))

    @property
    def rarest(self) -> str:
        """The class with the fewest effective rows."""
        events = self.events
        return min(events, key=events.__getitem__)

    def without(self, fold: int | None) -> CalibrationTable:
        """Return the table of the other folds; None leaves out no fold."""
        kept = np.ones(len(self.fold), bool) if fold is None else self.fold != fold
        names = (
            "fold", "target", "cell", "logit", "positives", "negatives", "positive_squares",
            "negative_squares", "positive_rows", "negative_rows",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name)[kept] for name in names})

    def cells(self, target: int, *, bound: float = math.inf) -> Cells:
        """Return one class's rows by score, folds together, with logits limited to +-bound."""
        at = (self.target == target) & (self.positives + self.negatives > 0)
        score = np.clip(self.logit[at], -bound, bound)
        _, cell_index = np.unique(np.floor(score / CELL), return_inverse=True)
        weight = self.positives[at] + self.negatives[at]
        mean = np.bincount(cell_index, weight * score) / np.bincount(cell_index, weight)
        return Cells(
            mean,
            np.bincount(cell_index, self.positives[at]).astype(float),
            np.bincount(cell_index, self.negatives[at]).astype(float),
        )

    def effective(self, target: int) -> tuple[float, float]:
        """Return the effective rows of a class, and those of all others."""
        at = self.target == target
        return (
            _kish(self.positives[at], self.positive_squares[at]),
            _kish(self.negatives[at], self.negative_squares[at]),
        )

    def _by_class(self, positive: Array, negative: Array) -> list[float]:
        sums = [float(positive[self.target == c].sum()) for c in self.targets]
        if len(self.classes) == 2:  # the first class is the complement
            sums.insert(0, float(negative.sum()))
        return sums


@dataclass(frozen=True)
class Choice:
    """Which calibration is fitted, why, and how much it rests on.

    Attributes
    ----------
    method
        ``sigmoid``, ``isotonic`` or ``temperature``.
    reason
        A sentence.
    warning
        A sentence where the rarest class has fewer than `FEW_EVENTS` effective rows, or None.
    events
        Effective rows of each class, (sum w)^2 / sum w^2.
    """

    method: str
    reason: str
    warning: str | None
    events: Mapping[str, float]

    def to_dict(self) -> dict[str, object]:
        """Return the choice, ready for JSON."""
        return {
            "method": self.method,
            "reason": self.reason,
            "warning": self.warning,
            "events": dict(self.events),
        }


def targets(classes: int) -> tuple[int, ...]:
    """Return the indices of the classes whose probabilities get a map."""
    return (1,) if classes == 2 else tuple(range(classes))  # binary


def choose_method(method: str, table: CalibrationTable) -> Choice:
    """Return the calibration to fit; ``auto`` decides by the rows of the rarest class."""
    events, rarest = table.events, table.rarest
    fewest = events[rarest]
    count = f"{fewest:,.0f} effective rows of the rarest class, '{rarest}'"
    warning = None
    if fewest < FEW_EVENTS:
        warning = (
            f"Calibration rests on {count}; with fewer than {FEW_EVENTS:.0f}, expect the "
            f"probabilities to be off by about {1 / math.sqrt(max(fewest, 1)):.0%} of themselves."
        )
    if method != AUTO:
        return Choice(method, "The configuration asks for it.", warning, events)
    if fewest < ISOTONIC_EVENTS:
        reason = f"auto: {count}; isotonic costs less only from {ISOTONIC_EVENTS:,.0f} on."
        return Choice("sigmoid", reason, warning, events)
    reason = f"auto: {count}; from {ISOTONIC_EVENTS:,.0f} on isotonic costs no more than sigmoid."
    return Choice("isotonic", reason, warning, events)


def require_classes(method: str, table: CalibrationTable) -> None:
    """Refuse rows that lack a class.

    Raises
    ------
    ModelError
        Naming the class, and the rows there are.
    """
    rows, events = table.rows, table.events
    for name in table.classes:
        if events[name] <= 0:
            others = sum(rows.values()) - rows[name]
            raise ModelError(
                f"Calibration '{method}' saw {rows[name]} rows of class '{name}' with a weight "
                f"above 0, and {others} others; it needs rows of each class.",
                hint="hold out more rows under split.calibrate, or set decision.calibration: none.",
            )


def fit_sigmoid(table: CalibrationTable, target: int) -> SigmoidMap:
    """Fit slope and intercept by maximum likelihood towards Platt's targets.

    Targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2) instead of 1 and 0 (Platt 1999, section 2.2),
    N being effective rows: a sample of N events does not prove certainty. A slope below 0 would
    reverse the ranking; the monotone map of maximum likelihood is then constant.
    """
    events, others = table.effective(target)
    bound = _bound(table)
    cells = table.cells(target, bound=bound)
    hits = cells.positives * (events + 1) / (events + 2) + cells.negatives / (others + 2)
    total = cells.positives + cells.negatives
    hits, total = hits / total.sum(), total / total.sum()
    slope, intercept = _fit_line(cells.logit, hits, total)
    if slope <= 0:
        slope, intercept = 0.0, float(logit(hits.sum()))
    return SigmoidMap(slope, intercept, bound)


def fit_isotonic(table: CalibrationTable, target: int) -> IsotonicMap:
    """Fit a monotone map, shrunk towards the sigmoid as far as that fits the rows.

    Pool adjacent violators gives blocks with k events of m rows (Ayer et al. 1955). At a score
    with the sigmoid's probability s its value is (k + m0 s) / (m + m0): a block with few events
    is little evidence, and one without an event does not prove a probability of 0. The prior has
    the weight of m0 = 1 / (tau^2 s (1 - s)) rows, where tau^2 is the variance of the true logit
    around the sigmoid's, estimated by moments from groups of rows (DerSimonian and Laird 1986);
    with tau = 0 the map is the sigmoid. A last isotonic regression keeps the values monotone.

    With weights, k and m - k are effective rows of their classes, on whose odds the map is fitted.
    """
    events, others = table.effective(target)
    sigmoid = fit_sigmoid(table, target)
    cells = table.cells(target, bound=_bound(table))
    hits = cells.positives * (events / cells.positives.sum())
    misses = cells.negatives * (others / cells.negatives.sum())
    # Odds of effective rows over odds of weights, in logit; 0 where all weights are equal.
    offset = float(logit(events / (events + others)) - logit(
        cells.positives.sum() / (cells.positives.sum() + cells.negatives.sum())
    ))  # fmt: skip
    rows = hits + misses
    fitted = expit(logit(sigmoid(cells.logit)) + offset)
    variance = fitted * (1 - fitted)
    tau_square = _excess_variance(hits, rows, fitted)
    blocks = isotonic_regression(hits / rows, weights=rows).blocks
    block = np.repeat(np.arange(len(blocks) - 1), np.diff(blocks))
    block_hits, block_rows = np.bincount(block, hits)[block], np.bincount(block, rows)[block]
    # (k + m0 s) / (m + m0), times tau^2 s (1 - s) above and below.
    shrunk = (block_hits * tau_square * variance + fitted) / (
        block_rows * tau_square * variance + 1
    )
    monotone = isotonic_regression(shrunk, weights=rows).x
    return _on_uniform_knots(cells.logit, expit(logit(monotone) - offset))


def fit_temperature(table: CalibrationTable) -> float:
    """Return the temperature T of p' = expit(logit p / T) with the least log loss; two classes.

    Raises
    ------
    ModelError
        If no T between 0.001 and 1,000 has it: the classes are separated, or the scores rank them
        no better than chance.
    """
    cells = table.cells(1)

    def gradient(log_inverse: float) -> float:
        share = expit(cells.logit * math.exp(log_inverse))
        total = cells.positives + cells.negatives
        return float((cells.logit * (total * share - cells.positives)).sum() / total.sum())

    limit = math.log(MAX_TEMPERATURE)
    if gradient(-limit) >= 0 or gradient(limit) <= 0:
        raise no_temperature()
    return math.exp(-float(brentq(gradient, -limit, limit, xtol=1e-12)))


def no_temperature() -> ModelError:
    """Return the error of a temperature that no loss is least at."""
    return ModelError(
        f"Temperature calibration found no temperature between {1 / MAX_TEMPERATURE:g} and "
        f"{MAX_TEMPERATURE:,.0f}: the scores separate the classes, or rank them no better "
        "than chance.",
        hint="use decision.calibration: auto.",
    )


def _kish(sums: Array, squares: Array) -> float:
    square = float(squares.sum())
    return float(sums.sum()) ** 2 / square if square > 0 else 0.0


def _bound(table: CalibrationTable) -> float:
    """Return the logit past which n rows cannot tell scores apart: that of 1 / (10 n).

    Tree leaves without an event score 0, and would dominate the fit of a sigmoid.
    """
    rows = sum(table.rows.values())
    return min(math.log(10 * max(rows, 1)), math.log((1 - MIN_PROBABILITY) / MIN_PROBABILITY))


def _fit_line(score: Array, hits: Array, total: Array) -> tuple[float, float]:
    """Maximise sum hits log p + (total - hits) log(1 - p), logit p = slope score + intercept.

    A cell is two rows of scikit-learn's logistic regression, one of each class; the total is 1.
    Scores are standardised, on which the accuracy of a Newton step depends.
    """
    # Imported on use: it takes a second, and scoring fits nothing.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    centre = float(total @ score)
    scale = math.sqrt(float(total @ (score - centre) ** 2))
    if scale < CELL / 10:
        return 0.0, float(logit(hits.sum()))
    fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=_GRADIENT, max_iter=1_000).fit(
        np.tile((score - centre) / scale, 2)[:, None],
        np.repeat([1, 0], len(score)),
        sample_weight=np.concatenate([hits, total - hits]),
    )
    slope = float(fit.coef_[0, 0]) / scale
    return slope, float(fit.intercept_[0]) - slope * centre


def _excess_variance(hits: Array, rows: Array, fitted: Array) -> float:
    """Return the variance of the true logit around a fitted curve, beyond that of binomial counts.

    Rows fall into groups of equal information W = sum n s (1 - s). Were the logit off by a draw of
    variance tau^2, a group's (hits - expected)^2 would have the mean W (1 - 2 / groups) +
    tau^2 W^2, as two parameters were fitted. One standard error of its sum under tau = 0, whose
    square is 2 sum W^2, is not taken for a variance: in simulations of eight curves this keeps the
    excess cost within 1.25 of the better of sigmoid and isotonic at every number of events.
    """
    information = rows * fitted * (1 - fitted)
    below = np.cumsum(information) - information / 2
    scarce = min(float(hits.sum()), float((rows - hits).sum()))
    group_count = int(np.clip(round(math.sqrt(scarce)), *_GROUPS))
    group = np.minimum((below / information.sum() * group_count).astype(int), group_count - 1)
    off = np.bincount(group, hits - rows * fitted)
    weight = np.bincount(group, information)
    groups = int((weight > 0).sum())
    if groups <= 2:  # as many as parameters
        return 0.0
    excess = float((off**2).sum() - weight.sum() * (1 - 2 / groups))
    square = float((weight**2).sum())
    return max((excess - math.sqrt(2 * square)) / square, 0.0)


def _on_uniform_knots(score: Array, probability: Array) -> IsotonicMap:
    low, high = float(score[0]), float(score[-1])
    count = KNOTS if high > low else 2
    step = max((high - low) / (count - 1), CELL / KNOTS)
    values = np.interp(low + step * np.arange(count), score, probability)
    return IsotonicMap(low, step, tuple(float(f"{value:.10g}") for value in values))
