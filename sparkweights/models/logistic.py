"""Logistic regression: MLlib's, binary and multinomial, with an elastic net.

MLlib divides the loss by the sum of the weights, so a scale of all weights leaves regParam alone;
and it standardises features by their *weighted* standard deviation, so the penalty of a
coefficient is per weighted standard deviation, whatever the feature's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel

from sparkweights.models.base import Learner
from sparkweights.models.linear import LinearModel
from sparkweights.models.mllib import COLUMNS, MLlibModel
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from sparkweights.models.base import Array, FitSettings
    from sparkweights.storage.location import Location


class LogisticModel(MLlibModel[LogisticRegressionModel], LinearModel):
    """A fitted logistic regression."""

    @property
    def slopes(self) -> Array:
        """``[margin, position]``; MLlib keeps one row of coefficients for two classes."""
        return np.asarray(self.native.coefficientMatrix.toArray())

    @property
    def intercepts(self) -> Array:
        """``[margin]``."""
        return np.asarray(self.native.interceptVector.toArray())


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
