"""Missing values and unseen categories of features: counts of rows, and a test of later rows.

A feature that a broken feed leaves empty is imputed like any other missing value, so its rows are
scored without a word. The counts of the fit rows are therefore kept with the feature plan, and the
rows of a scoring run are compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pyspark.sql import functions as F
from scipy.stats import hypergeom

from sparkweights.core.columns import column, number, text
from sparkweights.evaluation.drift import MAX_COLUMNS, holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

LEVEL = 0.001  # of all columns together: one false alarm in a thousand runs
NOTABLE = 0.25  # of the limit: smaller rises are not worth a warning
_FILE, _ROWS = "__file", "__rows"


@dataclass(frozen=True)
class MissingCounts:
    """How many rows lack a feature, or hold a category that the feature plan does not know.

    Attributes
    ----------
    rows
        Rows counted; each counts once, whatever its sample weight.
    missing
        Column -> rows where it is null or NaN.
    unseen
        Categorical column -> rows whose value is none of the plan's levels, and not missing.
    """

    rows: int
    missing: Mapping[str, int]
    unseen: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, ready for JSON; `from_dict` reads them back."""
        return {"rows": self.rows, "missing": dict(self.missing), "unseen": dict(self.unseen)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> MissingCounts:
        """Read counts that `to_dict` wrote."""
        return cls(record["rows"], record["missing"], record["unseen"])


@dataclass(frozen=True)
class MissingShift:
    """A column whose share of missing values, or of unseen categories, differs from training's.

    Attributes
    ----------
    kind
        ``missing`` or ``unseen``.
    before, share
        The share of the fit rows, and of the rows compared.
    p_value
        Of Fisher's exact test, adjusted for the number of columns (Holm 1979).
    """

    column: str
    kind: Literal["missing", "unseen"]
    before: float
    share: float
    p_value: float

    def exceeds(self, limit: float) -> bool:
        """Return whether the share rose by more than ``limit``, or the column is empty now."""
        return self.share - self.before > limit or self.share == 1.0

    @property
    def sentence(self) -> str:
        """The column, what it holds, and both shares."""
        what = "is missing" if self.kind == "missing" else "holds a category unseen in training"
        where = "every row" if self.share == 1.0 else f"{self.share:.1%} of the rows"
        return f"'{self.column}' {what} on {where} (in training {self.before:.1%})"


def missing_shifts(
    reference: MissingCounts, current: MissingCounts, *, limit: float
) -> tuple[MissingShift, ...]:
    """Return the columns whose shares differ from training's, the largest difference first.

    A share differs where Fisher's exact test rejects at `LEVEL`, adjusted for the number of shares,
    and the difference exceeds `NOTABLE` times ``limit``, or the column is empty now. The test
    conditions on both numbers of rows, so it holds for ten rows as for ten million.
    """
    shares = [
        (name, kind, before[name], now[name])
        for kind, before, now in (
            ("missing", reference.missing, current.missing),
            ("unseen", reference.unseen, current.unseen),
        )
        for name in before
        if name in now
    ]
    if not reference.rows or not current.rows:
        return ()
    raw = _p_values(
        [x for *_, x, _ in shares], reference.rows, [y for *_, y in shares], current.rows
    )
    shifts = [
        MissingShift(name, kind, x / reference.rows, y / current.rows, p)  # type: ignore[arg-type]
        for (name, kind, x, y), p in zip(shares, holm(raw), strict=True)
    ]
    shifts = [
        shift
        for shift in shifts
        if shift.p_value < LEVEL
        and (abs(shift.share - shift.before) > NOTABLE * limit or shift.exceeds(limit))
    ]
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.share - shift.before)))


def _p_values(
    before: Sequence[int], rows_before: int, now: Sequence[int], rows_now: int
) -> list[float]:
    """Return Fisher's exact p-value of each pair of shares, twice the smaller tail."""
    earlier, later = np.array(before, dtype=np.int64), np.array(now, dtype=np.int64)
    law = hypergeom(rows_before + rows_now, earlier + later, rows_now)
    p_values: list[float] = (
        np.minimum(1.0, 2 * np.minimum(law.sf(later - 1), law.cdf(later))).astype(float).tolist()
    )
    return p_values


def missing_measures(numeric: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[Column]:
    """Return the aggregates that `missing_counts` reads; none where there are too many columns.

    Parameters
    ----------
    levels
        Categorical column -> the plan's levels.
    """
    if len(numeric) + len(levels) > MAX_COLUMNS:
        return []
    measures = [
        F.count_if(number(name).isNull()).alias(f"missing_{i}") for i, name in enumerate(numeric)
    ]
    for i, (name, known) in enumerate(levels.items(), start=len(numeric)):
        value = text(name)
        measures.append(F.count_if(value.isNull()).alias(f"missing_{i}"))
        measures.append(F.count_if(~value.isin(*known)).alias(f"unseen_{i}"))
    return measures


def missing_counts(
    measured: Mapping[str, Any], numeric: Sequence[str], levels: Mapping[str, Sequence[str]]
) -> MissingCounts | None:
    """Return the counts of measured rows; None where `missing_measures` are not among them."""
    if "missing_0" not in measured:
        return None
    names = [*numeric, *levels]
    return MissingCounts(
        measured["rows"],
        {name: measured[f"missing_{i}"] for i, name in enumerate(names)},
        {name: measured[f"unseen_{i}"] for i, name in enumerate(names) if i >= len(numeric)},
    )


@dataclass(frozen=True)
class AbsentFeature:
    """A feature that some files of a table lack: it is missing on each of their rows.

    Attributes
    ----------
    files, of_files
        Files that lack it, of all.
    rows, of_rows
        Rows in them, of all.
    """

    column: str
    files: int
    of_files: int
    rows: int
    of_rows: int

    @property
    def share(self) -> float:
        """The share of the rows that lie in files without the feature."""
        return self.rows / self.of_rows

    @property
    def sentence(self) -> str:
        """The column, and the files and rows without it."""
        return (
            f"'{self.column}' is missing on every row of {self.files:,} of {self.of_files:,} files "
            f"({self.rows:,} of {self.of_rows:,} rows)"
        )


def collect_absent(df: DataFrame, names: Sequence[str]) -> tuple[AbsentFeature, ...]:
    """Return the features that some files lack and others hold, in one Spark job.

    A table of one file, or of no files, takes no job: a feature that is null on all rows is found
    when features are learned.
    """
    if len(names) > MAX_COLUMNS or len(df.inputFiles()) < 2:
        return ()
    present = [F.count(column(name)).alias(f"present_{i}") for i, name in enumerate(names)]
    by_file = df.groupBy(F.input_file_name().alias(_FILE)).agg(
        F.count(F.lit(1)).alias(_ROWS), *present
    )
    empty = [F.col(f"present_{i}") == 0 for i in range(len(names))]
    (row,) = by_file.agg(
        F.count(F.lit(1)).alias("files"),
        F.sum(_ROWS).alias("rows"),
        *[F.count_if(lacks).alias(f"files_{i}") for i, lacks in enumerate(empty)],
        *[F.sum(F.when(lacks, F.col(_ROWS))).alias(f"rows_{i}") for i, lacks in enumerate(empty)],
    ).collect()
    absent = [
        AbsentFeature(name, row[f"files_{i}"], row["files"], row[f"rows_{i}"] or 0, row["rows"])
        for i, name in enumerate(names)
    ]
    return tuple(one for one in absent if 0 < one.files < one.of_files)
