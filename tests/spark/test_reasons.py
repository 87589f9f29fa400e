"""Reasons add up to the margin, come weightiest first, and never name what must stay unsaid."""

from __future__ import annotations

from math import log
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pyspark.sql import functions as F

from sparkweights.config.load import load_config
from sparkweights.config.resolve import scoring_spec, training_spec
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import Name, Number
from sparkweights.features.encoders import NumericBlock, NumericFeature
from sparkweights.features.fit import learn_features
from sparkweights.features.plan import FeaturePlan
from sparkweights.models.attributions import LinearExplainer, contrast_of
from sparkweights.models.base import (
    FEATURES,
    LABEL,
    MARGIN,
    POSITIONS,
    WEIGHT,
    ExplainerSettings,
    learner,
)
from sparkweights.models.logistic import LogisticModel
from sparkweights.models.registry import declaration
from sparkweights.models.unmerged_trees import can_keep_leaves
from sparkweights.probability.corrections import Ledger
from sparkweights.scoring import reason_rules as reasoning
from sparkweights.scoring.reason_codes import ReasonRule, append_reasons, collect_reference
from sparkweights.scoring.reason_rules import reason_rule
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.location import Location
from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule
from sparkweights.weights.spark import training_weight

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.config.schema import Config

pytestmark = pytest.mark.usefixtures("generated_code")
needs_leaves = pytest.mark.skipif(
    not can_keep_leaves(), reason="before Spark 4.3 a tree of three classes merges its leaves"
)

KINDS: dict[str, dict[str, Any]] = {
    "logistic": {"regParam": 0.01},
    "boosted_trees": {"maxIter": 4, "maxDepth": 3},
    "tree": {"maxDepth": 4},
    "forest": {"numTrees": 6, "maxDepth": 4},
    "xgboost": {"n_estimators": 8, "num_parallel_tree": 2, "max_depth": 3, "subsample": 0.7},
}
ROLES = ColumnRoles(("id",), "y", {"a": 0, "b": 1, "c": 2}, ("x1", "x2", "x3"), ("branch",))


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Three classes that depend on numbers with gaps and on a category."""
    rng = np.random.default_rng(3)
    rows = 1_500
    x = rng.normal(size=(rows, 3))
    branch = rng.choice(["north", "south", "west"], rows)
    risk = x[:, 0] - x[:, 1] + (branch == "south") + rng.normal(size=rows)
    frame = pd.DataFrame(x, columns=["x1", "x2", "x3"])
    frame["x2"] = frame["x2"].where(rng.random(rows) > 0.1, None)
    frame = frame.assign(id=range(rows), branch=branch, y=np.digitize(risk, [0.5, 2.0]))
    return spark.createDataFrame(frame).repartition(2).cache()


def test_contrast_weighs_other_classes_by_their_probability(spark: SparkSession) -> None:
    """By hand; equal weights where none of the others has any, and of two classes one factor."""
    df = spark.createDataFrame([(0.2, 0.3, 0.5), (0.0, 1.0, 0.0)], "a double, b double, c double")
    three = contrast_of([F.col(name) for name in "abc"], 1)
    two = contrast_of([F.col("a"), F.col("b")], 0)
    first, second = df.select(three.alias("three"), two.alias("two")).collect()
    assert first["three"] == pytest.approx([-0.2 / 0.7, 1.0, -0.5 / 0.7])
    assert second["three"] == [-0.5, 1.0, -0.5]
    assert first["two"] == [1.0, -1.0]


ALIKE = {"tree", "forest"}
CONTRAST = {0: (1.0, -0.7, -0.3), 2: (-0.4, -0.6, 1.0)}


def _margin_of(kind: str, row: Any, against: int, classes: int) -> float:
    """Return what contributions must add up to, from the learner's own `MARGIN`."""
    margin = list(row[MARGIN])
    if classes > 2:
        total = sum(margin) if kind in ALIKE else 1.0
        return float(np.dot(CONTRAST[against], margin) / total)
    if kind in ALIKE:
        return float(margin[against] / sum(margin))
    if kind == "xgboost" and classes == 2:
        return float(margin[0] if against else -margin[0])
    return float(margin[against])


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        # A tree and a forest are explained by the code for boosted trees.
        pytest.param(
            kind,
            classes,
            marks=[
                *([pytest.mark.slow] if classes > 2 or kind in ALIKE else []),
                *([needs_leaves] if classes > 2 and kind in ALIKE else []),
            ],
        )
        for kind in KINDS
        for classes in (2, 3)
    ],
)
def test_contributions_add_up_to_the_margin(
    table: DataFrame, tmp_path: Path, kind: str, classes: int
) -> None:
    """For each learner, class and row, within 1e-6; a row that is not asked about gets null."""
    plan = learn_features(table, ROLES)
    label = F.least(F.col("y"), F.lit(classes - 1)).cast("double")
    fit_df = table.select(
        plan.vector().alias(FEATURES), label.alias(LABEL), (1.0 + 3 * F.col("y")).alias(WEIGHT)
    )
    model = learner(kind).fit(fit_df, KINDS[kind], seed=1, classes=classes)
    model.save(Location.of(tmp_path) / "model")
    reference = (0.1,) * len(plan.names)
    scored_df = model.append_margin(table.withColumn(FEATURES, plan.vector()))
    asked, sides = F.col("id") % 3 != 0, (0, classes - 1)
    explainers = [
        model.explainer(ExplainerSettings(side, Location.of(tmp_path) / "model", reference))
        for side in sides
    ]
    found = [
        explainer.contributions(
            plan.array(), asked, F.array(*map(F.lit, CONTRAST[side])) if classes > 2 else None
        ).alias(f"found {side}")
        for explainer, side in zip(explainers, sides, strict=True)
    ]
    for row in scored_df.select("id", MARGIN, *found).collect():
        for against in sides:
            parts = row[f"found {against}"]
            if row["id"] % 3 == 0:
                assert parts is None
                continue
            assert len(parts) == len(plan.names) + 1
            margin = _margin_of(kind, row, against, classes)
            assert sum(parts) == pytest.approx(margin, abs=1e-6)


PLAN_COLUMNS = ("late", "income", "age")


def _linear_plan() -> FeaturePlan:
    return FeaturePlan((NumericBlock(PLAN_COLUMNS, (0.0, 0.0, 0.0), ("income",)),))


@pytest.mark.parametrize("written", [64, 0])
def test_append_reasons_weightiest_first_in_words(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Contributions by hand: coefficient x (value - mean of the approved), flags with theirs."""
    monkeypatch.setattr("sparkweights.scoring.reason_codes.MAX_WRITTEN", written)
    plan = _linear_plan()
    explainer = LinearExplainer(-1.0, (2.0, -0.5, 5.0, 3.0), (1.0, 4.0, 0.0, 0.0))
    texts = {"late": "Recent late payments"}
    rule = ReasonRule({"decline": explainer}, 2, texts, frozenset({"age"}))
    df = spark.createDataFrame(
        [
            (1, 3.0, 2.0, 9.0, "decline"),  # late +4, income +1, age +45 must stay unsaid
            (2, 3.0, None, 0.0, "decline"),  # late +4, income -0.5 (0 - 4) + 3 = +5
            (3, 0.0, 9.0, 0.0, "decline"),  # late -2, income -2.5: no reason but age's mean
            (4, 9.0, 0.0, 0.0, "approve"),
            (5, 9.0, 0.0, 0.0, None),
        ],
        "id int, late double, income double, age double, decision string",
    ).withColumn(POSITIONS, plan.array())
    found = append_reasons(df, rule, plan.sources, F.col("decision")).orderBy("id").collect()
    assert [(row["reason_1"], row["reason_2"]) for row in found] == [
        ("Recent late payments", "income"),
        ("income", "Recent late payments"),
        (None, None),
        (None, None),
        (None, None),
    ]
    told_df = append_reasons(
        df, ReasonRule({"decline": explainer}, 2), plan.sources, F.col("decision")
    )
    assert told_df.filter("id = 1").first()["reason_1"] == "age"


def test_collect_reference_is_the_weighted_mean_of_the_approved(spark: SparkSession) -> None:
    """Two approved rows of weights 1 and 3; without any, the mean of all."""
    plan = _linear_plan()
    df = spark.createDataFrame(
        [(1.0, 2.0, 4.0, 1.0, True), (5.0, 6.0, 8.0, 3.0, True), (9.0, 9.0, 9.0, 4.0, None)],
        "late double, income double, age double, w double, approved boolean",
    ).withColumn(FEATURES, plan.vector())
    given = (F.col(FEATURES), len(plan.names))
    found = collect_reference(df, *given, F.col("approved"), F.col("w"))
    assert found == pytest.approx((4.0, 5.0, 7.0, 0.0))
    nobody = collect_reference(df, *given, F.lit(col=False), F.col("w"))
    assert nobody == pytest.approx((6.5, 7.0, 8.0, 0.0))


LOANS = """
name: loans
columns:
  {keys: [id], label: y, classes: {good: 0, bad: 1}, numeric: [x, amount], categorical: [branch]}
costs: {approve: {good: 0, bad: amount}, decline: {good: 60, bad: 0}}
reasons: {against: {decline: bad}, top: 2}
"""
BY_ROW = WeightRule("by_row", ("good", "bad"), (Number(60.0), Name("amount", 1)), scale=1 / 60)
BY_BRANCH = WeightRule(
    "balanced",
    ("good", "bad"),
    (Number(1.0), Number(1.0)),
    groups=GroupFactors(
        Grouping(("branch",)), {'["a"]': (1.0, 1.0), '["b"]': (1.0, 30.0)}, (1.0, 5.0)
    ),
)


def _bundle(
    model: Any, plan: FeaturePlan, ledger: Ledger, reference: tuple[float, ...], **typical: float
) -> Any:
    manifest = SimpleNamespace(
        classes=tuple(ledger.prior),
        model=SimpleNamespace(monotone={}),
        reference=reference,
        typical=typical,
    )
    return SimpleNamespace(
        version="v1", model=model, plan=plan, ledger=ledger, calibrator=None,
        folder=Location("/"), manifest=manifest,
    )  # fmt: skip


def _linear(rows: list[list[float]], starts: list[float]) -> LogisticModel:
    """Return a logistic model of given coefficients, one row for two classes."""
    native: Any = SimpleNamespace(
        coefficientMatrix=SimpleNamespace(toArray=lambda: np.array(rows)),
        interceptVector=SimpleNamespace(toArray=lambda: np.array(starts)),
    )
    return LogisticModel(declaration("logistic"), max(2, len(rows)), native)


def _numbers(*names: str) -> FeaturePlan:
    return FeaturePlan(tuple(NumericFeature(name, 0.0, flag_missing=False) for name in names))


def _told(df: DataFrame, config: Config, bundle: Any) -> DataFrame:
    """Score, decide and explain as a run does."""
    scored_df = Scorer.of(bundle).score(df.withColumn(POSITIONS, bundle.plan.array()))
    natural = [F.col(f"probability_{name}") for name in bundle.ledger.prior]
    spec = scoring_spec(config, training_spec(config, df.columns))
    decided_df = scored_df.withColumn("decision", spec.problem.policy.decide(natural))
    rule = reason_rule(spec, bundle)
    assert rule is not None
    return append_reasons(decided_df, rule, bundle.plan.sources, F.col("decision"))


@pytest.mark.parametrize(
    ("rule", "name"),
    [(BY_ROW, "amount"), pytest.param(BY_BRANCH, "branch", marks=pytest.mark.slow)],
)
def test_reasons_explain_the_natural_margin_not_the_weighted_one(
    spark: SparkSession, tmp_path: Path, rule: WeightRule, name: str
) -> None:
    """A column that weights alone brought into the model is no reason once they are undone."""
    even = LOANS.replace("good: 60", "good: 0.2 * amount")  # no decision hangs on the amount
    (tmp_path / "loans.yaml").write_text(even, encoding="utf-8")
    config = load_config(tmp_path / "loans.yaml")
    rng = np.random.default_rng(8)
    rows = 6_000
    x = rng.normal(size=rows)
    frame = pd.DataFrame({
        "id": np.arange(rows), "x": x, "y": rng.random(rows) < 1 / (1 + np.exp(2 - 2 * x)),
        "amount": rng.choice([60.0, 3_000.0], rows), "branch": rng.choice(["a", "b"], rows),
    }).astype({"y": int})  # fmt: skip
    df = spark.createDataFrame(frame)
    plan = learn_features(df, config.roles)
    fit_df = df.select(
        plan.vector().alias(FEATURES),
        F.col("y").cast("double").alias(LABEL),
        training_weight(rule, config.roles).alias(WEIGHT),
    )
    model = learner("logistic").fit(fit_df, {}, seed=1, classes=2)
    means = df.select(F.posexplode(plan.array()).alias("at", "v")).groupBy("at").avg("v")
    reference = tuple(row[1] for row in means.orderBy("at").collect())
    ledger = (
        Ledger({"good": 0.85, "bad": 0.15})
        .with_reweighting("weights", rule)
        .with_weights_inverted()
    )
    bundle = _bundle(model, plan, ledger, reference, amount=60.0)
    told_df = _told(df, config, bundle).filter("decision = 'decline' AND x > 0.5")
    told = told_df.toPandas()["reason_1"]
    assert len(told) > 1_000
    assert (told == "x").mean() > 0.98
    assert not (told == name).any()


def test_reasons_with_the_undone_weights_add_up_to_the_natural_log_odds(
    spark: SparkSession,
) -> None:
    """Amount 240, typical 60: undoing takes log(240 / 60) off what the model gives the amount."""
    plan = _numbers("x", "amount")
    ledger = (
        Ledger({"good": 0.85, "bad": 0.15})
        .with_reweighting("weights", BY_ROW)
        .with_weights_inverted()
    )
    model = _linear([[0.5, 0.01]], [-1.0])
    bundle = _bundle(model, plan, ledger, (0.0, 60.0), amount=60.0)
    df = spark.createDataFrame([(1.0, 240.0)], "x double, amount double")
    scored_df = Scorer.of(bundle).score(df)
    contrast = F.array(F.lit(-1.0), F.lit(1.0))
    undone = reasoning._weight_effects(Scorer.of(bundle), 1, contrast, {"amount": 60.0})
    p, added = scored_df.select("probability_bad", undone["amount"]).first()
    assert added == pytest.approx(-np.log(4))
    # Undone at the typical amount nothing is left to take off: its weights are 1 and 1.
    assert np.log(p / (1 - p)) == pytest.approx(-1 + 0.5 + 0.01 * 240 + added)


def test_reasons_tell_a_price_as_a_price(spark: SparkSession, tmp_path: Path) -> None:
    """P = .1, declined for an amount of 3,000 where 60 is typical; p = .6 is risk at any amount.

    Approving costs .1 x 3,000 = 300 against .9 x 60 = 54; at 60 it would cost 6.
    """
    (tmp_path / "loans.yaml").write_text(LOANS, encoding="utf-8")
    config = load_config(tmp_path / "loans.yaml")
    plan = _numbers("x", "amount")
    model = _linear([[1.0, 0.0]], [0.0])
    bundle = _bundle(model, plan, Ledger({"good": 0.8, "bad": 0.2}), (-4.0, 0.0), amount=60.0)
    rows = [(1, log(1 / 9), 3_000.0), (2, log(1.5), 3_000.0), (3, log(1 / 9), 60.0)]
    df = spark.createDataFrame(rows, "id int, x double, amount double")
    found = _told(df, config, bundle).orderBy("id").collect()
    assert [(row["decision"], row["reason_1"], row["reason_2"]) for row in found] == [
        ("decline", "amount (its price)", "x"),
        ("decline", "x", None),
        ("approve", None, None),
    ]
    worded = yaml.safe_load(LOANS)
    worded["reasons"]["prices"] = {"amount": "Size of the loan"}
    (tmp_path / "worded.yaml").write_text(yaml.safe_dump(worded), encoding="utf-8")
    config = load_config(tmp_path / "worded.yaml")
    assert _told(df, config, bundle).filter("id = 1").first()["reason_1"] == "Size of the loan"


THREE = """
name: loans
columns: {keys: [id], label: y, classes: {good: 0, late: 1, bad: 2}, numeric: [common, own]}
costs: {approve: {good: 0, late: 5, bad: 9}, decline: {good: 1, late: 0, bad: 0}}
reasons: {against: {decline: bad}, top: 2}
"""


def test_reasons_of_many_classes_contrast_the_margins(spark: SparkSession, tmp_path: Path) -> None:
    """What raises every class's margin alike changes no probability, and is no reason."""
    (tmp_path / "loans.yaml").write_text(THREE, encoding="utf-8")
    config = load_config(tmp_path / "loans.yaml")
    plan = _numbers("common", "own")
    model = _linear([[7.0, 0.0], [7.0, 0.5], [7.0, 1.0]], [0.0, 0.0, 0.0])
    ledger = Ledger({"good": 0.8, "late": 0.1, "bad": 0.1})
    bundle = _bundle(model, plan, ledger, (0.0, 0.0))
    df = spark.createDataFrame([(1, 3.0, 1.0)], "id int, common double, own double")
    row = _told(df, config, bundle).first()
    assert (row["decision"], row["reason_1"], row["reason_2"]) == ("decline", "own", None)
