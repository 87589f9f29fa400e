"""The evaluation of a model's decisions, from the compact sums of one pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.evaluation.calibration import (
    brier,
    brier_decomposition,
    equal_weight_groups,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)
from sparkweights.evaluation.confusion import Confusion
from sparkweights.evaluation.cost_calibration import cost_calibration
from sparkweights.evaluation.discrimination import average_precision, kolmogorov_smirnov, roc_auc
from sparkweights.evaluation.h_measure import cost_shape, h_measure, known_threshold
from sparkweights.evaluation.influence import MEASURES, measure_interval
from sparkweights.evaluation.intervals import FEW_EVENTS, Interval, ratio_interval
from sparkweights.evaluation.score_table import ratio
from sparkweights.evaluation.score_test import (
    INDEPENDENT,
    Tails,
    base_rate_tails,
    block_dependence,
    row_weights,
    stratified_tails,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.evaluation.cost_calibration import CostCalibration, StakeSums
    from sparkweights.evaluation.influence import BlockTable
    from sparkweights.evaluation.score_table import Array, ScoreTable

ReliabilityBin = tuple[float, float, float]
RELIABILITY_GROUPS = 10


@dataclass(frozen=True)
class ClassEvaluation:
    """One class against the others on the test rows, by its natural probability.

    A number that the rows do not determine is NaN.

    Attributes
    ----------
    share, mean_probability
        The observed share of the class, and the mean prediction; the base-rate gate compares them.
    auc, gini, kolmogorov_smirnov, average_precision, h_measure
        Measures of the ranking; Gini is 2 AUC - 1. The H-measure (Hand & Anagnostopoulos 2014)
        weights mistakes by the mean regrets of the rows or, without costs, by the class's share.
    h_measure_threshold
        The cost proportion of largest weight in the H-measure, where costs determine it.
    brier, log_loss, calibration_error
        Measures of the error of the probability; lower is better.
    brier_reliability, brier_resolution, brier_uncertainty
        The parts of the Brier score by tenths of the rows (Murphy 1973): the error of calibration,
        the reduction by the ranking, and the score of the constant share.
    recall, precision, f1, f2, balanced_accuracy, geometric_mean, matthews_correlation
        Of the least-cost decision for the class; F2 counts recall twice as much.
    auc_bound
        The largest error of the AUC from binning; 0 for distinct scores.
    intervals
        95 % intervals of some measures; see `sparkweights.evaluation.influence`.
    reliability
        (weight, mean probability, observed share of the class), by tenths of the rows.
    """

    share: float
    mean_probability: float
    auc: float = float("nan")
    average_precision: float = float("nan")
    brier: float = float("nan")
    recall: float = float("nan")
    gini: float = float("nan")
    kolmogorov_smirnov: float = float("nan")
    h_measure: float = float("nan")
    log_loss: float = float("nan")
    brier_reliability: float = float("nan")
    brier_resolution: float = float("nan")
    brier_uncertainty: float = float("nan")
    calibration_error: float = float("nan")
    precision: float = float("nan")
    f1: float = float("nan")
    f2: float = float("nan")
    balanced_accuracy: float = float("nan")
    geometric_mean: float = float("nan")
    matthews_correlation: float = float("nan")
    auc_bound: float = float("nan")
    h_measure_threshold: float | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True)
class Cell:
    """Rows of one decision and one true class."""

    rows: int
    weight: float
    cost: float


@dataclass(frozen=True)
class Evaluation:
    """The costs and scores of a set of decisions on rows with known outcomes.

    Attributes
    ----------
    tables
        Class name -> its scores, with the weights of the rows.
    cells
        Decision -> class name -> its rows, for the policy ``ours``.
    constant_costs, policy_costs
        Decision, or policy, -> ``[block]``: the cost of each block's rows if all of them got the
        decision, or under the policy; in the currency of the table.
    block_weights
        ``[block]``: sample weight of each block; rows are assigned to blocks at random, or by
        cluster.
    block_losses
        ``[block]``: the sum of sample weight times -log of the probability of the row's class.
    square_weights
        Class name -> sum of the squared weights of its rows.
    right_decisions
        Class name -> its least-cost decision.
    weighted_tables
        As ``tables``, of the probabilities before the weights are inverted; may be empty.
    stakes
        Expected and realised costs by block and stake, or None.
    block_tables
        As ``tables``, by block, where rows of a block depend on each other; else empty.
    """

    tables: Mapping[str, ScoreTable]
    cells: Mapping[str, Mapping[str, Cell]]
    constant_costs: Mapping[str, Array]
    policy_costs: Mapping[str, Array]
    block_weights: Array
    block_losses: Array
    square_weights: Mapping[str, float]
    right_decisions: Mapping[str, str]
    weighted_tables: Mapping[str, ScoreTable] = field(default_factory=dict)
    stakes: StakeSums | None = None
    block_tables: Mapping[str, BlockTable] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Test rows."""
        return sum(cell.rows for row in self.cells.values() for cell in row.values())

    @property
    def weight(self) -> float:
        """Their sample weight."""
        return float(self.block_weights.sum())

    def effective_rows(self, name: str) -> tuple[float, float]:
        """Return the effective sample size of a class and of all others.

        (sum w)^2 / sum w^2 of each (Kish 1965). Where one class was resampled and has larger
        weights, a single number for both classes would be far from either.
        """
        weight, square = float(self.tables[name].positives.sum()), self.square_weights[name]
        others = float(self.tables[name].negatives.sum())
        return (
            ratio(weight**2, square),
            ratio(others**2, sum(self.square_weights.values()) - square),
        )

    def base_rate_tails(
        self, name: str, *, stratified: bool, calibration_share: float = 0.0
    ) -> Tails:
        """Return the tail probabilities of the class's share, given its mean probability.

        Parameters
        ----------
        stratified
            Whether the split fixed the rows of each class, so that only their scores vary.
        calibration_share
            As of `stratified_tails`.
        """
        table, blocks = self.tables[name], self.block_tables.get(name)
        if stratified:
            return stratified_tails(
                table, self.effective_rows(name), calibration_share=calibration_share
            )
        weights = np.array([table.positives.sum(), table.negatives.sum()])
        square = self.square_weights[name]
        of_class, of_others = row_weights(
            weights, np.array([square, sum(self.square_weights.values()) - square])
        )
        dependence = INDEPENDENT
        if blocks is not None:
            variances = table.weight * table.mean_score * (1 - table.mean_score)
            variance = float(variances.sum()) * ratio(
                float(weights @ (of_class, of_others)), float(weights.sum())
            )
            occupied = blocks.weight > 0
            dependence = block_dependence(
                blocks.positives.sum(axis=1)[occupied], blocks.score_sum[occupied], variance
            )
        return base_rate_tails(table, (float(of_class), float(of_others)), dependence=dependence)

    @cached_property
    def cost_calibration(self) -> CostCalibration | None:
        """Expected against realised cost, where the pass summed them."""
        if self.stakes is None:
            return None
        weights = np.array([float(table.positives.sum()) for table in self.tables.values()])
        squares = np.array([self.square_weights[name] for name in self.tables])
        return cost_calibration(
            self.stakes, row_weights(weights, squares), clustered=bool(self.block_tables)
        )

    @property
    def scarcest(self) -> tuple[str, float]:
        """The class of the fewest effective rows, and how many they are."""
        rows = {name: self.effective_rows(name)[0] for name in self.tables}
        name = min(rows, key=lambda of: 0.0 if np.isnan(rows[of]) else rows[of])
        return name, 0.0 if np.isnan(rows[name]) else rows[name]

    @property
    def caution(self) -> str | None:
        """A sentence where the measures depend on few rows of a class, else None."""
        name, rows = self.scarcest
        if rows >= FEW_EVENTS:
            return None
        return (
            f"Only {rows:,.0f} test rows are of class {name}: figures from so few move a lot from "
            f"one table to the next, and their intervals are rough (below {FEW_EVENTS} rows they "
            "cover less than they say)."
        )

    def cost(self, policy: str) -> float:
        """Return the total cost under a policy, or of a constant decision."""
        return float({**self.constant_costs, **self.policy_costs}[policy].sum())

    def savings(self, policy: str) -> float:
        """Return 1 - cost / (cost of the best constant decision); 0 for the constant decision.

        NaN where the cost of that decision is <= 0.
        """
        best = min(self.cost(name) for name in self.constant_costs)
        return 1 - self.cost(policy) / best if best > 0 else float("nan")

    def decision_cost(self, decision: str) -> Mapping[str, float]:
        """Return the cost of the rows that got a decision, by class."""
        return {name: cell.cost for name, cell in self.cells[decision].items()}

    @cached_property
    def classes(self) -> Mapping[str, ClassEvaluation]:
        """Class name -> its numbers."""
        return {name: self._of_class(name) for name in self.tables}

    def cost_interval(self, policy: str) -> Interval:
        """Return the 95 % interval of a policy's total cost on as many rows of this kind."""
        sums = {**self.constant_costs, **self.policy_costs}[policy]
        low, high = ratio_interval(sums, self.block_weights)
        return self.weight * low, self.weight * high

    def savings_interval(self, policy: str) -> Interval:
        """Return the 95 % interval of a policy's savings over the best constant decision."""
        best = min(self.constant_costs.values(), key=lambda sums: float(sums.sum()))
        low, high = ratio_interval(self.policy_costs[policy], best)
        return 1 - high, 1 - low

    def confusion(self, name: str) -> Confusion:
        """Return the confusion of a class and its least-cost decision, by weight."""
        least_cost_decision = self.right_decisions[name]
        caught = self.cells[least_cost_decision]
        of_class = sum(row[name].weight for row in self.cells.values())
        whole = sum(cell.weight for row in self.cells.values() for cell in row.values())
        hits, taken = caught[name].weight, sum(cell.weight for cell in caught.values())
        return Confusion(
            true_positives=hits,
            false_positives=taken - hits,
            false_negatives=of_class - hits,
            true_negatives=whole - of_class - taken + hits,
        )

    def macro(self) -> dict[str, float]:
        """Return the unweighted mean of each measure over the classes."""
        kept = [field.name for field in fields(ClassEvaluation) if field.type == "float"]
        evaluations = self.classes.values()
        return {
            name: float(
                np.mean([getattr(class_evaluation, name) for class_evaluation in evaluations])
            )
            for name in kept
        }

    def _of_class(self, name: str) -> ClassEvaluation:
        table, decided = self.tables[name], self.confusion(name)
        auc = roc_auc(table)
        parts = brier_decomposition(table, equal_weight_groups(table, RELIABILITY_GROUPS))
        effective, blocks = self.effective_rows(name), self.block_tables.get(name)
        return ClassEvaluation(
            share=table.prior,
            mean_probability=ratio(float(table.weight @ table.mean_score), self.weight),
            auc=auc,
            gini=2 * auc - 1,
            kolmogorov_smirnov=kolmogorov_smirnov(table).statistic,
            average_precision=average_precision(table),
            h_measure=h_measure(table, cost_shape(table)),
            h_measure_threshold=known_threshold(table),
            brier=brier(table),
            log_loss=log_loss(table),
            brier_reliability=parts.reliability,
            brier_resolution=parts.resolution,
            brier_uncertainty=parts.uncertainty,
            calibration_error=expected_calibration_error(
                table, equal_weight_groups(table, RELIABILITY_GROUPS)
            ),
            recall=decided.recall,
            precision=decided.precision,
            f1=decided.f_beta(),
            f2=decided.f_beta(2.0),
            balanced_accuracy=decided.balanced_accuracy,
            geometric_mean=decided.geometric_mean,
            matthews_correlation=decided.matthews_correlation,
            auc_bound=table.area_bound(),
            intervals={
                measure: measure_interval(table, measure, effective, blocks) for measure in MEASURES
            },
            reliability=reliability_bins(table),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the numbers, without the tables, ready for JSON."""
        return {
            "rows": self.rows,
            "weight": self.weight,
            "effective_rows": {name: self.effective_rows(name)[0] for name in self.tables},
            "caution": self.caution,
            "clustered": bool(self.block_tables),
            "classes": {
                name: asdict(class_evaluation) for name, class_evaluation in self.classes.items()
            },
            "macro": self.macro(),
            "costs": {
                **{f"always_{name}": self.cost(name) for name in self.constant_costs},
                **{name: self.cost(name) for name in self.policy_costs},
            },
            "cost_intervals": {name: self.cost_interval(name) for name in self.policy_costs},
            "savings": {name: self.savings(name) for name in self.policy_costs},
            "savings_intervals": {name: self.savings_interval(name) for name in self.policy_costs},
            "decisions": {
                name: {of: cell.rows for of, cell in row.items()}
                for name, row in self.cells.items()
            },
            "decision_costs": {name: dict(self.decision_cost(name)) for name in self.cells},
        }


def reliability_bins(table: ScoreTable) -> tuple[ReliabilityBin, ...]:
    """Return the mean prediction and the observed share, by tenths of the rows."""
    curve = reliability_curve(table, equal_weight_groups(table, RELIABILITY_GROUPS))
    return tuple(
        (float(w), float(p), float(share))
        for w, p, share in zip(curve.weight, curve.mean_score, curve.share, strict=True)
    )
