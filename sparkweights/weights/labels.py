"""Class frequencies of a column whose values are not declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from pyspark.sql import functions as F

from sparkweights.core.columns import column, kind_of
from sparkweights.core.errors import InputError, join_names
from sparkweights.weights.class_frequencies import ClassFrequencies
from sparkweights.weights.frequencies import Cell
from sparkweights.weights.spark import group_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ClassValue
    from sparkweights.weights.rule import Grouping

MAX_CLASSES = 1_000_000  # beyond, the column is a key or a measurement


@dataclass(frozen=True)
class LabelCounts:
    """The values of a label column and their frequencies.

    Attributes
    ----------
    values
        The labels, in order; their positions are the class indices.
    frequencies
        Their frequencies.
    cells
        The frequencies by group, where groups are requested.
    nulls
        Rows without a label, which no other attribute counts.
    """

    values: list[ClassValue]
    frequencies: ClassFrequencies
    cells: tuple[Cell, ...]
    nulls: int


def count_labels(
    df: DataFrame, label: str, *, weight: str | None, grouping: Grouping
) -> LabelCounts:
    """Count rows and sum sample weights per label, and group, in one Spark job.

    Raises
    ------
    InputError
        If the label is not text, a number or a boolean, a weight cannot be used, or there are
        fewer than two classes or more than a million.
    """
    _require_label_type(df, label)
    keys = [column(label).alias("label")]
    if grouping:
        keys.append(group_key(grouping).alias("group"))
    # Arrow and NumPy from here on: a record per class would take longer than the pass itself.
    table = df.groupBy(*keys).agg(*_measures(weight)).toArrow()
    unlabelled = pc.is_null(table["label"], nan_is_null=True)
    labelled = table.filter(pc.invert(unlabelled)).sort_by("label")
    all_rows = table["rows"].to_numpy().sum()
    if weight is not None:
        _refuse_weights(weight, int(table["faults"].to_numpy().sum()))
    rows = labelled["rows"].to_numpy().astype(float)
    nulls = int(all_rows - rows.sum())
    sums = labelled["weight"].to_numpy() if weight is not None else rows
    squares = labelled["weight_square"].to_numpy() if weight is not None else rows
    codes, values = _classes(labelled["label"])
    _require_classes(values, label, nulls)
    cells: tuple[Cell, ...] = ()
    if grouping:
        groups = labelled["group"].to_pylist()
        cells = tuple(
            Cell(group, c, int(n), u, u2)
            for group, c, n, u, u2 in zip(
                groups, codes.tolist(), rows.tolist(), sums.tolist(), squares.tolist(), strict=True
            )
        )
    totals = [
        np.bincount(codes, weights=numbers).astype(np.float64) for numbers in (rows, sums, squares)
    ]
    frequencies = ClassFrequencies.of([class_name(value) for value in values], *totals)
    return LabelCounts(values, frequencies, cells, nulls)


def _classes(labels: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 (pyarrow ships no types)
    """Return the class index of each label, and the distinct labels, both in the labels' order."""
    encoded = labels.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def class_name(value: ClassValue) -> str:
    """Return a class's name; MLlib's labels are whole doubles, so the name of 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _measures(weight: str | None) -> list[Column]:
    measures = [F.count(F.lit(1)).alias("rows")]
    if weight is None:  # the counts are the sums
        return measures
    sample_weight = column(weight).cast("double")
    usable = F.coalesce((sample_weight >= 0) & (sample_weight < float("inf")), F.lit(col=False))
    return [
        *measures,
        F.sum(sample_weight).alias("weight"),
        F.sum(sample_weight * sample_weight).alias("weight_square"),
        F.count_if(~usable).alias("faults"),
    ]


def _require_label_type(df: DataFrame, label: str) -> None:
    kind = kind_of(df.schema[label].dataType)
    if (
        kind not in {"text", "number", "boolean"}
        or "decimal" in df.schema[label].dataType.typeName()
    ):
        raise InputError(
            f"Label column '{label}' is {df.schema[label].dataType.simpleString()}; a label is "
            "text, a whole number, a double or a boolean.",
            hint="cast it first.",
        )


def _refuse_weights(weight: str, faults: int) -> None:
    if faults:
        raise InputError(
            f"Sample weight column '{weight}' holds {faults} values that are null, NaN, "
            "infinite or negative; weights must be finite and >= 0.",
            hint="fill or drop these rows first.",
        )


def _require_classes(values: Sequence[ClassValue], label: str, nulls: int) -> None:
    if len(values) < 2:  # the weight of a single class is 1
        raise InputError(
            f"Label column '{label}' holds {len(values)} classes ({join_names(map(repr, values))}) "
            f"and {nulls} nulls; weights need at least two classes.",
            hint="check the label column, or the filter that made the table.",
        )
    if len(values) > MAX_CLASSES:
        raise InputError(
            f"Label column '{label}' holds {len(values)} distinct values; at most {MAX_CLASSES} "
            "classes are allowed.",
            hint="this may be a key or a measurement; name the column of the outcome.",
        )
