"""`distill`: a student of a small teacher, its record, its bundle, and its exports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from sparkweights import load_classifier
from sparkweights.export import standalone
from sparkweights.records import TrainingRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Shop
    from pyspark.sql import SparkSession

STUDENT = {
    "model": {
        "kind": "tree", "params": {"maxDepth": 6, "minInstancesPerNode": 20}, "max_leaves": 14,
    },
    "weights": {"scheme": "balanced"},
    "hard_share": 0.25,
    "artifacts": "out/students",
    "export": ["sql", "spark_sql", "python", "onnx"],
}  # fmt: skip


@dataclass(frozen=True)
class Distilled:
    """A folder with a teacher and a student."""

    shop: Shop
    record: dict[str, Any]

    @property
    def students(self) -> Path:
        """The folder of the students."""
        return self.shop.folder / "out" / "students"

    @property
    def manifest(self) -> dict[str, Any]:
        """The student's manifest."""
        file = self.students / self.record["model_version"] / "manifest.json"
        stated: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return stated

    def exported(self, name: str) -> Path:
        """Return where an export is."""
        return self.students / "export" / self.record["model_version"] / name

    def export(self, name: str) -> str:
        """Return an exported text."""
        return self.exported(name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def distilled(shop: Shop) -> Distilled:
    """Distill once; some of the rows without outcome are in the labelled table."""
    history = pd.read_parquet(shop.folder / "data" / "history").drop(columns="outcome")
    incoming = pd.read_parquet(shop.folder / "data" / "incoming")
    fresh = incoming.assign(**{"loan id": incoming["loan id"] + 100_000})
    shop.table("unlabelled", pd.concat([history[:100], fresh]))
    config = shop.config(
        "distill.yaml",
        distill=STUDENT,
        tables__unlabelled={"format": "parquet", "location": "data/unlabelled"},
        evaluate={"by": ["card type"], "min_rows": 100},
    )
    assert shop.run("distill", config, "--quiet") == 0
    (file,) = (shop.folder / "out" / "students" / "distillation").glob("*/distillation.json")
    assert (file.parent / "report.html").exists()
    return Distilled(shop, json.loads(file.read_text(encoding="utf-8")))


def test_student_names_its_teacher(distilled: Distilled) -> None:
    """The manifest states what it was fitted to; rows with outcomes are not learned from twice."""
    teacher = (distilled.shop.folder / "out/models/current").read_text(encoding="utf-8").strip()
    expected = {
        "version": teacher, "kind": "logistic", "temperature": 1.0, "hard_share": 0.25,
        "unlabelled_rows": 400,
    }  # fmt: skip
    assert distilled.record["teacher"] == distilled.manifest["teacher"] == expected
    assert distilled.record["model"]["kind"] == "tree"


def test_student_is_tested_on_the_rows_that_its_teacher_was_tested_on(
    distilled: Distilled,
) -> None:
    """The split is the teacher's, and the record's costs are those of both evaluations."""
    teacher = distilled.shop.folder / "out/models" / distilled.record["teacher"]["version"]
    of_teacher = json.loads((teacher / "manifest.json").read_text(encoding="utf-8"))
    of_student, overall = distilled.manifest, distilled.record["overall"]
    for key in ("cuts", "keys", "rows"):
        assert of_student["split"][key] == of_teacher["split"][key]
    assert overall["rows"] == of_teacher["evaluation"]["rows"]
    for name, manifest in (("teacher", of_teacher), ("student", of_student)):
        evaluation = manifest["evaluation"]
        cost = evaluation["costs"]["ours"] / evaluation["rows"]
        assert overall[f"{name}_cost"] == pytest.approx(cost, rel=1e-9)
        assert overall[f"{name}_savings"] == pytest.approx(evaluation["savings"]["ours"], rel=1e-9)
    segments = distilled.record["segments"]
    assert {segment["segment"]["card type"] for segment in segments} == {"gold", "basic", "store"}
    assert sum(segment["rows"] for segment in segments) == overall["rows"]
    means = [segment["fidelity"]["mean_difference"] * segment["rows"] for segment in segments]
    assert sum(means) / overall["rows"] == pytest.approx(overall["mean_difference"])


def test_student_probabilities_are_natural_in_spite_of_balanced_weights(
    distilled: Distilled,
) -> None:
    """Near the teacher's on new rows; weighted ones would be far above, by a factor of the odds."""
    rows = pd.read_parquet(distilled.shop.folder / "data/incoming")
    teacher = load_classifier(distilled.shop.folder / "out/models").predict_proba(rows)[:, 0]
    student = load_classifier(distilled.students).predict_proba(rows)[:, 0]
    assert abs(student.mean() / teacher.mean() - 1) < 0.1
    assert np.corrcoef(student, teacher)[0, 1] > 0.9
    (reweighting,) = TrainingRecord.from_dict(distilled.manifest).ledger.reweightings
    assert reweighting.inverted
    assert reweighting.rule.scheme == "balanced"


def test_student_has_as_many_leaves_as_it_may(distilled: Distilled) -> None:
    """Grown six levels deep, and pruned to 14 leaves, or to 13 where the last step takes two."""
    rows = pd.read_parquet(distilled.shop.folder / "data/history")
    student = load_classifier(distilled.students).predict_proba(rows)[:, 0]
    assert len(np.unique(student.round(12))) in {13, 14}


def test_exports_equal_the_student_in_spark_python_and_onnx(
    distilled: Distilled,
    spark: SparkSession,
    score_by_onnx: Callable[[bytes, pd.DataFrame], pd.DataFrame],
) -> None:
    """On every row, with nulls and a level that training did not see; to 1e-9."""
    rows = pd.read_parquet(distilled.shop.folder / "data/incoming")
    rows.loc[:9, "card type"] = None
    rows.loc[10:19, "card type"] = "unseen"
    rows.loc[15:24, "late payments"] = None
    expected = load_classifier(distilled.students).transform(rows).reset_index(drop=True)
    numbers = expected.columns.drop("decision")
    truth = expected[numbers].to_numpy()
    incoming_df = spark.createDataFrame(rows.astype(object).where(rows.notna(), None))
    incoming_df.createOrReplaceTempView("incoming")
    of_spark = spark.sql(distilled.export("model.spark.sql")).toPandas()
    of_spark = of_spark.set_index("loan id").loc[rows["loan id"]].reset_index()
    scorer = standalone.Scorer(json.loads(distilled.export("model.json")))
    of_python = pd.DataFrame([scorer.score(row) for row in rows.to_dict("records")])
    by_onnx = score_by_onnx(distilled.exported("model.onnx").read_bytes(), rows)
    for found in (of_spark, of_python, by_onnx):
        assert found["decision"].tolist() == expected["decision"].tolist()
        assert found[numbers].to_numpy(float) == pytest.approx(truth, rel=1e-9)
    assert distilled.export("standalone.py").endswith("FUNCTIONS[function](*operands)\n")
    assert '"late payments"' in distilled.export("model.sql")


def test_distill_refuses_what_it_cannot_do(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Before Spark starts; the sentence names the key."""
    refused = [
        (None, "distill is missing; there is no student to train"),
        (
            {**STUDENT, "model": {"kind": "auto"}},
            "distill.model.kind: 'auto', but a student is one",
        ),
        (
            {**STUDENT, "artifacts": "out/models"},
            "distill.artifacts: 'out/models' is the folder of",
        ),
        ({**STUDENT, "model": {"kind": "forest"}}, "distill.export: models of kind 'forest'"),
        (
            {**STUDENT, "model": {"kind": "tree", "params": {"maxDepth": 9}}},
            "distill.export: the tree may have 512 leaves; exports state at most 256",
        ),
        ({**STUDENT, "weights": {"scheme": "even"}}, "distill: weights.scheme"),
    ]
    for settings, sentence in refused:
        changes = {} if settings is None else {"distill": settings}
        assert shop.run("distill", shop.config("refused.yaml", **changes)) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_student_of_a_cross_fitted_teacher_learns_from_the_teacher_of_its_fold(
    own_shop: Shop,
) -> None:
    """All rows are test rows of both, in the teacher's folds; the scorecard is exported."""
    crossed = {"refit": "all", "folds": 2}
    scorecard = {
        "model": {"kind": "logistic", "params": {"regParam": 0.001}},
        "features": {"numeric": "binned"},
        "temperature": 2,
        "artifacts": "out/scorecards",
        "export": ["python"],
    }
    config = own_shop.config("crossed.yaml", train=crossed, distill=scorecard)
    assert own_shop.run("train", config, "--quiet") == 0
    assert own_shop.run("distill", config, "--quiet") == 0
    students, teachers = (own_shop.folder / "out" / name for name in ("scorecards", "models"))
    (file,) = (students / "distillation").glob("*/distillation.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    manifests = [
        TrainingRecord.from_dict(
            json.loads((folder / version / "manifest.json").read_text(encoding="utf-8"))
        )
        for folder, version in (
            (students, record["model_version"]),
            (teachers, record["teacher"]["version"]),
        )
    ]
    student, teacher = manifests
    assert student.split.folds == teacher.split.folds
    assert student.split.crossed == len(student.held_out) == 2
    assert record["overall"]["rows"] == 3_000
    # Of two folds, each calibration is by the other one, which moves their scores apart.
    assert record["overall"]["rank_correlation"] > 0.85
    rows = pd.read_parquet(own_shop.folder / "data/incoming")
    expected = load_classifier(students).transform(rows)
    formula = json.loads((students / "export" / student.version / "model.json").read_text("utf-8"))
    found = pd.DataFrame([standalone.Scorer(formula).score(row) for row in rows.to_dict("records")])
    pd.testing.assert_frame_equal(
        found[expected.columns], expected.reset_index(drop=True), rtol=1e-9, check_dtype=False
    )
