"""What balanced weights do to a logistic model of the demo's clients, beside the theory.

Theory: the intercept moves by log(w1 / w0), slopes and ranking stay. The clients are not drawn
from a logistic model, so both move; here is by how much, with 95 % intervals.
"""

from __future__ import annotations

import sys
from typing import Any

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from benchmarks.harness import arguments, figure, report, session
from sparkweights import ClassWeigher
from sparkweights.demo import clients
from sparkweights.evaluation.ranking import compare_areas
from sparkweights.probability.intercept import LogisticLine, compare_slopes, log_weight_ratio

_TARGET, _UNUSED = "defaulted", ("client_id", "sex", "age", "marriage", "education")


def main() -> int:
    """Fit with and without weights, and compare."""
    given = arguments(__doc__, rows=30_000, repeat=1, quick_rows=3_000)
    spark = session("intercept")
    table = clients().slice(0, given.rows)
    names = [name for name in table.column_names if name not in {_TARGET, *_UNUSED}]
    df = spark.createDataFrame(table.to_pandas())
    raw_df = VectorAssembler(inputCols=names, outputCol="raw").transform(df)
    scaler = StandardScaler(inputCol="raw", outputCol="features", withMean=True).fit(raw_df)
    weigher = ClassWeigher(labelCol=_TARGET, outputCol="weight").fit(df)
    fit_df = weigher.transform(scaler.transform(raw_df)).cache()
    maker: dict[str, Any] = {"labelCol": _TARGET, "tol": 1e-10, "maxIter": 500}
    plain = LogisticRegression(probabilityCol="before", **maker).fit(fit_df)
    weighted = LogisticRegression(probabilityCol="after", weightCol="weight", **maker).fit(fit_df)
    slopes = compare_slopes(
        fit_df,
        LogisticLine.of(plain),
        LogisticLine.of(weighted),
        features_col="features",
        label_col=_TARGET,
        weight_col="weight",
        names=names,
    )
    for model in (plain, weighted):
        model.setPredictionCol("").setRawPredictionCol("")
    both_df = weighted.transform(plain.transform(fit_df))
    before, after = (vector_to_array(F.col(name))[1] for name in ("before", "after"))
    areas = compare_areas(both_df, before, after, F.col(_TARGET) == 1)
    moved = [entry for entry in slopes[1:] if not entry.interval()[0] <= 0 <= entry.interval()[1]]
    largest = max(slopes[1:], key=lambda entry: abs(entry.shift))
    name, theory = largest.name, log_weight_ratio(weigher.weight_rule())
    return report(
        "intercept",
        {
            "intercept: shift by theory": figure([theory], "logit"),
            "intercept: shift found": _interval(slopes[0].shift, slopes[0].interval(), "logit"),
            f"slope of {name}: unweighted": figure([largest.unweighted], "logit per sd"),
            f"slope of {name}: shift": _interval(largest.shift, largest.interval(), "logit per sd"),
            f"slopes that moved, of {len(names)}": figure([len(moved)], "slopes"),
            "AUC: unweighted": figure([areas.before], "area"),
            "AUC: shift": _interval(areas.shift, areas.interval(), "area"),
        },
    )


def _interval(value: float, ends: tuple[float, float], unit: str) -> dict[str, Any]:
    """Return an estimate with the ends of its 95 % interval as least and greatest value."""
    return {**figure([value, *ends], unit), "median": round(value, 4)}


if __name__ == "__main__":
    sys.exit(main())
