"""Label shift: from scored tables to the class shares of the population they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.core.errors import InputError, ModelError
from sparkweights.probability.priors import (
    PriorEstimate,
    ScoreHistogram,
    bbse,
    odds_ratio,
    saerens_em,
    shrunk_shares,
    towards,
)
from sparkweights.probability.score_cells import SMALLEST, levels
from sparkweights.probability.shift_tests import label_shift_p_value, no_shift_p_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.probability.priors import Array

SIGNIFICANCE = 0.01  # level of both tests
MIN_ROWS = 100  # effective rows of a target; intervals of fewer span more than max_shift allows
# Weight of the Dirichlet prior at the natural shares, in rows of known class: below `MIN_ROWS`, so
# that the scores have more weight. In simulations of 150 rows, 0 to 100 made little difference.
PSEUDO_ROWS = 20.0
SCALE = "logit or arcsine"  # of the cells of a histogram that a bundle keeps
MAX_SHIFT = 2.0  # factor of the odds; see `estimate_shift`
_ROUNDING = 1e-9
TOO_FEW_ROWS, NO_SHIFT = "too_few_rows", "no_shift"
NOT_LABEL_SHIFT, TOO_FAR, SHIFTED = "not_label_shift", "beyond_max_shift", "shifted"


@dataclass(frozen=True)
class LabelShift:
    """Class shares of a table estimated from its scores, with tests of label shift.

    Attributes
    ----------
    classes
        Class names, in index order.
    prior
        The shares that the model was calibrated to.
    rows, effective_rows
        Rows of the target, by weight, and the effective sample size (Kish).
    mean_probabilities
        Mean probability of each class over the target, before any shift.
    estimates
        ``saerens_em`` and ``bbse``; none of too few rows.
    p_value
        Of the test that nothing shifted; None of too few rows.
    fit_p_value
        Of the test that the target's scores are a mixture of the classes' scores; None where it
        was not, or cannot be, tested.
    shrunk
        The shares by maximum posterior density, within their intervals; None of too few rows.
    max_shift
        Factor by which the odds of a class may move.
    """

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    rows: int
    effective_rows: float
    mean_probabilities: tuple[float, ...]
    estimates: tuple[PriorEstimate, ...]
    p_value: float | None
    fit_p_value: float | None
    shrunk: tuple[float, ...] | None
    max_shift: float

    @property
    def verdict(self) -> str:
        """Return what the tests say: one of the five constants of this module.

        `TOO_FAR` is a label shift whose interval holds no shares that `max_shift` allows. At the
        limit, decisions would use shares that the estimate excludes, so they use the prior.
        """
        if self.p_value is None:
            return TOO_FEW_ROWS
        if self.p_value >= SIGNIFICANCE:
            return NO_SHIFT
        if self.fit_p_value is not None and self.fit_p_value < SIGNIFICANCE:
            return NOT_LABEL_SHIFT
        return SHIFTED if self._within_interval(self._limited()) else TOO_FAR

    @property
    def shifted(self) -> bool:
        """Whether decisions use the estimated shares: label shift is found, within `max_shift`."""
        return self.verdict == SHIFTED

    @property
    def is_label_shift(self) -> bool:
        """Whether the test rejects "no shift" and does not reject label shift, of any size."""
        return self.verdict in {SHIFTED, TOO_FAR}

    @property
    def capped(self) -> bool:
        """Whether the shares would have moved further than `max_shift` allows."""
        return (
            self.is_label_shift
            and self.shrunk is not None
            and odds_ratio(self.shrunk, self.prior) > self.max_shift * (1 + _ROUNDING)
        )

    def estimated(self) -> dict[str, float] | None:
        """Return the shrunk shares before the limit `max_shift`; None without a label shift."""
        return self._named(self.shrunk) if self.is_label_shift else None

    def target_prior(self) -> dict[str, float] | None:
        """Return the shares to decide for, or None where the natural prior stays."""
        return self._named(self._limited()) if self.shifted else None

    def _limited(self) -> tuple[float, ...]:
        """Return the shares from the prior towards the estimate, as far as `max_shift` allows."""
        return towards(
            self.prior,
            self.prior if self.shrunk is None else self.shrunk,
            lambda theta: odds_ratio(theta, self.prior) <= self.max_shift * (1 + _ROUNDING),
        )

    def _within_interval(self, shares: Sequence[float]) -> bool:
        """Whether every share lies in the interval of its estimate."""
        bounds = zip(shares, self.estimates[0].interval(), strict=True)
        return all(low - _ROUNDING <= share <= high + _ROUNDING for share, (low, high) in bounds)

    @property
    def sentence(self) -> str:
        """Return the verdict and its consequence as a sentence."""
        consequence = "the natural prior is kept"
        if self.verdict == TOO_FEW_ROWS:
            return (
                f"{self.effective_rows:,.0f} effective rows are too few to estimate class shares "
                f"(at least {MIN_ROWS} are needed); {consequence}"
            )
        if self.verdict == NO_SHIFT:
            return (
                f"the class shares have not visibly moved (p = {self.p_value:.2g}); {consequence}"
            )
        if self.verdict == NOT_LABEL_SHIFT:
            return (
                f"the scores moved (p = {self.p_value:.2g}), but they are no mixture of the scores "
                f"of the classes (p = {self.fit_p_value:.2g}): other rows rather than other class "
                f"shares; {consequence}"
            )
        if self.verdict == TOO_FAR:
            bounds = zip(self.classes, self.estimates[0].interval(), strict=True)
            intervals = ", ".join(f"{name} {low:.2%} to {high:.2%}" for name, (low, high) in bounds)
            return (
                f"the class shares shifted (p = {self.p_value:.2g}: {intervals}) further than "
                f"decision.max_shift allows, which lets the odds move by a factor of "
                f"{self.max_shift:g}; {consequence}. Raise decision.max_shift if these shares are "
                "expected, else train on rows like these"
            )
        shares = ", ".join(f"{name} {share:.2%}" for name, share in self._used().items())
        untested = "" if self.fit_p_value is not None else "; too few scores to test the fit"
        capped = (
            ""
            if not self.capped
            else f"; the estimate goes further ({self._shrunk_text()}), but decision.max_shift "
            f"lets the odds move by a factor of {self.max_shift:g} at most"
        )
        return (
            f"the class shares shifted (p = {self.p_value:.2g}{untested}); decisions are for "
            f"{shares}{capped}"
        )

    def _used(self) -> dict[str, float]:
        return self.target_prior() or dict(zip(self.classes, self.prior, strict=True))

    def _shrunk_text(self) -> str:
        shares = zip(self.classes, self.shrunk or (), strict=True)
        return ", ".join(f"{name} {share:.2%}" for name, share in shares)

    def _named(self, values: Sequence[float] | None) -> dict[str, float] | None:
        return None if values is None else dict(zip(self.classes, values, strict=True))

    def to_dict(self) -> dict[str, object]:
        """Return the record, ready for JSON."""
        return {
            "rows": self.rows,
            "effective_rows": self.effective_rows,
            "min_rows": MIN_ROWS,
            "prior": self._named(self.prior),
            "mean_probabilities": self._named(self.mean_probabilities),
            "p_value": self.p_value,
            "fit_p_value": self.fit_p_value,
            "verdict": self.verdict,
            "shifted": self.shifted,
            "pseudo_rows": PSEUDO_ROWS,
            "shrunk": self._named(self.shrunk),
            "max_shift": self.max_shift,
            "capped": self.capped,
            "target_prior": self.target_prior(),
            "sentence": self.sentence,
            "estimates": {
                estimate.method: {
                    "shares": dict(zip(self.classes, estimate.shares, strict=True)),
                    "standard_errors": dict(
                        zip(self.classes, estimate.standard_errors, strict=True)
                    ),
                    "interval_95": dict(
                        zip(self.classes, map(list, estimate.interval()), strict=True)
                    ),
                    "condition": estimate.condition,
                }
                for estimate in self.estimates
            },
        }


def collect_histogram(
    scored_df: DataFrame,
    probability_cols: Sequence[str],
    *,
    index: Column | None = None,
    weight: Column | None = None,
) -> ScoreHistogram:
    """Count rows by their scores, in one Spark job.

    Parameters
    ----------
    scored_df
        Rows with natural probabilities; rows in which one is null are left out.
    probability_cols
        One column per class, in index order.
    index
        The class index of labelled rows, or None.
    weight
        How often a row counts, or None where each counts once.

    Raises
    ------
    InputError
        If no row has probabilities, or a class has no rows.
    """
    histogram = collect_cells(scored_df, probability_cols, index=index, weight=weight)
    rows = histogram.rows.sum(axis=0)
    if not len(histogram.rows) or (rows == 0).any():
        raise InputError(
            f"Class shares need scored rows{'' if index is None else ' of every class'}; "
            f"{int(rows.sum())} rows have probabilities.",
            hint="check the table: quarantined or unscorable rows do not count.",
        )
    return histogram


def collect_cells(
    scored_df: DataFrame,
    probability_cols: Sequence[str],
    *,
    index: Column | None = None,
    weight: Column | None = None,
) -> ScoreHistogram:
    """Count rows as `collect_histogram` does; a class, or all of them, may be without rows."""
    count = len(probability_cols)
    cells = [_level(column(name), count) for name in probability_cols[1:]]
    times = F.lit(1.0) if weight is None else weight
    conditions = [F.lit(col=True)] if index is None else [index == c for c in range(count)]
    measures = [
        F.sum(times * column(name)).alias(f"p_{c}") for c, name in enumerate(probability_cols)
    ]
    for c, condition in enumerate(conditions):
        measures.append(F.sum(F.when(condition, times).otherwise(0.0)).alias(f"rows_{c}"))
        measures.append(
            F.sum(F.when(condition, times * times).otherwise(0.0)).alias(f"squares_{c}")
        )
    # Rows without probabilities fall into the null cell, which is dropped here. Spark would push a
    # filter through the projections of the score and repeat their expressions at each use.
    defined = reduce(
        and_, [column(name).isNotNull() & ~F.isnan(column(name)) for name in probability_cols]
    )
    cell = F.when(defined & (times > 0), F.array(*cells))  # without rows there is no mean
    collected = scored_df.groupBy(cell.alias("cell")).agg(*measures).collect()
    # Sums of doubles depend on their order; sorted cells make reruns equal.
    collected = sorted(
        (row for row in collected if row["cell"] is not None), key=lambda row: row["cell"]
    )

    def by_class(name: str) -> Array:
        values = [[row[f"{name}_{c}"] for c in range(len(conditions))] for row in collected]
        return np.array(values, dtype=float).reshape(-1, len(conditions))

    counts = by_class("rows")
    sums = np.array([[row[f"p_{c}"] for c in range(count)] for row in collected])
    sums = sums.reshape(-1, count)
    squares = None if weight is None else by_class("squares")
    return ScoreHistogram(sums / counts.sum(axis=1, keepdims=True), counts, squares)


def _level(probability: Column, classes: int) -> Column:
    """Return the level of a probability, as `score_cells.level_of` has it."""
    last = levels(classes) - 1
    if classes == 2:  # uniform in logit
        inside = F.least(F.greatest(probability, F.lit(SMALLEST)), F.lit(1 - SMALLEST))
        end = float(np.log(SMALLEST / (1 - SMALLEST)))
        fraction = (F.ln(inside / (1 - inside)) - end) / (-2 * end)
    else:
        inside = F.least(F.greatest(probability, F.lit(0.0)), F.lit(1.0))  # rounding may exceed 1
        fraction = F.asin(F.sqrt(inside)) / (np.pi / 2)
    return F.least(F.floor(fraction * (last + 1)), F.lit(last)).cast("int")


def estimate_shift(
    source: ScoreHistogram,
    target: ScoreHistogram,
    prior: Mapping[str, float],
    *,
    max_shift: float = MAX_SHIFT,
) -> LabelShift:
    """Estimate the target's class shares, and test whether they shifted and whether that fits.

    Parameters
    ----------
    source
        Labelled rows that the model was not fitted on.
    target
        The rows to estimate the shares of.
    prior
        Class name -> the share that the probabilities were calibrated to.
    max_shift
        Factor by which the odds of a class may change, above 1. A covariate shift that the fit
        test does not reject costs less the nearer the decisions stay to the natural prior. Where
        the interval of the estimate lies beyond the factor, decisions use the natural prior.

    BBSE is left out where the scores separate the classes too badly for it. With fewer than
    `MIN_ROWS` effective rows nothing is estimated.
    """
    shares = tuple(prior.values())
    means = target.of_cell @ target.probabilities / target.of_cell.sum()
    enough = target.effective_rows >= MIN_ROWS
    estimate = saerens_em(source, target, shares) if enough else None
    p_value = no_shift_p_value(source, target, shares) if enough else None
    return LabelShift(
        classes=tuple(prior),
        prior=shares,
        rows=round(float(target.of_cell.sum())),
        effective_rows=target.effective_rows,
        mean_probabilities=tuple(map(float, means)),
        estimates=() if estimate is None else (estimate, *_bbse_if_defined(source, target)),
        p_value=p_value,
        fit_p_value=(
            None if estimate is None else label_shift_p_value(source, target, estimate.shares)
        ),
        shrunk=None if estimate is None else _shrunk(target, shares, estimate),
        max_shift=max_shift,
    )


def _shrunk(
    target: ScoreHistogram, prior: tuple[float, ...], estimate: PriorEstimate
) -> tuple[float, ...]:
    """Return the shares of the largest posterior density, moved into their intervals."""
    low, high = np.array(estimate.interval()).T
    return towards(
        estimate.shares,
        shrunk_shares(target, prior, PSEUDO_ROWS),
        lambda theta: bool((theta >= low).all() and (theta <= high).all()),
    )


def _bbse_if_defined(source: ScoreHistogram, target: ScoreHistogram) -> list[PriorEstimate]:
    try:
        return [bbse(source, target)]
    except ModelError:
        return []


def histogram_to_dict(histogram: ScoreHistogram) -> dict[str, object]:
    """Return a histogram ready for JSON; `histogram_from_dict` reads it back."""
    return {
        "probabilities": histogram.probabilities.tolist(),
        "rows": histogram.rows.tolist(),
        "weight_squares": (
            None if histogram.weight_squares is None else histogram.weight_squares.tolist()
        ),
        "scale": SCALE,
    }


def histogram_from_dict(record: Mapping[str, Any]) -> ScoreHistogram:
    """Read a histogram that `histogram_to_dict` wrote.

    Raises
    ------
    ModelError
        If its cells are of another version: scores below 1 in 2,048 shared one cell.
    """
    if record.get("scale") != SCALE:
        raise ModelError(
            f"The model's reference keeps its scores in cells of scale {record.get('scale')!r}; "
            f"this version compares tables by cells of scale {SCALE!r}.",
            hint="train again.",
        )
    squares = record["weight_squares"]
    return ScoreHistogram(
        np.array(record["probabilities"], dtype=float),
        np.array(record["rows"], dtype=float),
        None if squares is None else np.array(squares, dtype=float),
    )
