"""The feature plan: every encoder in its order, from a row's columns to its feature vector.

A plan is a small frozen record in the model's manifest; applying it is Column arithmetic.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from sparkweights.core.columns import column, number, text
from sparkweights.features.encoders import (
    ENCODERS,
    ByTarget,
    CategoricalFeature,
    ColumnEncoder,
    Encoder,
    OrderedFeature,
    TargetFeature,
)
from sparkweights.features.missing import MissingCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column


@dataclass(frozen=True)
class FeaturePlan:
    """How a row's columns become its feature vector.

    Attributes
    ----------
    encoders
        In the order of their positions.
    folds
        Where encoders use outcomes, a plan per fold of the fit rows that was not fitted on the
        fold's outcomes; they are used in training alone and are not part of the record.
    missing
        Of the fit rows; None in plans of older releases.
    """

    encoders: tuple[Encoder, ...]
    folds: tuple[FeaturePlan, ...] = field(default=(), compare=False)
    missing: MissingCounts | None = field(default=None, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each position of the vector."""
        return tuple(label for encoder in self.encoders for label in encoder.labels)

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each position of the vector was made from."""
        return tuple(source for encoder in self.encoders for source in encoder.sources)

    @property
    def increasing(self) -> tuple[bool, ...]:
        """Whether each position of the vector keeps the order of its column's values."""
        return tuple(kept for encoder in self.encoders for kept in encoder.increasing)

    @property
    def imputes(self) -> bool:
        """Whether a missing number becomes its column's median; else it stays NaN."""
        return not any(encoder.native_missing for encoder in self.encoders)

    @property
    def looks_at_outcomes(self) -> bool:
        """Whether some encoder was fitted on outcomes."""
        return any(isinstance(encoder, ByTarget) for encoder in self.encoders)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Categorical column -> the categories that the plan knows."""
        return {
            encoder.name: encoder.levels
            for encoder in self.encoders
            if isinstance(encoder, (CategoricalFeature, OrderedFeature, TargetFeature))
        }

    def vector(self) -> Column:
        """Return the feature vector of a row; infinite numbers pass through (see `unusable`)."""
        return array_to_vector(self.array())

    def training_vector(self, fitted: Column, order: Column) -> Column:
        """Return the feature vector of a row of the labelled table.

        Parameters
        ----------
        fitted
            Whether the plan was learned from the row. Its own outcome is then not in its vector.
        order
            The number in [0, 1) that assigned rows to folds when the plan was fitted.
        """
        array = self.array()
        for held_out, plan in enumerate(self.folds):
            in_fold = fitted & (fold_of(order, len(self.folds)) == held_out)
            array = F.when(in_fold, plan.array()).otherwise(array)
        return array_to_vector(array)

    def array(self) -> Column:
        """Return the positions of a row as an array of doubles."""
        parts: list[Column] = []
        run: list[Column] = []
        for encoder in self.encoders:
            if isinstance(encoder, ColumnEncoder):
                run += [value.cast("double") for value in encoder.values()]
                continue
            if run:
                parts.append(F.array(*run))
            run = []
            parts.append(encoder.array())
        if run:
            parts.append(F.array(*run))
        return parts[0] if len(parts) == 1 else F.concat(*parts)

    def positions(self) -> list[Column] | None:
        """Return each position of the vector as a Column; None where a block is no such list."""
        columns: list[Column] = []
        for encoder in self.encoders:
            if not isinstance(encoder, ColumnEncoder):
                return None
            columns += [value.cast("double") for value in encoder.values()]
        return columns

    def unusable(self) -> Column:
        """Return the name of a feature that is infinite on this row, or null."""
        names = [name for encoder in self.encoders for name in encoder.numbers]
        if not names:
            return F.lit(None).cast("string")
        # One lookup: a case per column exceeds the size of a method that Java compiles.
        sizes = F.array(*[F.abs(column(name).cast("double")) for name in names])
        position = F.array_position(sizes, float("inf")).cast("int")
        return F.get(F.lit(names), position - 1)

    def first_missing(self) -> Column:
        """Return the name of the first feature that this row lacks, or null."""
        names = list(dict.fromkeys(self.sources))
        categories = self.levels
        lacks = F.array(*[
            (text(name) if name in categories else number(name)).isNull() for name in names
        ])  # fmt: skip
        return F.get(F.lit(names), F.array_position(lacks, F.lit(col=True)).cast("int") - 1)

    def to_dict(self) -> dict[str, object]:
        """Return the plan ready for JSON; `from_dict` reads it back."""
        return {
            "encoders": [{"kind": encoder.kind, **asdict(encoder)} for encoder in self.encoders],
            "missing": None if self.missing is None else self.missing.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FeaturePlan:
        """Read a plan that `to_dict` wrote."""
        encoders = []
        for stated in record["encoders"]:
            values = {name: _frozen(value) for name, value in stated.items() if name != "kind"}
            encoders.append(ENCODERS[stated["kind"]](**values))
        missing = record.get("missing")
        return cls(
            tuple(encoders), missing=None if missing is None else MissingCounts.from_dict(missing)
        )


def fold_of(order: Column, folds: int) -> Column:
    """Return the fold that rows are assigned to by a number in [0, 1)."""
    return F.floor(order * folds).cast("int")


def _frozen(value: object) -> object:
    """Return lists as tuples, as the encoders hold them."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
