"""Whether undone probabilities still speak of the population where events are 0.05 %.

Rows are drawn from a known logistic model; each learner is trained with balanced weights, a
thousand to one, which are then undone and calibrated. The figure is the mean probability of the
test rows over the share of events; the base-rate gate may refuse a model, and is then named.
"""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from benchmarks.harness import Bar, arguments, figure, report, session
from sparkweights import Config
from sparkweights.config.resolve import training_spec
from sparkweights.core.errors import QualityGateError
from sparkweights.core.progress import LoggedProgress
from sparkweights.storage.location import Location
from sparkweights.training.data import weigh
from sparkweights.training.train import train

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SHARE, WITHIN = 0.0005, 0.05
SLOPES = (1.0, -0.8, 0.5, 0.0)
KINDS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "boosted_trees": {"maxIter": 30, "maxDepth": 3},
    "xgboost": {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1},
}


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=400_000, repeat=1, quick_rows=60_000)
    spark = session("rare")
    share = SHARE if given.rows >= 400_000 else 20 * SHARE  # few rows, few events
    df = _rows(spark.range(given.rows, numPartitions=2), share).cache()
    figures, bars = {}, []
    for kind, params in KINDS.items():
        found = _mean_over_share(df, kind, params)
        if found is None:
            figures[f"{kind}: refused by the base-rate gate"] = figure([1], "times")
            continue
        figures[f"{kind}: mean probability over share"] = figure([found], "ratio")
        bars.append(Bar(f"{kind}: distance from 1", abs(found - 1), WITHIN))
    return report("rare", figures, bars)


def _rows(ids_df: DataFrame, share: float) -> DataFrame:
    """Draw features, and events whose overall share is about ``share``."""
    df = ids_df.select("id", *[F.randn(seed).alias(f"x{seed}") for seed in range(len(SLOPES))])
    # The mean of exp(s z) over a normal z is exp(s^2 / 2); for rare events p is about its odds.
    spread = sum(slope**2 for slope in SLOPES) / 2
    odds = F.exp(
        sum((slope * F.col(f"x{i}") for i, slope in enumerate(SLOPES)), F.lit(0.0)) - spread
    )
    p = F.lit(share) * odds / (1 + F.lit(share) * odds)
    return df.withColumn("event", (F.rand(99) < p).cast("int"))


def _mean_over_share(df: DataFrame, kind: str, params: dict[str, Any]) -> float | None:
    config = Config(
        name="rare",
        seed=1,
        columns={
            "keys": ["id"],
            "label": "event",
            "classes": {"none": 0, "event": 1},
            "numeric": [f"x{i}" for i in range(len(SLOPES))],
        },
        weights={"scheme": "balanced", "cap": 10_000},
        model={"kind": kind, "params": params},
    )
    with tempfile.TemporaryDirectory() as name:
        own = training_spec(config.model_copy(update={"folder": Location.of(name)}), df.columns)
        try:
            trained = train(df, own, weigh(df, own), LoggedProgress())
        except QualityGateError as refused:
            print(f"{kind}: {refused}", file=sys.stderr)
            return None
    found = trained.evaluation.classes["event"]
    return found.mean_probability / found.share


if __name__ == "__main__":
    sys.exit(main())
