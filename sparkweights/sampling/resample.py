"""Resampling to a target balance: the same rows on every run, and a record that can be inverted.

Keeping rows of class c at the rate r_c changes probabilities exactly as weights r_c do; so the
rates are recorded in the ledger as a correction, and each kept row has the correction weight
1 / r_c, with which sums estimate those of the population.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, require_columns, require_label
from sparkweights.core.errors import ConfigError, InputError, join_names
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.weights.class_frequencies import ClassFrequency

UNDER, OVER = "under", "over"
_COPIES = "__copies"


@dataclass(frozen=True)
class Resampling:
    """At which rate the rows of each class are kept.

    Attributes
    ----------
    rates
        Class name -> expected copies of a row: below 1 rows are dropped, above 1 repeated.
    prior
        Natural share of each class.
    weighted
        Share of the training weight that each class carries before resampling, where class
        weights are used as well; else None.
    """

    rates: Mapping[str, float]
    prior: Mapping[str, float]
    weighted: Mapping[str, float] | None = None

    def with_weights(self, shares: Mapping[str, float]) -> Resampling:
        """Return the same rates for rows whose class weights give the classes these shares."""
        return replace(self, weighted=dict(shares))

    @property
    def sampled_prior(self) -> dict[str, float]:
        """The share of each class in the sample."""
        return self._resampled(self.prior)

    @property
    def trained_prior(self) -> dict[str, float]:
        """The share of the training weight that each class carries, resampled and weighted.

        Class weights are chosen from the natural frequencies, so both act: of 900 and 100 rows,
        resampled to equal numbers and with balanced weights, the rare class carries nine tenths.

        Examples
        --------
        >>> plan = Resampling({"repay": 1 / 9, "default": 1.0}, {"repay": 0.9, "default": 0.1})
        >>> both = plan.with_weights({"repay": 0.5, "default": 0.5}).trained_prior
        >>> {name: round(share, 6) for name, share in both.items()}
        {'repay': 0.1, 'default': 0.9}
        """
        return self._resampled(self.prior if self.weighted is None else self.weighted)

    def _resampled(self, shares: Mapping[str, float]) -> dict[str, float]:
        kept = {name: share * self.rates[name] for name, share in shares.items()}
        return {name: share / sum(kept.values()) for name, share in kept.items()}

    def sentence(self, scheme: str) -> str:
        """Return a sentence about the class shares of training with resampling and weights."""
        trained = self.trained_prior
        most, least = (pick(trained, key=trained.__getitem__) for pick in (max, min))
        return (
            f"resample and weights.scheme {scheme} both act: resampling brings the rows to "
            f"{_in_words(self.sampled_prior)}, and with weights training sees "
            f"{_in_words(trained)}, a ratio of {trained[most] / trained[least]:.3g} of '{most}' to "
            f"1 of '{least}'. The ledger inverts both; use one alone to train at its ratio."
        )

    def rule(self) -> WeightRule:
        """Return the rates as the weights that they amount to, for the ledger."""
        return WeightRule.fixed("resampled", self.rates)

    def to_dict(self) -> dict[str, object]:
        """Return the record, ready for JSON."""
        return {
            "rates": dict(self.rates),
            "prior": dict(self.prior),
            "sampled_prior": self.sampled_prior,
            "trained_prior": self.trained_prior,
        }


def _in_words(shares: Mapping[str, float]) -> str:
    return join_names(f"{name} {100 * share:.3g} %" for name, share in shares.items())


def resampling(
    frequencies: Sequence[ClassFrequency], *, method: str, ratio: float = 1.0
) -> Resampling:
    """Return the rates that bring every class to at least ``ratio`` times the largest.

    Parameters
    ----------
    frequencies
        One entry per class, in index order, each with at least one row.
    method
        ``under``: larger classes lose rows until none exceeds the smallest / ratio. ``over``:
        smaller classes are repeated until none is below ratio x the largest.
    ratio
        Rows of the smallest class over rows of the largest, in (0, 1]; classes that meet it
        already are left alone.

    Raises
    ------
    ConfigError
        If the method is unknown or the ratio out of range.
    InputError
        If a class has no rows.

    Examples
    --------
    >>> from sparkweights.weights.class_frequencies import ClassFrequency
    >>> rows = [ClassFrequency("repay", 900, 900, 900), ClassFrequency("default", 100, 100, 100)]
    >>> dict(resampling(rows, method="under", ratio=0.5).rates)
    {'repay': 0.2222222222222222, 'default': 1.0}
    """
    if method not in (UNDER, OVER):
        raise ConfigError(f"resample.method: {method!r}; allowed: {UNDER}, {OVER}.")
    if not 0 < ratio <= 1:
        raise ConfigError(
            f"resample.ratio: {ratio}; allowed: a number in (0, 1], the smallest class over the "
            "largest."
        )
    counts = {frequency.name: frequency.weight_sum for frequency in frequencies}
    if min(counts.values()) <= 0:
        empty = [name for name, count in counts.items() if count <= 0]
        raise InputError(
            f"No rows of class {', '.join(empty)}; resampling needs at least one of each.",
            hint="check the values under columns.classes.",
        )
    if method == UNDER:
        most = min(counts.values()) / ratio
        rates = {name: min(1.0, most / count) for name, count in counts.items()}
    else:
        least = max(counts.values()) * ratio
        rates = {name: max(1.0, least / count) for name, count in counts.items()}
    total = sum(counts.values())
    return Resampling(rates, {name: count / total for name, count in counts.items()})


def resample(
    df: DataFrame, roles: ColumnRoles, plan: Resampling, *, seed: int, weight_col: str
) -> DataFrame:
    """Keep and repeat rows by a hash of their keys and the seed, without another pass.

    The same rows are chosen on retry and under any partitioning. Which rows is independent of
    the split by hash.

    Parameters
    ----------
    weight_col
        Column to add: the correction weight 1 / rate of the row's class.

    Raises
    ------
    InputError
        If a key or the label is missing, or ``weight_col`` exists.
    """
    require_columns(df.schema, roles.keys, table="input of resample")
    require_label(df.schema, roles, table="input of resample")
    if weight_col.casefold() in {name.casefold() for name in df.columns}:
        raise InputError(
            f"resample would add column '{weight_col}', which its input has already.",
            hint="choose another name.",
        )
    marked_df = df.withColumns({
        weight_col: 1 / _rate(roles, plan),
        _COPIES: copies(roles, plan, seed=seed),
    })  # fmt: skip
    return repeat_rows(marked_df, _COPIES)


def copies(roles: ColumnRoles, plan: Resampling, *, seed: int) -> Column:
    """Return how often a row is kept: floor(rate), and once more by its hash."""
    rate = _rate(roles, plan)
    extra = uniform(roles.keys, seed, Stream.RESAMPLING) < rate - F.floor(rate)
    return (F.floor(rate) + extra.cast("int")).cast("int")


def repeat_rows(df: DataFrame, copies_col: str) -> DataFrame:
    """Drop rows of 0 copies, repeat the others, and drop the column."""
    # An array of length 0 gives no row, so one explode drops and repeats rows.
    repeated = F.explode(F.array_repeat(F.lit(0), F.col(copies_col)))
    return df.withColumn("__copy", repeated).drop("__copy", copies_col)


def _rate(roles: ColumnRoles, plan: Resampling) -> Column:
    rate = F.lit(None).cast("double")
    for c, name in enumerate(roles.class_names):
        rate = F.when(class_index(roles) == c, F.lit(float(plan.rates[name]))).otherwise(rate)
    return rate
