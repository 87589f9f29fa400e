"""Everything that is known of a model's decisions, from the compact sums of one pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkweights.evaluate.calibration import (
    brier,
    brier_decomposition,
    equal_weight_groups,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)
from sparkweights.evaluate.confusion import Confusion
from sparkweights.evaluate.discrimination import average_precision, kolmogorov_smirnov, roc_auc
from sparkweights.evaluate.hmeasure import h_measure, prior_shape
from sparkweights.evaluate.intervals import (
    Interval,
    block_replicates,
    percentile_interval,
    table_replicates,
)
from sparkweights.evaluate.table import ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkweights.evaluate.table import Array, ScoreTable

ReliabilityBin = tuple[float, float, float]
RELIABILITY_GROUPS = 10


@dataclass(frozen=True)
class ClassEvaluation:
    """One class against the others on the test rows, by its natural probability.

    A number that the rows do not determine is NaN.

    Attributes
    ----------
    share, mean_probability
        What happened, and what was predicted on average; the base-rate gate compares them.
    auc, gini, kolmogorov_smirnov, average_precision, h_measure
        How well the probability ranks; Gini is 2 AUC - 1, the H-measure (Hand & Anagnostopoulos
        2014) weighs mistakes as the class's share suggests.
    brier, log_loss, calibration_error
        How honest the probability is; lower is better.
    brier_reliability, brier_resolution, brier_uncertainty
        The parts of the Brier score by tenths of the rows (Murphy 1973): what calibration could
        save, what the ranking saves, and what the share alone would cost.
    recall, precision, f1, f2, balanced_accuracy, geometric_mean, matthews_correlation
        Of the decision that is cheapest for the class; F2 counts recall twice as much.
    auc_bound
        The most by which binning can have moved the AUC; 0 where scores were kept apart.
    intervals
        Of some of them, 95 %, by bootstrap.
    reliability
        (weight, mean probability, share that was of the class), by tenths of the rows.
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
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True)
class Cell:
    """Rows that got one decision and turned out to be of one class."""

    rows: int
    weight: float
    cost: float


@dataclass(frozen=True)
class Evaluation:
    """What a set of decisions cost on rows with known outcomes.

    Attributes
    ----------
    tables
        Class name -> its scores, with the weights of the rows.
    cells
        Decision -> class name -> its rows, for the policy ``ours``.
    constant_costs, policy_costs
        Decision, or policy, -> ``[block]``: what the rows of each block cost had all of them got
        the decision, or under the policy; in the money of the table.
    block_weights
        ``[block]``: rows were dealt into blocks at random.
    square_weights
        Class name -> sum of the squared weights of its rows.
    right_decisions
        Class name -> the decision that counts as right for it.
    weighted_tables
        As ``tables``, of the probabilities with the weights still in; may be empty.
    """

    tables: Mapping[str, ScoreTable]
    cells: Mapping[str, Mapping[str, Cell]]
    constant_costs: Mapping[str, Array]
    policy_costs: Mapping[str, Array]
    block_weights: Array
    square_weights: Mapping[str, float]
    right_decisions: Mapping[str, str]
    weighted_tables: Mapping[str, ScoreTable] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Test rows."""
        return sum(cell.rows for row in self.cells.values() for cell in row.values())

    @property
    def weight(self) -> float:
        """Their sample weight."""
        return float(self.block_weights.sum())

    def effective_rows(self, name: str) -> tuple[float, float]:
        """Return how many rows of equal weight tell as much, of a class and of all others.

        (sum w)^2 / sum w^2 of each (Kish 1965). Where one class was thinned and weighs more, a
        single number for both would be far from either.
        """
        weight, square = float(self.tables[name].positives.sum()), self.square_weights[name]
        others = float(self.tables[name].negatives.sum())
        return (
            ratio(weight**2, square),
            ratio(others**2, sum(self.square_weights.values()) - square),
        )

    def share_error(self, name: str) -> float:
        """Return the standard error of a class's share s: s (1 - s) sqrt(1 / n_1 + 1 / n_0).

        Of equal weights that is sqrt(s (1 - s) / n); n_1 and n_0 are `effective_rows`.
        """
        share = self.tables[name].prior
        of_class, of_others = self.effective_rows(name)
        return share * (1 - share) * sqrt(ratio(1, of_class) + ratio(1, of_others))

    def cost(self, policy: str) -> float:
        """Return the total cost under a policy, or of a constant decision."""
        return float({**self.constant_costs, **self.policy_costs}[policy].sum())

    def savings(self, policy: str) -> float:
        """Return 1 - cost / (cost of the best constant decision); 0 is doing nothing.

        NaN where that decision is free, or earns: no share of it can be saved.
        """
        best = min(self.cost(name) for name in self.constant_costs)
        return 1 - self.cost(policy) / best if best > 0 else float("nan")

    def decision_cost(self, decision: str) -> Mapping[str, float]:
        """Return what the rows that got a decision cost, by class."""
        return {name: cell.cost for name, cell in self.cells[decision].items()}

    @cached_property
    def classes(self) -> Mapping[str, ClassEvaluation]:
        """Class name -> its numbers."""
        return {name: self._of_class(name) for name in self.tables}

    def cost_interval(self, policy: str) -> Interval:
        """Return the 95 % interval of a policy's total cost on as many rows of this kind."""
        sums = {**self.constant_costs, **self.policy_costs}[policy]
        (drawn, weights) = block_replicates([sums, self.block_weights])
        return percentile_interval(self.weight * drawn / weights)

    def savings_interval(self, policy: str) -> Interval:
        """Return the 95 % interval of a policy's savings."""
        drawn = block_replicates([self.policy_costs[policy], *self.constant_costs.values()])
        best = np.min(drawn[1:], axis=0)
        return percentile_interval(1 - drawn[0] / np.where(best > 0, best, np.nan))

    def confusion(self, name: str) -> Confusion:
        """Return the weights of a class's rows and of the others, by whether its decision was
        taken.
        """  # noqa: D205 (one sentence)
        right = self.right_decisions[name]
        caught = self.cells[right]
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
        """Return the mean of each measure over the classes, the rare ones counting as the rest."""
        kept = [one.name for one in fields(ClassEvaluation) if one.type == "float"]
        own = self.classes.values()
        return {name: float(np.mean([getattr(found, name) for found in own])) for name in kept}

    def _of_class(self, name: str) -> ClassEvaluation:
        table, decided = self.tables[name], self.confusion(name)
        auc = roc_auc(table)
        parts = brier_decomposition(table, equal_weight_groups(table, RELIABILITY_GROUPS))
        measured: dict[str, Callable[[ScoreTable], float]] = {
            "auc": roc_auc,
            "average_precision": average_precision,
            "brier": brier,
        }
        replicates = list(table_replicates(table, *self.effective_rows(name)))
        return ClassEvaluation(
            share=table.prior,
            mean_probability=ratio(float(table.weight @ table.mean_score), self.weight),
            auc=auc,
            gini=2 * auc - 1,
            kolmogorov_smirnov=kolmogorov_smirnov(table).statistic,
            average_precision=average_precision(table),
            h_measure=h_measure(table, prior_shape(table)),
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
                measure: percentile_interval(np.array([of(drawn) for drawn in replicates]))
                for measure, of in measured.items()
            },
            reliability=reliability_bins(table),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, without the tables, ready for JSON."""
        return {
            "rows": self.rows,
            "weight": self.weight,
            "classes": {name: asdict(found) for name, found in self.classes.items()},
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
    """Return what was predicted and what happened, by tenths of the rows."""
    curve = reliability_curve(table, equal_weight_groups(table, RELIABILITY_GROUPS))
    return tuple(
        (float(w), float(p), float(share))
        for w, p, share in zip(curve.weight, curve.mean_score, curve.share, strict=True)
    )
