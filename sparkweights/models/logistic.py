"""Logistic regression: MLlib's, binary and multinomial, with an elastic net.

MLlib divides the loss by the sum of the weights, so a scale of all weights leaves regParam alone;
and it standardises features by their *weighted* standard deviation, so the penalty of a
coefficient is per weighted standard deviation, whatever the feature's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.sql import functions as F

from sparkweights.core.column_math import balanced_sum, binary, softmax
from sparkweights.models.attributions import LinearContrast, LinearExplainer
from sparkweights.models.base import Learner
from sparkweights.models.mllib import COLUMNS, MLlibModel
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array, ExplainerSettings, FitSettings
    from sparkweights.storage.location import Location


MAX_TERMS = 2_000  # more make a plan that takes longer to compile than a vector to build


class LogisticModel(MLlibModel[LogisticRegressionModel]):
    """A fitted logistic regression."""

    def margin(self, plan: FeaturePlan, _folder: Location | None, /) -> Column | None:
        """Return the margins as sums of Columns, which compile into the scan; no vector is made."""
        native, positions = self.native, plan.positions()
        weights = native.coefficientMatrix.toArray()
        if positions is None or weights.size > MAX_TERMS:
            return None
        sums = [
            balanced_sum([
                F.lit(float(start)),
                *(x * F.lit(w) for x, w in zip(positions, row, strict=True) if w != 0),
            ])
            for start, row in zip(native.interceptVector.toArray(), weights.tolist(), strict=True)
        ]  # fmt: skip
        # MLlib keeps one row of coefficients for two classes.
        return F.array(-sums[0], sums[0]) if len(sums) == 1 else F.array(*sums)

    def scores(self, margin: Column) -> list[Column]:
        """Return the probabilities: MLlib's binary margin is log(q1 / q0)."""
        return binary(margin.getItem(1)) if self.is_binary else softmax(margin, self.classes)

    def importances(self) -> Array:
        """Return the mean absolute coefficient of each position over the classes."""
        return np.asarray(np.abs(self.native.coefficientMatrix.toArray()).mean(axis=0))

    def coefficients(self) -> tuple[float, ...] | None:
        """Return intercept and slopes of two classes."""
        if not self.is_binary:
            return None
        return (float(self.native.intercept), *self.native.coefficients.toArray().tolist())

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return coefficients times distances from the reference."""
        rows = self.native.coefficientMatrix.toArray()
        starts = self.native.interceptVector.toArray()
        if len(rows) > 1:
            slopes = tuple(map(tuple, rows.tolist()))
            return LinearContrast(tuple(starts.tolist()), slopes, settings.reference)
        # MLlib keeps one row of coefficients for two classes: those of the second one.
        sign = 1.0 if settings.against else -1.0
        coefficients = tuple((sign * rows[0]).tolist())
        return LinearExplainer(sign * float(starts[0]), coefficients, settings.reference)


class Logistic(Learner):
    """Weighted logistic regression."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> LogisticModel:
        make: Callable[..., LogisticRegression] = LogisticRegression
        native = make(**COLUMNS, **settings.params).fit(fit_df)
        return LogisticModel(self.declaration, settings.classes, native)

    def load(self, folder: Location, classes: int) -> LogisticModel:
        """Read MLlib's native format."""
        native = LogisticRegressionModel.load(literal_path(folder))
        return LogisticModel(self.declaration, classes, native)
