"""From the labelled table to rows that can be fitted on: weighed, split, encoded, and kept."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import class_index, column, sample_weight
from sparkweights.costs.language import names
from sparkweights.errors import InputError, ModelError, listed
from sparkweights.models import FeaturePlan, learn_features, learner
from sparkweights.models.learner import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.evaluating import ORDER, review_order
from sparkweights.resample import Resampling, copies, repeat_rows, resampling
from sparkweights.split import (
    CALIBRATE,
    FIT,
    TEST,
    Split,
    fold_quantiles,
    hash_order,
    part,
    summarise_time_split,
    time_order,
)
from sparkweights.storage import keep_rows
from sparkweights.weights import (
    ClassSummary,
    Weighting,
    summarise_classes,
    training_weight,
    weigh_classes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row
    from pyspark.sql.types import StructType

    from sparkweights.config import Config
    from sparkweights.storage import ModelBundle
    from sparkweights.weights import WeightRule

PART, COPIES, INFINITE = "__part", "__copies", "__infinite"
_FOLDING_SALT = 0xF01D


@dataclass(frozen=True)
class Weighed:
    """The weights stage's record: what the one pass found, and the weights chosen from it."""

    summary: ClassSummary
    weighting: Weighting


def weigh(labelled_df: DataFrame, config: Config, *, folds: int = 1) -> Weighed:
    """Summarise the labelled table in one pass and choose the weights.

    Parameters
    ----------
    folds
        Into how many parts of equal size the fit rows are to be cut.
    """
    order = None if config.split.by is not None else hash_order(config.roles, config.seed)
    spec = config.weight_spec
    summary = summarise_classes(
        labelled_df,
        config.roles,
        config.matrix,
        grouping=spec.grouping,
        regret_bins=spec.per_row,
        order=order,
        cuts=_quantiles(config, folds),
    )
    weighting = weigh_classes(config.matrix, summary, spec)
    return Weighed(summary, weighting)


def _quantiles(config: Config, folds: int) -> tuple[float, ...]:
    shares = config.split
    return fold_quantiles(1 - shares.calibrate - shares.test, 1 - shares.test, folds)


def divide(
    labelled_df: DataFrame, config: Config, weighed: Weighed, *, folds: int = 1
) -> tuple[Split, DataFrame]:
    """Find the split, and append the part of each row as `PART`.

    A split by time takes an aggregation of its own; a split by hash was found while weighing.
    """
    if config.split.by is None:
        split = Split.at(None, weighed.summary.cuts)
    else:
        split = summarise_time_split(
            labelled_df, config.roles, config.split.by, _quantiles(config, folds)
        )
    own = part(split, config.roles, split_order(labelled_df, config))
    return split, labelled_df.withColumn(PART, own)


def split_order(df: DataFrame, config: Config) -> Column:
    """Return the number that orders rows for the split."""
    if config.split.by is None:
        return hash_order(config.roles, config.seed)
    return time_order(df, config.split.by)


def split_record(
    split: Split, rows: Mapping[str, int], schema: StructType, config: Config
) -> dict[str, Any]:
    """Return a split, ready for JSON: all it takes to tell later which part a row played."""
    return {
        "by": split.by,
        "by_type": None if split.by is None else schema[split.by].dataType.simpleString(),
        "cuts": {name: list(cuts) for name, cuts in split.cuts.items()},
        "keys": _key_types(schema, config),
        "rows": dict(rows),
    }


def split_obstacle(schema: StructType, config: Config, bundle: ModelBundle) -> str | None:
    """Return why nobody can tell which part a row played when a model was trained, or None."""
    record = bundle.manifest["split"]
    if record["by"] is not None:
        return _clock_obstacle(schema, record["by"], record.get("by_type"))
    now, then = _key_types(schema, config), record["keys"]
    if now == then:
        return None
    return f"its split was by the keys {_told(then)}; they are {_told(now)} now"


def _clock_obstacle(schema: StructType, by: str, then: str | None) -> str | None:
    if by not in schema.names:
        return f"column '{by}', which its split reads, is not there"
    now = schema[by].dataType.simpleString()
    if then in {None, now}:
        return None
    return f"its split was by '{by}' as {then}; it is {now} now, whose numbers are others"


def _key_types(schema: StructType, config: Config) -> dict[str, str]:
    return {name: schema[name].dataType.simpleString() for name in config.roles.keys}


def _told(keys: Mapping[str, str]) -> str:
    return listed(f"{name} ({kind})" for name, kind in keys.items())


def part_of_bundle(labelled_df: DataFrame, config: Config, bundle: ModelBundle) -> Column:
    """Return the part that a row played when a model was trained.

    Raises
    ------
    ModelError
        If the table's keys are not those that it was split by: a hash of others would call rows
        that the model has learned from test rows.
    """
    obstacle = split_obstacle(labelled_df.schema, config, bundle)
    if obstacle is not None:
        raise ModelError(
            f"Which rows model {bundle.version} was tested on cannot be told: {obstacle}.",
            hint="restore the columns under columns.keys and their types, or train again.",
        )
    split = Split.from_dict(bundle.manifest["split"])
    seed = bundle.manifest["model"]["seed"]
    by_hash = split.by is None
    order = hash_order(config.roles, seed) if by_hash else time_order(labelled_df, split.by or "")
    return part(split, config.roles, order)


def learn_plan(divided_df: DataFrame, config: Config) -> FeaturePlan:
    """Learn from the fit rows how columns become features, in one Spark job."""
    wanted = config.features
    # By itself only a linear learner minds heavy tails.
    plain = wanted.numeric == "auto" and not learner(config.model.kind).linear
    return learn_features(
        divided_df.filter(F.col(PART) == FIT),
        config.roles,
        "plain" if plain else wanted.numeric,
        wanted.categorical,
        order=outcome_order(config),
    )


def outcome_order(config: Config) -> Column:
    """Return the number that deals fit rows into the folds of encodings that look at outcomes."""
    return hash_order(config.roles, config.seed ^ _FOLDING_SALT)


def plan_resampling(config: Config, weighed: Weighed) -> Resampling | None:
    """Return how the rows to fit on are thinned or repeated, if they are."""
    wanted = config.resample
    if wanted is None:
        return None
    frequencies = weighed.weighting.frequencies
    return resampling(frequencies, method=wanted.method, ratio=wanted.ratio)


@contextmanager
def prepared(
    divided_df: DataFrame,
    config: Config,
    rule: WeightRule,
    plan: FeaturePlan,
    *,
    thinning: Resampling | None = None,
    also: Mapping[str, Column] | None = None,
) -> Iterator[DataFrame]:
    """Keep what fitting, calibrating and testing read, once per row, for their many passes.

    Parameters
    ----------
    rule
        Of the training weights; the columns it reads are kept too.
    also
        Further columns to keep, by name.
    """
    roles = config.roles
    kept = dict.fromkeys([*config.matrix.columns, *rule.columns])
    if roles.weight is not None:
        kept[roles.weight] = None
    if config.review_price is not None:
        kept |= dict.fromkeys(name.name for name in names(config.review_price))
    if thinning is not None:
        own = F.when(F.col(PART) == FIT, copies(roles, thinning, seed=config.seed)).otherwise(1)
        divided_df = repeat_rows(divided_df.withColumn(COPIES, own), COPIES)
    wanted_df = divided_df.select(
        PART,
        class_index(roles).cast("double").alias(LABEL),
        training_weight(rule, roles).alias(WEIGHT),
        plan.training_vector(F.col(PART) == FIT, outcome_order(config)).alias(FEATURES),
        review_order(config).alias(ORDER),
        plan.unusable().alias(INFINITE),
        *[value.alias(name) for name, value in (also or {}).items()],
        *map(column, kept),
    )
    with keep_rows(wanted_df, config.path(config.artifacts)) as prepared_df:
        yield prepared_df


class Size(NamedTuple):
    """Rows, and the sum of their sample weights."""

    rows: int
    weight: float


@dataclass(frozen=True)
class PartCounts:
    """What each part holds.

    Attributes
    ----------
    by_class
        (part, class) -> rows.
    weights
        (part, class) -> sum of their sample weights.
    """

    by_class: Mapping[tuple[str, str], int]
    weights: Mapping[tuple[str, str], float]

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each part has."""
        return {
            which: sum(rows for (own, _), rows in self.by_class.items() if own == which)
            for which in (FIT, CALIBRATE, TEST)
        }

    def size(self, which: str) -> Size:
        """Return what a part holds of all classes."""
        weights = [weight for (own, _), weight in self.weights.items() if own == which]
        return Size(self.rows[which], sum(weights))

    def shares(self, which: str) -> dict[str, float]:
        """Return the weighted share of each class in a part."""
        own = {name: weight for (part, name), weight in self.weights.items() if part == which}
        total = sum(own.values())
        return {name: weight / total for name, weight in own.items()}


def infinite_measures() -> list[Column]:
    """Return aggregates of prepared rows that `require_finite` judges."""
    return [F.count(INFINITE).alias("infinite"), F.min(INFINITE).alias("infinite_name")]


def require_finite(found: Sequence[Row]) -> None:
    """Refuse labelled rows of any part with an infinite feature.

    Of fit rows that was known before; on others it would break the calibration, or count in the
    costs of a model that sets such rows aside when it scores.

    Raises
    ------
    InputError
        Naming a column.
    """
    rows = sum(row["infinite"] for row in found)
    if rows:
        name = min(row["infinite_name"] for row in found if row["infinite"])
        raise InputError(
            f"Feature column '{name}' is infinite on some of {rows} labelled rows with infinite "
            "features; numbers must be finite (null and NaN stand for missing).",
            hint="find the division by zero that made them; write null instead.",
        )


def count_parts(prepared_df: DataFrame, config: Config) -> PartCounts:
    """Count rows per part and class; the first job over the kept rows, so it also caches them."""
    roles = config.roles
    weight = sample_weight(roles)
    sums = [F.count(F.lit(1)).alias("rows"), F.sum(weight).alias("weight")]
    found = prepared_df.groupBy(PART, LABEL).agg(*sums, *infinite_measures()).collect()
    require_finite(found)
    found.sort(key=lambda row: row[LABEL])
    places = [(row[PART], roles.class_names[int(row[LABEL])]) for row in found]
    return PartCounts(
        {place: row["rows"] for place, row in zip(places, found, strict=True)},
        {place: row["weight"] for place, row in zip(places, found, strict=True)},
    )
