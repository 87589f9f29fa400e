"""From columns to the feature vector, with null, NaN and unseen categories each in their place.

A plan is learned from the fit rows in one aggregation and is a small frozen record: it travels in
the model's manifest, and applying it is Column arithmetic that reads each column once. Numbers:
null and NaN become the median of the fit rows, beside an indicator where the fit rows had any.
Categories: one 0/1 feature per level, one for null, one for every other value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import ColumnRoles, column, number, quoted
from sparkweights.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

STEPS = 32  # of the quantile transform; even, so that one of them is the median
HEAVY_TAIL = 8.0  # range over the middle 80 %: a normal column has 3, an exponential one 5
ENCODINGS = ("auto", "plain", "quantile")
MEDIAN_ACCURACY = 10_000  # Spark's default: rank error at most rows / 10,000
MOST_LEVELS = 100  # of a category; rarer ones share the feature of other values


@dataclass(frozen=True)
class NumericFeature:
    """A number: its column, the value that stands for a missing one, and whether to flag it.

    Attributes
    ----------
    knots
        (value, normal score) pairs between which a value's score is interpolated; empty where the
        value itself is the feature.
    """

    name: str
    median: float
    flag_missing: bool
    knots: tuple[tuple[float, float], ...] = ()

    def encoded(self) -> Column:
        """Return the feature of a row."""
        value = F.coalesce(number(self.name), F.lit(self.median))
        if not self.knots:
            return value
        score = F.lit(self.knots[-1][1])
        for (low, start), (high, end) in reversed(list(pairwise(self.knots))):
            slope = (end - start) / (high - low)
            inside = F.lit(start) + (value - F.lit(low)) * F.lit(slope)
            score = F.when(value < high, inside).otherwise(score)
        return F.when(value <= self.knots[0][0], F.lit(self.knots[0][1])).otherwise(score)


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

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each position of the vector was made from."""
        found: list[str] = []
        for feature in self.numeric:
            found += [feature.name] * (1 + feature.flag_missing)
        for category in self.categorical:
            found += [category.name] * (len(category.levels) + 2)
        return tuple(found)

    def vector(self) -> Column:
        """Return the feature vector of a row; infinite numbers pass through (see `unusable`)."""
        values: list[Column] = []
        for feature in self.numeric:
            values.append(feature.encoded())
            if feature.flag_missing:
                values.append(number(feature.name).isNull().cast("double"))
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
            tuple(
                NumericFeature(
                    **{**feature, "knots": tuple((x, z) for x, z in feature.get("knots", ()))}
                )
                for feature in record["numeric"]
            ),
            tuple(
                CategoricalFeature(feature["name"], tuple(feature["levels"]))
                for feature in record["categorical"]
            ),
        )


def _infinite(name: str) -> Column:
    return F.abs(column(name).cast("double")) == float("inf")


def learn_features(fit_df: DataFrame, roles: ColumnRoles, encoding: str = "plain") -> FeaturePlan:
    """Learn medians, quantiles and levels from the fit rows, in one Spark job.

    Parameters
    ----------
    encoding
        Of numbers: ``plain``; ``quantile``, by normal scores of their quantiles; ``auto``,
        quantile where a column's tails are heavy, for learners that are linear in their features.

    Raises
    ------
    InputError
        If a feature has no value on any fit row, or an infinite one.
    """
    measures = [F.count(F.lit(1)).alias("rows")]
    steps = F.array(*[F.lit(step / STEPS) for step in range(STEPS + 1)])
    for i, name in enumerate(roles.numeric):
        value = number(name)
        measures += [
            F.percentile_approx(value, steps, MEDIAN_ACCURACY).alias(f"quantiles_{i}"),
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
        tuple(_numeric(name, row, i, encoding) for i, name in enumerate(roles.numeric)),
        tuple(_categorical(name, row, i) for i, name in enumerate(roles.categorical)),
    )


def _numeric(name: str, row: Row, i: int, encoding: str) -> NumericFeature:
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
    quantiles = [float(value) for value in row[f"quantiles_{i}"]]
    scored = encoding == "quantile" or (encoding == "auto" and _heavy_tailed(quantiles))
    knots = normal_scores(quantiles) if scored else ()
    return NumericFeature(name, quantiles[STEPS // 2], missing, knots)


def _heavy_tailed(quantiles: Sequence[float]) -> bool:
    low, high = quantiles[STEPS // 10], quantiles[-1 - STEPS // 10]
    return quantiles[-1] - quantiles[0] > HEAVY_TAIL * (high - low)


def normal_scores(quantiles: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return (value, normal score) at each distinct quantile of a column.

    A value that several quantiles share, as zeros do, has the score of their mean rank. Ranks are
    kept half a step from 0 and 1.

    Examples
    --------
    >>> [round(score, 2) for _, score in normal_scores([0.0, 0.0, 0.0, 1.0, 9.0])]
    [-0.67, 0.67, 1.15]
    """
    last = len(quantiles) - 1
    ranks: dict[float, list[int]] = {}
    for rank, value in enumerate(quantiles):
        ranks.setdefault(value, []).append(rank)
    normal, edge = NormalDist(), 0.5 / last
    found = [
        (value, normal.inv_cdf(min(max(sum(own) / len(own) / last, edge), 1 - edge)))
        for value, own in ranks.items()
    ]
    return tuple(found) if len(found) > 1 else ()


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
