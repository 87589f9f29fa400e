"""On the demo's clients: a tree of 32 leaves, as SQL, as Python alone, and in ONNX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml

from sparkweights import load_classifier
from sparkweights.cli.main import main
from sparkweights.export import standalone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

STUDENT = {
    "model": {
        "kind": "tree", "params": {"maxDepth": 8, "minInstancesPerNode": 100}, "max_leaves": 32,
    },
    "artifacts": "out/students",
    "export": ["spark_sql", "python", "onnx"],
}  # fmt: skip


@pytest.mark.slow
def test_exports_equal_the_student_on_every_client(
    demo: Path, spark: SparkSession, score_by_onnx: Callable[[bytes, pd.DataFrame], pd.DataFrame]
) -> None:
    """Of both tables, to 1e-9."""
    stated = yaml.safe_load((demo / "credit_card.yaml").read_text(encoding="utf-8"))
    config = demo / "distill.yaml"
    config.write_text(
        yaml.safe_dump(stated | {"distill": STUDENT}, sort_keys=False), encoding="utf-8"
    )
    assert main(["distill", "--config", str(config), "--quiet"]) == 0
    tables = [pd.read_parquet(demo / "data" / name) for name in ("history", "incoming")]
    (key,) = stated["columns"]["keys"]
    rows = pd.concat(tables, ignore_index=True).drop_duplicates(key).reset_index(drop=True)
    assert len(rows) > 29_000
    students = demo / "out" / "students"
    expected = load_classifier(students).transform(rows).reset_index(drop=True)
    (files,) = (students / "export").iterdir()
    spark.createDataFrame(rows.astype(object).where(rows.notna(), None)).createOrReplaceTempView(
        "incoming"
    )
    of_spark = spark.sql((files / "model.spark.sql").read_text("utf-8")).toPandas()
    of_spark = of_spark.set_index(key).loc[rows[key]].reset_index()
    scorer = standalone.Scorer(json.loads((files / "model.json").read_text("utf-8")))
    of_python = pd.DataFrame([scorer.score(row) for row in rows.to_dict("records")])
    numbers = expected.columns.drop("decision")
    by_onnx = score_by_onnx((files / "model.onnx").read_bytes(), rows)
    for found in (of_spark, of_python, by_onnx):
        assert found["decision"].tolist() == expected["decision"].tolist()
        np.testing.assert_allclose(
            found[numbers].to_numpy(float), expected[numbers].to_numpy(float), rtol=1e-9
        )
