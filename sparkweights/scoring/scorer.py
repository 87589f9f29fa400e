"""From a row to its natural probabilities: features, model, inverted weights, calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.models.base import FEATURES, MARGIN
from sparkweights.spec.outputs import probability_col

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.base import FittedModel
    from sparkweights.probability.calibration import Calibrator
    from sparkweights.probability.corrections import Ledger
    from sparkweights.storage.location import Location


class ProbabilityScorer(Protocol):
    """What evaluations ask for: probabilities of rows, and what they have been through."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""

    @property
    def probability_cols(self) -> tuple[str, ...]:
        """The names of the natural probabilities, in index order."""

    @property
    def weighted_cols(self) -> tuple[str, ...]:
        """The names of the probabilities of the weighted training, in index order, if known."""

    @property
    def ledger(self) -> Ledger:
        """The state of the probabilities."""

    def score(self, df: DataFrame) -> DataFrame:
        """Append `weighted_cols` and `probability_cols`."""


class RowScorer(ProbabilityScorer, Protocol):
    """A scorer that also says how it comes to its probabilities."""

    @property
    def kind(self) -> str:
        """The learner."""

    @property
    def models(self) -> tuple[FittedModel, ...]:
        """The fitted model, or one per fold."""

    @property
    def plan(self) -> FeaturePlan:
        """How rows become vectors."""


def natural_probabilities(scorer: ProbabilityScorer) -> list[Column]:
    """Return the natural probability of each class on a row that the scorer has scored."""
    return [column(name) for name in scorer.probability_cols]


@dataclass(frozen=True)
class Scorer:
    """A fitted model as a function from a DataFrame to the same one with more columns.

    Attributes
    ----------
    model, plan
        The fitted model, and how rows become vectors.
    classes
        Class names in index order.
    ledger
        The state of the probabilities that the bare model gives.
    calibrator
        None without calibration.
    folder
        Folder of the model, for learners that score many rows faster from its files.
    """

    model: FittedModel
    plan: FeaturePlan
    classes: tuple[str, ...]
    ledger: Ledger
    calibrator: Calibrator | None = None
    folder: Location | None = None

    @classmethod
    def of(cls, bundle: ModelBundle, *, many_rows: bool = False) -> Scorer:
        """Return the scorer of a loaded bundle.

        Parameters
        ----------
        many_rows
            Whether there are enough rows for a start-up of some seconds.
        """
        return cls(
            bundle.model,
            bundle.plan,
            bundle.manifest.classes,
            bundle.ledger,
            bundle.calibrator,
            bundle.folder / "model" if many_rows else None,
        )

    @property
    def kind(self) -> str:
        """The learner."""
        return self.model.kind

    @property
    def models(self) -> tuple[FittedModel, ...]:
        """The fitted model alone."""
        return (self.model,)

    @property
    def probability_cols(self) -> tuple[str, ...]:
        """The names of the natural probabilities, in index order."""
        return tuple(map(probability_col, self.classes))

    @property
    def weighted_cols(self) -> tuple[str, ...]:
        """The names of the probabilities as the weighted training left them, in index order."""
        return tuple(f"__weighted_{name}" for name in self.classes)

    def with_calibrator(self, calibrator: Calibrator, method: str) -> Scorer:
        """Return the scorer whose probabilities are calibrated."""
        return replace(self, calibrator=calibrator, ledger=self.ledger.with_calibration(method))

    def with_weights_inverted(self) -> Scorer:
        """Return the scorer that inverts the reweightings of the training in `score`."""
        return replace(self, ledger=self.ledger.with_weights_inverted())

    def with_target_prior(self, target_prior: Mapping[str, float]) -> Scorer:
        """Return the scorer of probabilities in a population with other class shares."""
        return replace(self, ledger=self.ledger.with_prior_shift(target_prior))

    def _append_margin(self, df: DataFrame) -> DataFrame:
        """Append `MARGIN` the cheapest way: from the row's columns if the model can."""
        if FEATURES in df.columns:
            return self.model.append_margin(df)
        margin = self.model.margin(self.plan, self.folder)
        if margin is not None:
            return df.withColumn(MARGIN, margin)
        return self.model.append_margin(df.withColumn(FEATURES, self.plan.vector()))

    def score(self, df: DataFrame) -> DataFrame:
        """Append `weighted_cols` and `probability_cols`.

        The model's raw prediction is computed once per row; all else is Column arithmetic. Rows
        with infinite features or without a weight get meaningless probabilities; the caller marks
        them unscorable.
        """
        weighted = self.model.scores(F.col(MARGIN))
        scored_df = (
            self._append_margin(df)
            .withColumns(dict(zip(self.weighted_cols, weighted, strict=True)))
            .drop(MARGIN)
        )
        natural = self.ledger.invert_weights([column(name) for name in self.weighted_cols])
        scored_df = scored_df.withColumns(dict(zip(self.probability_cols, natural, strict=True)))
        if self.calibrator is not None:
            scored_df = self.calibrator.apply(scored_df, self.probability_cols)
        if self.ledger.target_prior is None:
            return scored_df
        shifted = self.ledger.apply_shift([column(name) for name in self.probability_cols])
        return scored_df.withColumns(dict(zip(self.probability_cols, shifted, strict=True)))
