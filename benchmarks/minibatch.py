"""What a round of `mini_batch` costs, and how soon it is as good as MLlib's logistic regression.

Four million rows of twenty features, 5 % positives, drawn from a logistic law. Epoch: one round
over the packed rows, against one pass of an identity `mapInArrow` over the same rows as columns.
Fit: moments, packing and rounds against MLlib's fit to its own tolerance, alternating, and the log
loss of both on test rows; once with all rows kept and once with the sample of `SAMPLE`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from benchmarks.harness import Bar, alternate, arguments, figure, ratio, report, session
from sparkweights.core.column_math import balanced_sum
from sparkweights.models.base import FEATURES, LABEL, MARGIN, WEIGHT, learner
from sparkweights.models.mini_batch import round_settings, start_of
from sparkweights.models.optimizers import State
from sparkweights.models.packed_rows import collect_moments, collect_round, pack_rows
from sparkweights.models.registry import declaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.models.base import FittedModel

POSITIONS = 20
ALL = {"rounds": 1}  # one pass over so many rows suffices
SAMPLE = {"rounds": 2, "max_rows": 400_000}
NAMES = tuple(f"x{i}" for i in range(POSITIONS))


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=4_000_000, repeat=3, quick_rows=20_000)
    spark = session("minibatch")
    rows_df = _draw(spark, given.rows, seed=1).cache()
    rows_df.count()
    fit_df, test_df = _vectors(rows_df).cache(), _vectors(_draw(spark, given.rows // 8, seed=2))
    fit_df.count()
    seconds = _time_epochs(rows_df, fit_df, given.repeat)
    rows_df.unpersist()
    fitted: dict[str, FittedModel] = {}

    def fit(name: str, kind: str, params: dict[str, Any]) -> None:
        fitted[name] = learner(kind).fit(fit_df, params, seed=1, classes=2)

    seconds |= alternate(
        {
            "logistic": lambda: fit("logistic", "logistic", {}),
            "all rows": lambda: fit("all rows", "mini_batch", ALL),
            "sample": lambda: fit("sample", "mini_batch", SAMPLE),
        },
        repeat=given.repeat,
    )
    fit_df.unpersist()
    losses = {name: _test_loss(model, test_df) for name, model in fitted.items()}
    figures = {name: figure(values, "s") for name, values in seconds.items()}
    above = {name: 1e6 * (losses[name] - losses["logistic"]) for name in ("all rows", "sample")}
    figures |= {
        f"{name}, test loss above MLlib's": figure([loss], "millionths")
        for name, loss in above.items()
    }
    bars = [
        Bar("epoch over an identity mapInArrow", ratio(seconds, "epoch", "identity"), 1.5),
        Bar("fit over MLlib's", ratio(seconds, "sample", "logistic"), 1.0),
        Bar("test loss above MLlib's, millionths", above["sample"], 100),
    ]
    return report("minibatch", figures, bars)


def _draw(spark: SparkSession, rows: int, seed: int) -> DataFrame:
    """Draw rows of normal features with a logistic law."""
    drawn_df = spark.range(rows, numPartitions=4).select(
        *[F.randn(100 * seed + i).alias(name) for i, name in enumerate(NAMES)],
        F.rand(seed).alias("u"),
    )
    margin = balanced_sum([F.col(name) * (0.5 - i / 20) for i, name in enumerate(NAMES)]) - 3.6
    label = (F.col("u") < 1 / (1 + F.exp(-margin))).cast("double")
    return drawn_df.select(*NAMES, label.alias(LABEL))


def _vectors(df: DataFrame) -> DataFrame:
    features = array_to_vector(F.array(*NAMES)).alias(FEATURES)
    return df.select(features, LABEL, F.lit(1.0).alias(WEIGHT))


def _time_epochs(rows_df: DataFrame, fit_df: DataFrame, repeat: int) -> dict[str, list[float]]:
    """Time an identity pass over the rows as columns, and a round over the packed rows."""
    moments = collect_moments(fit_df, classes=2)
    params = declaration("mini_batch").typed({})
    settings = round_settings(params, moments, moments.rows, classes=2, seed=1)
    packed_df = pack_rows(fit_df, moments, seed=1).persist()
    packed_df.count()
    state = State.start(start_of(moments))

    def identity(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    passed_df = rows_df.mapInArrow(identity, rows_df.schema)
    runs = {
        "identity": lambda: passed_df.write.format("noop").mode("overwrite").save(),
        "epoch": lambda: collect_round(packed_df, state, 0, settings),
    }
    seconds = alternate(runs, repeat=repeat)
    packed_df.unpersist()
    return seconds


def _test_loss(model: FittedModel, test_df: DataFrame) -> float:
    """Return the mean log loss of a model on test rows."""
    scores = model.scores(F.col(MARGIN))
    own = F.when(F.col(LABEL) == 1, scores[1]).otherwise(scores[0])
    scored_df = model.append_margin(test_df)
    return float(scored_df.agg(-F.avg(F.log(own))).collect()[0][0])


if __name__ == "__main__":
    sys.exit(main())
