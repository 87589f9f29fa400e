"""XGBoost with missing values as they are, and under constraints: trained and scored alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.core.roles import ColumnRoles
from sparkweights.features.fit import learn_features
from sparkweights.features.plan import FeaturePlan
from sparkweights.models.base import (
    FEATURES,
    LABEL,
    MARGIN,
    WEIGHT,
    ExplainerSettings,
    learner,
)
from sparkweights.models.constraints import Constraints
from sparkweights.models.registry import declaration
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")

NAMES = ("income", "late", "debt")
ROLES = ColumnRoles(("id",), "y", {"repaid": 0, "defaulted": 1}, NAMES, ())
PARAMS = {"n_estimators": 15, "max_depth": 4, "learning_rate": 0.3}


def _rows(rows: int = 4_000) -> pd.DataFrame:
    """Draw rows where a missing income means a risk that no income has."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(rows, 3)).astype(np.float32).astype(float)
    missing = rng.random(rows) < 0.2
    logit = -2 + 0.8 * x[:, 1] + 0.5 * x[:, 1] * x[:, 2] - x[:, 0] * ~missing + 3 * missing
    frame = pd.DataFrame(x, columns=list(NAMES))
    frame.loc[missing, "income"] = np.nan
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    return frame.assign(id=np.arange(rows))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Draw the rows once."""
    return _rows()


@pytest.fixture(scope="module")
def table(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    """Keep one partition, so that bins are those of a single machine."""
    return spark.createDataFrame(frame).coalesce(1).cache()


@pytest.fixture(scope="module")
def plan(table: DataFrame) -> FeaturePlan:
    """Learn that missing numbers stay NaN."""
    return learn_features(table, ROLES, impute=False)


def _fit(table: DataFrame, plan: FeaturePlan, constraints: Constraints | None = None) -> Any:
    fit_df = table.select(
        plan.vector().alias(FEATURES), F.col("y").alias(LABEL), F.lit(1.0).alias(WEIGHT)
    )
    return learner("xgboost").fit(fit_df, PARAMS, seed=1, classes=2, constraints=constraints)


def _margins(table: DataFrame, model: Any, plan: FeaturePlan) -> np.ndarray:
    found = table.select("id", model.margin(plan, None).alias(MARGIN)).orderBy("id")
    return np.array([row[MARGIN][0] for row in found.collect()])


def test_plan_without_medians_passes_missing_numbers_as_nan(
    spark: SparkSession, frame: pd.DataFrame, table: DataFrame, plan: FeaturePlan
) -> None:
    """One position a column; null and NaN are NaN, plain or scored; files keep it.

    A column that was complete on the fit rows taught nothing of missing values: it is imputed.
    """
    assert plan.names == NAMES
    assert not plan.imputes
    assert FeaturePlan.from_dict(plan.to_dict()) == plan
    found = np.array([row[0] for row in table.orderBy("id").select(plan.array()).collect()])
    np.testing.assert_array_equal(found, frame[list(NAMES)].to_numpy())
    schema = "income double, late double, debt double"
    odd_df = spark.createDataFrame([(None, float("nan"), 0.3)], schema)
    scored = learn_features(table, ROLES, "quantile", impute=False)
    row = odd_df.select(
        vector_to_array(plan.vector()), vector_to_array(scored.vector()), scored.unusable()
    ).first()
    for values in row[:2]:
        assert np.isnan(values).tolist() == [True, False, False]
        assert values[1] == pytest.approx(0, abs=0.1)
    assert row[2] is None
    infinite_df = spark.createDataFrame([(float("inf"), 0.0, 0.0)], schema)
    assert infinite_df.select(plan.unusable()).first()[0] == "income"


def test_wide_plan_without_medians_passes_missing_numbers_as_nan(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of many columns has no flags, and medians of the complete columns alone."""
    monkeypatch.setattr("sparkweights.features.fit.WIDE", 2)
    schema = "income double, late double, debt double"
    df = spark.createDataFrame([(1.0, 2.0, 3.0), (None, float("nan"), 3.0)], schema)
    plan = learn_features(df, ROLES, impute=False)
    assert plan.names == NAMES
    assert plan.increasing == (True,) * 3
    assert FeaturePlan.from_dict(plan.to_dict()) == plan
    later_df = df.unionByName(spark.createDataFrame([(None, 5.0, None)], schema))
    found = np.array([row[0] for row in later_df.select(plan.array()).collect()])
    expected = [[1.0, 2.0, 3.0], [np.nan, np.nan, 3.0], [np.nan, 5.0, 3.0]]
    np.testing.assert_array_equal(found, expected)


def test_xgboost_missing_values_train_and_score_as_on_a_single_machine(
    frame: pd.DataFrame, table: DataFrame, plan: FeaturePlan, tmp_path: Path
) -> None:
    """Spark's fit equals xgboost's on the same rows with NaN; reasons add up to the margin."""
    from xgboost import XGBClassifier

    model = _fit(table, plan)
    theirs = XGBClassifier(**declaration("xgboost").resolve(PARAMS), random_state=1, n_jobs=1)
    theirs.fit(frame[list(NAMES)].to_numpy(), frame["y"])
    expected = theirs.predict(frame[list(NAMES)].to_numpy(), output_margin=True)
    ours = _margins(table, model, plan)
    assert ours == pytest.approx(expected, abs=1e-4)
    p, missing = 1 / (1 + np.exp(-ours)), frame["income"].isna()
    assert p[missing].mean() == pytest.approx(frame["y"][missing].mean(), abs=0.03)
    explainer = model.explainer(ExplainerSettings(1, Location.of(tmp_path)))
    parts = table.orderBy("id").select(explainer.contributions(plan.array(), F.col("id") < 50))
    found = [row[0] for row in parts.limit(50).collect()]
    assert np.sum(found, axis=1) == pytest.approx(ours[:50], abs=1e-6)


def test_xgboost_monotone_columns_hold_on_every_row(
    frame: pd.DataFrame, table: DataFrame, plan: FeaturePlan
) -> None:
    """Each row's margin over a grid of a constrained column moves one way; unconstrained it turns.

    Debt acts by the sign of late payments, so a free model is monotone in neither.
    """
    constraints = Constraints.of(plan, {"income": -1, "debt": 1}, [["income", "debt"]])
    kept, free = _fit(table, plan, constraints), _fit(table, plan)
    constraints.require_kept(kept.trees.json)
    grid = np.repeat(frame[list(NAMES)].to_numpy()[:40], 60, axis=0)
    for place, sign in ((0, -1), (2, 1)):
        rows = grid.copy()
        rows[:, place] = np.tile(np.linspace(-3, 3, 60), 40)
        steps = []
        for model in (kept, free):
            margins = model.trees.booster.inplace_predict(rows, predict_type="margin")
            steps.append(sign * np.diff(margins.reshape(40, 60)))
        assert (steps[0] >= -1e-5).all()
        assert (steps[1] < -1e-3).any()


@pytest.mark.parametrize("kind", ["logistic", "boosted_trees", "forest"])
def test_learner_that_is_not_constrainable_refuses_constraints(table: DataFrame, kind: str) -> None:
    """They are never dropped without a word."""
    with pytest.raises(ConfigError, match=f"{kind} cannot be fitted under monotone"):
        learner(kind).fit(table, {}, seed=1, classes=2, constraints=Constraints(("a",), (1,)))
