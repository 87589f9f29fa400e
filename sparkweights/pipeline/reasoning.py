"""Reasons of a model: what training must remember for them, and the rule that scoring follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column
from sparkweights.costs import cost_columns
from sparkweights.decision import cheapest_decision, expected_costs
from sparkweights.errors import ModelError
from sparkweights.explain import ReasonRule, collect_reference
from sparkweights.models import learner
from sparkweights.models.learner import FEATURES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.config import Config
    from sparkweights.pipeline.scoring import RowScorer
    from sparkweights.storage import ModelBundle

_KEPT = "__kept"


def reference_of(test_df: DataFrame, scorer: RowScorer, config: Config) -> tuple[float, ...]:
    """Return what a linear model's reasons compare with; empty where nobody asks for it.

    It is the mean of the test rows whose decision owes no explanation: the approved ones.
    """
    if config.reasons is None or not learner(scorer.kind).linear:
        return ()
    natural = [column(name) for name in scorer.probability_cols]
    matrix = config.matrix
    decision = cheapest_decision(expected_costs(natural, cost_columns(matrix)), matrix.decisions)
    weight = config.roles.weight
    return collect_reference(
        scorer.score(test_df.withColumn(_KEPT, F.col(FEATURES))),
        F.col(_KEPT),
        len(scorer.plan.names),
        ~decision.isin(*config.reasons.against),
        F.lit(1.0) if weight is None else column(weight).cast("double"),
    )


def reason_rule(config: Config, bundle: ModelBundle) -> ReasonRule | None:
    """Return the rule of the configuration over the model of a bundle, if reasons are wanted.

    Raises
    ------
    ModelError
        If the model is linear and was trained before reasons were asked for.
    """
    wanted = config.reasons
    if wanted is None:
        return None
    own, reference = learner(bundle.kind), tuple(bundle.manifest.get("reference", ()))
    if own.linear and not reference:
        raise ModelError(
            f"Model '{bundle.version}' was trained without reasons; a linear model's compare a row "
            "with the approved ones, which training remembers.",
            hint="train again with this configuration, or leave reasons out tonight.",
        )
    classes = config.matrix.classes
    explainers = {
        decision: own.explainer(
            bundle.model,
            bundle.folder / "model",
            against=classes.index(name),
            classes=len(classes),
            reference=reference,
        )
        for decision, name in wanted.against.items()
    }
    never = {name.casefold() for name in config.columns.sensitive}  # as Spark, in any case
    silent = frozenset(name for name in bundle.plan.sources if name.casefold() in never)
    silent = frozenset() if wanted.sensitive else silent
    return ReasonRule(explainers, wanted.top, wanted.texts, silent)
