"""Checks before a training: files that lack a feature, and parameters that are too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.features.missing import collect_absent
from sparkweights.models.base import learner
from sparkweights.quality.gates import gate_absent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.core.progress import Progress
    from sparkweights.models.declaration import ParamValue
    from sparkweights.spec.training import TrainingSpec


def gate_files(
    labelled_df: DataFrame, spec: TrainingSpec, max_absent: float, progress: Progress
) -> None:
    """Warn of features that some files of the labelled table lack; refuse too many rows.

    Raises
    ------
    QualityGateError
        If more than a share of ``max_absent`` of the rows lie in such files.
    """
    absent = collect_absent(labelled_df, spec.problem.roles.features)
    for one in absent:
        progress.warn(f"Feature {one.sentence}.")
    gate_absent(absent, max_absent)


def warn_of_params(
    spark: SparkSession, progress: Progress, kind: str, *params: Mapping[str, ParamValue]
) -> None:
    """Warn once of parameters that are too large for a session; the last are the largest."""
    every = (learner(kind).concern(values, spark) for values in params)
    if concerns := [concern for concern in every if concern is not None]:
        progress.warn(concerns[-1])
