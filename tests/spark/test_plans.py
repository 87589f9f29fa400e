"""Plans stay in proportion to what is asked: no expression is repeated at each of its uses."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweights.core.arrow_batches import per_batch
from sparkweights.core.column_math import literal_array
from sparkweights.evaluation.fairness_cells import Grouping, collect_cells
from sparkweights.probability.label_shift import collect_histogram

pytestmark = pytest.mark.usefixtures("generated_code")

STEPS = 7  # each reads the one before three times: 3^7 copies of the first where they are repeated
MAX_COPIES = 200


def _nested(df: DataFrame, name: str) -> DataFrame:
    """Append a probability by steps that read their input several times, as a calibration does."""
    for _ in range(STEPS):
        x = F.col(name)
        df = df.withColumn(name, F.when(x > 0.5, x * 0.9).otherwise(x + 0.01))
    return df


def _copies(df: DataFrame) -> int:
    """Return how often the plan holds a step of `_nested`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        df.explain("extended")
    return out.getvalue().count("CASE WHEN")


@pytest.fixture(autouse=True)
def _whole_plans(spark: SparkSession) -> None:
    spark.conf.set("spark.sql.maxPlanStringLength", "10000000")
    spark.conf.set("spark.sql.debug.maxToStringFields", "10000")


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> list[int]:
    """Return how many steps the plan of each collected table holds."""
    found: list[int] = []
    kind = type(spark.range(1))
    collect = kind.collect

    def counting(df: DataFrame) -> list[object]:
        found.append(_copies(df))
        return list(collect(df))

    monkeypatch.setattr(kind, "collect", counting)
    return found


def test_literal_array_is_planned_as_its_doubles(spark: SparkSession) -> None:
    """Every double is read back bit for bit; the same values are one Column."""
    rng = np.random.default_rng(0)
    values = [0.0, -0.0, 1 / 3, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
    values += (rng.normal(size=200) * 10.0 ** rng.integers(-300, 300, 200)).tolist()
    df = spark.range(1).select(literal_array(values).alias("values"))
    (row,) = df.collect()
    assert np.array(row["values"]).tobytes() == np.array(values).tobytes()
    assert literal_array([1.0, 2.5]) is literal_array((1.0, 2.5))
    assert literal_array([1.0, 2.5]) is not literal_array([1.0, 2.0])


def test_per_batch_of_a_price_that_hangs_on_another_repeats_nothing(spark: SparkSession) -> None:
    """Two functions, the second asked where the first one's value says so: both values are right.

    Spark would make them one step, with all that lies between at each of its uses.
    """

    def half(x: pa.Array) -> pa.Array:
        return pa.compute.divide(x, 2.0)

    priced_df = _nested(
        spark.range(3).select(per_batch(half, "double")(F.col("id").cast("double")).alias("p")), "p"
    )
    found_df = priced_df.withColumn(
        "q", per_batch(half, "double")(F.when(F.col("p") > 0.4, F.col("p")))
    )
    assert _copies(found_df) < MAX_COPIES
    rows = [tuple(row) for row in found_df.orderBy("p").collect()]
    p = [0.0, 0.5, 1.0]
    for _ in range(STEPS):
        p = [x * 0.9 if x > 0.5 else x + 0.01 for x in p]
    assert rows == [
        (pytest.approx(x), pytest.approx(x / 2) if x > 0.4 else None) for x in sorted(p)
    ]


def test_collect_histogram_repeats_nothing_and_leaves_out_rows_without_a_probability(
    spark: SparkSession, collected: list[int]
) -> None:
    """Null and NaN are no probabilities, and asking so is no filter on the score."""
    df = spark.createDataFrame([(0.2,), (0.7,), (None,), (float("nan"),)], "p double")
    scored_df = _nested(df, "p").withColumn("other", 1 - F.col("p"))
    found = collect_histogram(scored_df, ["other", "p"])
    assert found.of_cell.sum() == 2
    assert collected
    assert max(collected) < MAX_COPIES


def test_collect_cells_repeats_nothing_and_leaves_out_rows_without_a_decision(
    spark: SparkSession, collected: list[int]
) -> None:
    """Rows without a decision count in no group, and asking so is no filter on the score."""
    df = spark.createDataFrame([("a", 0.2), ("a", 0.7), ("b", None)], "sex string, p double")
    found = collect_cells(
        _nested(df, "p"),
        [Grouping("sex")],
        favourable=F.col("p") < 0.5,
        positive=F.lit(col=True),
        weight=F.lit(1.0),
    )
    assert found is not None
    assert {
        name: float(cells.rows.sum()) for name, cells in found["sex"].items() if cells.rows.sum()
    } == {"a": 2.0}
    assert collected
    assert max(collected) < MAX_COPIES
