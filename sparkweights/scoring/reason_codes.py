"""Reason codes: the columns that contributed most to an adverse decision, in words.

A reason is a column that raises the margin of the class that the decision is taken against: by
its positions in the model, and by the correction for weights, since decisions are taken by natural
probabilities. The largest contributions come first. If a typical value of a column in the costs
would have led to another decision, that column precedes all others. Only rows with an adverse
decision are explained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.column_math import balanced_sum
from sparkweights.core.roles import reason_cols
from sparkweights.models.base import (
    POSITIONS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.models.attributions import Explainer

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CONTRIBUTIONS, RANKED = "__contributions", "__ranked"
MAX_WRITTEN = 64  # positions; of more, written-out sums make a method that Java does not compile


@dataclass(frozen=True)
class ReasonRule:
    """Which rows get reasons, and in which words.

    Attributes
    ----------
    explainers
        Adverse decision -> the explainer of its class's margin.
    top
        Maximum number of reasons per row.
    texts
        Column -> the text of the reason; by default the column's name.
    silent
        Columns that can never be a reason.
    contrasts
        Of more than two classes: decision -> how often each class's margin counts (see
        `sparkweights.models.attributions.contrast_of`).
    weight_effects
        Decision -> column -> the contribution of the weights' correction to the margin, compared
        with a typical value of the column.
    prices
        Decision -> text of a cost's column -> whether the decision depends on its value.
    """

    explainers: Mapping[str, Explainer]
    top: int
    texts: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    contrasts: Mapping[str, Column] = field(default_factory=dict)
    weight_effects: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    prices: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)

    def words(self, sources: tuple[str, ...]) -> dict[str, str]:
        """Return the text of each column that may be a reason."""
        weight_effects = [name for columns in self.weight_effects.values() for name in columns]
        return {
            name: self.texts.get(name, name)
            for name in dict.fromkeys([*sources, *weight_effects])
            if name not in self.silent
        }


def append_reasons(
    df: DataFrame, rule: ReasonRule, sources: tuple[str, ...], decision: Column
) -> DataFrame:
    """Append `reason_cols`; null where there is no reason left, or the decision owes none.

    Parameters
    ----------
    df
        Rows with `POSITIONS`, and what the rule's Columns read.
    sources
        The column that each position was made from.
    decision
        What was decided about the row.
    """
    parts = [
        explainer.contributions(F.col(POSITIONS), decision == name, rule.contrasts.get(name))
        for name, explainer in rule.explainers.items()
    ]
    apart_df = df.withColumn(CONTRIBUTIONS, F.coalesce(*parts))
    ranked_df = apart_df.withColumn(RANKED, _rank(rule, sources, decision))
    named = {name: _text(F.get(F.col(RANKED), i)) for i, name in enumerate(reason_cols(rule.top))}
    return ranked_df.withColumns(named).drop(CONTRIBUTIONS, RANKED)


def _rank(rule: ReasonRule, sources: tuple[str, ...], decision: Column) -> Column:
    """Return contributions and texts of the columns, in descending order; ties by text."""
    words = rule.words(sources)
    contributions = _sum_by_column(list(words), sources)
    if rule.weight_effects:
        weight_effects = [
            _of_decision(
                decision,
                {
                    d: by_column[name]
                    for d, by_column in rule.weight_effects.items()
                    if name in by_column
                },
            )
            for name in words
        ]
        contributions = F.zip_with(
            contributions, F.array(*weight_effects), lambda model, weights: model + weights
        )
    texts = [*words.values()]
    prices = list(dict.fromkeys(text for by_column in rule.prices.values() for text in by_column))
    if prices:
        decided = [
            _of_decision(
                decision,
                {
                    d: F.when(by_column[text], float("inf"))
                    for d, by_column in rule.prices.items()
                    if text in by_column
                },
            )
            for text in prices
        ]
        contributions = F.concat(contributions, F.array(*decided))
    ranked = F.sort_array(F.arrays_zip(contributions, F.lit([*texts, *prices])), asc=False)
    # Sums are computed for null arrays too: the condition skips rows that are not explained.
    return F.when(F.col(CONTRIBUTIONS).isNotNull(), ranked)


def _sum_by_column(names: list[str], sources: tuple[str, ...]) -> Column:
    """Return, per column, the sum of its positions' contributions."""
    positional = F.col(CONTRIBUTIONS)
    by_name = [[i for i, source in enumerate(sources) if source == name] for name in names]
    if len(sources) <= MAX_WRITTEN:  # half the time of the higher-order function
        nothing = F.lit(0.0)  # of a column that only weights depend on
        return F.array(*[
            balanced_sum([F.get(positional, i) for i in positions]) if positions else nothing
            for positions in by_name
        ])  # fmt: skip
    return F.transform(F.lit(by_name), lambda positions: _total(positional, positions))


def _of_decision(decision: Column, values: Mapping[str, Column]) -> Column:
    """Return the value of the row's decision; 0 where it has none."""
    chosen = [F.when(decision == name, value) for name, value in values.items()]
    return F.coalesce(*chosen, F.lit(0.0))


def _total(positional: Column, positions: Column) -> Column:
    return F.aggregate(positions, F.lit(0.0), lambda so_far, i: so_far + F.get(positional, i))


def _text(entry: Column) -> Column:
    """Return the text of an entry that raises the margin; null for others."""
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
    sums_by_position = (
        one_df.groupBy("approved", "at")
        .agg(F.sum("weight").alias("weight"), F.sum(F.col("weight") * F.col("value")).alias("sum"))
        .collect()
    )
    sums, weights = np.zeros((2, size)), np.zeros((2, size))
    for row in sums_by_position:
        sums[int(row["approved"]), row["at"]] = row["sum"]
        weights[int(row["approved"]), row["at"]] = row["weight"]
    chosen = int(weights[1].any())
    return tuple((sums[chosen] / weights[chosen]).tolist())
