"""One battery for every Estimator, Transformer and Evaluator.

Run on classic Spark by default, and through Spark Connect by tests/jobs/test_connect.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.errors import PySparkException
from pyspark.ml import Estimator, Model, Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.tuning import CrossValidator
from pyspark.sql import functions as F

from sparkweights import (
    ClassWeigher,
    CostDecider,
    CostWeigher,
    ExpectedCostEvaluator,
    Ledger,
    ProbabilityCalibrator,
    ProbabilityCorrector,
)
from sparkweights.core.errors import ConfigError, InputError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")

ROWS = 600
CLASSES = {"re paid": 0, "de.fault": 1}
COSTS = {
    "approve": {"re paid": 0, "de.fault": "0.75 * `loan.amount`"},
    "decline": {"re paid": "0.1 * `loan.amount` + 5", "de.fault": 0},
}
LEDGER = Ledger.by_hand({"re paid": 0.8, "de.fault": 0.2}, {"re paid": 1, "de.fault": 4})
STAGES: dict[str, Any] = {
    "ClassWeigher": lambda: ClassWeigher(labelCol="y", classWeightsCol="cw"),
    "CostWeigher": lambda: CostWeigher(labelCol="y", costs=COSTS, classes=CLASSES),
    "ProbabilityCorrector": lambda: ProbabilityCorrector(ledger=LEDGER),
    "ProbabilityCalibrator": lambda: ProbabilityCalibrator(
        labelCol="y", probabilityCol="probability", classes=CLASSES
    ),
    "CostDecider": lambda: CostDecider(costs=COSTS, classes=CLASSES),
}
READS = {
    "ClassWeigher": "y",
    "CostWeigher": "loan.amount",
    "ProbabilityCorrector": "probability",
    "ProbabilityCalibrator": "probability",
    "CostDecider": "loan.amount",
}
ADDS = {
    "ClassWeigher": ["class_weight", "cw"],
    "CostWeigher": ["class_weight"],
    "ProbabilityCorrector": ["natural_probability"],
    "ProbabilityCalibrator": ["calibrated_probability"],
    "CostDecider": ["decision", "expected_cost"],
}
each_stage = pytest.mark.parametrize("name", list(STAGES))


@pytest.fixture(scope="module")
def loans(unobserved: SparkSession) -> DataFrame:
    """Loans with a label, an amount under a dotted name, and a model's probabilities."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=ROWS)
    p = 1 / (1 + np.exp(1.5 - x))
    frame = pd.DataFrame({
        "id": np.arange(ROWS),
        "x": x,
        "loan.amount": rng.integers(1, 40, ROWS) * 100.0,
        "p": p,
        "y": (rng.random(ROWS) < p).astype(int),
    })  # fmt: skip
    df = unobserved.createDataFrame(frame)
    vector = array_to_vector(F.array(1 - F.col("p"), F.col("p")))
    return df.withColumn("probability", vector).drop("p")


def _applied(stage: Any, df: DataFrame) -> DataFrame:
    fitted = stage.fit(df) if isinstance(stage, Estimator) else stage
    applied: DataFrame = fitted.transform(df)
    return applied


def _rows(df: DataFrame) -> list[Any]:
    vectors = {
        name: vector_to_array(F.col(f"`{name}`")) for name, kind in df.dtypes if kind == "vector"
    }
    plain_df = df.withColumns(vectors) if vectors else df
    return sorted(map(tuple, plain_df.collect()))


@each_stage
def test_stage_appends_its_columns_and_changes_no_other(loans: DataFrame, name: str) -> None:
    """The input's columns come first, with the input's rows."""
    applied_df = _applied(STAGES[name](), loans)
    assert applied_df.columns == [*loans.columns, *ADDS[name]]
    assert _rows(applied_df.select([f"`{c}`" for c in loans.columns])) == _rows(loans)
    assert applied_df.dropna(subset=ADDS[name]).count() == ROWS


@each_stage
def test_stage_survives_save_and_load(loans: DataFrame, tmp_path: Path, name: str) -> None:
    """A stage and its model keep their Params and do the same again."""
    stage = STAGES[name]()
    before = _rows(_applied(stage, loans))
    stage.save(str(tmp_path / "stage"))
    again = type(stage).load(str(tmp_path / "stage"))
    assert {p.name: stage.value(p.name) for p in stage.params} == {
        p.name: again.value(p.name) for p in again.params
    }
    assert _rows(_applied(again, loans)) == before
    if isinstance(stage, Estimator):
        model: Any = stage.fit(loans)
        model.save(str(tmp_path / "model"))
        loaded = type(model).load(str(tmp_path / "model"))
        assert _rows(loaded.transform(loans)) == before
        params = [{p.name: each.value(p.name) for p in each.params} for each in (model, loaded)]
        assert json.dumps(params[0]) == json.dumps(params[1])


@each_stage
def test_stage_copy_is_independent(name: str) -> None:
    """A Param of the copy is the copy's own; the uid stays, as Spark has it."""
    stage = STAGES[name]()
    output = {"CostDecider": "decisionCol"}.get(name, "outputCol")
    copied = stage.copy({stage.getParam(output): "elsewhere"})
    assert copied.value(output) == "elsewhere"
    assert stage.value(output) != "elsewhere"
    assert copied.uid == stage.uid


@each_stage
def test_stage_refuses_missing_and_duplicate_columns(loans: DataFrame, name: str) -> None:
    """One sentence that names the column, before any job."""
    reads, adds = READS[name], ADDS[name][0]
    with pytest.raises(InputError, match=f"has no column '{reads}'"):
        _applied(STAGES[name](), loans.drop(reads))
    twice_df = loans.select("*", F.col(f"`{reads}`").alias(reads))
    with pytest.raises(InputError, match=f"'{reads}'"):
        _applied(STAGES[name](), twice_df)
    with pytest.raises(InputError, match=f"would add column '{adds}', which its input has"):
        _applied(STAGES[name](), loans.withColumn(adds, F.lit(1)))


# What makes the first row invalid for a stage, and what its refusal says.
INVALID = {
    "ClassWeigher": ("y", None, "no label in column 'y'"),
    "CostWeigher": ("y", 7, "a label in column 'y' that names no class"),
    "ProbabilityCorrector": ("probability", None, "no probability or no weight of each class"),
    "ProbabilityCalibrator": ("probability", None, "no probability of each class in column 'prob"),
    "CostDecider": ("loan.amount", -1.0, "no finite number >= 0 for cost approve.de.fault"),
}


@each_stage
def test_stage_handles_invalid_rows_as_asked(loans: DataFrame, name: str) -> None:
    """As MLlib names it: error, skip and keep, in the fit and afterwards; never a wrong number."""
    at, value, lack = INVALID[name]
    invalid = F.col("id") == 0
    few_df = loans.filter("id < 40")
    wrong = F.when(~invalid, F.col(f"`{at}`"))  # null on the first row
    wrong = wrong if value is None else wrong.otherwise(F.lit(value))
    mixed_df = few_df.withColumn(at, wrong)
    valid_df = mixed_df.filter("id > 0")
    stage = STAGES[name]()
    fitted = stage.fit(valid_df) if isinstance(stage, Estimator) else stage
    expected = _rows(fitted.transform(valid_df))
    with pytest.raises(PySparkException, match=lack):
        fitted.transform(mixed_df).collect()
    for how in ("skip", "keep"):
        stage.setHandleInvalid(how)
        applied_df = _applied(stage, mixed_df)
        assert _rows(applied_df.filter("id > 0")) == expected
        kept = applied_df.filter("id = 0").select(ADDS[name][0]).collect()
        assert kept == ([] if how == "skip" else [(None,)])
    if isinstance(stage, Estimator):
        with pytest.raises(InputError, match=r"null label|no class names|no probability of each"):
            stage.setHandleInvalid("error").fit(mixed_df)


@each_stage
def test_stage_refuses_unknown_params(name: str) -> None:
    """A typo is told with what is allowed."""
    with pytest.raises(ConfigError, match="has no Param 'weigthCol'"):
        type(STAGES[name]())(weigthCol="w")


def _pipeline(scheme: str = "balanced") -> Pipeline:
    return Pipeline(
        stages=[
            ClassWeigher(labelCol="y", scheme=scheme, classWeightsCol="cw", missingLabel="skip"),
            VectorAssembler(inputCols=["x"], outputCol="features"),
            LogisticRegression(
                labelCol="y",
                weightCol="class_weight",
                probabilityCol="weighted",
                predictionCol="likeliest",
            ),
            ProbabilityCorrector(
                probabilityCol="weighted", classWeightsCol="cw", outputCol="natural"
            ),
            CostDecider(probabilityCol="natural", costs=COSTS, classes=CLASSES),
        ]
    )


def test_stages_in_a_pipeline_give_natural_probabilities(loans: DataFrame, tmp_path: Path) -> None:
    """Weigh, fit, undo, decide; saved and loaded; and applied to rows without a label."""
    plain_df = loans.drop("probability")
    model = _pipeline().fit(plain_df)
    scored_df = model.transform(plain_df)
    natural = vector_to_array(F.col("natural"))[1]
    weighted = vector_to_array(F.col("weighted"))[1]
    row = scored_df.agg(F.mean(natural), F.mean(weighted), F.mean("y")).first()
    assert row is not None
    assert row[0] == pytest.approx(row[2], rel=0.02)
    assert row[1] > 1.3 * row[2]
    model.save(str(tmp_path / "pipeline"))
    again = PipelineModel.load(str(tmp_path / "pipeline"))
    unlabelled_df = plain_df.drop("y")
    keys = ["id", "decision", "expected_cost"]
    assert _rows(again.transform(unlabelled_df).select(keys)) == _rows(scored_df.select(keys))


@pytest.mark.slow
def test_stages_in_cross_validation_minimise_money(loans: DataFrame) -> None:
    """CrossValidator chooses by ExpectedCostEvaluator; smaller is better."""
    pipeline = _pipeline()
    weigher, _, logistic = pipeline.getStages()[:3]
    evaluator = ExpectedCostEvaluator(
        labelCol="y", probabilityCol="natural", costs=COSTS, classes=CLASSES
    )
    grid: list[dict[Any, Any]] = [
        {weigher.scheme: scheme, logistic.regParam: penalty}  # type: ignore[attr-defined]
        for scheme, penalty in (("balanced", 10.0), ("none", 0.0))
    ]
    search = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=grid,
        evaluator=evaluator,
        numFolds=2,
        seed=1,
    )
    found = search.fit(loans.drop("probability"))
    assert len(found.avgMetrics) == 2
    best = int(np.argmin(found.avgMetrics))
    # A penalty of 10 leaves the base rate alone, which prices every loan the same way.
    assert grid[best][logistic.regParam] == 0.0  # type: ignore[attr-defined]
    assert isinstance(found.bestModel, Model)


def test_expected_cost_evaluator_equals_pandas(loans: DataFrame, tmp_path: Path) -> None:
    """The mean realised cost of the Bayes decisions, by hand; saved and loaded."""
    evaluator = ExpectedCostEvaluator(labelCol="y", costs=COSTS, classes=CLASSES)
    frame = loans.withColumn("p", vector_to_array(F.col("probability"))[1]).drop("probability")
    rows = frame.toPandas()
    miss, lost = 0.75 * rows["loan.amount"], 0.1 * rows["loan.amount"] + 5
    decline = rows["p"] * miss > (1 - rows["p"]) * lost
    cost = np.where(decline, (1 - rows["y"]) * lost, rows["y"] * miss).mean()
    assert evaluator.evaluate(loans) == pytest.approx(cost)
    assert not evaluator.isLargerBetter()
    evaluator.save(str(tmp_path / "evaluator"))
    again = ExpectedCostEvaluator.load(str(tmp_path / "evaluator"))
    assert again.evaluate(loans) == pytest.approx(cost)
    with pytest.raises(InputError, match="has no column 'y'"):
        evaluator.evaluate(loans.drop("y"))
    with pytest.raises(InputError, match="1 rows have no cost, label or probability"):
        evaluator.evaluate(loans.withColumn("y", F.when(F.col("id") > 0, F.col("y"))))


def test_cost_decider_refuses_probabilities_that_carry_weights(loans: DataFrame) -> None:
    """The ledger given by hand says that the costs are in there already."""
    decider = CostDecider(costs=COSTS, classes=CLASSES, ledger=LEDGER)
    with pytest.raises(ModelError, match="would count the costs twice"):
        decider.transform(loans)
    corrector = ProbabilityCorrector(ledger=LEDGER)
    after = corrector.after()
    assert after is not None
    decider = CostDecider(
        costs=COSTS, classes=CLASSES, ledger=after, probabilityCol="natural_probability"
    )
    decided_df = decider.transform(corrector.transform(loans))
    assert decided_df.dropna(subset=["decision"]).count() == ROWS
    with pytest.raises(ModelError, match="inverting it twice"):
        ProbabilityCorrector(ledger=after).transform(loans)


@pytest.mark.parametrize(
    ("values", "nulls"),
    [(["good", "bad 'quoted'", "très.bad"], 0), ([True, False], 3), ([1, 2, 7], 2)],
)
def test_class_weigher_takes_labels_of_any_type(
    spark: SparkSession, values: list[Any], nulls: int
) -> None:
    """Text, booleans and whole numbers; nulls are counted and refused, or kept with no weight."""
    labels = [value for n, value in enumerate(values) for _ in range(2 + 3 * n)]
    rows = [(value,) for value in [*labels, *[None] * nulls]]
    df = spark.createDataFrame(rows, f"label {_ddl(values[0])}")
    model = ClassWeigher(handleInvalid="keep").fit(df)
    found = {row["label"]: row["class_weight"] for row in model.transform(df).collect()}
    for value in values:
        expected = len(labels) / (len(values) * labels.count(value))
        assert found[value] == pytest.approx(expected)
    if nulls:
        assert found[None] is None
        with pytest.raises(InputError, match=f"holds {nulls} null labels"):
            ClassWeigher().fit(df)


def _ddl(value: object) -> str:
    return {str: "string", bool: "boolean", int: "int"}[type(value)]


def test_class_weigher_one_class_is_refused(spark: SparkSession) -> None:
    """Nothing to weigh against."""
    df = spark.createDataFrame([("a",)] * 3, "label string")
    with pytest.raises(InputError, match="holds 1 classes"):
        ClassWeigher().fit(df)


def test_class_weigher_many_classes_are_joined(spark: SparkSession) -> None:
    """Beyond some tens of classes weights are looked up, and are the same numbers."""
    df = spark.range(3_000).selectExpr("concat('class ', id % 300 % (1 + id % 7)) AS label")
    model = ClassWeigher().fit(df)
    found = model.transform(df).groupBy("label").agg(
        F.count("*").alias("n"), F.min("class_weight").alias("w"), F.max("class_weight").alias("v")
    ).collect()  # fmt: skip
    for row in found:
        assert row["w"] == row["v"] == pytest.approx(3_000 / (len(found) * row["n"]))
