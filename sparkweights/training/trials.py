"""Costs of candidates on held-out rows, whether weighting saves cost, and the choice.

Candidates are compared by paired differences: all decide on the same rows, so that the variation of
costs between rows cancels out. Sums over small blocks of rows give the difference many degrees of
freedom even with few folds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from sparkweights.evaluation.block_intervals import with_one_more
from sparkweights.records.studies import WeightingEffect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.evaluation.score_table import Array
    from sparkweights.models.declaration import ParamValue

LEVEL = 0.95
MIN_CHANGED = 10  # blocks in which a trial gains, and in which it loses
_SIDES = (np.minimum, np.maximum)


@dataclass(frozen=True)
class Settings:
    """The settings of a trial.

    Attributes
    ----------
    ratio
        Weight of the rarest class over that of the commonest; None for the configured scheme.
    params
        The learner's parameters that are tried, by name.
    """

    ratio: float | None
    params: Mapping[str, ParamValue]

    @property
    def weighting(self) -> float:
        """Distance from no weights: the absolute logarithm of the ratio."""
        return math.inf if self.ratio is None else abs(math.log(self.ratio))


@dataclass(frozen=True, eq=False)
class FoldCosts:
    """Costs of decisions on the rows held out of a fold.

    Attributes
    ----------
    sums
        ``[class, block]``: realised costs times sample weights, in the currency of the table.
    weights
        ``[block]``: sums of the sample weights.
    """

    sums: Array
    weights: Array

    @property
    def mean(self) -> float:
        """The mean cost of a row."""
        return float(self.sums.sum() / self.weights.sum())


@dataclass(frozen=True, eq=False)
class Trial:
    """Costs of settings on the rows held out of each fold.

    Attributes
    ----------
    folds
        The costs of each fold; of all trials on the same rows, in the same blocks.
    """

    settings: Settings
    folds: tuple[FoldCosts, ...]

    @property
    def costs(self) -> tuple[float, ...]:
        """Mean realised cost of a row, in the currency of the table, per fold."""
        return tuple(fold.mean for fold in self.folds)

    @property
    def cost(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.costs))

    @property
    def standard_error(self) -> float:
        """Of the mean over the folds; two trials are compared by their `Difference` instead."""
        return float(np.std(self.costs, ddof=1) / math.sqrt(len(self.costs)))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the cost, by Student's t over the folds."""
        half_width = stats.t.ppf(0.5 + LEVEL / 2, len(self.costs) - 1) * self.standard_error
        return self.cost - half_width, self.cost + half_width


@dataclass(frozen=True)
class Difference:
    """Cost of a trial minus that of another on the same rows.

    Attributes
    ----------
    cost
        Difference of the means, in cost per row.
    error
        Its standard error, paired: from blocks of rows and, where these differ by more, from folds.
    """

    cost: float
    error: float


@dataclass(frozen=True)
class Verdict:
    """The comparison of the trials, from which the proposed settings and all texts follow.

    Attributes
    ----------
    best
        The trial of least mean cost.
    chosen
        The trial whose settings are proposed: weighted if and only if ``effect`` matters, where
        there is an effect.
    effect
        What weighting is worth; None where no trial is without weights, or all are.
    differences
        Of each trial from ``best``.
    """

    best: Trial
    chosen: Trial
    effect: WeightingEffect | None
    differences: tuple[Difference, ...]


def compare_trials(trials: Sequence[Trial], *, forward: bool = False) -> Verdict:
    """Test whether weighting saves cost, and choose the settings accordingly.

    Weighting saves cost where some weighted trial is cheaper than the cheapest unweighted trial, by
    more than chance explains: its simultaneous lower bound is above 0. Then the least weighted is
    chosen of those that are shown to save and that lie within one standard error, paired, of the
    cheapest of these (the rule of Breiman et al. 1984, sec. 3.4.3, for a difference). Otherwise the
    first trial without weights within one standard error of the cheapest without weights, so
    parameters are best listed from simple to complex.

    Parameters
    ----------
    forward
        Whether folds go forward in time. Then each fits on more rows than the fold before, and
        covers other months: differences between folds are no sampling error, and intervals hold
        for these folds alone. Random folds differ by chance, which counts as sampling error.
    """
    best = cheapest(trials)
    plain = [trial for trial in trials if trial.settings.weighting == 0]
    weighted = [trial for trial in trials if trial.settings.weighting > 0]
    differences = tuple(_differences(trials, best, forward=forward))
    if not plain or not weighted:
        return Verdict(best, _least_weighted(trials, forward=forward), None, differences)
    reference = cheapest(plain)
    savings = _simultaneous_savings(weighted, reference, forward=forward)
    shown = [trial for trial, effect in zip(weighted, savings, strict=True) if effect.matters]
    chosen = _least_weighted(shown or plain, forward=forward)
    reported = chosen if shown else cheapest(weighted)
    return Verdict(best, chosen, savings[weighted.index(reported)], differences)


def cheapest(trials: Sequence[Trial]) -> Trial:
    """Return the trial of least mean cost."""
    return min(trials, key=lambda trial: trial.cost)


def _least_weighted(trials: Sequence[Trial], *, forward: bool) -> Trial:
    """Return the least weighted within one standard error of the cheapest; of equals the first."""
    differences = _differences(trials, cheapest(trials), forward=forward)
    near = [
        trial
        for trial, difference in zip(trials, differences, strict=True)
        if difference.cost <= difference.error
    ]
    return min(near, key=lambda trial: trial.settings.weighting)


def _differences(trials: Sequence[Trial], reference: Trial, *, forward: bool) -> list[Difference]:
    paired = _Paired.of(trials, reference, forward=forward)
    pairs = zip(paired.means.tolist(), paired.errors.tolist(), strict=True)
    return [Difference(cost, error) for cost, error in pairs]


def _simultaneous_savings(
    trials: Sequence[Trial], reference: Trial, *, forward: bool
) -> list[WeightingEffect]:
    """Compare each trial with the unweighted one, by simultaneous intervals.

    As Dunnett (1955) does with normal means, the critical value is a quantile of the largest
    studentised difference; costs are skewed and the differences correlated, so its distribution
    is resampled (Westfall & Young 1993, sec. 2.5).
    """
    paired = _Paired.of(trials, reference, forward=forward)
    # The lower bound adds one more loss, the upper bound one more gain.
    lower, upper = (with_one_more(-paired.flat, paired.of_block, side) for side in _SIDES)
    tail = (1 - LEVEL) / 2
    above = np.quantile(lower.replicates.max(axis=1), 1 - tail, method="weibull")
    below = np.quantile(-upper.replicates.min(axis=1), 1 - tail, method="weibull")
    lows = lower.means - paired.critical(above) * np.hypot(lower.errors, paired.between)
    highs = upper.means + paired.critical(below) * np.hypot(upper.errors, paired.between)
    return [
        WeightingEffect(
            trial.settings.ratio, reference.cost - trial.cost, (low, high), len(trials),
            scarce=scarce, matters=bool(low > 0 and not scarce),
        )
        for trial, low, high, scarce in zip(
            trials, lows.tolist(), highs.tolist(), _scarce(trials, reference), strict=True
        )
    ]  # fmt: skip


def _scarce(trials: Sequence[Trial], reference: Trial) -> list[bool]:
    """Return which trials gain, or lose, against the reference in too few blocks of a class.

    A block of one class's rows is at most as many as the rows that are decided differently there,
    so that the count is conservative.
    """
    is_scarce = []
    for trial in trials:
        pairs = list(zip(trial.folds, reference.folds, strict=True))
        cells = np.concatenate(
            [(fold.sums - reference_fold.sums).ravel() for fold, reference_fold in pairs]
        )
        noise = 1e-9 * max(float(np.abs(reference_fold.sums).max()) for _, reference_fold in pairs)
        is_scarce.append(min(np.sum(cells > noise), np.sum(cells < -noise)) < MIN_CHANGED)
    return [bool(scarce) for scarce in is_scarce]


@dataclass(frozen=True, eq=False)
class _Paired:
    """Differences of trials from a reference, on the same blocks of rows.

    Attributes
    ----------
    values
        ``[trial, fold, block]``: differences of the sums, over the fold's weight.
    weights
        ``[fold, block]``: the block's share of the fold's weight.
    forward
        See `compare_trials`.
    """

    values: Array
    weights: Array
    forward: bool

    @classmethod
    def of(cls, trials: Sequence[Trial], reference: Trial, *, forward: bool) -> _Paired:
        folds = reference.folds
        totals = np.array([fold.weights.sum() for fold in folds])[:, None]
        of_reference = np.array([fold.sums.sum(axis=0) for fold in folds])
        of_trials = np.array([[fold.sums.sum(axis=0) for fold in trial.folds] for trial in trials])
        weights = np.array([fold.weights for fold in folds]) / totals
        return cls((of_trials - of_reference) / totals, weights, forward)

    @property
    def flat(self) -> Array:
        """``[trial, fold and block]``."""
        return self.values.reshape(len(self.values), -1)

    @property
    def of_block(self) -> Array:
        """``[fold and block]``."""
        return self.weights.ravel()

    @cached_property
    def means(self) -> Array:
        """``[trial]``: mean over the folds."""
        mean: Array = self.values.sum(axis=2).mean(axis=1)
        return mean

    @cached_property
    def within(self) -> Array:
        """``[trial]``: standard error of the mean from the blocks of each fold."""
        folds, blocks = self.weights.shape
        rest = self.values - self.values.sum(axis=2, keepdims=True) * self.weights
        squares = blocks / (blocks - 1) * (rest**2).sum(axis=(1, 2))
        error: Array = np.sqrt(squares) / folds
        return error

    @cached_property
    def between(self) -> Array:
        """``[trial]``: standard error of the mean from the variance between folds beyond blocks.

        By moments (Hedges 1983), 0 where the blocks explain the variance between folds. It is the
        variation of a model with the choice of its fit rows.
        """
        if self.forward:
            return np.zeros(len(self.values))
        folds = len(self.weights)
        variance = self.values.sum(axis=2).var(axis=1, ddof=1) / folds
        excess: Array = np.sqrt(np.maximum(variance - self.within**2, 0.0))
        return excess

    @property
    def errors(self) -> Array:
        """``[trial]``: standard error of the mean."""
        both: Array = np.hypot(self.within, self.between)
        return both

    def critical(self, normal: float) -> Array:
        """Return a critical value adjusted for few folds: ``[trial]``.

        Student's t at the tail that the value has under the normal distribution, with the degrees
        of freedom of Satterthwaite (1946, eq. 17) for the sum of both variances.
        """
        folds, blocks = self.weights.shape
        parts = self.within**4 / (folds * (blocks - 1)) + self.between**4 / (folds - 1)
        whole = self.errors**4
        freedom = np.divide(whole, parts, out=np.full_like(whole, np.inf), where=parts > 0)
        return np.asarray(stats.t.isf(stats.norm.sf(normal), freedom))
