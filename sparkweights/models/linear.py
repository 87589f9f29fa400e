"""What fitted linear models share: margins as sums over positions, and explanations."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.column_math import balanced_sum, binary, softmax
from sparkweights.models.attributions import LinearContrast, LinearExplainer
from sparkweights.models.base import FittedModel

if TYPE_CHECKING:
    from pyspark.sql import Column

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.base import Array, ExplainerSettings
    from sparkweights.storage.location import Location

MAX_TERMS = 2_000  # more make a plan that takes longer to compile than a vector to build


@dataclass(frozen=True, eq=False)
class LinearModel(FittedModel):
    """A fitted softmax regression."""

    @property
    @abstractmethod
    def slopes(self) -> Array:
        """``[margin, position]``: one margin per class; of two classes, the second one's alone."""

    @property
    @abstractmethod
    def intercepts(self) -> Array:
        """``[margin]``."""

    def margin(self, plan: FeaturePlan, _folder: Location | None, /) -> Column | None:
        """Return the margins as sums of Columns, which compile into the scan; no vector is made."""
        slopes, positions = self.slopes, plan.positions()
        if positions is None or slopes.size > MAX_TERMS:
            return None
        sums = [
            balanced_sum([
                F.lit(float(start)),
                *(x * F.lit(w) for x, w in zip(positions, row, strict=True) if w != 0),
            ])
            for start, row in zip(self.intercepts, slopes.tolist(), strict=True)
        ]  # fmt: skip
        return F.array(-sums[0], sums[0]) if len(sums) == 1 else F.array(*sums)

    def scores(self, margin: Column) -> list[Column]:
        """Return the probabilities: the binary margin is log(q1 / q0)."""
        return binary(margin.getItem(1)) if self.is_binary else softmax(margin, self.classes)

    def importances(self) -> Array:
        """Return the mean absolute coefficient of each position over the classes."""
        return np.asarray(np.abs(self.slopes).mean(axis=0))

    def coefficients(self) -> tuple[float, ...] | None:
        """Return intercept and slopes of two classes."""
        if not self.is_binary:
            return None
        return (float(self.intercepts[0]), *self.slopes[0].tolist())

    def explainer(self, settings: ExplainerSettings, /) -> Explainer:
        """Return coefficients times distances from the reference."""
        rows, starts = self.slopes, self.intercepts
        if len(rows) > 1:
            slopes = tuple(map(tuple, rows.tolist()))
            return LinearContrast(tuple(starts.tolist()), slopes, settings.reference)
        # The one row of coefficients for two classes is that of the second one.
        sign = 1.0 if settings.against else -1.0
        coefficients = tuple((sign * rows[0]).tolist())
        return LinearExplainer(sign * float(starts[0]), coefficients, settings.reference)
