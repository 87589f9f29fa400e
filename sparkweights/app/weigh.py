"""Class frequencies and weights of the labelled table, with their warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.training.data import WeightingResult, plan_resampling, weigh
from sparkweights.weights.spec import BY_ROW_WARNING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.core.progress import Progress
    from sparkweights.spec.training import TrainingSpec


def weigh_labelled(
    labelled_df: DataFrame, spec: TrainingSpec, progress: Progress
) -> WeightingResult:
    """Compute class frequencies and weights, and warn of what makes them unfit."""
    progress.step("counting classes and choosing weights")
    class_weights = weigh(labelled_df, spec)
    if class_weights.summary.always_best is not None:
        progress.warn(
            f"Decision '{class_weights.summary.always_best}' is never more expensive than the "
            "others, whatever the class: with these costs no model is needed. See costs in "
            "the configuration."
        )
    read = spec.problem.matrix.columns if spec.weight_spec.per_row else ()
    if unseen := [name for name in read if name not in spec.problem.roles.features]:
        progress.warn(
            f"Weights differ by {join_names(unseen)}, which the model does not read: the "
            "weights are inverted by it all the same, and probabilities may be biased where it "
            "is large or small. Make it a feature, or choose weights.scheme cost."
        )
    if spec.weight_spec.per_row:
        progress.warn(BY_ROW_WARNING)
    for warning in class_weights.weighting.warnings:
        progress.warn(warning)
    plan = plan_resampling(spec, class_weights)
    if plan is not None and not class_weights.weighting.rule.is_uniform:
        progress.warn(plan.sentence(class_weights.weighting.rule.scheme))
    return class_weights
