"""Feature plans: null, NaN and unseen values each have their place; names survive anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sparkweights.core.errors import InputError
from sparkweights.core.roles import ColumnRoles
from sparkweights.features.fit import learn_features
from sparkweights.features.plan import FeaturePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROLES = ColumnRoles(("id",), "y", {"a": 0, "b": 1}, ("in come", "debt.ratio"), ("card type",))
SCHEMA = "`in come` double, `debt.ratio` double, `card type` string"


def _frame(spark: SparkSession, rows: list[tuple[object, ...]]) -> DataFrame:
    return spark.createDataFrame(rows, SCHEMA)


@pytest.fixture
def plan(spark: SparkSession) -> FeaturePlan:
    """Learn from five rows with one missing income and one missing card."""
    rows = [
        (1.0, 0.5, "gold"),
        (2.0, 0.5, "gold"),
        (9.0, 0.7, None),
        (math.nan, 0.5, "basic"),
        (3.0, 0.9, "basic"),
    ]
    return learn_features(_frame(spark, rows), ROLES)


def test_learn_features_medians_and_levels_are_hand_computed(plan: FeaturePlan) -> None:
    """The median skips NaN; a column that was complete gets no indicator."""
    assert [(f.name, f.median, f.flag_missing) for f in plan.encoders[:2]] == [
        ("in come", 2.0, True),
        ("debt.ratio", 0.5, False),
    ]
    assert plan.encoders[2].levels == ("basic", "gold")
    assert plan.names == (
        "in come",
        "in come is missing",
        "debt.ratio",
        "card type = basic",
        "card type = gold",
        "card type is missing",
        "card type is another value",
    )


def test_vector_every_kind_of_missing_has_its_own_position(
    spark: SparkSession, plan: FeaturePlan
) -> None:
    """Null and NaN numbers are the flagged median; null and unseen categories stay apart."""
    rows = [
        (5.0, 0.1, "gold"),
        (None, math.nan, None),
        (math.nan, None, "platinum"),
    ]
    found = _frame(spark, rows).select(plan.vector().alias("v")).collect()
    assert [list(row["v"]) for row in found] == [
        [5.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0],
        [2.0, 1.0, 0.5, 0.0, 0.0, 1.0, 0.0],
        [2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 1.0],
    ]


def test_unusable_names_the_infinite_feature(spark: SparkSession, plan: FeaturePlan) -> None:
    """An infinite number would pass through a model as a normal-looking score."""
    rows = [(1.0, -math.inf, "gold"), (math.nan, 1.0, None)]
    found = _frame(spark, rows).select(plan.unusable().alias("u")).collect()
    assert [row["u"] for row in found] == ["debt.ratio", None]


def test_plan_round_trips_through_json(plan: FeaturePlan) -> None:
    """The manifest's copy scores as the learned one."""
    assert FeaturePlan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(None, 1.0, "x"), (math.nan, 2.0, "y")], "'in come' is null or NaN on all 2 fit rows"),
        ([(1.0, math.inf, "x"), (1.0, 2.0, "y")], "'debt.ratio' is infinite on 1 of 2 fit rows"),
        ([(1.0, 1.0, None), (1.0, 2.0, None)], "'card type' is null or NaN on all 2 fit rows"),
    ],
)
def test_learn_features_unusable_column_is_refused(
    spark: SparkSession, rows: list[tuple[object, ...]], words: str
) -> None:
    """A feature without values, or with infinite ones, stops the training by name."""
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        learn_features(_frame(spark, rows), ROLES)
