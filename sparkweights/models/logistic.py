"""Logistic regression: MLlib's, binary and multinomial, with an elastic net.

MLlib divides the loss by the sum of the weights, so a scale of all weights leaves regParam alone;
and it standardises features by their *weighted* standard deviation, so the penalty of a
coefficient is per weighted standard deviation, whatever the feature's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel

from sparkweights.core.spark_releases import can_send_sessions
from sparkweights.models.base import Learner
from sparkweights.models.linear import LinearModel
from sparkweights.models.mllib import COLUMNS, MLlibModel
from sparkweights.storage.scratch import scratch_folder
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
        if not can_send_sessions():
            native = _without_summary(native, settings.scratch)
        return LogisticModel(self.declaration, settings.classes, native)

    def load(self, folder: Location, classes: int) -> LogisticModel:
        """Read MLlib's native format."""
        native = LogisticRegressionModel.load(literal_path(folder))
        return LogisticModel(self.declaration, classes, native)


def _without_summary(native: LogisticRegressionModel, scratch: Location) -> LogisticRegressionModel:
    """Return a model without the summary of its training, which holds the session.

    Spark sends a model to its tasks as a whole. Files do not have the summary.
    """
    with scratch_folder(scratch) as workspace:
        saved = workspace / "fitted"
        native.write().save(str(saved))
        return LogisticRegressionModel.load(literal_path(saved))
