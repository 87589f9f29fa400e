"""The one-pass evaluation equals scikit-learn and hand-computed money."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from sparkweights import Ledger, collect_evaluation
from sparkweights.core.errors import ConfigError, InputError, ModelError, QualityGateError
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.costs.spark import cost_columns
from sparkweights.evaluation.collect import Scored, collect_segments
from sparkweights.evaluation.cost_curves import cost_profile
from sparkweights.evaluation.discrimination import roc_auc
from sparkweights.evaluation.evaluation import Cell, Evaluation
from sparkweights.evaluation.score_table import ScoreTable
from sparkweights.quality.gates import gate_base_rate
from sparkweights.training.evaluate import constant_least_cost_decisions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MATRIX = CostMatrix.parse(
    {"approve": {"good": 0, "bad": "0.75 * loan"}, "decline": {"good": "0.1 * loan + 5", "bad": 0}},
    ["good", "bad"],
)


def _scored(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    p = np.round(rng.beta(1, 4, rows), 3)
    return pd.DataFrame({
        "p_bad": p,
        "p_good": 1 - p,
        "y": (rng.random(rows) < p).astype(float),
        "w": rng.choice([0.5, 1.0, 3.0], rows),
        "loan": rng.integers(1, 90, rows) * 10.0,
    })  # fmt: skip


def _asked(matrix: CostMatrix = MATRIX, **changes: Any) -> Scored:
    paid = partial(DecisionPolicy(matrix).realised_cost, index=F.col("y"))
    return Scored(**{
        "probability_cols": {"good": "p_good", "bad": "p_bad"},
        "class_col": "y",
        "decision_col": "d",
        "right_decisions": {"good": "approve", "bad": "decline"},
        "constant_costs": {name: paid(name) for name in matrix.decisions},
        "policy_costs": {"ours": paid(F.col("d"))},
        "order": F.rand(1),
        **changes,
    })  # fmt: skip


def _decided(spark: SparkSession, scored: pd.DataFrame) -> DataFrame:
    df = spark.createDataFrame(scored)
    return df.withColumn("d", DecisionPolicy(MATRIX).decide([F.col("p_good"), F.col("p_bad")]))


def _evaluate(df: DataFrame, asked: Scored, *, exact: bool = False) -> Evaluation:
    return collect_segments(df, asked, exact=exact)[()]


@pytest.mark.parametrize("exact", [False, True])
def test_collect_evaluation_equals_scikit_learn_and_pandas(
    spark: SparkSession, *, exact: bool
) -> None:
    """On weighted rows with ties, every metric that scikit-learn has, and the money."""
    rows = _scored()
    found = _evaluate(_decided(spark, rows), _asked(weight=F.col("w")), exact=exact)
    truth, p, w = rows["y"], rows["p_bad"], rows["w"]
    miss, lost = 0.75 * rows["loan"], 0.1 * rows["loan"] + 5
    decline = p * miss > (1 - p) * lost
    # Scores are multiples of 1/1000, so no two of them share one of the 8,192 bins.
    for name, y, q, taken in (("bad", truth, p, decline), ("good", 1 - truth, 1 - p, ~decline)):
        own = found.classes[name]
        precision, recall, f1, _ = precision_recall_fscore_support(
            y, taken, sample_weight=w, average="binary"
        )
        assert own.share == pytest.approx(np.average(y, weights=w), abs=1e-9)
        assert own.mean_probability == pytest.approx(np.average(q, weights=w), abs=1e-9)
        for value, theirs in (
            (own.auc, roc_auc_score(y, q, sample_weight=w)),
            (own.average_precision, average_precision_score(y, q, sample_weight=w)),
            (own.brier, brier_score_loss(y, q, sample_weight=w)),
            (own.log_loss, log_loss(y, q, sample_weight=w)),
            (own.precision, precision),
            (own.recall, recall),
            (own.f1, f1),
            (own.balanced_accuracy, balanced_accuracy_score(y, taken, sample_weight=w)),
            (own.matthews_correlation, matthews_corrcoef(y, taken, sample_weight=w)),
        ):
            assert value == pytest.approx(theirs, abs=1e-9)
        parts = own.brier_reliability - own.brier_resolution + own.brier_uncertainty
        assert parts == pytest.approx(own.brier, abs=2e-3)  # up to what varies within a tenth
        assert own.brier_uncertainty == pytest.approx(own.share * (1 - own.share))
    ours = (w * np.where(decline, (1 - truth) * lost, truth * miss)).sum()
    always = {"approve": (w * truth * miss).sum(), "decline": (w * (1 - truth) * lost).sum()}
    assert {name: found.cost(name) for name in always} == pytest.approx(always)
    assert found.savings("ours") == pytest.approx(1 - ours / min(always.values()))
    assert found.cells["decline"]["bad"].rows == int((decline & (truth == 1)).sum())
    assert found.decision_cost("decline")["good"] == pytest.approx(
        (w * lost)[decline & (truth == 0)].sum()
    )
    low, high = found.cost_interval("ours")
    assert low < ours < high
    by_row = log_loss(truth, p, sample_weight=w)
    assert found.block_losses.sum() / found.weight == pytest.approx(by_row, abs=1e-9)


def test_collect_evaluation_costs_of_every_cut_are_those_of_the_rows(spark: SparkSession) -> None:
    """Declining at or above a cut, on each row's own loan; as the other class's cut reversed."""
    rows = _scored(800)
    found = _evaluate(_decided(spark, rows), _asked(), exact=True)
    miss, lost = 0.75 * rows["loan"], 0.1 * rows["loan"] + 5
    profile = cost_profile(found.tables["bad"])
    for cut, cost in list(zip(profile.threshold, profile.cost, strict=True))[::25]:
        decline = rows["p_bad"] >= cut
        paid = np.where(decline, (1 - rows["y"]) * lost, rows["y"] * miss).sum()
        assert cost == pytest.approx(paid)
    mirrored = cost_profile(found.tables["good"])
    assert mirrored.cost == pytest.approx(profile.cost[::-1])


def test_collect_segments_are_the_evaluations_of_their_rows(spark: SparkSession) -> None:
    """One job for all; a missing value is a segment, and the whole is the sum of them."""
    rows = _scored(900).assign(branch=["north", "south", None] * 300)
    df, asked = _decided(spark, rows), _asked()
    found = collect_segments(df, asked, by=["branch"])
    assert list(found) == [(), (None,), ("north",), ("south",)]
    for (branch,), own in list(found.items())[1:]:
        of = df.filter(F.col("branch").eqNullSafe(F.lit(branch)))
        alone = _evaluate(of, asked)
        assert own.rows == alone.rows == 300
        assert own.cost("ours") == pytest.approx(alone.cost("ours"))
        assert own.classes["bad"].auc == pytest.approx(alone.classes["bad"].auc, abs=1e-12)
    parts = [own.cost("ours") for key, own in found.items() if key]
    assert found[()].cost("ours") == pytest.approx(sum(parts))


def test_collect_evaluation_three_classes_equal_scikit_learn(spark: SparkSession) -> None:
    """One against the rest, macro averages, and rows that are counted once."""
    rng = np.random.default_rng(2)
    p = rng.dirichlet([4, 2, 1], 1_500)
    y = np.array([rng.choice(3, p=row) for row in p])
    matrix = CostMatrix.zero_one(["a", "b", "c"])
    df = spark.createDataFrame(pd.DataFrame(p, columns=["pa", "pb", "pc"]).assign(y=y))
    chosen = DecisionPolicy(matrix).decide([F.col(name) for name in ("pa", "pb", "pc")])
    found = _evaluate(
        df.withColumn("d", chosen),
        _asked(
            matrix,
            probability_cols={"a": "pa", "b": "pb", "c": "pc"},
            right_decisions={name: name for name in matrix.decisions},
        ),
        exact=True,
    )
    assert found.rows == 1_500
    assert found.macro()["auc"] == pytest.approx(
        roc_auc_score(y, p, multi_class="ovr", average="macro"), abs=1e-9
    )
    by_row = log_loss(y, p)
    assert found.block_losses.sum() / found.weight == pytest.approx(by_row, abs=1e-9)
    assert found.cost("ours") == (p.argmax(axis=1) != y).sum()


def test_collect_evaluation_no_rows_is_a_sentence(spark: SparkSession) -> None:
    """Nothing to evaluate on is bad input, not a crash."""
    df = _decided(spark, _scored(20)).filter("y > 5")
    with pytest.raises(InputError, match="No rows to evaluate on"):
        _evaluate(df, _asked())


LOAN = {"good": 0, "bad": 1}


def _asked_of_all(**changes: Any) -> dict[str, Any]:
    return {
        "classes": LOAN, "label_col": "y", "probability_cols": ["p_good", "p_bad"],
        "costs": MATRIX, "weight_col": "w", **changes,
    }  # fmt: skip


def test_collect_evaluation_of_any_table_is_that_of_its_columns(spark: SparkSession) -> None:
    """Costs by pandas, areas by scikit-learn; by vector or columns, in any order of the classes."""
    rows = _scored(1_000)
    df = spark.createDataFrame(rows).withColumn(
        "probability", array_to_vector(F.array("p_good", "p_bad"))
    )
    result = collect_evaluation(df, **_asked_of_all())
    p, w = rows["p_bad"], rows["w"]
    miss, lost = 0.75 * rows["loan"], 0.1 * rows["loan"] + 5

    def cost(decline: Any) -> float:
        return float((w * np.where(decline, (1 - rows["y"]) * lost, rows["y"] * miss)).sum())

    record = result.record
    assert record.costs["ours"] == pytest.approx(cost(p * miss > (1 - p) * lost))
    assert record.costs["cut_at_half"] == pytest.approx(cost(p > 0.5))
    assert record.classes["bad"].auc == pytest.approx(
        roc_auc_score(rows["y"], p, sample_weight=w), abs=1e-9
    )
    assert record.rows == 1_000
    assert result._repr_html_().count("<svg") == 3
    taken = F.when(F.col("p_bad") > 0.3, "decline").otherwise("approve")
    again = collect_evaluation(
        df.withColumn("taken", taken),
        **_asked_of_all(
            classes={"bad": 1, "good": 0}, probability_cols="probability", decision_col="taken"
        ),
    )
    assert again.record.costs["ours"] == pytest.approx(cost(p > 0.3))
    assert again.record.constant_costs == pytest.approx(record.constant_costs)
    assert again.record.classes["bad"].auc == record.classes["bad"].auc


def test_collect_evaluation_of_rows_that_belong_together_has_wider_intervals(
    spark: SparkSession,
) -> None:
    """Ten rows of a customer are not ten draws; text labels and an array do as well."""
    rows = pd.concat([_scored(300).assign(customer=range(300))] * 10, ignore_index=True)
    df = spark.createDataFrame(rows.assign(row=range(3_000))).withColumns({
        "y": F.when(F.col("y") == 1, "lost").otherwise("paid"), "p": F.array("p_good", "p_bad"),
    })  # fmt: skip
    asked = _asked_of_all(
        classes={"good": "paid", "bad": "lost"}, probability_cols="p", costs=None, weight_col=None
    )
    alone = collect_evaluation(df, **asked).record.classes["bad"].intervals["auc"]
    together = collect_evaluation(df, **asked, group_cols=["customer"])
    low, high = together.record.classes["bad"].intervals["auc"]
    assert high - low > 2 * (alone[1] - alone[0])
    assert together.record.costs["ours"] == ((rows["p_bad"] > 0.5) != (rows["y"] == 1)).sum()


def test_collect_evaluation_refuses_rows_and_columns_that_it_cannot_use(
    spark: SparkSession,
) -> None:
    """A sentence each; or, where asked, without the rows."""
    rows = _scored(200).assign(taken="approve")
    odd = rows.copy()
    odd.loc[0, "y"], odd.loc[1, "y"], odd.loc[2, "p_bad"] = None, 2.0, None
    odd.loc[3, "loan"], odd.loc[4, "w"], odd.loc[5, "taken"] = None, -1.0, "ask"
    df, odd_df = spark.createDataFrame(rows), spark.createDataFrame(odd)
    asked = _asked_of_all(decision_col="taken")
    assert collect_evaluation(odd_df, **asked, handle_invalid="skip").record.rows == 194
    with pytest.raises(InputError, match="a row: it has no decision in column 'taken' that the c"):
        collect_evaluation(odd_df.filter("taken = 'ask'"), **asked)
    ledger = Ledger.by_hand({"good": 0.8, "bad": 0.2}, {"good": 1, "bad": 4})
    with pytest.raises(ModelError, match="count the costs twice"):
        collect_evaluation(df, **_asked_of_all(ledger=ledger))
    with pytest.raises(ConfigError, match="names 1 columns for the classes good, bad"):
        collect_evaluation(df, **_asked_of_all(probability_cols=["p_bad"]))
    with pytest.raises(InputError, match="has no column 'score'"):
        collect_evaluation(df, **_asked_of_all(probability_cols="score"))


def test_least_cost_decision_that_is_free_needs_no_rows() -> None:
    """Costs are >= 0; where no decision is free and one reads a column, the rows decide."""
    assert constant_least_cost_decisions(MATRIX) == {"good": "approve", "bad": "decline"}
    numbers = {"a": {"x": 3, "y": 1}, "b": {"x": 2, "y": 1}}
    assert constant_least_cost_decisions(CostMatrix.parse(numbers, ["x", "y"])) == {
        "x": "b", "y": "a",
    }  # fmt: skip
    unknown = {"a": {"x": "loan", "y": 1}, "b": {"x": 2, "y": 0}}
    assert constant_least_cost_decisions(CostMatrix.parse(unknown, ["x", "y"])) is None


def test_cheapest_tie_goes_to_the_first_declared(spark: SparkSession) -> None:
    """A tie is decided by the configuration's order, and a null price decides nothing."""
    df = spark.createDataFrame([(1.0, 1.0), (2.0, 1.0), (None, 1.0)], "a double, b double")
    chosen = DecisionPolicy(MATRIX).cheapest({"first": F.col("a"), "second": F.col("b")})
    assert [row[0] for row in df.select(chosen).collect()] == ["first", "second", None]


@pytest.mark.parametrize("base", [1e-4, pytest.param(0.5, marks=pytest.mark.slow)])
def test_collect_evaluation_bins_lose_nothing_where_events_are_rare(
    spark: SparkSession, base: float
) -> None:
    """Area and best savings are those of the distinct scores; every cut splits rows as it says."""
    rng = np.random.default_rng(3)
    p = 1 / (1 + np.exp(-(np.log(base / (1 - base)) - 1 + rng.normal(0, 1.4, 20_000))))
    y = rng.random(len(p)) < np.minimum(p * 0.02 / base, 1)  # events enough to rank by
    rows = pd.DataFrame({"p_bad": p, "p_good": 1 - p, "y": y * 1.0, "loan": 100.0})
    matrix = CostMatrix.parse(
        {"approve": {"good": 0, "bad": 60}, "decline": {"good": 1, "bad": 0}}, ["good", "bad"]
    )
    found = _evaluate(_decided(spark, rows), _asked(matrix))
    own, exact = found.tables["bad"], ScoreTable.from_rows(p, y)
    assert roc_auc(own) == pytest.approx(roc_auc_score(y, p), abs=1e-4)
    costs = np.array([np.where(y, 60.0, 0.0), np.where(y, 0.0, 1.0)])
    truth = cost_profile(ScoreTable.from_rows(p, y, costs=costs)).best().savings
    assert cost_profile(own).best().savings == pytest.approx(truth, abs=5e-3)
    for table, scores in ((own, p), (found.tables["good"], 1 - p)):
        at_or_above = np.cumsum(table.weight[::-1])[::-1]
        assert at_or_above.tolist() == [(scores >= edge).sum() for edge in table.score]
    assert exact.weight.sum() == own.weight.sum()


def test_collect_evaluation_expected_cost_by_stake_equals_the_rows(spark: SparkSession) -> None:
    """Expected and realised cost, and the variance under the model, summed row by row."""
    rows = _scored(2_000)
    asked = _asked(weight=F.col("w"), costs=cost_columns(MATRIX))
    found = _evaluate(_decided(spark, rows), asked)
    y, p, w = rows["y"], rows["p_bad"], rows["w"]
    miss, lost = 0.75 * rows["loan"], 0.1 * rows["loan"] + 5
    decline = p * miss > (1 - p) * lost
    of_bad, of_good = np.where(decline, 0, miss), np.where(decline, lost, 0)
    expected = p * of_bad + (1 - p) * of_good
    sums, total = found.stakes, found.cost_calibration.total
    assert total.expected == pytest.approx((w * expected).sum())
    assert total.realised == pytest.approx((w * np.where(y > 0, of_bad, of_good)).sum())
    assert total.realised == pytest.approx(found.cost("ours"))
    assert sums.second[1].sum() == pytest.approx((w * p * (of_bad - expected) ** 2).sum())
    assert sums.third[0].sum() == pytest.approx((w * (1 - p) * (of_good - expected) ** 3).sum())
    stake = np.maximum(miss, lost)
    for level, weight in zip(sums.stake, sums.weight.sum(axis=0), strict=True):
        inside = (stake >= level * (1 - 1e-9)) & (stake < level * 2 ** (1 / 8) * (1 - 1e-9))
        assert weight == pytest.approx(w[inside].sum())
    assert len(found.cost_calibration.groups) >= 8
    low, high = total.interval
    assert low < total.ratio < high


@pytest.mark.slow
def test_collect_evaluation_clustered_rows_widen_every_interval(spark: SparkSession) -> None:
    """Every row ten times under one customer: as wide as the rows once, not a third of it."""
    rows = _scored(600).assign(customer=range(600))
    often = pd.concat([rows] * 10, ignore_index=True)
    order = F.pmod(F.xxhash64("customer"), F.lit(10_007)) / 10_007
    once = _evaluate(_decided(spark, rows), _asked(order=order))
    whole = _evaluate(_decided(spark, often), _asked(order=order, clustered=True))
    bare = _evaluate(_decided(spark, often), _asked(order=order))
    for name in ("auc", "average_precision", "brier"):
        widths = [np.diff(found.classes["bad"].intervals[name])[0] for found in (once, whole, bare)]
        assert widths[1] == pytest.approx(widths[0], rel=0.15)
        assert widths[2] < 0.4 * widths[0]


def _evaluation(p: Any, positives: Any, negatives: Any, squares: float = 1.0) -> Evaluation:
    """Return an evaluation of scores alone; a row's weight squared is ``squares``."""
    table = ScoreTable(p, positives, negatives)
    of_class, of_others = table.positives.sum(), table.negatives.sum()
    nothing = np.zeros(1)
    return Evaluation(
        {"bad": table},
        {"no": {"bad": Cell(int(of_class + of_others), of_class + of_others, 0.0)}},
        {"no": nothing},
        {},
        np.array([of_class + of_others]),
        nothing,
        {"bad": of_class * squares, "good": of_others * squares},
        {"bad": "no"},
    )


@pytest.mark.parametrize(
    ("events", "squares", "told"),
    [(49, 1.0, "Only 49 test rows are of class bad"), (50, 1.0, None), (98, 2.0, "Only 49 test")],
)
def test_few_events_are_told(events: int, squares: float, told: str | None) -> None:
    """Below 50 rows of a class, counted by what they are worth under their weights."""
    caution = _evaluation([0.01], [events], [9_000], squares).caution
    assert (caution is None) == (told is None)
    assert told is None or (caution or "").startswith(told)


@pytest.mark.parametrize("stratified", [True, False])
def test_gate_base_rate_shifted_probabilities_stop_the_run(*, stratified: bool) -> None:
    """A mean of 0.25 against a share of 0.20 on 10,000 rows is no accident."""
    p = [0.05, 0.41]
    gate_base_rate(_evaluation(p, [250, 1750], [5200, 2800]), 0.1, stratified=stratified)
    shifted = [0.11, 0.46]
    with pytest.raises(QualityGateError, match=r"bad: mean probability 0.2692, share 0.2"):
        gate_base_rate(_evaluation(shifted, [250, 1750], [5200, 2800]), 0.1, stratified=stratified)
    few = _evaluation([0.29], [2], [8])  # ten rows tell nothing where their classes are chance
    gate_base_rate(few, 0.1, stratified=False)


@pytest.mark.parametrize("factor", [0.05, 0.1, 10])
@pytest.mark.parametrize("stratified", [True, False])
def test_gate_base_rate_tenfold_error_at_ten_events_stops_the_run(
    factor: float, *, stratified: bool
) -> None:
    """10 rows of the class in 10,000, and a probability that is far from it."""
    p = np.array([0.0005, 0.002]) * factor
    with pytest.raises(QualityGateError, match="which chance does not explain"):
        gate_base_rate(_evaluation(p, [3, 7], [6_664, 3_326]), 0.1, stratified=stratified)


def test_gate_base_rate_share_that_moved_is_called_drift() -> None:
    """Forward in time: the mean fits the calibration rows' share, and the test rows' is double."""
    with pytest.raises(QualityGateError) as caught:
        gate_base_rate(
            _evaluation([0.02], [400], [9_600]), 0.1, stratified=False, prior={"bad": 0.02}
        )
    assert "bad from 0.02 to 0.04" in (caught.value.hint or "")
    assert "drift, not miscalibration" in (caught.value.hint or "")
