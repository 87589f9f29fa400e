"""Labelled tables with rejected applicants: the rows to fit on, and whom they represent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F

from sparkweights.core.columns import (
    class_index,
    column,
    require_columns,
    require_kind,
    sample_weight,
)
from sparkweights.evaluation.selection import BINS, SUMS, Selection, describe_selection

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec

_BIN = "__bin"


def with_selection(labelled_df: DataFrame, spec: TrainingSpec) -> tuple[DataFrame, TrainingSpec]:
    """Append the weights of accepted rows, and return the spec that reads them.

    A row's sample weight is divided by its probability of being accepted, where
    ``selection.probability`` names it; the column is null where that is no probability, and
    the class summary refuses null weights.

    Raises
    ------
    InputError
        If a column is missing or of another type.
    """
    settings = spec.selection
    if settings is None:
        return labelled_df, spec
    schema = labelled_df.schema
    require_columns(schema, settings.columns, table="labelled")
    require_kind(schema, [settings.accepted], ("boolean",), table="labelled", role="accepted")
    if settings.probability is None:
        return labelled_df, spec
    require_kind(schema, [settings.probability], ("number",), table="labelled", role="probability")
    chance = column(settings.probability).cast("double")
    usable = (chance > 0) & (chance <= 1)
    name = f"{spec.problem.roles.weight or 1} / {settings.probability}"
    weighted_df = labelled_df.withColumn(
        name, F.when(usable, sample_weight(spec.problem.roles) / chance)
    )
    return weighted_df, replace(spec, problem=spec.problem.with_weight(name))


def accepted_rows(labelled_df: DataFrame, spec: TrainingSpec) -> DataFrame:
    """Return the rows to fit on: all, or the accepted ones where the spec names the column."""
    if spec.selection is None:
        return labelled_df
    return labelled_df.filter(_is_accepted(spec.selection.accepted))


def _is_accepted(name: str) -> Column:
    """Return whether a row was accepted; null counts as rejected."""
    return F.coalesce(column(name), F.lit(col=False))


def collect_selection(
    labelled_df: DataFrame, spec: TrainingSpec, scorer: Scorer
) -> Selection | None:
    """Count applicants and accepted rows by the probability of the last class, in one Spark job.

    Parameters
    ----------
    labelled_df
        With the rejected rows, from `with_selection`.

    Returns
    -------
    Selection or None
        None where the spec names no column of acceptance.
    """
    settings = spec.selection
    if settings is None:
        return None
    usable_df = labelled_df.filter(scorer.plan.unusable().isNull())
    p = column(scorer.probability_cols[-1])
    bin_number = F.least(F.floor(F.asin(F.sqrt(p)) / np.pi * 2 * BINS), F.lit(BINS - 1))
    weight, last = sample_weight(spec.problem.roles), len(scorer.classes) - 1
    accepted, event = _is_accepted(settings.accepted), class_index(spec.problem.roles) == last
    measures = (
        F.lit(1), p, F.when(accepted, 1), F.when(accepted & event, 1),
        F.when(accepted, weight), F.when(accepted, weight * weight),
        F.when(accepted & event, weight), F.when(accepted & event, weight * weight),
    )  # fmt: skip
    summed = [F.sum(value).alias(name) for name, value in zip(SUMS, measures, strict=True)]
    # A filter on p would repeat the expressions of the score; the null bin is left out below.
    bins = (
        scorer.score(usable_df).groupBy(bin_number.cast("int").alias(_BIN)).agg(*summed).collect()
    )
    sums = {name: np.zeros(BINS) for name in SUMS}
    for row in bins:
        if row[_BIN] is None:
            continue
        for name in SUMS:
            sums[name][row[_BIN]] = row[name] or 0.0
    is_known = settings.probability is not None
    return describe_selection(scorer.classes[-1], sums, known_probability=is_known)
