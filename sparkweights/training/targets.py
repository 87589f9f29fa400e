"""What a learner is fitted to: outcomes, or the probabilities of a teacher.

A row with soft targets is fitted on once per class, with the weight of the class times the target
of the class, so that every weighted learner can be a student (Hinton, Vinyals & Dean 2015,
"Distilling the knowledge in a neural network", in the form of a weighted cross-entropy).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, optional_weight, sample_weight, text
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.probability.odds import reweight
from sparkweights.sampling.split import FIT, Split
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows
from sparkweights.training.data import FOLD, PART, cross, divide, with_parts_of_bundle
from sparkweights.weights.spark import class_weight_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import WeightingResult
    from sparkweights.weights.rule import WeightRule

PUBLISHED = -1  # the position of the teacher of the published student
_TARGETS, _PROBABILITIES, _KEY = "__targets", "__teacher", "__key"


@dataclass(frozen=True)
class HardTargets:
    """The outcome of a row is its target, and the configuration decides the split."""

    def divide(
        self, labelled_df: DataFrame, spec: TrainingSpec, class_weights: WeightingResult
    ) -> tuple[Split, DataFrame]:
        """Return the split into three parts, and the rows with their `PART`."""
        return divide(labelled_df, spec, class_weights)

    def cross(
        self,
        labelled_df: DataFrame,
        spec: TrainingSpec,
        class_weights: WeightingResult,
        folds: int,
    ) -> tuple[Split, DataFrame]:
        """Return the split into folds, and the rows with their `FOLD`."""
        return cross(labelled_df, spec, class_weights, folds)

    def append(self, divided_df: DataFrame) -> DataFrame:
        """Append what `columns` reads."""
        return divided_df

    def columns(self, _spec: TrainingSpec, _rule: WeightRule, /) -> dict[str, Column]:
        """Return the additional columns of prepared rows."""
        return {}

    @contextmanager
    def keep_unlabelled(
        self, _vectors: Mapping[str, Column], _spec: TrainingSpec, _rule: WeightRule, /
    ) -> Iterator[HardTargets]:
        """Return targets whose rows without outcome are kept for the passes of the learners.

        The arguments are their feature vectors by name, how the student is trained, and its
        weights.
        """
        yield self

    def expand(self, fit_df: DataFrame, _teacher: int, _features: str = FEATURES, /) -> DataFrame:
        """Return rows of `FEATURES`, `LABEL` and `WEIGHT` to fit on.

        The arguments are prepared rows, the position of the teacher of their model, and the name
        of the feature vectors of rows without outcome.
        """
        return fit_df


OUTCOMES = HardTargets()


@dataclass(frozen=True)
class SoftTargets(HardTargets):
    """A teacher's probabilities, mixed with the outcomes, and the teacher's split.

    The student of a fold learns from the teacher of the fold alone, which was fitted without the
    fold's outcomes. So no outcome of a test row reaches the student that is tested on it.

    Attributes
    ----------
    bundle
        Of the teacher.
    teachers
        By fold, then the published one; without folds, the one that was evaluated.
    temperature
        T >= 1: probabilities are taken to the power of 1 / T and divided by their sum.
    hard_share
        Share of the outcome in the target of a row that has one.
    unlabelled_df
        Rows without outcome, or None.
    """

    bundle: ModelBundle
    teachers: tuple[Scorer, ...]
    temperature: float
    hard_share: float
    unlabelled_df: DataFrame | None = None

    def divide(
        self, labelled_df: DataFrame, spec: TrainingSpec, _class_weights: WeightingResult, /
    ) -> tuple[Split, DataFrame]:
        """Return the teacher's split, and the rows with their `PART`."""
        return self._split, self._with_parts(labelled_df, spec).drop(FOLD)

    def cross(
        self,
        labelled_df: DataFrame,
        spec: TrainingSpec,
        _class_weights: WeightingResult,
        _folds: int,
        /,
    ) -> tuple[Split, DataFrame]:
        """Return the teacher's split into folds, and the rows with their `FOLD`."""
        return self._split, self._with_parts(labelled_df, spec).withColumn(PART, F.lit(FIT))

    @property
    def _split(self) -> Split:
        return Split.from_dict(self.bundle.manifest.split.to_dict())

    def _with_parts(self, labelled_df: DataFrame, spec: TrainingSpec) -> DataFrame:
        return with_parts_of_bundle(labelled_df, spec.problem.roles, self.bundle)

    def append(self, divided_df: DataFrame) -> DataFrame:
        """Append the probabilities of each teacher as an array."""
        df = divided_df
        for position, teacher in enumerate(self.teachers):
            probabilities = F.array(*natural_probabilities(teacher))
            df = teacher.score(df).select(
                *map(column, df.columns), probabilities.alias(_name(_PROBABILITIES, position))
            )
        return df

    def columns(self, spec: TrainingSpec, rule: WeightRule) -> dict[str, Column]:
        """Return, per teacher, the weight of the row as each class."""
        roles, alpha = spec.problem.roles, self.hard_share
        index, weight = class_index(roles), sample_weight(roles)
        outcome = [(index == c).cast("double") for c in range(len(roles.class_names))]
        return {
            _name(_TARGETS, position): _weights(
                [
                    (1 - alpha) * soft + alpha * hard
                    for soft, hard in zip(self._soft(position, len(outcome)), outcome, strict=True)
                ],
                rule,
                weight,
            )
            for position in range(len(self.teachers))
        }

    @contextmanager
    def keep_unlabelled(
        self, vectors: Mapping[str, Column], spec: TrainingSpec, rule: WeightRule
    ) -> Iterator[SoftTargets]:
        """Return targets whose rows without outcome are scored by the teachers and kept."""
        if self.unlabelled_df is None:
            yield self
            return
        roles, df = spec.problem.roles, self.unlabelled_df
        weight = optional_weight(df.schema, roles)
        classes = len(roles.class_names)
        weights = {
            _name(_TARGETS, position): _weights(
                self._soft(position, classes), rule, F.lit(1.0) if weight is None else weight
            )
            for position in range(len(self.teachers))
        }
        stated = {**vectors, **weights}
        selected_df = self.append(df).select(*[value.alias(name) for name, value in stated.items()])
        with keep_rows(selected_df, Location.of(spec.scratch)) as kept_df:
            yield replace(self, unlabelled_df=kept_df)

    def expand(self, fit_df: DataFrame, teacher: int, features: str = FEATURES) -> DataFrame:
        """Return each row once per class; those without outcome too."""
        position = teacher % len(self.teachers)
        rows_df = _once_per_class(fit_df, FEATURES, position)
        if self.unlabelled_df is None:
            return rows_df
        return rows_df.unionByName(_once_per_class(self.unlabelled_df, features, position))

    def _soft(self, position: int, classes: int) -> list[Column]:
        """Return the target of each class by a teacher."""
        array = F.col(_name(_PROBABILITIES, position))
        probabilities = [array.getItem(c) for c in range(classes)]
        if self.temperature == 1:
            return probabilities
        powers = [F.pow(p, F.lit(1 / self.temperature)) for p in probabilities]
        return reweight(powers, [F.lit(1.0)] * classes)


def without_labelled(
    unlabelled_df: DataFrame, labelled_df: DataFrame, keys: Sequence[str]
) -> DataFrame:
    """Leave out rows whose keys are in the labelled table, as a student is tested on those."""
    key = F.array(*map(text, keys))
    labelled_keys = labelled_df.select(key.alias(_KEY))
    return unlabelled_df.withColumn(_KEY, key).join(labelled_keys, _KEY, "left_anti").drop(_KEY)


def _name(prefix: str, position: int) -> str:
    return f"{prefix}_{position}"


def _weights(targets: Sequence[Column], rule: WeightRule, sample: Column) -> Column:
    """Return, per class, target times class weight times sample weight."""
    pairs = zip(targets, class_weight_columns(rule), strict=True)
    return F.array(*[target * weight * sample for target, weight in pairs])


def _once_per_class(df: DataFrame, features: str, position: int) -> DataFrame:
    entries = F.posexplode(F.col(_name(_TARGETS, position))).alias(LABEL, WEIGHT)
    exploded_df = df.select(F.col(features).alias(FEATURES), entries)
    usable = (F.col(WEIGHT) > 0) & ~F.isnan(WEIGHT)
    return exploded_df.filter(usable).withColumn(LABEL, F.col(LABEL).cast("double"))
