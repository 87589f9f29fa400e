"""A labelled table that holds rejected applicants: who is learned from, and whom that speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as F  # noqa: N812

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

    from sparkweights.config.schema import Config
    from sparkweights.scoring.scorer import Scorer

_BIN = "__bin"


def with_selection(labelled_df: DataFrame, config: Config) -> tuple[DataFrame, Config]:
    """Append what accepted rows weigh, and return the configuration that reads it.

    A row's sample weight is divided by its probability of being accepted, where
    ``selection.probability`` names it; the column is null where that is no probability, which
    counting classes refuses.

    Raises
    ------
    InputError
        If a column is missing or of another type.
    """
    wanted = config.selection
    if wanted is None:
        return labelled_df, config
    schema = labelled_df.schema
    require_columns(schema, wanted.columns, table="labelled")
    require_kind(schema, [wanted.accepted], ("boolean",), table="labelled", role="accepted")
    if wanted.probability is None:
        return labelled_df, config
    require_kind(schema, [wanted.probability], ("number",), table="labelled", role="probability")
    chance = column(wanted.probability).cast("double")
    usable = (chance > 0) & (chance <= 1)
    name = f"{config.roles.weight or 1} / {wanted.probability}"
    weighted_df = labelled_df.withColumn(name, F.when(usable, sample_weight(config.roles) / chance))
    columns = config.columns.model_copy(update={"weight": name})
    return weighted_df, config.model_copy(update={"columns": columns})


def accepted_rows(labelled_df: DataFrame, config: Config) -> DataFrame:
    """Return the rows to learn from: all, or the accepted ones where the configuration says who."""
    return labelled_df if config.selection is None else labelled_df.filter(is_accepted(config))


def is_accepted(config: Config) -> Column:
    """Return whether a row was accepted; null is not."""
    assert config.selection is not None  # noqa: S101 (narrows the type)
    return F.coalesce(column(config.selection.accepted), F.lit(col=False))


def collect_selection(labelled_df: DataFrame, config: Config, scorer: Scorer) -> Selection | None:
    """Count applicants and accepted rows by the probability of the last class, in one Spark job.

    Parameters
    ----------
    labelled_df
        With the rejected rows, from `with_selection`.

    Returns
    -------
    Selection or None
        None where the configuration does not say who was accepted.
    """
    wanted = config.selection
    if wanted is None:
        return None
    usable_df = labelled_df.filter(scorer.plan.unusable().isNull())
    p = column(scorer.probability_cols[-1])
    place = F.least(F.floor(F.asin(F.sqrt(p)) / np.pi * 2 * BINS), F.lit(BINS - 1))
    weight, last = sample_weight(config.roles), len(scorer.classes) - 1
    accepted, event = is_accepted(config), class_index(config.roles) == last
    measures = (
        F.lit(1), p, F.when(accepted, 1), F.when(accepted & event, 1),
        F.when(accepted, weight), F.when(accepted, weight * weight),
        F.when(accepted & event, weight), F.when(accepted & event, weight * weight),
    )  # fmt: skip
    summed = [F.sum(value).alias(name) for name, value in zip(SUMS, measures, strict=True)]
    # A filter on p would repeat the expressions of the score; the null bin is left out below.
    found = scorer.score(usable_df).groupBy(place.cast("int").alias(_BIN)).agg(*summed).collect()
    sums = {name: np.zeros(BINS) for name in SUMS}
    for row in found:
        if row[_BIN] is None:
            continue
        for name in SUMS:
            sums[name][row[_BIN]] = row[name] or 0.0
    known = wanted.probability is not None
    return describe_selection(scorer.classes[-1], sums, known_probability=known)
