"""What balanced weights do to a logistic model of the demo's clients, beside the theory.

Theory: the intercept moves by log(w1 / w0), slopes and ranking stay. The clients are not drawn
from a logistic model, so both move; here is by how much, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from benchmarks.harness import report, session
from sparkweights import ClassWeigher
from sparkweights.decision.intercept import LogisticLine, compare_slopes, log_weight_ratio
from sparkweights.demo import clients
from sparkweights.evaluate import compare_areas

_TARGET, _UNUSED = "defaulted", ("client_id", "sex", "age", "marriage", "education")


def main() -> int:
    """Fit with and without weights, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="on a tenth of the clients")
    given = parser.parse_args()
    spark = session("intercept")
    table = clients()
    if given.quick:
        table = table.slice(0, len(table) // 10)
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
    return report(
        "intercept",
        [],
        promised_intercept_shift=round(log_weight_ratio(weigher.weight_rule()), 3),
        intercept_shift=round(slopes[0].shift, 3),
        intercept_interval=[round(end, 3) for end in slopes[0].interval()],
        slopes=len(slopes) - 1,
        slopes_that_moved=len(moved),
        largest_slope_shift={
            "feature": largest.name,
            "unweighted": round(largest.unweighted, 3),
            "weighted": round(largest.weighted, 3),
            "interval": [round(end, 3) for end in largest.interval()],
        },
        auc_unweighted=round(areas.before, 4),
        auc_weighted=round(areas.after, 4),
        auc_interval=[round(end, 4) for end in areas.interval()],
    )


if __name__ == "__main__":
    sys.exit(main())
