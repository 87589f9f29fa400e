"""From the labelled table to rows to fit on: weighted, split, encoded, and stored."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, sample_weight
from sparkweights.core.errors import InputError, ModelError, join_names
from sparkweights.features.fit import learn_features
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.models.constraints import Constraints
from sparkweights.models.registry import capabilities
from sparkweights.records.training import SplitSummary
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.sampling.period import Span
from sparkweights.sampling.resample import Resampling, copies, repeat_rows, resampling
from sparkweights.sampling.split import (
    CALIBRATE,
    FIT,
    TEST,
    Split,
    collect_order_quantiles,
    cross_quantiles,
    fold,
    fold_quantiles,
    moment_of,
    part,
    summarise_time_split,
    time_kind,
    time_order,
)
from sparkweights.scoring.plan import review_order
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows
from sparkweights.training.evaluate import BLOCK, ORDER, block_order
from sparkweights.weights.choose import Weighting, weigh_classes
from sparkweights.weights.frequencies import ClassSummary, summarise_classes
from sparkweights.weights.spark import training_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from pyspark.sql import Column, DataFrame, Row
    from pyspark.sql.types import StructType

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.roles import ColumnRoles
    from sparkweights.features.plan import FeaturePlan
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.weights.rule import WeightRule

PART, FOLD, COPIES, INFINITE = "__part", "__fold", "__copies", "__infinite"
MANY_EVENTS = 10_000  # of the rarest class; fewer are dealt into folds by exact quantiles


@dataclass(frozen=True)
class WeightingResult:
    """The weights stage's record: the class summary, and the weights chosen from it."""

    summary: ClassSummary
    weighting: Weighting


def weigh(labelled_df: DataFrame, spec: TrainingSpec) -> WeightingResult:
    """Summarise the labelled table in one pass and choose the weights."""
    settings = spec.weight_spec
    summary = summarise_classes(
        labelled_df,
        spec.problem.roles,
        spec.problem.matrix,
        grouping=settings.grouping,
        regret_bins=settings.per_row,
        order=None if spec.split.by is not None else split_order(labelled_df, spec),
    )
    weighting = weigh_classes(spec.problem.matrix, summary, settings)
    return WeightingResult(summary, weighting)


def _quantiles(spec: TrainingSpec, folds: int) -> tuple[float, ...]:
    shares = spec.split
    return fold_quantiles(1 - shares.calibrate - shares.test, 1 - shares.test, folds)


def divide(
    labelled_df: DataFrame, spec: TrainingSpec, class_weights: WeightingResult, *, folds: int = 1
) -> tuple[Split, DataFrame]:
    """Find the split into three parts, and append the part of each row as `PART`.

    A split by time needs a further aggregation; a split by hash follows from the class summary.

    Parameters
    ----------
    folds
        Into how many parts of equal size the fit rows are to be divided.
    """
    settings, quantiles = spec.split, _quantiles(spec, folds)
    if settings.by is None:
        cutoffs = class_weights.summary.order_quantiles(quantiles, pooled=bool(settings.group))
        split = Split.at(None, cutoffs, settings.group)
    else:
        split = summarise_time_split(labelled_df, spec.problem.roles, settings.by, quantiles)
        split = with_gap(split, labelled_df, spec)
    row_part = part(split, spec.problem.roles, split_order(labelled_df, spec))
    return split, labelled_df.withColumn(PART, row_part)


def with_gap(split: Split, labelled_df: DataFrame, spec: TrainingSpec) -> Split:
    """Return a split in time with the configured gap before each of its later parts."""
    if spec.split.gap is None:
        return split
    return split.with_ends(end_before_gap(labelled_df, spec))


def end_before_gap(labelled_df: DataFrame, spec: TrainingSpec) -> Callable[[float], float]:
    """Return the function of a boundary in time that is the last moment before its gap."""
    settings = spec.split
    if settings.gap is None or settings.by is None:
        return lambda moment: moment
    gap = Span.parse(settings.gap, where="split.gap")
    kind = time_kind(labelled_df.schema[settings.by].dataType, settings.by)
    return partial(gap.before, kind=kind, where="split.gap")


def cross(
    labelled_df: DataFrame, spec: TrainingSpec, class_weights: WeightingResult, folds: int
) -> tuple[Split, DataFrame]:
    """Assign every row to a fold, stratified by class or whole groups, as `FOLD`.

    Every row is a fit row of `PART`, and held out by the model of its fold.
    """
    group = spec.split.group
    order = uniform(spec.unit_columns, spec.seed)
    quantiles = cross_quantiles(folds)
    rarest = min(class_weights.weighting.frequencies, key=lambda frequency: frequency.rows)
    if spec.split.by is None and rarest.rows > MANY_EVENTS:
        cutoffs = class_weights.summary.order_quantiles(quantiles, pooled=bool(group))
    else:
        # The class summary's quantiles are too coarse for few events: a fold could get none.
        cutoffs = collect_order_quantiles(
            labelled_df, spec.problem.roles, order, quantiles, pooled=bool(group)
        )
    split = Split.cross(folds, cutoffs, group)
    row_fold = fold(split, spec.problem.roles, order)
    return split, labelled_df.withColumns({PART: F.lit(FIT), FOLD: row_fold})


def split_order(df: DataFrame, spec: TrainingSpec) -> Column:
    """Return the number that orders rows for the split."""
    if spec.split.by is None:
        return uniform(spec.unit_columns, spec.seed)
    return time_order(df, spec.split.by)


NULL_LABEL, NO_CLASS = "null label", "label of no class"  # `class_index` -1 and -2


def leave_out(
    df: DataFrame, spec: TrainingSpec, run_date: date
) -> tuple[DataFrame, dict[str, int]]:
    """Leave out the labelled rows whose outcome is not known yet, or is no class.

    Rows of the second kind are left out where ``columns.outside`` is ``drop``; else the frequencies
    refuse them. One Spark job counts what is left out, and reads the label and the moment alone.

    Returns
    -------
    DataFrame
        The rows that are kept.
    dict
        Why rows were left out -> how many; without the causes that no row has.
    """
    mature = _is_mature(df, spec, run_date)
    drops = spec.outside == "drop"
    if mature is None and not drops:
        return df, {}
    known, index = F.lit(col=True) if mature is None else mature, class_index(spec.problem.roles)
    causes = {f"younger than {spec.split.mature}": ~known}
    if drops:
        causes |= {NULL_LABEL: known & (index == -1), NO_CLASS: known & (index == -2)}
    counts = df.agg(
        *[F.count_if(left).alias(f"c{i}") for i, left in enumerate(causes.values())]
    ).collect()[0]
    kept = known & (index >= 0) if drops else known
    return df.filter(kept), {
        cause: rows for cause, rows in zip(causes, counts, strict=True) if rows
    }


def _is_mature(df: DataFrame, spec: TrainingSpec, run_date: date) -> Column | None:
    """Return whether the outcome of a labelled row can be known; None where all can be.

    Parameters
    ----------
    run_date
        The day of the table, unless ``split.as_of`` states another.
    """
    if spec.split.mature is None:
        return None
    by = spec.split.by or ""
    kind = time_kind(df.schema[by].dataType, by)
    window = Span.parse(spec.split.mature, where="split.mature")
    latest = window.before(
        moment_of(spec.split.as_of or run_date, kind), kind, where="split.mature"
    )
    # The split refuses a row without a moment.
    return F.coalesce(time_order(df, by) <= latest, F.lit(col=True))


def summarise_split(
    split: Split, rows: Mapping[str, int], schema: StructType, spec: TrainingSpec
) -> SplitSummary:
    """Return what is needed to find the part of a row again."""
    return SplitSummary(
        **vars(split),
        by_type=None if split.by is None else schema[split.by].dataType.simpleString(),
        keys=_types(schema, split.group or spec.problem.roles.keys),
        rows=rows,
    )


def split_obstacle(schema: StructType, roles: ColumnRoles, bundle: ModelBundle) -> str | None:
    """Return why the part of a row in a model's training cannot be found again, or None."""
    split = bundle.manifest.split
    if split.by is not None:
        return _clock_obstacle(schema, split.by, split.by_type)
    group, then = split.group, split.keys
    missing = [name for name in group if name not in schema.names]
    if missing:
        return f"its split was by {_describe_keys(then)}, and column '{missing[0]}' is not there"
    now = _types(schema, group or roles.keys)
    if now == then:
        return None
    what = "the group" if group else "the keys"
    return f"its split was by {what} {_describe_keys(then)}; they are {_describe_keys(now)} now"


def _clock_obstacle(schema: StructType, by: str, then: str | None) -> str | None:
    if by not in schema.names:
        return f"column '{by}', which its split reads, is not there"
    now = schema[by].dataType.simpleString()
    if then in {None, now}:
        return None
    return f"its split was by '{by}' as {then}; it is {now} now, whose numbers are others"


def _types(schema: StructType, names: Sequence[str]) -> dict[str, str]:
    return {name: schema[name].dataType.simpleString() for name in names}


def _describe_keys(keys: Mapping[str, str]) -> str:
    return join_names(f"{name} ({kind})" for name, kind in keys.items())


def with_parts_of_bundle(df: DataFrame, roles: ColumnRoles, bundle: ModelBundle) -> DataFrame:
    """Append the part of a row in a model's training, and the fold that held it out.

    Raises
    ------
    ModelError
        If the table's keys are not those that it was split by: a hash of other keys would mark
        rows as test rows that the model was fitted on.
    """
    obstacle = split_obstacle(df.schema, roles, bundle)
    if obstacle is not None:
        raise ModelError(
            f"Which rows model {bundle.version} was tested on cannot be determined: {obstacle}.",
            hint="restore the columns that it was split by and their types, or train again.",
        )
    split = Split.from_dict(bundle.manifest.split.to_dict())
    return with_parts(df, roles, split, bundle.manifest.model.seed)


def with_parts(df: DataFrame, roles: ColumnRoles, split: Split, seed: int) -> DataFrame:
    """Append the part of a row as `PART`, and the fold that held it out as `FOLD`."""
    if split.by is None:
        order = uniform(split.group or roles.keys, seed)
    else:
        order = time_order(df, split.by)
    held_out = fold(split, roles, order) if split.crossed else F.lit(0)
    return df.withColumns({PART: part(split, roles, order), FOLD: held_out})


def learn_plan(divided_df: DataFrame, spec: TrainingSpec) -> FeaturePlan:
    """Learn from the fit rows how columns become features, in one Spark job."""
    settings = spec.features
    # Only linear learners are sensitive to heavy tails.
    plain = settings.numeric == "auto" and not capabilities(spec.model.kind).linear
    return learn_features(
        divided_df.filter(F.col(PART) == FIT),
        spec.problem.roles,
        "plain" if plain else settings.numeric,
        settings.categorical,
        order=outcome_order(spec),
        impute=imputes(spec),
    )


def imputes(spec: TrainingSpec) -> bool:
    """Return whether missing numbers become medians with flags; else they stay NaN."""
    if spec.features.impute == "auto":
        return not capabilities(spec.model.kind).native_missing
    return spec.features.impute == "median"


def constraints_of(plan: FeaturePlan, spec: TrainingSpec) -> Constraints | None:
    """Return the configured constraints by position of the plan, if there are any."""
    return Constraints.of(plan, spec.model.monotone, spec.model.interactions)


def outcome_order(spec: TrainingSpec) -> Column:
    """Return the number that assigns fit rows to the folds of encodings by outcome."""
    return uniform(spec.unit_columns, spec.seed, Stream.ENCODING_FOLDS)


def plan_resampling(spec: TrainingSpec, class_weights: WeightingResult) -> Resampling | None:
    """Return how the fit rows are resampled; None if they are not."""
    settings = spec.resample
    if settings is None:
        return None
    weighting = class_weights.weighting
    plan = resampling(weighting.frequencies, method=settings.method, ratio=settings.ratio)
    return plan.with_weights(weighting.trained_shares)


@contextmanager
def prepare_rows(
    divided_df: DataFrame,
    spec: TrainingSpec,
    rule: WeightRule,
    plan: FeaturePlan,
    *,
    resampling_plan: Resampling | None = None,
    also: Mapping[str, Column] | None = None,
) -> Iterator[DataFrame]:
    """Store the columns that fitting, calibrating and testing read, for their many passes.

    Parameters
    ----------
    rule
        Of the training weights; the columns it reads are kept too.
    also
        Further columns to keep, by name.
    """
    roles = spec.problem.roles
    extra_columns = dict.fromkeys([*spec.problem.cost_columns, *rule.columns])
    if roles.weight is not None:
        extra_columns[roles.weight] = None
    if resampling_plan is not None:
        row_copies = F.when(
            F.col(PART) == FIT, copies(roles, resampling_plan, seed=spec.seed)
        ).otherwise(1)
        divided_df = repeat_rows(divided_df.withColumn(COPIES, row_copies), COPIES)
    selected_df = divided_df.select(
        PART,
        class_index(roles).cast("double").alias(LABEL),
        training_weight(rule, roles).alias(WEIGHT),
        plan.training_vector(F.col(PART) == FIT, outcome_order(spec)).alias(FEATURES),
        review_order(spec.problem, spec.seed).alias(ORDER),
        block_order(spec.unit_columns, spec.seed).alias(BLOCK),
        plan.unusable().alias(INFINITE),
        *[value.alias(name) for name, value in (also or {}).items()],
        *map(column, extra_columns),
    )
    with keep_rows(selected_df, Location.of(spec.scratch)) as prepared_df:
        yield prepared_df


class Size(NamedTuple):
    """Rows, and the sum of their sample weights."""

    rows: int
    weight: float


@dataclass(frozen=True)
class PartCounts:
    """Counts of each part.

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
        """Number of rows of each part."""
        return {
            which: sum(rows for (name, _), rows in self.by_class.items() if name == which)
            for which in (FIT, CALIBRATE, TEST)
        }

    def size(self, which: str) -> Size:
        """Return the size of a part over all classes."""
        weights = [weight for (name, _), weight in self.weights.items() if name == which]
        return Size(self.rows[which], sum(weights))

    def shares(self, which: str) -> dict[str, float]:
        """Return the weighted share of each class in a part."""
        weights = {name: weight for (part, name), weight in self.weights.items() if part == which}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


def infinite_measures() -> list[Column]:
    """Return aggregates of prepared rows that `require_finite` checks."""
    return [F.count(INFINITE).alias("infinite"), F.min(INFINITE).alias("infinite_name")]


def require_finite(measures: Sequence[Row]) -> None:
    """Refuse labelled rows of any part with an infinite feature.

    Of fit rows that was known before; on others it would break the calibration, or count in the
    costs of a model that sets such rows aside when it scores.

    Raises
    ------
    InputError
        Naming a column.
    """
    rows = sum(row["infinite"] for row in measures)
    if rows:
        name = min(row["infinite_name"] for row in measures if row["infinite"])
        raise InputError(
            f"Feature column '{name}' is infinite on some of {rows} labelled rows with infinite "
            "features; numbers must be finite (null and NaN stand for missing).",
            hint="find the division by zero that made them; write null instead.",
        )


def count_parts(prepared_df: DataFrame, spec: TrainingSpec) -> PartCounts:
    """Count rows per part and class; the first job over the kept rows, so it also caches them."""
    roles = spec.problem.roles
    weight = sample_weight(roles)
    sums = [F.count(F.lit(1)).alias("rows"), F.sum(weight).alias("weight")]
    counts = prepared_df.groupBy(PART, LABEL).agg(*sums, *infinite_measures()).collect()
    require_finite(counts)
    counts.sort(key=lambda row: row[LABEL])
    part_classes = [(row[PART], roles.class_names[int(row[LABEL])]) for row in counts]
    return PartCounts(
        {key: row["rows"] for key, row in zip(part_classes, counts, strict=True)},
        {key: row["weight"] for key, row in zip(part_classes, counts, strict=True)},
    )


@dataclass(frozen=True)
class FoldCounts:
    """Counts of the folds of a cross-fitting.

    Attributes
    ----------
    by_class
        (fold, class) -> rows.
    prior
        Class -> its weighted share of the rows that calibrate.
    """

    by_class: Mapping[tuple[int, str], int]
    prior: Mapping[str, float]

    @property
    def rows(self) -> int:
        """Rows of all folds."""
        return sum(self.by_class.values())


def count_folds(prepared_df: DataFrame, spec: TrainingSpec, calibrates: Column) -> FoldCounts:
    """Count rows per fold and class; the first job over the kept rows, so it also caches them.

    Parameters
    ----------
    calibrates
        Whether a row is used to calibrate.
    """
    roles, weight = spec.problem.roles, sample_weight(spec.problem.roles)
    sums = [
        F.count(F.lit(1)).alias("rows"),
        F.sum(F.when(calibrates, weight).otherwise(0.0)).alias("weight"),
    ]
    counts = prepared_df.groupBy(FOLD, LABEL).agg(*sums, *infinite_measures()).collect()
    require_finite(counts)
    counts.sort(key=lambda row: (row[LABEL], row[FOLD]))
    names = roles.class_names
    weights = dict.fromkeys(names, 0.0)
    for row in counts:
        weights[names[int(row[LABEL])]] += row["weight"]
    total = sum(weights.values())
    return FoldCounts(
        {(row[FOLD], names[int(row[LABEL])]): row["rows"] for row in counts},
        {name: weight / total for name, weight in weights.items()},
    )
