"""Linear discriminant analysis of two classes that takes positions for independent.

With class weights W_c, class means m_c and the pooled variance s^2 of each position, the log odds
are log(W_1 / W_0) + sum over positions of (m_1 - m_0) / s^2 * (x - (m_1 + m_0) / 2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import functions as F

from sparkweights.core.column_math import binary
from sparkweights.models.attributions import Explainer, LinearExplainer
from sparkweights.models.base import (
    FEATURES,
    LABEL,
    MARGIN,
    WEIGHT,
    Array,
    ExplainerSettings,
    FitSettings,
    FittedModel,
    Learner,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from sparkweights.storage.location import Location

MODEL_FILE = "line.json"


@dataclass(frozen=True, eq=False)
class DiagonalLdaModel(FittedModel):
    """The log odds as a line."""

    intercept: float
    slopes: tuple[float, ...]

    def append_margin(self, df: DataFrame) -> DataFrame:
        """Add up slopes times positions."""
        products = F.zip_with(
            vector_to_array(F.col(FEATURES)), F.lit(list(self.slopes)), lambda x, slope: x * slope
        )
        total = F.aggregate(products, F.lit(self.intercept), lambda total, one: total + one)
        return df.withColumn(MARGIN, F.array(total)).drop(FEATURES)

    def scores(self, margin: Column) -> list[Column]:
        """Return both probabilities of the log odds."""
        return binary(margin.getItem(0))

    def importances(self) -> Array:
        """Return the size of each slope."""
        return np.abs(self.slopes)

    def coefficients(self) -> tuple[float, ...]:
        """Return the line."""
        return (self.intercept, *self.slopes)

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return slopes times distances from the reference."""
        sign = 1.0 if settings.against else -1.0
        slopes = tuple(sign * slope for slope in self.slopes)
        return LinearExplainer(sign * self.intercept, slopes, settings.reference)

    def save(self, folder: Location) -> None:
        """Write the line as JSON."""
        (folder / MODEL_FILE).write_bytes(json.dumps(self.coefficients()).encode())


class DiagonalLda(Learner):
    """Fits in one pass."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> DiagonalLdaModel:
        summary = Summarizer.metrics("mean", "variance").summary(F.col(FEATURES), F.col(WEIGHT))
        measures = [F.sum(WEIGHT).alias("weight"), summary.alias("summary")]
        rows = fit_df.groupBy(LABEL).agg(*measures).orderBy(LABEL).collect()
        weights = np.array([row["weight"] for row in rows])
        means = np.array([row["summary"]["mean"].toArray() for row in rows])
        variances = np.array([row["summary"]["variance"].toArray() for row in rows])
        pooled = weights @ variances / weights.sum()
        difference = (1 - float(settings.params["shrinkage"])) * (means[1] - means[0])
        slopes = np.where(pooled > 0, difference / np.where(pooled > 0, pooled, 1.0), 0.0)
        intercept = np.log(weights[1] / weights[0]) - slopes @ means.mean(axis=0)
        return DiagonalLdaModel(
            self.declaration, settings.classes, float(intercept), tuple(slopes.tolist())
        )

    def load(self, folder: Location, classes: int) -> DiagonalLdaModel:
        """Read the line."""
        intercept, *slopes = json.loads((folder / MODEL_FILE).read_text())
        return DiagonalLdaModel(self.declaration, classes, intercept, tuple(slopes))
