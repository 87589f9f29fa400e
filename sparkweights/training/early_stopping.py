"""Early stopping: the number of stages by the log loss of corrected probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import column, sample_weight
from sparkweights.models.base import LABEL, MARGIN, STAGES, StagedModel
from sparkweights.records.training import StoppingSummary
from sparkweights.training.evaluate import ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.storage.location import Location

MAX_ROWS = 200_000  # more rows would not locate the minimum better
MIN_PROBABILITY = 1e-15  # lower ones are clipped: no single row dominates
STAGE = "__stage"


def stop_early(
    scorer: Scorer, held_out_df: DataFrame, spec: TrainingSpec, workspace: Location, *, rows: int
) -> tuple[Scorer, StoppingSummary]:
    """Return the scorer of the stages after which the loss on held-out rows no longer falls.

    The learners train without held-out rows, and their early stopping, where they have it,
    evaluates weighted scores. Here all stages are fitted, and one Spark job computes the loss of
    the corrected probabilities after each.

    Parameters
    ----------
    scorer
        Of a staged model; its ledger inverts the weights.
    held_out_df
        Prepared rows that the model was not fitted on, ``rows`` of them.
    workspace
        A folder that driver and executors share.
    """
    model = scorer.model
    if not isinstance(model, StagedModel):
        raise TypeError(
            f"A model of kind '{model.kind}' has no stages, but its learner declares them."
        )
    part_df = held_out_df.filter(F.col(ORDER) < MAX_ROWS / rows)
    staged_df = model.append_stages(part_df, workspace)
    losses = _collect_losses(staged_df, scorer, spec)
    patience = spec.model.patience or len(losses)
    stages = stages_to_keep(losses, patience)
    smaller = replace(scorer, model=model.first_stages(stages, workspace))
    return smaller, StoppingSummary(tuple(losses), patience, stages)


def stages_to_keep(losses: Sequence[float], patience: int) -> int:
    """Return the stage of least loss before ``patience`` stages without improvement.

    Examples
    --------
    >>> stages_to_keep([0.9, 0.5, 0.6, 0.6, 0.4], patience=2)
    2
    >>> stages_to_keep([0.9, 0.5, 0.6, 0.6, 0.4], patience=3)
    5
    """
    best = 0
    for stage, loss in enumerate(losses):
        if loss < losses[best]:
            best = stage
        elif stage - best >= patience:
            break
    return best + 1


def _collect_losses(staged_df: DataFrame, scorer: Scorer, spec: TrainingSpec) -> list[float]:
    """Return the mean log loss after each stage, in one Spark job."""
    sample = sample_weight(spec.problem.roles)
    each_df = staged_df.select("*", F.posexplode(STAGES).alias(STAGE, MARGIN)).drop(STAGES)
    weighted = scorer.model.scores(F.col(MARGIN))
    each_df = each_df.withColumns(dict(zip(scorer.weighted_cols, weighted, strict=True)))
    natural = scorer.ledger.invert_weights([column(name) for name in scorer.weighted_cols])
    loss = -F.log(F.greatest(_own(natural), F.lit(MIN_PROBABILITY)))
    losses_df = each_df.groupBy(STAGE).agg((F.sum(sample * loss) / F.sum(sample)).alias("loss"))
    return [row["loss"] for row in losses_df.orderBy(STAGE).collect()]


def _own(natural: Sequence[Column]) -> Column:
    """Return the probability of the row's own class."""
    return F.element_at(F.array(*natural), F.col(LABEL).cast("int") + 1)
