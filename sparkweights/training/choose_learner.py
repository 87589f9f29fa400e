"""`model.kind: auto`: logistic regression, unless trees have clearly less log loss.

Where the log odds are nearly linear in the features, logistic regression ranks new rows better than
trees that are fitted on a few thousand rows; where they are nonlinear or features interact, trees
rank better. Both are compared on held-out rows. The simpler model is kept unless trees have a lower
log loss by more than one standard error of the difference (the rule of Breiman, Friedman, Olshen
and Stone 1984, section 3.4.3, here for a paired difference).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import column, sample_weight
from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.intervals import BLOCKS
from sparkweights.features.fit import WIDE
from sparkweights.models.base import LABEL, can_train
from sparkweights.models.registry import (
    AUTO,
    AUTO_FLEXIBLE,
    AUTO_SIMPLE,
    capabilities,
)
from sparkweights.training.cross_fit import score_by_fold
from sparkweights.training.early_stopping import MIN_PROBABILITY
from sparkweights.training.evaluate import block_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from sparkweights.models.declaration import ParamValue
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.training import TrainingSpec

_LOSSES = ("__first_loss", "__second_loss")


def candidates(spec: TrainingSpec, spark: SparkSession) -> list[TrainingSpec]:
    """Return the spec of the simple learner, and of the best flexible one that can be trained."""
    flexible = next(candidate for candidate in AUTO_FLEXIBLE if can_train(candidate.kind, spark))
    return [
        with_learner(spec, candidate.kind, candidate.params)
        for candidate in (AUTO_SIMPLE, flexible)
    ]


def with_learner(spec: TrainingSpec, kind: str, params: Mapping[str, ParamValue]) -> TrainingSpec:
    """Return a spec of ``auto`` for one learner.

    Logistic regression gets normal scores of the numeric columns, unless the spec
    states another encoding: its ranking then does not depend on units, tails or outliers.
    """
    features, wide = spec.features, len(spec.problem.roles.numeric) > WIDE
    if capabilities(kind).linear and features.numeric == "auto" and not wide:
        features = features.model_copy(update={"numeric": "quantile"})
    return replace(spec.with_model(kind=kind, params=dict(params)), features=features)


@dataclass(frozen=True)
class PairedLosses:
    """The log losses of two models on the same rows.

    Attributes
    ----------
    losses
        Mean of -log(probability of the row's class), of the first and of the second.
    standard_error
        Of the difference of the two means.
    """

    losses: tuple[float, float]
    standard_error: float

    @property
    def second_is_better(self) -> bool:
        """Whether the second loses less by more than one standard error."""
        first, second = self.losses
        return first - second > self.standard_error


def collect_paired_losses(
    rows_df: DataFrame, scorers: Sequence[RowScorer], index: Column, spec: TrainingSpec
) -> PairedLosses:
    """Return the log losses of two models on rows that neither was fitted on, in one Spark job.

    Parameters
    ----------
    rows_df
        Rows that both scorers can score.
    index
        The index of the row's class.
    """
    df = score_by_fold(rows_df.withColumn(LABEL, index), scorers, _append_losses)
    weight = sample_weight(spec.problem.roles)
    blocks = (
        df.select(
            F.floor(block_order(spec.unit_columns, spec.seed) * BLOCKS).alias("block"),
            weight.alias("weight"),
            *_LOSSES,
        )
        .groupBy("block")
        .agg(F.sum("weight"), *[F.sum(F.col("weight") * F.col(name)) for name in _LOSSES])
        .collect()
    )
    return paired_losses(np.array([row[1:] for row in blocks], dtype=float))


def _append_losses(df: DataFrame, scorers: Sequence[RowScorer]) -> DataFrame:
    for name, scorer in zip(_LOSSES, scorers, strict=True):
        probabilities = F.array(*map(column, scorer.probability_cols))
        likelihood = F.greatest(
            F.get(probabilities, F.col(LABEL).cast("int")), F.lit(MIN_PROBABILITY)
        )
        df = scorer.score(df).withColumn(name, -F.log(likelihood))
        df = df.drop(*scorer.weighted_cols, *scorer.probability_cols)
    return df


def paired_losses(blocks: np.ndarray) -> PairedLosses:
    """Return the comparison from sums over blocks of rows.

    Parameters
    ----------
    blocks
        Of shape (blocks, 3): the weight, and the weighted loss under the first and the second.
    """
    weight, first, second = blocks.T
    total, count = weight.sum(), len(blocks)
    difference = (first - second) - weight * (first - second).sum() / total
    standard_error = math.sqrt(float(difference @ difference) * count / max(count - 1, 1)) / total
    return PairedLosses(
        (float(first.sum() / total), float(second.sum() / total)), float(standard_error)
    )


def require_named_kind(spec: TrainingSpec, verb: str) -> None:
    """Refuse ``auto`` where one learner is fitted.

    Raises
    ------
    ConfigError
        Naming the next step.
    """
    if spec.model.kind == AUTO:
        raise ConfigError(
            f"model.kind: '{AUTO}' is what `train` chooses by; `{verb}` fits one learner.",
            hint="write the kind that train has chosen, which its report names.",
        )
