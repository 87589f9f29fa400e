"""Reasons of a model: the reference that training stores, and the rule that scoring applies."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add, or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column, number, sample_weight
from sparkweights.core.errors import ModelError
from sparkweights.costs.expression import names, substitute
from sparkweights.models.attributions import contrast_of
from sparkweights.models.base import FEATURES, ExplainerSettings
from sparkweights.scoring.reason_codes import ReasonRule, collect_reference
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.weights.rule import GroupFactors
from sparkweights.weights.spark import class_weight_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.costs.policy import DecisionPolicy
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.problem import DecisionProblem
    from sparkweights.spec.scoring import ScoringSpec
    from sparkweights.spec.settings import Reasons
    from sparkweights.weights.rule import WeightRule

_KEPT = "__kept"


def reference_of(
    test_df: DataFrame, scorer: RowScorer, problem: DecisionProblem, reasons: Reasons | None
) -> tuple[float, ...]:
    """Return the reference of a linear model's reasons; empty where it is not needed.

    It is the mean of the test rows without an adverse decision: the approved ones.
    """
    if reasons is None or not scorer.models[0].capabilities.linear:
        return ()
    decision = problem.policy.decide(natural_probabilities(scorer))
    return collect_reference(
        scorer.score(test_df.withColumn(_KEPT, F.col(FEATURES))),
        F.col(_KEPT),
        len(scorer.plan.names),
        ~decision.isin(*reasons.against),
        sample_weight(problem.roles),
    )


def typical_of(test_df: DataFrame, matrix: CostMatrix, rule: WeightRule) -> dict[str, float]:
    """Return the median of each column that costs or weights read, in one job.

    A row's costs are compared with it when a decision is explained. Medians are unweighted. Empty
    where costs and weights read no column.
    """
    read = [name.name for cell in rule.cells for name in names(cell)]
    columns = list(dict.fromkeys([*matrix.columns, *read]))
    if not columns:
        return {}
    middle = [F.percentile_approx(number(name), 0.5) for name in columns]
    medians = test_df.agg(*[median.alias(str(i)) for i, median in enumerate(middle)]).collect()[0]
    return {
        name: median for name, median in zip(columns, medians, strict=True) if median is not None
    }


def reason_rule(spec: ScoringSpec, bundle: ModelBundle) -> ReasonRule | None:
    """Return the rule that explains decisions of a bundle's model; None without reasons.

    Raises
    ------
    ModelError
        If the model is linear and was trained without reasons.
    """
    settings = spec.reasons
    if settings is None:
        return None
    model, reference = bundle.model, bundle.manifest.reference
    if model.capabilities.linear and not reference:
        raise ModelError(
            f"Model '{bundle.version}' was trained without reasons; a linear model's compare a row "
            "with the mean of approved rows, which training stores.",
            hint="train again with this configuration, or leave reasons out of this run.",
        )
    classes = spec.problem.classes
    explainers = {
        decision: model.explainer(
            ExplainerSettings(classes.index(name), bundle.folder / "model", reference)
        )
        for decision, name in settings.against.items()
    }
    against = {decision: classes.index(name) for decision, name in settings.against.items()}
    natural = [column(name) for name in Scorer.of(bundle).probability_cols]
    contrasts = {decision: contrast_of(natural, k) for decision, k in against.items()}
    stated = bundle.manifest.typical.items()
    typical = {name: value for name, value in stated if value is not None}
    silent = _silent(spec, bundle)
    many = len(classes) > 2  # of two, the margin is the contrast
    return ReasonRule(
        explainers,
        settings.top,
        {**_directions(bundle), **settings.texts},
        silent,
        contrasts=contrasts if many else {},
        weight_effects={
            decision: _weight_effects(Scorer.of(bundle), k, contrasts[decision], typical)
            for decision, k in against.items()
            if bundle.ledger.columns
        },
        prices=_prices(settings, spec.problem.policy, typical, silent),
    )


def _silent(spec: ScoringSpec, bundle: ModelBundle) -> frozenset[str]:
    """Return the columns that must not be a reason, of all that a decision depends on."""
    if spec.reasons is not None and spec.reasons.sensitive:
        return frozenset()
    never = {name.casefold() for name in spec.problem.roles.sensitive}  # as Spark, in any case
    read = (*bundle.plan.sources, *bundle.ledger.columns, *spec.problem.matrix.columns)
    return frozenset(name for name in read if name.casefold() in never)


def _directions(bundle: ModelBundle) -> dict[str, str]:
    """Return the text of each column whose effect is constrained to one direction."""
    rarer = bundle.manifest.classes[-1]
    return {
        name: f"{name} ({'higher' if sign > 0 else 'lower'} raises the probability of {rarer})"
        for name, sign in bundle.manifest.model.monotone.items()
    }


def _prices(
    reasons: Reasons,
    policy: DecisionPolicy,
    typical: Mapping[str, float],
    silent: frozenset[str],
) -> dict[str, dict[str, Column]]:
    """Return, per decision and text of a cost's column, whether the decision depends on it."""
    words = reasons.prices
    columns = [name for name in policy.matrix.columns if name in typical and name not in silent]
    return {
        decision: {
            words.get(name, f"{name} (its price)"): _depends_on(
                decision, name, typical[name], policy
            )
            for name in columns
        }
        for decision in reasons.against
    }


def _weight_effects(
    scorer: Scorer, against: int, contrast: Column, typical: Mapping[str, float]
) -> dict[str, Column]:
    """Return, per column, the contribution of the weights' correction to the margin of a class.

    It is minus the contrast of log w_c(x), less its value with a typical value of the column, in
    the unit of the margin. Groups are compared with the weights of all rows; columns that define
    groups together get equal shares.
    """
    unit = scorer.model.slope(column(scorer.weighted_cols[against]))
    terms: dict[str, list[Column]] = {}
    for reweighting in scorer.ledger.reweightings:
        for columns, usual in _typical_rules(reweighting.rule, typical):
            logs = [
                F.log(weight / typical_weight)
                for weight, typical_weight in zip(
                    class_weight_columns(reweighting.rule), class_weight_columns(usual), strict=True
                )
            ]
            moved = reduce(
                add, [F.get(contrast, c) * log_ratio for c, log_ratio in enumerate(logs)]
            )
            for name in columns:
                terms.setdefault(name, []).append(-unit * moved / len(columns))
    return {name: reduce(add, parts) for name, parts in terms.items()}


def _typical_rules(
    rule: WeightRule, typical: Mapping[str, float]
) -> Iterator[tuple[tuple[str, ...], WeightRule]]:
    """Yield columns that a rule reads, and the rule with their typical values."""
    read = dict.fromkeys(name.name for cell in rule.cells for name in names(cell))
    for name in read:
        if name in typical:
            cells = tuple(substitute(cell, {name: typical[name]}) for cell in rule.cells)
            yield (name,), replace(rule, cells=cells)
    if rule.groups is not None:
        grouping = rule.groups.grouping
        everybody = GroupFactors(grouping, {}, rule.groups.otherwise)
        yield grouping.columns, replace(rule, groups=everybody)


def _depends_on(decision: str, name: str, value: float, policy: DecisionPolicy) -> Column:
    """Return whether another decision is cheaper at a typical value of a column in the costs."""
    matrix = policy.matrix
    cells = tuple(tuple(substitute(cell, {name: value}) for cell in row) for row in matrix.cells)
    natural = [column(f"probability_{label}") for label in matrix.classes]
    usual = replace(policy, matrix=replace(matrix, cells=cells))
    costs = usual.expected_costs(natural)
    cost = costs.pop(decision)
    return reduce(or_, [other < cost for other in costs.values()])
