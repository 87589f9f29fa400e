"""From columns to the feature vector, with null, NaN and unseen categories each in their place.

A plan is learned from the fit rows in one aggregation and is a small frozen record: it travels in
the model's manifest, and applying it is Column arithmetic that reads each column once. Numbers:
null and NaN become the median of the fit rows, beside an indicator where the fit rows had any.
Categories: one 0/1 feature per level, one for null, one for every other value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import ColumnRoles, column, number, quoted
from sparkweights.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame, Row

MEDIAN_ACCURACY = 10_000  # Spark's default: rank error at most rows / 10,000
MOST_LEVELS = 100  # of a category; rarer ones share the feature of other values


@dataclass(frozen=True)
class NumericFeature:
    """A number: its column, the value that stands for a missing one, and whether to flag it."""

    name: str
    median: float
    flag_missing: bool


@dataclass(frozen=True)
class CategoricalFeature:
    """A category: its column and its levels, as text, in alphabetical order."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class FeaturePlan:
    """How a row's columns become its feature vector."""

    numeric: tuple[NumericFeature, ...]
    categorical: tuple[CategoricalFeature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each position of the vector."""
        found: list[str] = []
        for feature in self.numeric:
            found.append(feature.name)
            if feature.flag_missing:
                found.append(f"{feature.name} is missing")
        for category in self.categorical:
            found += [f"{category.name} = {level}" for level in category.levels]
            found += [f"{category.name} is missing", f"{category.name} is another value"]
        return tuple(found)

    def vector(self) -> Column:
        """Return the feature vector of a row; infinite numbers pass through (see `unusable`)."""
        values: list[Column] = []
        for feature in self.numeric:
            value = number(feature.name)
            values.append(F.coalesce(value, F.lit(feature.median)))
            if feature.flag_missing:
                values.append(value.isNull().cast("double"))
        for category in self.categorical:
            text = column(category.name).cast("string")
            known = F.coalesce(text.isin(*category.levels), F.lit(col=True))
            values += [F.coalesce(text == F.lit(v), F.lit(col=False)) for v in category.levels]
            values += [text.isNull(), ~known]
        return array_to_vector(F.array(*[value.cast("double") for value in values]))

    def unusable(self) -> Column:
        """Return the name of a feature that is infinite on this row, or null."""
        infinite = [F.when(_infinite(f.name), F.lit(f.name)) for f in self.numeric]
        return F.coalesce(*infinite, F.lit(None).cast("string"))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan ready for JSON; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FeaturePlan:
        """Read a plan that `to_dict` wrote."""
        return cls(
            tuple(NumericFeature(**feature) for feature in record["numeric"]),
            tuple(
                CategoricalFeature(feature["name"], tuple(feature["levels"]))
                for feature in record["categorical"]
            ),
        )


def _infinite(name: str) -> Column:
    return F.abs(column(name).cast("double")) == float("inf")


def learn_features(fit_df: DataFrame, roles: ColumnRoles) -> FeaturePlan:
    """Learn medians and levels from the fit rows, in one Spark job.

    Raises
    ------
    InputError
        If a feature has no value on any fit row, or an infinite one.
    """
    measures = [F.count(F.lit(1)).alias("rows")]
    for i, name in enumerate(roles.numeric):
        value = number(name)
        measures += [
            F.percentile_approx(value, 0.5, MEDIAN_ACCURACY).alias(f"median_{i}"),
            F.count(value).alias(f"present_{i}"),
            F.count_if(_infinite(name)).alias(f"infinite_{i}"),
        ]
    for i, name in enumerate(roles.categorical):
        text = column(name).cast("string")
        # Null counts as an item, so there is one place more than levels.
        places, tracked = F.lit(MOST_LEVELS + 1), F.lit(10 * MOST_LEVELS)
        top = F.call_function("approx_top_k", text, places, tracked)
        measures.append(top.alias(f"levels_{i}"))
    row = fit_df.agg(*measures).first()
    assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
    return FeaturePlan(
        tuple(_numeric(name, row, i) for i, name in enumerate(roles.numeric)),
        tuple(_categorical(name, row, i) for i, name in enumerate(roles.categorical)),
    )


def _numeric(name: str, row: Row, i: int) -> NumericFeature:
    if row[f"infinite_{i}"]:
        raise InputError(
            f"Feature column '{name}' is infinite on {row[f'infinite_{i}']} of {row['rows']} fit "
            "rows; numbers must be finite (null and NaN stand for missing).",
            hint="find the division by zero that made them; write null instead.",
        )
    if not row[f"present_{i}"]:
        raise InputError(
            f"Feature column '{name}' is null or NaN on all {row['rows']} fit rows.",
            hint=f"remove {quoted(name)} from columns.numeric, or repair the job that fills it.",
        )
    missing = row[f"present_{i}"] < row["rows"]
    return NumericFeature(name, float(row[f"median_{i}"]), missing)


def _categorical(name: str, row: Row, i: int) -> CategoricalFeature:
    levels = sorted(
        entry["item"] for entry in row[f"levels_{i}"] or [] if entry["item"] is not None
    )
    if not levels:
        raise InputError(
            f"Feature column '{name}' is null on all {row['rows']} fit rows.",
            hint=f"remove {quoted(name)} from columns.categorical, or repair the job that fills "
            "it.",
        )
    return CategoricalFeature(name, tuple(levels))
