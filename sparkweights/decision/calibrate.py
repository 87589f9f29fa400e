"""Isotonic calibration on held-out rows that carry no class weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from pyspark.ml.regression import IsotonicRegression, IsotonicRegressionModel
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Calibrator:
    """Fitted isotonic models: one for two classes (the second), else one per class.

    Attributes
    ----------
    models
        Native MLlib models, in class order.
    margin
        Calibrated probabilities are kept this far from 0 and 1: a block of n rows without an
        event does not prove that events cannot happen (Laplace's rule, 1 / (n + 2)).
    """

    models: tuple[IsotonicRegressionModel, ...]
    margin: float

    def apply(self, df: DataFrame, probability_cols: Sequence[str]) -> DataFrame:
        """Replace the probability columns by calibrated ones that sum to 1."""
        targets = probability_cols[1:] if len(self.models) == 1 else probability_cols
        for model, name in zip(self.models, targets, strict=True):
            out = f"{name}__calibrated"
            df = model.setFeaturesCol(name).setPredictionCol(out).transform(df)
        held = [
            F.greatest(
                F.least(column(f"{name}__calibrated"), F.lit(1 - self.margin)), F.lit(self.margin)
            )
            for name in targets
        ]
        df = df.withColumns(dict(zip(targets, held, strict=True)))
        if len(self.models) == 1:
            return df.withColumn(probability_cols[0], 1 - column(probability_cols[1]))
        total = reduce(add, [column(name) for name in targets])
        return df.withColumns({name: column(name) / total for name in targets})


def fit_calibrator(
    calibration_df: DataFrame,
    probability_cols: Sequence[str],
    *,
    class_col: str,
    weight_col: str | None,
    rows: int,
) -> Calibrator:
    """Fit isotonic regression of class membership on natural probabilities.

    Parameters
    ----------
    calibration_df
        Rows the model was not fitted on, with a natural probability per class, the class index
        in ``class_col`` and, optionally, an incoming *sample* weight. Class weights have no
        place here: they would move the probabilities away from the population again.
    rows
        Rows of ``calibration_df``.
    """
    two = len(probability_cols) == 2  # noqa: PLR2004 (the first class is the complement)
    models = []
    for index, name in enumerate(probability_cols):
        if two and index == 0:
            continue
        target = (column(class_col) == index).cast("double")
        weight = F.lit(1.0) if weight_col is None else column(weight_col).cast("double")
        sample_df = calibration_df.select(
            column(name).alias("x"), target.alias("y"), weight.alias("w")
        )
        estimator = IsotonicRegression(featuresCol="x", labelCol="y", weightCol="w")
        models.append(estimator.fit(sample_df))
    return Calibrator(tuple(models), 1.0 / (rows + 2))
