"""Logistic regression: MLlib's, binary and multinomial, with an elastic net.

MLlib divides the loss by the sum of the weights, so a scale of all weights leaves regParam alone;
and it standardises features by their *weighted* spread, so the penalty of a coefficient is per
weighted standard deviation, whatever the feature's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.bounds import Bound
from sparkweights.core.column_math import balanced_sum, binary, softmax
from sparkweights.models.attributions import LinearContrast, LinearExplainer
from sparkweights.models.base import (
    COUNT,
    POSITIVE,
    SHARE,
    MLlibLearner,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array
    from sparkweights.storage.location import Location


MOST_TERMS = 2_000  # more make a plan that takes longer to compile than a vector to build


class Logistic(MLlibLearner):
    """Weighted logistic regression."""

    kind = "logistic"
    linear = True
    params: ClassVar[Mapping[str, Bound]] = {
        "maxIter": COUNT,
        "regParam": POSITIVE,
        "elasticNetParam": SHARE,
        "tol": POSITIVE,
        "fitIntercept": Bound(bool),
        "standardization": Bound(bool),
        "aggregationDepth": Bound(int, 2, 100),
    }
    estimator = LogisticRegression
    model = LogisticRegressionModel
    seeded = False

    def importances(self, model: Any, size: int, spread: Array | None) -> Array:  # noqa: ANN401, ARG002 (MLlib's model)
        """Return the mean size, over the classes, of what one standard deviation does."""
        assert spread is not None  # noqa: S101 (a linear learner is given it)
        sizes = np.abs(model.coefficientMatrix.toArray()).mean(axis=0)
        return np.asarray(sizes * spread)

    def margin(self, model: Any, plan: FeaturePlan, folder: Location | None) -> Column | None:  # noqa: ANN401, ARG002 (MLlib's model; its numbers are all there is)
        """Return the margins as sums of Columns, which compile into the scan; no vector is made."""
        weights, positions = model.coefficientMatrix.toArray(), plan.positions()
        if positions is None or weights.size > MOST_TERMS:
            return None
        sums = [
            balanced_sum([
                F.lit(float(start)),
                *(x * F.lit(w) for x, w in zip(positions, row, strict=True) if w != 0),
            ])
            for start, row in zip(model.interceptVector.toArray(), weights.tolist(), strict=True)
        ]  # fmt: skip
        # MLlib keeps one row of coefficients for two classes.
        return F.array(-sums[0], sums[0]) if len(sums) == 1 else F.array(*sums)

    def scores(self, margin: Column, classes: int) -> list[Column]:
        """Return the probabilities: MLlib's binary margin is log(q1 / q0)."""
        return binary(margin.getItem(1)) if classes == 2 else softmax(margin, classes)  # noqa: PLR2004 (one log odds)

    def explainer(
        self,
        model: Any,  # noqa: ANN401 (MLlib's model)
        folder: Location,  # noqa: ARG002 (coefficients are all there is)
        *,
        against: int,
        classes: int,  # noqa: ARG002 (as above)
        reference: Sequence[float],
    ) -> Explainer:
        """Return coefficients times distances from the reference."""
        rows, starts = model.coefficientMatrix.toArray(), model.interceptVector.toArray()
        if len(rows) > 1:
            slopes = tuple(map(tuple, rows.tolist()))
            return LinearContrast(tuple(starts.tolist()), slopes, tuple(reference))
        # MLlib keeps one row of coefficients for two classes: those of the second one.
        sign = 1.0 if against else -1.0
        coefficients = tuple((sign * rows[0]).tolist())
        return LinearExplainer(sign * float(starts[0]), coefficients, tuple(reference))
