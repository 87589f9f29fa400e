"""Reason codes: what spoke against a row, in words, for the decisions that owe an explanation.

A reason is a column whose positions together raise the margin of the class that the decision is
taken against; the largest come first. Only rows with such a decision are taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.models.learner import POSITIONS, balanced_sum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.models.explainers import Explainer

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CONTRIBUTIONS, RANKED = "__contributions", "__ranked"
MOST_WRITTEN = 64  # positions; of more, written-out sums make a method that Java does not compile


def reason_cols(top: int) -> tuple[str, ...]:
    """Return the names of the reason columns.

    Examples
    --------
    >>> reason_cols(2)
    ('reason_1', 'reason_2')
    """
    return tuple(f"reason_{i + 1}" for i in range(top))


@dataclass(frozen=True)
class ReasonRule:
    """Which rows get reasons, and in which words.

    Attributes
    ----------
    explainers
        Decision that owes an explanation -> what takes the margin of its class apart.
    top
        At most so many reasons per row.
    texts
        Column -> what to tell; its name where nothing is said.
    silent
        Columns that can never be a reason.
    """

    explainers: Mapping[str, Explainer]
    top: int
    texts: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()

    def words(self, sources: tuple[str, ...]) -> dict[str, str]:
        """Return what to tell of each column that may be a reason."""
        return {
            name: self.texts.get(name, name)
            for name in dict.fromkeys(sources)
            if name not in self.silent
        }


def append_reasons(
    df: DataFrame, rule: ReasonRule, sources: tuple[str, ...], decision: Column
) -> DataFrame:
    """Append `reason_cols`; null where there is no reason left, or the decision owes none.

    Parameters
    ----------
    df
        Rows with `POSITIONS`.
    sources
        The column that each position was made from.
    decision
        What was decided about the row.
    """
    parts = [
        explainer.contributions(F.col(POSITIONS), decision == name)
        for name, explainer in rule.explainers.items()
    ]
    apart_df = df.withColumn(CONTRIBUTIONS, F.coalesce(*parts))
    ranked_df = apart_df.withColumn(RANKED, _ranked(F.col(CONTRIBUTIONS), rule, sources))
    named = {name: _text(F.get(F.col(RANKED), i)) for i, name in enumerate(reason_cols(rule.top))}
    return ranked_df.withColumns(named).drop(CONTRIBUTIONS, RANKED)


def _ranked(contributions: Column, rule: ReasonRule, sources: tuple[str, ...]) -> Column:
    """Return what each column adds and its words, the most first; equal ones by their words."""
    words = rule.words(sources)
    places = [[i for i, own in enumerate(sources) if own == name] for name in words]
    if len(sources) <= MOST_WRITTEN:  # it takes half as long as the other way
        added = F.array(*[balanced_sum([F.get(contributions, i) for i in own]) for own in places])
    else:
        added = F.transform(F.lit(places), lambda own: _total(contributions, own))
    ranked = F.sort_array(F.arrays_zip(added, F.lit(list(words.values()))), asc=False)
    # Null does not stop the sums: the rows that nobody asks about would pay for them as well.
    return F.when(contributions.isNotNull(), ranked)


def _total(contributions: Column, places: Column) -> Column:
    return F.aggregate(places, F.lit(0.0), lambda so_far, i: so_far + F.get(contributions, i))


def _text(entry: Column) -> Column:
    """Return the words of what raises the margin; null for the rest."""
    return F.when(entry["0"] > 0, entry["1"])


def collect_reference(
    df: DataFrame, features: Column, size: int, approved: Column, weight: Column
) -> tuple[float, ...]:
    """Return the mean of each position of a vector over the approved rows, in one Spark job.

    It is what a linear model's reasons compare a row with; the mean of all rows where none is
    approved.
    """
    one_df = df.select(
        F.coalesce(approved, F.lit(col=False)).alias("approved"),
        weight.alias("weight"),
        F.posexplode(vector_to_array(features)).alias("at", "value"),
    )
    found = (
        one_df.groupBy("approved", "at")
        .agg(F.sum("weight").alias("weight"), F.sum(F.col("weight") * F.col("value")).alias("sum"))
        .collect()
    )
    sums, weights = np.zeros((2, size)), np.zeros((2, size))
    for row in found:
        sums[int(row["approved"]), row["at"]] = row["sum"]
        weights[int(row["approved"]), row["at"]] = row["weight"]
    chosen = int(weights[1].any())
    return tuple((sums[chosen] / weights[chosen]).tolist())
