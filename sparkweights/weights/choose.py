"""From a summary of the labelled table to the rule for the weight of each row."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import InputError, join_names
from sparkweights.costs.expression import Number
from sparkweights.weights.class_frequencies import ClassFrequencies, ClassFrequency
from sparkweights.weights.diagnostics import WeightDiagnostics, WeightSums, diagnose
from sparkweights.weights.rule import GroupFactors, WeightRule
from sparkweights.weights.schemes import (
    COST_FLOOR,
    bounded_scale,
    bounded_weights,
    raw_weights,
    regret_cells,
    require_every_class,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.weights.frequencies import Cell, ClassSummary
    from sparkweights.weights.schemes import Array
    from sparkweights.weights.spec import WeightSpec


@dataclass(frozen=True)
class Weighting:
    """The weights of rows, the class frequencies that they follow from, and their effect.

    Attributes
    ----------
    rule
        The weight of a row in training.
    inverse_rule
        The rule to invert after training: ``rule`` without its windows. The window of a row is not
        a feature, so the model learns each class's mean factor over the windows; and the window
        of the rows to score has no known outcomes.
    """

    rule: WeightRule
    inverse_rule: WeightRule
    frequencies: tuple[ClassFrequency, ...]
    diagnostics: WeightDiagnostics

    @property
    def prior(self) -> dict[str, float]:
        """The natural share of each class."""
        shares = self.diagnostics.share_before
        return {f.name: share for f, share in zip(self.frequencies, shares, strict=True)}

    @property
    def trained_shares(self) -> dict[str, float]:
        """The share of the training weight that each class carries."""
        shares = self.diagnostics.share_after
        return {f.name: share for f, share in zip(self.frequencies, shares, strict=True)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about few effective rows, and about a share that the bounds reduce."""
        names = [frequency.name for frequency in self.frequencies]
        sentences = (self.diagnostics.warning, self.diagnostics.shortfall(names, self.rule.scheme))
        return tuple(sentence for sentence in sentences if sentence is not None)


def weigh_classes(matrix: CostMatrix, summary: ClassSummary, spec: WeightSpec) -> Weighting:
    """Choose the weights of a scheme; arithmetic on the summary, no pass over the rows.

    Weights depend on the class, and on the group of the row where ``spec.grouping`` says so; those
    of scheme ``cost_by_row`` on the row's own costs. Where a bound binds on the latter, their mean
    is 1 up to the part of one bin of regrets (2 % wide) that contains the bound; the bounds
    themselves are exact.

    Raises
    ------
    InputError
        If a class has no rows, weights underflow, or a cost scheme would need a negative one.
    ConfigError
        If a manual weight is missing, unknown, or not a finite number > 0.
    """
    require_every_class(summary.frequencies)
    if spec.by_cost:
        spec = replace(spec, floor=max(spec.floor, COST_FLOOR))
    if spec.per_row:
        _refuse_changing_regret(summary)
        return _weigh_by_row(matrix, summary, spec)
    regrets: tuple[float, ...] = ()
    if spec.by_cost:
        _require_regrets(matrix, summary, spec)
        regrets = mean_regrets(summary)
    if spec.grouping:
        return _weigh_by_group(summary, spec, regrets)
    return weigh_frequencies(summary.frequencies, spec, regrets)


def weigh_frequencies(
    frequencies: Sequence[ClassFrequency], spec: WeightSpec, regrets: Sequence[float] = ()
) -> Weighting:
    """Choose weights that depend on the class alone.

    Parameters
    ----------
    frequencies
        One entry per class, in index order.
    regrets
        The mean regret of each class, for schemes ``cost`` and ``cost_balanced``.
    """
    require_every_class(frequencies)
    sums = ClassFrequencies.of_classes(frequencies)
    values, diagnostics = weigh_sums(sums, spec, regrets)
    rule = WeightRule.fixed(spec.scheme, dict(zip(sums.names, values.tolist(), strict=True)))
    return Weighting(rule, rule, tuple(frequencies), diagnostics)


def weigh_sums(
    sums: ClassFrequencies, spec: WeightSpec, regrets: Sequence[float] = ()
) -> tuple[Array, WeightDiagnostics]:
    """Choose weights for any number of classes at once; see `weigh_frequencies`.

    Returns
    -------
    tuple
        The weight of each class, and the diagnostics of the weights.
    """
    raw = raw_weights(spec, sums.names, sums.weight, regrets)
    values = bounded_weights(raw, sums.weight, spec.floor, spec.cap)
    aims = _mean_one(raw, sums.weight) * sums.weight
    diagnostics = diagnose(int(sums.rows.sum()), sums.weight, _fixed_sums(values, sums), aims)
    return values, diagnostics


def _fixed_sums(values: Array, of: ClassFrequencies) -> WeightSums:
    square = values * values
    return WeightSums(
        values * of.weight, square * of.weight_square, square * of.weight, values, values
    )


def _weigh_by_group(summary: ClassSummary, spec: WeightSpec, regrets: Sequence[float]) -> Weighting:
    names = [frequency.name for frequency in summary.frequencies]
    shares = [frequency.weight_sum for frequency in summary.frequencies]
    pooled = weigh_frequencies(summary.frequencies, spec, regrets).rule.constants or ()
    unbounded = _mean_one(raw_weights(spec, names, shares, regrets), shares)
    best_decisions = _least_cost_decisions(summary) if regrets else []
    factors = {}
    aims = np.zeros(len(names))
    sums: dict[int, list[Sequence[float]]] = defaultdict(list)
    for group, cells in _by_group(summary.cells).items():
        present = [cell.class_index for cell in cells]
        weights = np.array([cell.weight for cell in cells])
        factors_present, aimed = np.array([pooled[c] for c in present]), unbounded[present]
        of_group = _regrets(cells, best_decisions)
        if len(present) == len(names) and _same_classes(of_group, regrets):
            raw = raw_weights(spec, names, weights, of_group)
            factors_present = bounded_weights(raw, weights, spec.floor, spec.cap)
            aimed = _mean_one(raw, weights)
            factors[group] = tuple(factors_present.tolist())
        aims[present] += aimed * weights
        numbers = np.array([(cell.rows, cell.weight, cell.weight_square) for cell in cells]).T
        fixed = _fixed_sums(
            factors_present, ClassFrequencies.of([names[c] for c in present], *numbers)
        )
        for c, *row in zip(present, *fixed, strict=True):
            sums[c].append(row)
    rule = WeightRule(
        spec.scheme,
        tuple(names),
        tuple(Number(1.0) for _ in names),
        groups=GroupFactors(spec.grouping, factors, tuple(pooled)),
    )
    diagnostics = _diagnose_cells(summary.frequencies, sums, aims)
    return Weighting(rule, _inverse_rule(rule, summary.cells), summary.frequencies, diagnostics)


def _mean_one(raw: Array, shares: Sequence[float] | Array) -> Array:
    """Scale weights to mean 1, without bounds."""
    mass = np.asarray(shares, dtype=np.float64)
    return np.asarray(raw * (mass.sum() / (raw * mass).sum()))


def _same_classes(of_group: Sequence[float], regrets: Sequence[float]) -> bool:
    """Whether the classes that have a regret in a group are those that have one in the table.

    Other groups, and groups that lack a class, do not determine ratios; they have the factors of
    all rows.
    """
    pairs = zip(of_group, regrets, strict=True)
    return all(
        group_regret > 0 if table_regret > 0 else group_regret == 0
        for group_regret, table_regret in pairs
    )


def mean_regrets(summary: ClassSummary) -> tuple[float, ...]:
    """Return the mean regret of a wrong decision per class, in the table's currency per row.

    With M[d][c] the mean of C[d][c](x) over the rows of class c, by their sample weight, and r_c
    the decision of least cost on most rows of the class, the regret of class c is the mean over the
    other decisions d of ``M[d][c] - M[r_c][c]``. Rows whose amounts make another decision cheaper
    enter with a negative difference.

    Parameters
    ----------
    summary
        Of a table with rows of every class.

    Returns
    -------
    tuple of float
        One number per class; below 0 where the least-cost decision on most rows is not the
        least-cost decision on average.

    Examples
    --------
    Two rows of class bad, of amounts 100 and 300, that cost their amount if approved; declining
    one of the five good rows costs 10.

    >>> from sparkweights.weights.frequencies import Cell, ClassSummary
    >>> frequencies = (ClassFrequency("good", 5, 5, 5), ClassFrequency("bad", 2, 2, 2))
    >>> good = Cell(None, 0, 5, 5, 5, costs=(0, 50), cheapest=(5, 0))
    >>> bad = Cell(None, 1, 2, 2, 2, costs=(400, 0), cheapest=(0, 2))
    >>> mean_regrets(ClassSummary(frequencies, (good, bad)))
    (10.0, 200.0)
    """
    return _regrets(summary.cells, _least_cost_decisions(summary))


def _regrets(cells: Sequence[Cell], best_decisions: Sequence[int]) -> tuple[float, ...]:
    """Return the mean regret per class over these rows; 0 for a class that they lack."""
    regrets = []
    for c, decision in enumerate(best_decisions):
        class_cells = [cell for cell in cells if cell.class_index == c and cell.weight]
        if not class_cells:
            regrets.append(0.0)
            continue
        means = np.sum([cell.costs for cell in class_cells], axis=0) / sum(
            cell.weight for cell in class_cells
        )
        regret = float((means - means[decision]).sum() / (len(means) - 1))
        # A difference within rounding error is 0.
        regrets.append(0.0 if abs(regret) <= 1e-9 * means.max() else regret)
    return tuple(regrets)


def _least_cost_decisions(summary: ClassSummary) -> list[int]:
    """Return, per class, the decision of least cost on most of its rows by weight.

    Where decisions tie, the decision of least mean cost.
    """
    best_decisions = []
    for c in range(len(summary.frequencies)):
        class_cells = [cell for cell in summary.cells if cell.class_index == c]
        weight_cheapest = np.sum([cell.cheapest for cell in class_cells], axis=0)
        costs = np.sum([cell.costs for cell in class_cells], axis=0)
        best_decisions.append(min(range(len(costs)), key=lambda d: (-weight_cheapest[d], costs[d])))
    return best_decisions


def _require_regrets(matrix: CostMatrix, summary: ClassSummary, spec: WeightSpec) -> None:
    regrets = mean_regrets(summary)
    for name, regret, best_decision in zip(
        matrix.classes, regrets, _least_cost_decisions(summary), strict=True
    ):
        if regret < 0:
            raise InputError(
                f"The mean regret of class '{name}' is {regret:,.6g}: decision "
                f"'{matrix.decisions[best_decision]}' is the cheapest on most rows of this class, "
                "but on average over them it costs more than the others, because a few rows are of "
                f"large amounts. A weight cannot be negative, so weights.scheme {spec.scheme} is "
                "not defined here.",
                hint="use weights.scheme balanced or none (decisions use your costs in any case), "
                "or bound the cost with min(...) or max(...).",
            )
    if max(regrets) == 0:
        raise _without_regret()


def _without_regret() -> InputError:
    return InputError(
        "Every decision costs the same on every row, so all cost weights are 0.",
        hint="give the wrong decisions a cost, or use weights.scheme balanced.",
    )


def _inverse_rule(rule: WeightRule, cells: Sequence[Cell]) -> WeightRule:
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
        key: tuple((class_sums[0] / class_sums[1]).tolist())
        for key, class_sums in sums.items()
        if (class_sums[1] > 0).all()
    }
    grouping = replace(groups.grouping, time=None, window=None)
    return replace(rule, groups=GroupFactors(grouping, factors, groups.otherwise))


def _without_window(group: str) -> str:
    """Return the key of a group without its last part, as Spark writes it."""
    return json.dumps(json.loads(group)[:-1], separators=(",", ":"), ensure_ascii=False)


def _by_group(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = defaultdict(list)
    # A shuffle returns cells in any order; weights are read by the position of their class.
    for cell in sorted(cells, key=lambda cell: (cell.class_index, cell.smallest)):
        if cell.weight > 0:
            groups[cell.group or ""].append(cell)
    return dict(sorted(groups.items()))


def _weigh_by_row(matrix: CostMatrix, summary: ClassSummary, spec: WeightSpec) -> Weighting:
    if sum(cell.regret for cell in summary.cells) <= 0:
        raise _without_regret()
    scale = _row_scale(summary.cells, spec)
    rule = WeightRule(
        spec.scheme, matrix.classes, regret_cells(matrix), scale, spec.floor, spec.cap
    )
    aims = np.zeros(len(matrix.classes))
    sums: dict[int, list[Sequence[float]]] = defaultdict(list)
    for cell in summary.cells:
        sums[cell.class_index].append(_cell_sums(cell, scale, spec))
        aims[cell.class_index] += cell.regret
    diagnostics = _diagnose_cells(summary.frequencies, sums, aims)
    return Weighting(rule, rule, summary.frequencies, diagnostics)


def _row_scale(cells: Sequence[Cell], spec: WeightSpec) -> float:
    """Return the scale that brings the bounded weights of these rows to a mean of 1."""
    # A class without regret has the weight of the floor at any scale; a tiny regret replaces 0.
    means = [cell.regret / cell.weight for cell in cells if cell.weight]
    tiny = max(means) * 1e-12
    shares = [cell.weight for cell in cells if cell.weight]
    return bounded_scale([max(mean, tiny) for mean in means], shares, spec.floor, spec.cap)


def _cell_sums(cell: Cell, scale: float, spec: WeightSpec) -> Sequence[float]:
    """Return one cell's row of `WeightSums`."""
    bounds = [
        min(max(scale * regret, spec.floor), spec.cap) for regret in (cell.smallest, cell.largest)
    ]
    mean = scale * cell.regret / cell.weight if cell.weight else 0.0
    if spec.floor <= mean <= spec.cap:
        square = scale * scale
        weight, weight_square = scale * cell.regret, square * cell.regret_square
        return (weight, weight_square, square * cell.regret_moment, *bounds)
    bounded_mean = min(max(mean, spec.floor), spec.cap)
    return (
        bounded_mean * cell.weight,
        bounded_mean**2 * cell.weight_square,
        bounded_mean**2 * cell.weight,
        *bounds,
    )


def _diagnose_cells(
    frequencies: Sequence[ClassFrequency],
    by_class: Mapping[int, Sequence[Sequence[float]]],
    aims: Array,
) -> WeightDiagnostics:
    """Diagnose weights from rows of `WeightSums`, several per class."""
    merged = []
    for c in range(len(frequencies)):
        parts = np.array(by_class[c], dtype=float)
        ends = (parts[:, 3].min(), parts[:, 4].max())
        merged.append([*parts[:, :3].sum(axis=0), *ends])
    before = np.array([frequency.weight_sum for frequency in frequencies], dtype=float)
    rows = sum(frequency.rows for frequency in frequencies)
    return diagnose(rows, before, WeightSums(*np.array(merged).T), aims)


def _refuse_changing_regret(summary: ClassSummary) -> None:
    for name, cheapest in summary.cheapest.items():
        rows = {decision: count for decision, count in cheapest.items() if count}
        if len(cheapest) == 2 and len(rows) > 1:  # the mean over more is >= 0
            raise InputError(
                f"The regret of class '{name}' is negative on some rows: the cheapest decision is "
                f"{join_names(f'{d} on {n} rows' for d, n in rows.items())}. A weight cannot be "
                "negative, so weights.scheme cost_by_row is not defined here.",
                hint="use weights.scheme cost, which weights by the mean regret of the class, or "
                "bound the cost with max(...).",
            )
