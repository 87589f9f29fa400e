"""The explain stage: what the model in use leans on, beside its twin without weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import class_index, column, sample_weight
from sparkweights.decision import WEIGHTS, Ledger
from sparkweights.errors import ModelError
from sparkweights.evaluate import AreaShift, compare_areas
from sparkweights.explain import Importance, collect_importance, collect_spread, ranks
from sparkweights.models import AUTO, learner
from sparkweights.models.learner import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.admitting import require_model
from sparkweights.pipeline.evaluating import paid
from sparkweights.pipeline.finishing import finish
from sparkweights.pipeline.preparing import (
    PART,
    Size,
    count_parts,
    learn_plan,
    prepared,
    with_parts_of_bundle,
)
from sparkweights.pipeline.scoring import Scorer
from sparkweights.split import CALIBRATE, FIT, TEST, hash_order, require_rows
from sparkweights.weights import WeightRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.config import Config
    from sparkweights.pipeline.progress import Progress
    from sparkweights.storage import ModelBundle

DEALING, CHOOSING = "__dealing", "__choosing"
_KEPT = "__kept"
_DEALING_SALT, _CHOOSING_SALT = 0xDEA1, 0xC005


@dataclass(frozen=True)
class Seen:
    """One column as two models see it.

    Attributes
    ----------
    weighted, unweighted
        Its importance to the model in use, and to the same learner without weights.
    rank, unweighted_rank
        Its place by cost among all columns, 1 for the dearest.
    """

    weighted: Importance
    unweighted: Importance
    rank: int
    unweighted_rank: int

    @property
    def rank_change(self) -> int:
        """How many places weighting moves the column up."""
        return self.unweighted_rank - self.rank


@dataclass(frozen=True)
class Explanation:
    """The explain stage's record.

    Attributes
    ----------
    columns
        The most important to the model in use first.
    areas
        Class -> the area under its ROC curve without and with weights; of two the second.
    coefficients
        Of a linear model of two classes: intercept and slopes, without and with weights.
    """

    rows: int
    columns: tuple[Seen, ...]
    areas: Mapping[str, AreaShift]
    coefficients: Mapping[str, tuple[float, float]] | None


def explain(
    labelled_df: DataFrame, config: Config, bundle: ModelBundle, progress: Progress
) -> Explanation:
    """Measure what each column is worth to the model in use and to its unweighted twin.

    The twin is fitted on the rows and with the parameters of the model in use; both are judged
    on that model's test rows.

    Raises
    ------
    ModelError
        If the configuration speaks of another kind of model or of other classes.
    """
    _require_same(config, bundle)
    roles = config.roles
    even = WeightRule.fixed("none", dict.fromkeys(roles.class_names, 1.0))
    rule = _rule(bundle, even)
    seed = bundle.manifest["model"]["seed"]
    also = {
        CHOOSING: hash_order(roles, seed ^ _CHOOSING_SALT),
        DEALING: hash_order(roles, seed ^ _DEALING_SALT),
    }
    require_model(
        labelled_df.schema, config, Scorer.of(bundle), bundle.manifest["schema"], table="labelled"
    )
    known_df = labelled_df.filter(class_index(roles) >= 0)
    divided_df = with_parts_of_bundle(known_df, config, bundle)
    plan = bundle.plan
    if plan.looks_at_outcomes:  # the twin must not see a row's own outcome either
        plan = replace(plan, folds=learn_plan(divided_df, config).folds)
    with prepared(divided_df, config, rule, plan, also=also) as prepared_df:
        progress.step("counting rows")
        counts = count_parts(prepared_df, config)
        require_rows(counts.by_class, roles)
        rows = counts.rows
        progress.step(f"fitting {bundle.kind} without weights")
        twin = _twin(prepared_df, config, bundle, even, counts.size(CALIBRATE))
        test_df = prepared_df.filter(F.col(PART) == TEST)
        found = []
        for text, scorer in (("the model in use", Scorer.of(bundle)), ("its twin", twin)):
            progress.step(f"permuting columns for {text}")
            found.append(_importance(test_df, config, scorer, rows[TEST]))
        progress.step("comparing the rankings")
        areas = _areas(test_df, Scorer.of(bundle), twin, sample_weight(roles))
    coefficients = _coefficients(bundle, twin)
    return Explanation(rows[TEST], _side_by_side(*found), areas, coefficients)


def _require_same(config: Config, bundle: ModelBundle) -> None:
    theirs = tuple(bundle.manifest["classes"])
    if config.model.kind not in {AUTO, bundle.kind} or theirs != config.roles.class_names:
        raise ModelError(
            f"The model in use is {bundle.kind} and tells apart {', '.join(theirs)}; the "
            f"configuration asks for {config.model.kind} and "
            f"{', '.join(config.roles.class_names)}.",
            hint="train with this configuration first, or explain with the model's own.",
        )


def _rule(bundle: ModelBundle, even: WeightRule) -> WeightRule:
    """Return the weights that the model in use was trained with."""
    own = [bend.rule for bend in bundle.ledger.bends if bend.kind == WEIGHTS]
    return own[0] if own else even


def _twin(
    prepared_df: DataFrame, config: Config, bundle: ModelBundle, even: WeightRule, size: Size
) -> Scorer:
    """Fit the same learner without weights, and calibrate it."""
    roles, stated = config.roles, bundle.manifest["model"]
    weight = sample_weight(roles)
    fit_df = prepared_df.filter(F.col(PART) == FIT).select(FEATURES, LABEL, weight.alias(WEIGHT))
    model = learner(bundle.kind).fit(
        fit_df, stated["params"], seed=stated["seed"], classes=len(roles.class_names)
    )
    ledger = Ledger(bundle.ledger.prior).after_bending(WEIGHTS, even)
    bare = Scorer(bundle.kind, model, bundle.plan, roles.class_names, ledger)
    return finish(bare, prepared_df, config, size).scorer


def _areas(
    test_df: DataFrame, weighted: Scorer, twin: Scorer, weight: Column
) -> dict[str, AreaShift]:
    """Compare how both rank the same rows, one Spark job per class."""
    added = [*weighted.weighted_cols, *weighted.probability_cols]
    kept_df = test_df.withColumn(_KEPT, F.col(FEATURES))
    names = {c: f"__twin_{c}" for c in range(len(twin.classes))}
    twin_df = twin.score(kept_df).withColumns(
        {names[c]: column(name) for c, name in enumerate(twin.probability_cols)}
    )
    both_df = weighted.score(twin_df.drop(*added).withColumn(FEATURES, F.col(_KEPT)))
    first = 1 if len(twin.classes) == 2 else 0  # noqa: PLR2004 (two classes mirror each other)
    return {
        name: compare_areas(
            both_df,
            F.col(names[c]),
            column(weighted.probability_cols[c]),
            F.col(LABEL) == c,
            weight,
        )
        for c, name in enumerate(twin.classes)
        if c >= first
    }


def _coefficients(bundle: ModelBundle, twin: Scorer) -> dict[str, tuple[float, float]] | None:
    if not learner(bundle.kind).linear or len(twin.classes) > 2:  # noqa: PLR2004 (one row of them)
        return None
    pairs = [
        (float(model.intercept), *model.coefficients.toArray().tolist())
        for model in (twin.model, bundle.model)
    ]
    names = ("intercept", *bundle.plan.names)
    return {name: (pairs[0][i], pairs[1][i]) for i, name in enumerate(names)}


def _importance(test_df: DataFrame, config: Config, scorer: Scorer, rows: int) -> list[Importance]:
    own, sources = learner(scorer.kind), scorer.plan.sources
    # Only a linear model's coefficients depend on the columns' units.
    spread = collect_spread(test_df, len(sources)) if own.linear else None
    return collect_importance(
        test_df,
        partial(_append_cost, scorer, config),
        sources,
        own.importances(scorer.model, len(sources), spread),
        rows=rows,
        orders=(F.col(CHOOSING), F.col(DEALING)),
        weight=sample_weight(config.roles),
    )


def _append_cost(scorer: Scorer, config: Config, df: DataFrame, name: str) -> DataFrame:
    cost = paid(scorer, config.matrix, F.col(LABEL).cast("int"))
    scored_df = scorer.score(df).withColumn(name, cost)
    return scored_df.drop(*scorer.weighted_cols, *scorer.probability_cols)


def _side_by_side(weighted: list[Importance], unweighted: list[Importance]) -> tuple[Seen, ...]:
    places = ranks([one.cost for one in weighted]), ranks([one.cost for one in unweighted])
    seen = [Seen(*four) for four in zip(weighted, unweighted, *places, strict=True)]
    return tuple(sorted(seen, key=lambda one: (one.rank, one.weighted.name)))
