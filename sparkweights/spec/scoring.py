"""How rows are scored, and how a published model is evaluated and monitored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.spec.settings import Checks, Evaluate, Fairness, Monitor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.spec.problem import DecisionProblem
    from sparkweights.spec.settings import Reasons
    from sparkweights.storage.location import AnyLocation

NATURAL, ESTIMATE = "natural", "estimate"  # values of `ScoringSpec.target_prior`


@dataclass(frozen=True)
class ScoringSpec:
    """Settings of a scoring run.

    Attributes
    ----------
    problem
        Classes and features of the model; costs and review of the current configuration.
    seed
        Seed of the order of rows of equal gain, where more rows than the capacity gain by review.
    target_prior
        ``natural``, ``estimate``, or class -> share of the population that is scored.
    max_shift
        By which factor an estimate may move the odds of a class.
    reasons
        Which decisions are explained; None without.
    checks
        Limits of rows that leave without a decision.
    refuse_missing
        Whether a row that lacks a feature is unscorable.
    """

    problem: DecisionProblem
    seed: int
    target_prior: str | Mapping[str, float] = NATURAL
    max_shift: float = 2.0
    reasons: Reasons | None = None
    checks: Checks = Checks()
    refuse_missing: bool = False


@dataclass(frozen=True)
class EvaluationSpec:
    """How a model is evaluated on rows with known outcomes.

    Attributes
    ----------
    problem, seed
        As of `ScoringSpec`.
    unit_columns
        The columns whose equal values keep rows together in every draw.
    grouped
        Whether they are other columns than the keys.
    evaluate
        Segments, and how exactly scores are kept.
    fairness
        Between which groups decisions are compared; None for the sensitive columns, without
        limits that stop anything.
    cost_tolerance
        By how much expected and realised cost may differ.
    scratch
        See `sparkweights.spec.training.TrainingSpec`.
    """

    problem: DecisionProblem
    seed: int
    unit_columns: tuple[str, ...]
    grouped: bool
    scratch: AnyLocation
    evaluate: Evaluate = Evaluate()
    fairness: Fairness | None = None
    cost_tolerance: float = 0.15


@dataclass(frozen=True)
class MonitoringSpec:
    """Settings of comparing a table with a model's training data.

    Attributes
    ----------
    scoring
        How its rows would be scored.
    monitor
        The limits.
    fairness
        As of `EvaluationSpec`; compared only where it is stated.
    """

    scoring: ScoringSpec
    monitor: Monitor = Monitor()
    fairness: Fairness | None = None
