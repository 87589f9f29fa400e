"""Frequencies and weights against scikit-learn, brute force and repeated rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F
from scipy.optimize import brentq
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix
from sparkweights.training.evaluate import least_cost_decisions
from sparkweights.weights.choose import Weighting, mean_regrets, weigh_classes
from sparkweights.weights.estimators import CostWeigher
from sparkweights.weights.frequencies import ClassSummary, summarise_classes
from sparkweights.weights.rule import Grouping
from sparkweights.weights.spark import class_weight_columns, training_weight
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COSTS = {
    "approve": {"repay": 0, "default": "0.75 * `loan.amount`"},
    "decline": {"repay": "0.1 * `loan.amount` + 5", "default": 0},
}


def _roles(weight: str | None = None) -> ColumnRoles:
    return ColumnRoles(("id",), "y", {"repay": "ok", "default": "bad"}, ("x",), (), weight=weight)


def _matrix() -> CostMatrix:
    return CostMatrix.parse(COSTS, ["repay", "default"])


def _people(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({
        "id": np.arange(rows),
        "y": np.where(rng.random(rows) < 0.2, "bad", "ok"),
        "x": rng.normal(size=rows),
        "loan.amount": rng.integers(1, 50, rows) * 100,
        "w": rng.integers(1, 4, rows).astype(float),
    })  # fmt: skip


def _weigh(
    df: DataFrame, scheme: str, weight: str | None = None, **settings: Any
) -> tuple[ClassSummary, Weighting]:
    spec = WeightSpec(scheme, **settings)
    summary = summarise_classes(
        df, _roles(weight), _matrix(), grouping=spec.grouping, regret_bins=spec.per_row
    )
    return summary, weigh_classes(_matrix(), summary, spec)


def test_weigh_classes_balanced_equals_scikit_learn(spark: SparkSession) -> None:
    """Weights computed by Spark are compute_class_weight("balanced")."""
    people = _people()
    _, weighting = _weigh(spark.createDataFrame(people), "balanced")
    oracle = compute_class_weight("balanced", classes=np.array(["ok", "bad"]), y=people["y"])
    assert weighting.rule.constants == pytest.approx(tuple(oracle))


def test_summarise_classes_sample_weights_equal_repeated_rows(spark: SparkSession) -> None:
    """A row of weight 3 counts as the row three times, in priors and in every weight."""
    people = _people()
    repeated = people.loc[people.index.repeat(people["w"].astype(int))]
    for scheme in ("balanced", "cost", "cost_balanced", "cost_by_row"):
        _, weighted = _weigh(spark.createDataFrame(people), scheme, "w")
        _, copied = _weigh(spark.createDataFrame(repeated), scheme)
        assert weighted.prior == pytest.approx(copied.prior)
        assert weighted.rule.scale == pytest.approx(copied.rule.scale)
        if scheme != "cost_by_row":
            assert weighted.rule.constants == pytest.approx(copied.rule.constants)
        assert weighted.diagnostics.share_after == pytest.approx(copied.diagnostics.share_after)


@pytest.mark.parametrize("scheme", ["cost", "cost_balanced"])
def test_weigh_classes_cost_is_the_mean_regret_of_the_class(
    spark: SparkSession, scheme: str
) -> None:
    """One number per class: the mean price of its mistakes, by sample weight, with mean 1.

    So the ledger keeps numbers, and undoing reads no column.
    """
    people = _people()
    _, weighting = _weigh(spark.createDataFrame(people), scheme, "w")
    amount, w, bad = people["loan.amount"], people["w"], people["y"] == "bad"
    regrets = [
        np.average(0.1 * amount[~bad] + 5, weights=w[~bad]),
        np.average(0.75 * amount[bad], weights=w[bad]),
    ]
    shares = np.array([w[~bad].sum(), w[bad].sum()]) / w.sum()
    raw = np.array(regrets) / (shares if scheme == "cost_balanced" else 1)
    assert weighting.rule.constants == pytest.approx(tuple(raw / (raw * shares).sum()))
    assert weighting.inverse_rule.columns == ()
    aimed = tuple(raw * shares / (raw * shares).sum())
    assert weighting.diagnostics.share_after == pytest.approx(aimed)


@pytest.mark.parametrize("cap", [math.inf, 1.5])
def test_weigh_classes_cost_by_row_equals_brute_force(spark: SparkSession, cap: float) -> None:
    """Per-row weights are the price of the mistake, bounded, with mean 1; so are the sums."""
    people = _people()
    df = spark.createDataFrame(people)
    _, weighting = _weigh(df, "cost_by_row", cap=cap)
    amount = people["loan.amount"].to_numpy()
    raw = np.where(people["y"] == "bad", 0.75 * amount, 0.1 * amount + 5)
    bound = brentq(lambda s: np.clip(raw * s, 1e-3, cap).mean() - 1, 1e-9, 1e3, xtol=1e-15)
    expected = np.clip(raw * bound, 1e-3, cap)
    found = df.select("id", training_weight(weighting.rule, _roles()).alias("w")).toPandas()
    exact = 1e-9 if math.isinf(cap) else 2e-3  # the bin that the cap cuts is approximate
    assert found.sort_values("id")["w"].to_numpy() == pytest.approx(expected, rel=exact)
    assert found["w"].max() <= cap
    effect = weighting.diagnostics
    assert effect.mean_weight == pytest.approx(1)
    assert effect.kish_ess == pytest.approx(expected.sum() ** 2 / (expected**2).sum(), rel=exact)
    assert effect.gradient_variance == pytest.approx(
        (expected**2).mean() / expected.mean() ** 2, rel=exact
    )
    bad = (people["y"] == "bad").to_numpy()
    assert effect.share_after[1] == pytest.approx(expected[bad].sum() / expected.sum(), rel=exact)
    assert effect.share_aimed[1] == pytest.approx(raw[bad].sum() / raw.sum())


@pytest.mark.parametrize(
    "scheme",
    [
        "balanced",
        pytest.param("inverse_sqrt", marks=pytest.mark.slow),
        pytest.param("cost_balanced", marks=pytest.mark.slow),
    ],
)
def test_weigh_classes_by_group_equal_each_group_alone(spark: SparkSession, scheme: str) -> None:
    """Weights by region and month are those of the region's month alone; others get the pooled."""
    people = _people(600)
    people["region"] = np.where(people["id"] % 3 == 0, None, 'no\'rth "x"')
    people["day"] = pd.to_datetime("2026-01-20") + pd.to_timedelta(people["id"] % 40, unit="D")
    df = spark.createDataFrame(people)
    grouping = Grouping(("region",), "day", "month")
    summary, weighting = _weigh(df, scheme, grouping=grouping)
    # Cells come from a shuffle, in no order that means anything.
    shuffled = replace(summary, cells=summary.cells[::-1])
    again = weigh_classes(_matrix(), shuffled, WeightSpec(scheme, grouping=grouping))
    assert again.rule == weighting.rule
    found_df = df.withColumn("weight", training_weight(weighting.rule, _roles()))
    assert weighting.diagnostics.mean_weight == pytest.approx(1)
    groups = weighting.rule.groups
    assert groups is not None
    assert len(groups.factors) == 4
    for region in (True, False):
        for month in (1, 2):
            inside = (F.col("region").isNull() == region) & (F.month("day") == month)
            alone_df = found_df.filter(inside)
            _, alone = _weigh(alone_df, scheme)
            both = alone_df.select("weight", training_weight(alone.rule, _roles()).alias("own"))
            pairs = both.toPandas()
            assert pairs["weight"].to_numpy() == pytest.approx(pairs["own"].to_numpy())
    _, pooled = _weigh(df, scheme)
    later_df = df.withColumn("day", F.lit("2031-05-05").cast("timestamp"))
    unseen = later_df.select(
        training_weight(weighting.rule, _roles()).alias("weight"),
        training_weight(pooled.rule, _roles()).alias("own"),
    ).toPandas()
    assert unseen["weight"].to_numpy() == pytest.approx(unseen["own"].to_numpy())


def test_weights_by_window_are_undone_without_the_outcomes_of_a_window(spark: SparkSession) -> None:
    """What divides a model's odds is the region's own weights over all months, in any month.

    A month's balanced weights times its rows of a class is the same for every class, so that their
    mean over the months is the weight of the region without months.
    """
    people = _people(900)
    people["region"] = np.where(people["id"] % 3 == 0, None, 'nö"rth/1')
    people["day"] = pd.to_datetime("2026-01-20") + pd.to_timedelta(people["id"] % 40, unit="D")
    drifting = (people["id"] % 40 > 20) & (people["id"] % 2 == 0)
    people.loc[drifting, "y"] = "bad"
    df = spark.createDataFrame(people)
    _, weighting = _weigh(df, "balanced", grouping=Grouping(("region",), "day", "month"))
    assert weighting.inverse_rule.columns == ("region",)
    for region in (True, False):
        own_df = df.filter(F.col("region").isNull() == region)
        _, alone = _weigh(own_df, "balanced")
        found = own_df.select(*class_weight_columns(weighting.inverse_rule)).distinct().collect()
        assert len(found) == 1
        assert list(found[0]) == pytest.approx(alone.rule.constants)
    _, by_region = _weigh(df, "balanced", grouping=Grouping(("region",)))
    assert by_region.inverse_rule is by_region.rule


def test_a_group_that_lacks_a_class_weighs_as_all_rows_do(spark: SparkSession) -> None:
    """One scale for both classes: thirty good rows of a new branch do not double its risk."""
    people = _people()
    people["region"] = np.where((people["id"] < 60) & (people["y"] == "ok"), "new", "old")
    people.loc[people["id"].between(60, 70), ["region", "loan.amount"]] = ["free", 0]
    people.loc[people["region"] == "free", "y"] = "bad"
    df = spark.createDataFrame(people)
    for scheme in ("balanced", "cost_balanced"):
        _, pooled = _weigh(df, scheme)
        _, weighting = _weigh(df, scheme, grouping=Grouping(("region",)))
        assert weighting.rule.groups is not None
        assert list(weighting.rule.groups.factors) == ['["old"]']
        new_df = df.filter(F.col("region") != "old")
        a, b = (
            new_df.select(*class_weight_columns(own.rule)).toPandas().to_numpy()
            for own in (weighting, pooled)
        )
        assert a == pytest.approx(b)
        none_df = df.withColumn("region", F.col("y"))  # no region holds both classes
        _, apart = _weigh(none_df, scheme, grouping=Grouping(("region",)))
        a, b = (
            none_df.select(*class_weight_columns(own.rule)).toPandas().to_numpy()
            for own in (apart, pooled)
        )
        assert a == pytest.approx(b)


@pytest.mark.slow
def test_weigh_classes_twenty_random_tables_equal_scikit_learn(spark: SparkSession) -> None:
    """Class weights and row weights are scikit-learn's, whatever the label's type and classes."""
    rng = np.random.default_rng(11)
    for table in range(20):
        size, classes = int(rng.integers(2, 7)), rng.integers(20, 400)
        labels = np.concatenate([np.arange(size), rng.integers(0, size, classes)])
        values: list[Any] = [f"c {i}" for i in range(size)] if table % 2 else list(range(size))
        if size == 2 and table % 4 == 0:
            values = [False, True]
        names = {f"class.{i}": value for i, value in enumerate(values)}
        roles = ColumnRoles(("id",), "y", names, (), ())
        frame = pd.DataFrame({"id": np.arange(len(labels)), "y": [values[i] for i in labels]})
        df = spark.createDataFrame(frame)
        matrix = CostMatrix.zero_one(tuple(names))
        weighting = weigh_classes(
            matrix, summarise_classes(df, roles, matrix), WeightSpec("balanced")
        )
        by_class = compute_class_weight("balanced", classes=np.arange(size), y=labels)
        assert weighting.rule.constants == pytest.approx(tuple(by_class))
        rows = df.select("id", training_weight(weighting.rule, roles).alias("w")).toPandas()
        by_row = compute_sample_weight("balanced", labels)
        assert rows.sort_values("id")["w"].to_numpy() == pytest.approx(by_row)


def test_class_weight_columns_give_every_class_its_weight(spark: SparkSession) -> None:
    """Undoing needs w_c(x) of each class: the training weight is that of the row's own."""
    df = spark.createDataFrame(_people())
    _, weighting = _weigh(df, "cost_by_row")
    repay, default = class_weight_columns(weighting.rule)
    own = training_weight(weighting.rule, _roles())
    found = df.select("y", repay.alias("r"), default.alias("d"), own.alias("own")).toPandas()
    assert (found["own"] == np.where(found["y"] == "bad", found["d"], found["r"])).all()


def test_summarise_classes_is_one_job_and_one_scan(spark: SparkSession) -> None:
    """Frequencies, weights, faults and cuts come from a single pass."""
    df = spark.createDataFrame(_people())
    tracker = spark.sparkContext.statusTracker()
    spark.conf.set("spark.sql.adaptive.enabled", "false")  # it counts a shuffle as a job
    spark.sparkContext.setJobGroup("one-pass", "weights")
    try:
        _weigh(df, "cost_by_row")
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "true")
        spark.sparkContext.setJobGroup("others", "after")
    assert len(tracker.getJobIdsForGroup("one-pass")) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": "late"}, ["1 rows that no class names", "'late'", "repay: 'ok'"]),
        ({"y": None}, ["1 null labels", "its outcome"]),
        ({"loan.amount": None}, ["costs.decline.repay|costs.approve.default", "1 null or NaN"]),
        ({"loan.amount": -1e6}, ["costs.", "on 1 rows"]),
        ({"loan.amount": math.inf}, ["costs.", "finite number >= 0"]),
        ({"loan.amount": math.nan}, ["costs.", "1 null or NaN"]),
    ],
)
def test_summarise_classes_bad_row_is_counted_in_one_sentence(
    spark: SparkSession, change: dict[str, object], words: list[str]
) -> None:
    """One bad row stops the run with its count, not with a stack trace."""
    people = _people(50).astype({"loan.amount": float})
    for name, value in change.items():
        people.loc[7, name] = value
    rows = [tuple(None if v is None else v for v in row) for row in people.itertuples(index=False)]
    df = spark.createDataFrame(
        rows, "id bigint, y string, x double, `loan.amount` double, w double"
    )
    with pytest.raises(InputError) as caught:
        summarise_classes(df, _roles(), _matrix())
    for word in words:
        assert any(option in str(caught.value) for option in word.split("|")), str(caught.value)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_summarise_classes_bad_sample_weight_is_refused(spark: SparkSession, weight: float) -> None:
    """A sample weight is finite and not negative."""
    people = _people(50)
    people.loc[3, "w"] = weight
    with pytest.raises(InputError, match="'w' holds 1 values"):
        summarise_classes(spark.createDataFrame(people), _roles("w"), _matrix())


def test_weigh_classes_regret_that_changes_sign_is_refused(spark: SparkSession) -> None:
    """Where the right decision changes from row to row, a row's own weight would be negative.

    The mean regret of the class is well defined, and what scheme cost weighs by.
    """
    matrix = CostMatrix.parse(
        {"approve": {"repay": 300, "default": 900}, "decline": {"repay": "w * 200", "default": 0}},
        ["repay", "default"],
    )
    df = spark.createDataFrame(_people())
    summary = summarise_classes(df, _roles(), matrix)
    with pytest.raises(InputError, match="regret of class 'repay' is negative"):
        weigh_classes(matrix, summary, WeightSpec("cost_by_row"))
    people = _people()
    decline = people.loc[people["y"] == "ok", "w"] * 200
    assert (decline < 300).any()
    assert mean_regrets(summary) == pytest.approx(((decline - 300).mean(), 900.0))
    weights = weigh_classes(matrix, summary, WeightSpec("cost")).rule.constants or ()
    assert weights[1] / weights[0] == pytest.approx(900 / (decline - 300).mean())


def test_summarise_classes_dominated_costs_are_noticed(spark: SparkSession) -> None:
    """A decision that never loses on any row is reported."""
    matrix = CostMatrix.parse(
        {"approve": {"repay": 0, "default": "w"}, "decline": {"repay": 9, "default": "w + 1"}},
        ["repay", "default"],
    )
    df = spark.createDataFrame(_people())
    assert summarise_classes(df, _roles(), matrix).always_best == "approve"
    assert summarise_classes(df, _roles(), _matrix()).always_best is None


def test_of_decisions_that_tie_the_first_is_right(spark: SparkSession) -> None:
    """As the decision itself is taken; before, a tie on every row made the very first one right."""
    prices = {
        "decline": {"repay": 100, "default": 0},
        "approve": {"repay": 0, "default": 1000},
        "approve small": {"repay": 0, "default": 500},
    }
    matrix = CostMatrix.parse(prices, ["repay", "default"])
    summary = summarise_classes(spark.createDataFrame(_people()), _roles("w"), matrix)
    assert least_cost_decisions(matrix, summary) == {"repay": "approve", "default": "decline"}
    assert sum(summary.taken["repay"].values()) == _people()["w"].sum()


def test_weigh_classes_costs_of_zero_are_refused(spark: SparkSession) -> None:
    """Where nothing costs anything no row weighs anything."""
    free = CostMatrix.parse(
        {"approve": {"repay": 0, "default": 0}, "decline": {"repay": 0, "default": 0}},
        ["repay", "default"],
    )
    summary = summarise_classes(spark.createDataFrame(_people()), _roles(), free, regret_bins=True)
    for scheme in ("cost", "cost_by_row"):
        with pytest.raises(InputError, match="costs the same on every row, so all cost weights"):
            weigh_classes(free, summary, WeightSpec(scheme))


def test_cost_weigher_by_row_warns_and_reads_the_amount(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """By default a class has one weight; byRow weighs by the row's own regret, with a warning."""
    df = spark.createDataFrame(_people())
    stage = CostWeigher(labelCol="y", costs=COSTS, classes={"repay": "ok", "default": "bad"})
    assert stage.fit(df).weight_rule().constants is not None
    assert "cost_by_row" not in caplog.text
    by_row = stage.copy({stage.byRow: True})
    assert by_row.fit(df).weight_rule().columns == ("loan.amount",)
    assert "use weights.scheme cost" in caplog.text
    with pytest.raises(ConfigError, match="byRow and balanced do not go together"):
        by_row.copy({by_row.balanced: True}).fit(df)
