"""Fairness of decisions: how acceptance, and its errors, differ between groups of rows.

A row is accepted where it gets the favourable decision. A class whose least-cost decision this is
is positive, so the true positive rate is the share accepted of positive rows, and the false
positive rate the share accepted of the others. Point values are those of fairlearn
(``selection_rate``, ``demographic_parity_ratio``, ``equalized_odds_difference``).

This module is arithmetic on counts by group, decision and outcome. Intervals are percentiles of a
bootstrap of these counts: a count of n rows is drawn as Gamma(n + 1/2), so that a share is drawn
from Beta(k + 1/2, n - k + 1/2). That is the Bayesian bootstrap (Rubin 1981) with Jeffreys' prior,
whose intervals keep their level also where a share is near 0 or 1 (Brown, Cai & DasGupta 2001,
sec. 3.1), where drawing rows with replacement gives intervals of width 0. Rows that depend on each
other, such as those of one customer, make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import comb, erfc, isnan, sqrt
from typing import NamedTuple

import numpy as np

from sparkweights.evaluation.intervals import percentile_interval

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ACCEPTANCE, TRUE_POSITIVE, FALSE_POSITIVE = (
    "acceptance", "true_positive_rate", "false_positive_rate",
)  # fmt: skip
RATES = (ACCEPTANCE, TRUE_POSITIVE, FALSE_POSITIVE)
NEGATIVE, POSITIVE, UNKNOWN = range(3)  # outcomes: whether least cost is favourable
DRAWS = 2_000
MIN_OUTCOMES = 10  # effective rows of an outcome; with fewer, a rate is not measured
SIGNIFICANCE = 0.05
MIN_NAMED = 10  # rows of a group whose value is stated; that of fewer rows would tell of persons
OTHERS = "others"  # all groups of fewer rows together


@dataclass(frozen=True)
class Cells:
    """One group's rows, by decision and outcome.

    Attributes
    ----------
    rows, weight, square
        ``[decision, outcome]``: rows, and the sums of their sample weights and of the weights'
        squares. Decision 1 is the favourable one; outcomes are `NEGATIVE`, `POSITIVE` and
        `UNKNOWN`.
    """

    rows: Array
    weight: Array
    square: Array

    @classmethod
    def empty(cls) -> Cells:
        """Return a group without rows."""
        return cls(*np.zeros((3, 2, 3)))

    def __add__(self, other: Cells) -> Cells:
        return Cells(self.rows + other.rows, self.weight + other.weight, self.square + other.square)

    def share(self, rate: str) -> Share:
        """Return a rate of the group."""
        outcomes = {TRUE_POSITIVE: [POSITIVE], FALSE_POSITIVE: [NEGATIVE]}.get(rate, [0, 1, 2])
        weight, square = (sums[:, outcomes].sum(axis=1) for sums in (self.weight, self.square))
        return Share(weight, square)


@dataclass(frozen=True)
class Share:
    """A share of accepted rows.

    Attributes
    ----------
    weight, square
        ``[decision]``: sums of sample weights and of their squares.
    """

    weight: Array
    square: Array

    @property
    def value(self) -> float:
        """The share; NaN without rows."""
        total = float(self.weight.sum())
        return float(self.weight[1]) / total if total else float("nan")

    @property
    def effective(self) -> float:
        """The effective number of rows, (sum w)^2 / sum w^2 (Kish 1965)."""
        total = float(self.square.sum())
        return float(self.weight.sum()) ** 2 / total if total else 0.0

    def draws(self, generator: np.random.Generator) -> Array:
        """Return `DRAWS` bootstrap replicates of the share.

        The weight W of a decision is Gamma(n + 1/2) times the weight per effective row,
        n = W^2 / sum w^2: its mean and its variance are those of drawing rows with their weights.
        """
        overall = self.square.sum() / self.weight.sum()
        used = self.weight > 0
        per_row = np.where(used, self.square / np.where(used, self.weight, 1), overall)
        gammas = generator.gamma(self.weight / per_row + 0.5, size=(DRAWS, 2)) * per_row
        return np.asarray(gammas[:, 1] / gammas.sum(axis=1))


class Measure(NamedTuple):
    """A value and its 95 % interval; NaN where there are too few rows."""

    value: float
    low: float
    high: float


UNMEASURED = Measure(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class GroupFairness:
    """One group beside the reference group.

    Attributes
    ----------
    group
        The value, or the range of values.
    rows, weight
        Its rows and the sum of their sample weights.
    rates
        Rate (`RATES`) -> its value in the group, from 0 to 1.
    ratio
        The group's acceptance over that of the reference: the adverse-impact ratio.
    differences
        Rate -> the group's minus that of the reference, from -1 to 1.
    """

    group: str
    rows: int
    weight: float
    rates: Mapping[str, Measure]
    ratio: Measure
    differences: Mapping[str, Measure]


@dataclass(frozen=True)
class Gap:
    """The two groups between which a rate differs most.

    Attributes
    ----------
    low, high
        The groups.
    difference
        The rate of ``high`` minus that of ``low``; its interval is that of these two groups.
    ratio
        The rate of ``low`` over that of ``high``.
    p_value
        Of a score test that both rates are equal, times the number of pairs of groups
        (Bonferroni), because the pair of largest difference was chosen.
    """

    low: str
    high: str
    difference: Measure
    ratio: Measure
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True)
class ColumnFairness:
    """The differences of decisions between the groups of a column.

    Attributes
    ----------
    column
        Its name.
    reference
        The group that others are compared with: the stated group, or the group of the highest
        acceptance rate; None where no group has enough rows.
    groups
        Those of enough rows.
    small
        Group -> rows, of groups with too few rows to be measured; those of fewer than `MIN_NAMED`
        rows together, as `OTHERS`.
    gaps
        Rate -> the largest difference of it; of acceptance to the reference where one was stated.
        Only rates that two groups have.
    """

    column: str
    reference: str | None
    groups: tuple[GroupFairness, ...]
    small: Mapping[str, int]
    gaps: Mapping[str, Gap]

    @property
    def equalized_odds_difference(self) -> float:
        """The larger of the differences in true and in false positive rates (Hardt et al. 2016)."""
        differences = [self.gaps[rate].difference.value for rate in RATES[1:] if rate in self.gaps]
        return max(differences, default=float("nan"))

    def to_dict(self) -> dict[str, object]:
        """Return the record, ready for JSON."""
        return {
            "column": self.column,
            "reference": self.reference,
            "groups": [_plain(asdict(group)) for group in self.groups],
            "small": dict(self.small),
            "gaps": {rate: _plain(asdict(gap)) for rate, gap in self.gaps.items()},
            "equalized_odds_difference": self.equalized_odds_difference,
        }


def _plain(record: object) -> object:
    """Return measures as mappings."""
    if isinstance(record, Measure):
        return record._asdict()
    if isinstance(record, dict):
        return {name: _plain(value) for name, value in record.items()}
    return record


def measure_column(
    column: str,
    cells: Mapping[str, Cells],
    *,
    min_rows: int,
    reference: str | None = None,
    seed: int = 0,
) -> ColumnFairness:
    """Compare the groups of a column.

    Parameters
    ----------
    cells
        Group -> its rows.
    min_rows
        A group of fewer rows is listed in ``small`` and not measured.
    reference
        The group that others are compared with; the group of the highest acceptance rate if None.

    Examples
    --------
    >>> rows = {"a": [[20, 0, 0], [0, 80, 0]], "b": [[40, 20, 0], [0, 40, 0]]}
    >>> cells = {name: Cells(*[np.array(sums, dtype=float)] * 3) for name, sums in rows.items()}
    >>> fairness = measure_column("sex", cells, min_rows=50)
    >>> fairness.reference, fairness.gaps["acceptance"].ratio.value
    ('a', 0.5)
    """
    rows_of = {group: round(group_cells.rows.sum()) for group, group_cells in cells.items()}
    kept = {
        group: group_cells
        for group, group_cells in cells.items()
        if rows_of[group] >= min_rows and group_cells.weight.sum() > 0
    }
    small = _pool_rare({group: rows for group, rows in rows_of.items() if group not in kept})
    if not kept:
        return ColumnFairness(column, None, (), small, {})
    chosen = (
        reference
        if reference is not None and reference in kept
        else max(kept, key=lambda group: kept[group].share(ACCEPTANCE).value)
    )
    stated = chosen == reference
    samples = {
        group: _samples(group_cells, seed + i)
        for i, (group, group_cells) in enumerate(kept.items())
    }
    groups = tuple(
        GroupFairness(
            group,
            rows_of[group],
            float(group_cells.weight.sum()),
            {rate: _measure(group_cells.share(rate).value, samples[group][rate]) for rate in RATES},
            _compare(kept, samples, (group, chosen), ACCEPTANCE, ratio=True),
            {rate: _compare(kept, samples, (group, chosen), rate) for rate in RATES},
        )
        for group, group_cells in kept.items()
    )
    gaps = {rate: _gap(kept, samples, rate, chosen if stated else None) for rate in RATES}
    return ColumnFairness(
        column, chosen, groups, small, {rate: gap for rate, gap in gaps.items() if gap is not None}
    )


def _pool_rare(rows_of: Mapping[str, int]) -> dict[str, int]:
    named = {group: rows for group, rows in rows_of.items() if rows >= MIN_NAMED}
    others = sum(rows for rows in rows_of.values() if rows < MIN_NAMED)
    return {**named, OTHERS: named.get(OTHERS, 0) + others} if others else named


_Samples = Mapping[str, Mapping[str, Array]]


def _samples(cells: Cells, seed: int) -> dict[str, Array]:
    """Return draws of each rate of a group; NaN where an outcome has too few rows."""
    generator = np.random.default_rng(seed)
    shares = {rate: cells.share(rate) for rate in RATES}
    return {
        rate: share.draws(generator)
        if share.effective >= MIN_OUTCOMES or (rate == ACCEPTANCE and share.effective)
        else np.full(DRAWS, np.nan)
        for rate, share in shares.items()
    }


def _measure(value: float, draws: Array) -> Measure:
    """Return a value with the interval of its draws, which holds the value."""
    low, high = percentile_interval(draws)
    if isnan(low) or isnan(value):
        return UNMEASURED
    return Measure(value, min(low, value), max(high, value))


def _compare(
    kept: Mapping[str, Cells],
    samples: _Samples,
    pair: tuple[str, str],
    rate: str,
    *,
    ratio: bool = False,
) -> Measure:
    """Return a group's rate minus, or over, that of another."""
    group_rate, reference_rate = (kept[group].share(rate).value for group in pair)
    ones, others = (samples[group][rate] for group in pair)
    if pair[0] == pair[1]:
        return Measure(*(1.0 if ratio else 0.0,) * 3) if not isnan(ones[0]) else UNMEASURED
    if not ratio:
        return _measure(group_rate - reference_rate, ones - others)
    return _measure(group_rate / reference_rate if reference_rate else float("nan"), ones / others)


def _gap(
    kept: Mapping[str, Cells], samples: _Samples, rate: str, reference: str | None
) -> Gap | None:
    values = {
        group: cells.share(rate).value
        for group, cells in kept.items()
        if not isnan(samples[group][rate][0])
    }
    if len(values) < 2:  # a difference is between two
        return None
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    pairs = comb(len(values), 2)
    if rate == ACCEPTANCE and reference is not None:
        high, pairs = reference, len(values) - 1
    p_value = equality_p_value(kept[low].share(rate), kept[high].share(rate))
    return Gap(
        low,
        high,
        _compare(kept, samples, (high, low), rate),
        _compare(kept, samples, (low, high), rate, ratio=True),
        min(p_value * pairs, 1.0),
    )


def equality_p_value(first: Share, second: Share) -> float:
    """Return the two-sided p-value of the score test that two shares are equal.

    z = (p - q) / sqrt(r (1 - r) (1/n + 1/m)) with the pooled share r (Fleiss, Levin & Paik 2003,
    eq. 3.5, without the continuity correction); n and m are effective rows.
    """
    n, m = first.effective, second.effective
    pooled = (n * first.value + m * second.value) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    if variance <= 0:  # nobody, or everybody, in both
        return 1.0
    return erfc(abs(first.value - second.value) / sqrt(2 * variance))


def unfair_differences(
    fairness: ColumnFairness, favourable: str, *, ratio: float, difference: float
) -> list[str]:
    """Return a sentence per limit that a significant difference between groups exceeds.

    Parameters
    ----------
    ratio
        Least ratio of acceptance; .8 is the four-fifths rule (29 CFR 1607.4 D), which asks for a
        significant difference as well.
    difference
        Largest difference of the true and of the false positive rates.
    """
    sentences = []
    for rate, gap in fairness.gaps.items():
        low, high = f"{fairness.column} {gap.low}", f"{fairness.column} {gap.high}"
        if not gap.is_significant:
            continue
        if rate == ACCEPTANCE and gap.ratio.value < ratio:
            sentences.append(
                f"{low} gets {favourable} at {gap.ratio.value:.2f} times the rate of {high} "
                f"(95 % interval {gap.ratio.low:.2f} to {gap.ratio.high:.2f}); the limit is "
                f"{ratio:g}"
            )
        if rate != ACCEPTANCE and gap.difference.value > difference:
            sentences.append(
                f"the {rate.replace('_', ' ')} of {high} exceeds that of {low} by "
                f"{gap.difference.value:.3f} (95 % interval {gap.difference.low:.3f} to "
                f"{gap.difference.high:.3f}); the limit is {difference:g}"
            )
    return sentences
