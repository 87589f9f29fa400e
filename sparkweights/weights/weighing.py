"""From a summary of the labelled table to the rule that weighs every row."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparkweights.costs.language import Number, Operation
from sparkweights.errors import InputError, listed
from sparkweights.weights.diagnostics import WeightDiagnostics, WeightSums, diagnose
from sparkweights.weights.rule import GroupFactors, WeightRule
from sparkweights.weights.schemes import (
    COST_FLOOR,
    ClassFrequency,
    WeightSpec,
    bounded_scale,
    bounded_weights,
    raw_weights,
    regret_cells,
    require_every_class,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.weights.schemes import Array
    from sparkweights.weights.summary import Cell, ClassSummary


@dataclass(frozen=True)
class Weighting:
    """How rows are weighed, the class frequencies that it was made from, and its effect.

    Attributes
    ----------
    rule
        The weight of a row in training.
    undoing
        What to divide by afterwards: the rule, without its windows. A model is not told which
        window a row is from, so what it learns carries each class's mean factor over the windows;
        and of the window that rows to score are from, no outcome is known.
    """

    rule: WeightRule
    undoing: WeightRule
    frequencies: tuple[ClassFrequency, ...]
    diagnostics: WeightDiagnostics

    @property
    def prior(self) -> dict[str, float]:
        """The natural share of each class."""
        shares = self.diagnostics.share_before
        return {f.name: share for f, share in zip(self.frequencies, shares, strict=True)}


def weigh_classes(matrix: CostMatrix, summary: ClassSummary, spec: WeightSpec) -> Weighting:
    """Choose the weights of a scheme; arithmetic on the summary, no pass over the rows.

    Where a bound binds on per-row weights, their mean is 1 up to the part of one bin of regrets
    (2 % wide) that the bound cuts; the bounds themselves are exact.

    Raises
    ------
    InputError
        If a class has no rows, weights underflow, or the cost scheme would need a negative one.
    ConfigError
        If a manual weight is missing, unknown, or not a finite number > 0.
    """
    require_every_class(summary.frequencies)
    if spec.per_row:
        _refuse_changing_regret(summary)
        return _weigh_by_cost(matrix, summary, spec)
    if spec.grouping:
        return _weigh_by_group(summary, spec)
    return weigh_frequencies(summary.frequencies, spec)


class ClassSums(NamedTuple):
    """Rows and sample weights, one entry per class in index order."""

    rows: Array
    weight: Array
    weight_square: Array


def weigh_frequencies(frequencies: Sequence[ClassFrequency], spec: WeightSpec) -> Weighting:
    """Choose weights that depend on the class alone.

    Parameters
    ----------
    frequencies
        One entry per class, in index order.
    """
    require_every_class(frequencies)
    names = [frequency.name for frequency in frequencies]
    numbers = [(f.rows, f.weight_sum, f.weight_square_sum) for f in frequencies]
    values, diagnostics = weigh_sums(names, ClassSums(*np.array(numbers, dtype=float).T), spec)
    rule = WeightRule.fixed(spec.scheme, dict(zip(names, values.tolist(), strict=True)))
    return Weighting(rule, rule, tuple(frequencies), diagnostics)


def weigh_sums(
    names: Sequence[str], sums: ClassSums, spec: WeightSpec
) -> tuple[Array, WeightDiagnostics]:
    """Choose weights for any number of classes at once; see `weigh_frequencies`.

    Returns
    -------
    tuple
        The weight of each class, and what the weights do.
    """
    raw = raw_weights(spec, names, sums.weight)
    values = bounded_weights(raw, sums.weight, spec.floor, spec.cap)
    diagnostics = diagnose(int(sums.rows.sum()), sums.weight, _fixed_sums(values, sums))
    return values, diagnostics


def _fixed_sums(values: Array, of: ClassSums) -> WeightSums:
    square = values * values
    return WeightSums(
        values * of.weight, square * of.weight_square, square * of.weight, values, values
    )


def _weigh_by_group(summary: ClassSummary, spec: WeightSpec) -> Weighting:
    pooled = weigh_frequencies(summary.frequencies, spec).rule.constants or ()
    factors = {}
    sums: dict[int, list[Sequence[float]]] = defaultdict(list)
    for group, cells in _by_group(summary.cells).items():
        present = [cell.class_index for cell in cells]
        own = np.array([pooled[c] for c in present])
        if len(present) == len(pooled):  # a group that lacks a class says nothing about ratios
            shares = [cell.weight for cell in cells]
            names = [summary.frequencies[c].name for c in present]
            own = bounded_weights(raw_weights(spec, names, shares), shares, spec.floor, spec.cap)
            factors[group] = tuple(own.tolist())
        numbers = np.array([(cell.rows, cell.weight, cell.weight_square) for cell in cells]).T
        fixed = _fixed_sums(own, ClassSums(*numbers))
        for c, *row in zip(present, *fixed, strict=True):
            sums[c].append(row)
    names = [frequency.name for frequency in summary.frequencies]
    rule = WeightRule(
        spec.scheme,
        tuple(names),
        tuple(Number(1.0) for _ in names),
        groups=GroupFactors(spec.grouping, factors, tuple(pooled)),
    )
    diagnosed = _diagnosed(summary.frequencies, sums)
    return Weighting(rule, _undoing(rule, summary.cells), summary.frequencies, diagnosed)


def _undoing(rule: WeightRule, cells: Sequence[Cell]) -> WeightRule:
    groups = rule.groups
    if groups is None or groups.grouping.time is None:
        return rule
    # [mean factor times weight, weight] per class
    sums: dict[str, Array] = defaultdict(lambda: np.zeros((2, len(rule.classes))))
    for cell in cells:
        factor = groups.factors.get(cell.group or "", groups.otherwise)[cell.class_index]
        sums[_without_window(cell.group or "")][:, cell.class_index] += (
            factor * cell.weight,
            cell.weight,
        )
    factors = {
        key: tuple((own[0] / own[1]).tolist()) for key, own in sums.items() if (own[1] > 0).all()
    }
    grouping = replace(groups.grouping, time=None, window=None)
    return replace(rule, groups=GroupFactors(grouping, factors, groups.otherwise))


def _without_window(group: str) -> str:
    """Return the key of a group without its last part, as Spark writes it."""
    return json.dumps(json.loads(group)[:-1], separators=(",", ":"), ensure_ascii=False)


def _by_group(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = defaultdict(list)
    # A shuffle brings them in any order; weights are read by the place of their class.
    for cell in sorted(cells, key=lambda cell: (cell.class_index, cell.smallest)):
        if cell.weight > 0:
            groups[cell.group or ""].append(cell)
    return dict(sorted(groups.items()))


def _weigh_by_cost(matrix: CostMatrix, summary: ClassSummary, spec: WeightSpec) -> Weighting:
    if sum(cell.regret for cell in summary.cells) <= 0:
        raise InputError(
            "Every decision costs the same on every row, so all cost weights are 0.",
            hint="give the wrong decisions a cost, or use weights.scheme balanced.",
        )
    spec = replace(spec, floor=max(spec.floor, COST_FLOOR))
    names = matrix.classes
    shares = [frequency.weight_sum for frequency in summary.frequencies]
    pooled = tuple(raw_weights(spec, names, shares).tolist())
    scale = _scale(summary.cells, pooled, spec)
    otherwise = tuple(scale * value for value in pooled)
    regrets = regret_cells(matrix)
    if spec.grouping:
        factors = {
            group: _group_factors(cells, names, spec)
            for group, cells in _by_group(summary.cells).items()
            if _tells_ratios(cells, names)
        }
        groups = GroupFactors(spec.grouping, factors, otherwise)
        rule = WeightRule(spec.scheme, names, regrets, 1.0, spec.floor, spec.cap, groups)
    else:
        if spec.scheme == "cost_balanced":
            pairs = zip(pooled, regrets, strict=True)
            regrets = tuple(Operation("*", Number(factor), regret) for factor, regret in pairs)
        rule = WeightRule(spec.scheme, names, regrets, scale, spec.floor, spec.cap)
        factors = {}
    sums: dict[int, list[Sequence[float]]] = defaultdict(list)
    for cell in summary.cells:
        factor = factors.get(cell.group or "", otherwise)[cell.class_index]
        sums[cell.class_index].append(_cell_sums(cell, factor, spec))
    diagnosed = _diagnosed(summary.frequencies, sums)
    return Weighting(rule, _undoing(rule, summary.cells), summary.frequencies, diagnosed)


def _tells_ratios(cells: Sequence[Cell], names: Sequence[str]) -> bool:
    """Whether a group holds every class, and a regret; others have the factors of all rows."""
    present = {cell.class_index for cell in cells}
    return len(present) == len(names) and sum(cell.regret for cell in cells) > 0


def _group_factors(
    cells: Sequence[Cell], names: Sequence[str], spec: WeightSpec
) -> tuple[float, ...]:
    """Return the group's factor per class."""
    shares: dict[int, float] = defaultdict(float)
    for cell in cells:
        shares[cell.class_index] += cell.weight
    own = raw_weights(spec, [names[c] for c in shares], list(shares.values()))
    factors = [0.0] * len(names)
    for c, value in zip(shares, own.tolist(), strict=True):
        factors[c] = value
    scale = _scale(cells, factors, spec)
    return tuple(scale * factor for factor in factors)


def _scale(cells: Sequence[Cell], factors: Sequence[float], spec: WeightSpec) -> float:
    """Return the scale that brings the bounded weights of these rows to a mean of 1."""
    # A class that is never regretted weighs the floor, whatever the scale: a tiny regret stands
    # for none.
    means = [factors[cell.class_index] * cell.regret / cell.weight for cell in cells if cell.weight]
    tiny = max(means) * 1e-12
    shares = [cell.weight for cell in cells if cell.weight]
    return bounded_scale([max(mean, tiny) for mean in means], shares, spec.floor, spec.cap)


def _cell_sums(cell: Cell, factor: float, spec: WeightSpec) -> Sequence[float]:
    """Return one cell's row of `WeightSums`."""
    bounds = [
        min(max(factor * regret, spec.floor), spec.cap) for regret in (cell.smallest, cell.largest)
    ]
    mean = factor * cell.regret / cell.weight if cell.weight else 0.0
    if spec.floor <= mean <= spec.cap:
        square = factor * factor
        weight, weight_square = factor * cell.regret, square * cell.regret_square
        return (weight, weight_square, square * cell.regret_moment, *bounds)
    held = min(max(mean, spec.floor), spec.cap)
    return (held * cell.weight, held**2 * cell.weight_square, held**2 * cell.weight, *bounds)


def _diagnosed(
    frequencies: Sequence[ClassFrequency], by_class: Mapping[int, Sequence[Sequence[float]]]
) -> WeightDiagnostics:
    """Diagnose weights from rows of `WeightSums`, several per class."""
    merged = []
    for c in range(len(frequencies)):
        parts = np.array(by_class[c], dtype=float)
        ends = (parts[:, 3].min(), parts[:, 4].max())
        merged.append([*parts[:, :3].sum(axis=0), *ends])
    before = np.array([frequency.weight_sum for frequency in frequencies], dtype=float)
    rows = sum(frequency.rows for frequency in frequencies)
    return diagnose(rows, before, WeightSums(*np.array(merged).T))


def _refuse_changing_regret(summary: ClassSummary) -> None:
    for name, cheapest in summary.cheapest.items():
        rows = {decision: count for decision, count in cheapest.items() if count}
        if len(cheapest) == 2 and len(rows) > 1:  # noqa: PLR2004 (the mean over more is >= 0)
            raise InputError(
                f"The regret of class '{name}' is negative on some rows: the cheapest decision is "
                f"{listed(f'{d} on {n} rows' for d, n in rows.items())}. A weight cannot be "
                "negative, so weights.scheme cost is not defined here.",
                hint="use weights.scheme balanced or none (the decision still uses your costs), "
                "or bound the cost with max(...).",
            )
