"""Class frequencies of a column whose values are not known beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column, kind_of
from sparkweights.errors import InputError, listed
from sparkweights.weights.expressions import group_key
from sparkweights.weights.schemes import ClassFrequency
from sparkweights.weights.summary import Cell, ClassSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.columns import ClassValue
    from sparkweights.weights.rule import Grouping

MOST_CLASSES = 1_000_000  # beyond, the column is a key or a measurement


@dataclass(frozen=True)
class LabelCounts:
    """The values of a label column and their frequencies.

    Attributes
    ----------
    classes
        Class name -> value, in the order of the values.
    summary
        The frequencies, and their cells by group.
    nulls
        Rows without a label; they are in no frequency.
    """

    classes: dict[str, ClassValue]
    summary: ClassSummary
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
    counted_df = df.groupBy(*keys).agg(*_measures(weight))
    found = counted_df.toArrow().to_pydict()
    count = len(found["label"])
    rows = found["rows"]
    if weight is not None:
        _refuse_weights(weight, sum(found["faults"]))
    sums = found["weight"] if weight is not None else [float(n) for n in rows]
    squares = found["weight_square"] if weight is not None else sums
    present = [i for i in range(count) if not _is_null(found["label"][i])]
    nulls = sum(rows) - sum(rows[i] for i in present)
    values = sorted({found["label"][i] for i in present})
    _require_classes(values, label, nulls)
    index = {value: c for c, value in enumerate(values)}
    groups = found.get("group", [None] * count)
    cells = [
        Cell(groups[i], index[found["label"][i]], rows[i], sums[i], squares[i], 0, 0, 0, 0, 0)
        for i in present
    ]
    names = [class_name(value) for value in values]
    return LabelCounts(
        dict(zip(names, values, strict=True)),
        ClassSummary(_totals(names, cells), tuple(cells)),
        nulls,
    )


def class_name(value: ClassValue) -> str:
    """Return a class's name; MLlib's labels are whole doubles, so 1.0 is called 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _measures(weight: str | None) -> list[Column]:
    measures = [F.count(F.lit(1)).alias("rows")]
    if weight is None:  # the counts are the sums
        return measures
    own = column(weight).cast("double")
    usable = F.coalesce((own >= 0) & (own < float("inf")), F.lit(col=False))
    return [
        *measures,
        F.sum(own).alias("weight"),
        F.sum(own * own).alias("weight_square"),
        F.count_if(~usable).alias("faults"),
    ]


def _totals(names: Sequence[str], cells: Sequence[Cell]) -> tuple[ClassFrequency, ...]:
    rows, sums, squares = ([0] * len(names), [0.0] * len(names), [0.0] * len(names))
    for cell in cells:
        rows[cell.class_index] += cell.rows
        sums[cell.class_index] += cell.weight
        squares[cell.class_index] += cell.weight_square
    return tuple(map(ClassFrequency, names, rows, sums, squares))


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


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
    if len(values) < 2:  # noqa: PLR2004 (one class leaves nothing to weigh against)
        raise InputError(
            f"Label column '{label}' holds {len(values)} classes ({listed(map(repr, values))}) "
            f"and {nulls} nulls; weights need at least two classes.",
            hint="check the label column, or the filter that made the table.",
        )
    if len(values) > MOST_CLASSES:
        raise InputError(
            f"Label column '{label}' holds {len(values)} distinct values; at most {MOST_CLASSES} "
            "classes are allowed.",
            hint="this looks like a key or a measurement; name the column of the outcome.",
        )
