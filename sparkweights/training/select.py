"""Selection of a fitted model's size on held-out rows, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.models.base import LABEL
from sparkweights.probability.calibration import calibrate_scores
from sparkweights.sampling.split import CALIBRATE
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import scratch_folder
from sparkweights.training.data import PART
from sparkweights.training.early_stopping import stop_early
from sparkweights.training.pruning import prune_tree

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.probability.calibration_fit import Choice
    from sparkweights.records.training import PruningSummary, StoppingSummary
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import Size


@dataclass(frozen=True)
class SelectedModel:
    """A scorer whose probabilities are natural, and how its size and calibration were chosen."""

    scorer: Scorer
    pruning: PruningSummary | None
    stopping: StoppingSummary | None
    calibration: Choice | None


def select_and_calibrate(
    bare: Scorer, prepared_df: DataFrame, spec: TrainingSpec, size: Size
) -> SelectedModel:
    """Prune or stop a fitted model, invert its weights, and calibrate it.

    Parameters
    ----------
    prepared_df
        Rows of all parts; only calibration rows are read, ``size`` of them.
    """
    held_out_df = prepared_df.filter(F.col(PART) == CALIBRATE)
    pruning = stopping = None
    if spec.model.prune != "none" or spec.model.patience is not None:
        # A folder beside the bundles is readable by driver and executors.
        with scratch_folder(Location.of(spec.scratch)) as workspace:
            if spec.model.prune != "none":
                bare, pruning = prune_tree(bare, held_out_df, spec, workspace)
            else:
                bare, stopping = stop_early(bare, held_out_df, spec, workspace, rows=size.rows)
    scorer, calibration = _calibrate(bare.with_weights_inverted(), held_out_df, spec)
    return SelectedModel(scorer, pruning, stopping, calibration)


def _calibrate(
    scorer: Scorer, held_out_df: DataFrame, spec: TrainingSpec
) -> tuple[Scorer, Choice | None]:
    method = spec.calibration
    if method == "none":
        return scorer, None
    fit = calibrate_scores(
        scorer.score(held_out_df),
        scorer.probability_cols,
        method,
        class_col=LABEL,
        weight_col=spec.problem.roles.weight,
    )
    return scorer.with_calibrator(fit.calibrator, fit.choice.method), fit.choice
