"""Label shift: from scored tables to the class shares of the population they come from."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import column
from sparkweights.decision.priors import (
    PriorEstimate,
    ScoreHistogram,
    bbse,
    no_shift_p_value,
    saerens_em,
)
from sparkweights.errors import InputError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

CELLS = 2_048  # of a histogram over two classes; keeps the reference in a manifest small
SIGNIFICANCE = 0.01  # below this p-value the target is taken to have shifted
MOST_CELLS = 10_000  # over more classes, most of them empty


@dataclass(frozen=True)
class LabelShift:
    """What the scores of a table say of the shares of its classes.

    Attributes
    ----------
    classes
        Class names, in index order.
    prior
        The shares that the model was calibrated to.
    rows
        Rows of the target.
    estimates
        ``saerens_em`` and ``bbse``.
    p_value
        Of the test that nothing shifted.
    """

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    rows: int
    estimates: tuple[PriorEstimate, ...]
    p_value: float

    @property
    def shifted(self) -> bool:
        """Whether "no shift" is refused."""
        return self.p_value < SIGNIFICANCE

    def target_prior(self) -> dict[str, float] | None:
        """Return the shares by maximum likelihood, or None where nothing shifted."""
        if not self.shifted:
            return None
        return dict(zip(self.classes, self.estimates[0].shares, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the record, ready for JSON."""
        return {
            "rows": self.rows,
            "prior": dict(zip(self.classes, self.prior, strict=True)),
            "p_value": self.p_value,
            "shifted": self.shifted,
            "estimates": {
                estimate.method: {
                    "shares": dict(zip(self.classes, estimate.shares, strict=True)),
                    "standard_errors": dict(
                        zip(self.classes, estimate.standard_errors, strict=True)
                    ),
                    "interval_95": dict(
                        zip(self.classes, map(list, estimate.interval()), strict=True)
                    ),
                    "condition": estimate.condition,
                }
                for estimate in self.estimates
            },
        }


def collect_histogram(
    scored_df: DataFrame,
    probability_cols: Sequence[str],
    *,
    index: Column | None = None,
    weight: Column | None = None,
) -> ScoreHistogram:
    """Count rows by their scores, in one Spark job.

    Parameters
    ----------
    scored_df
        Rows with natural probabilities; rows in which one is null are left out.
    probability_cols
        One column per class, in index order.
    index
        The class index of labelled rows, or None.
    weight
        How often a row counts, or None where each counts once.

    Raises
    ------
    InputError
        If no row has probabilities, or a class has no rows.
    """
    count = len(probability_cols)
    cuts = levels(count)
    cells = [
        F.least(F.floor(column(name) * cuts), F.lit(cuts - 1)).cast("int")
        for name in probability_cols[1:]
    ]
    times = F.lit(1.0) if weight is None else weight
    own = [F.lit(col=True)] if index is None else [index == c for c in range(count)]
    rows = [F.sum(F.when(one, times).otherwise(0.0)) for one in own]
    measures = [
        F.sum(times * column(name)).alias(f"p_{c}") for c, name in enumerate(probability_cols)
    ]
    measures += [row.alias(f"rows_{c}") for c, row in enumerate(rows)]
    defined_df = scored_df.dropna(subset=[f"`{name}`" for name in probability_cols])
    defined_df = defined_df.filter(times > 0)  # of no rows there are no means
    found = defined_df.groupBy(F.array(*cells).alias("cell")).agg(*measures).collect()
    # Sums of doubles depend on their order; cells in order keep reruns equal.
    found.sort(key=lambda row: row["cell"])
    counts = np.array([[row[f"rows_{c}"] for c in range(len(rows))] for row in found], dtype=float)
    if not found or (counts.sum(axis=0) == 0).any():
        raise InputError(
            f"Class shares need scored rows{'' if index is None else ' of every class'}; "
            f"{int(counts.sum())} rows have probabilities.",
            hint="check the table: rows that are set aside, or cannot be scored, do not count.",
        )
    sums = np.array([[row[f"p_{c}"] for c in range(count)] for row in found])
    return ScoreHistogram(sums / counts.sum(axis=1, keepdims=True), counts)


def levels(classes: int) -> int:
    """Return into how many ranges each probability but one is cut.

    Probabilities sum to 1, so that K of them at L levels have (L + K - 2) over (K - 1) cells. A
    cell is taken for rows of one score, which pulls estimates towards the prior where it is wide.
    """
    if classes == 2:  # noqa: PLR2004 (one probability)
        return CELLS
    found = 2
    while comb(found + classes - 1, classes - 1) <= MOST_CELLS:
        found += 1
    return found


def estimate_shift(
    source: ScoreHistogram, target: ScoreHistogram, prior: Mapping[str, float]
) -> LabelShift:
    """Estimate the target's class shares by maximum likelihood and by BBSE, and test for shift.

    Parameters
    ----------
    source
        Labelled rows that the model was not fitted on.
    target
        The rows in question.
    prior
        Class name -> the share that the probabilities were calibrated to.

    BBSE is left out where the scores tell the classes apart too badly for it.
    """
    shares = tuple(prior.values())
    return LabelShift(
        classes=tuple(prior),
        prior=shares,
        rows=int(target.of_cell.sum()),
        estimates=(saerens_em(source, target, shares), *_second_opinion(source, target)),
        p_value=no_shift_p_value(source, target, shares),
    )


def _second_opinion(source: ScoreHistogram, target: ScoreHistogram) -> list[PriorEstimate]:
    try:
        return [bbse(source, target)]
    except ModelError:
        return []


def histogram_to_dict(histogram: ScoreHistogram) -> dict[str, Any]:
    """Return a histogram ready for JSON; `histogram_from_dict` reads it back."""
    return {
        "probabilities": histogram.probabilities.tolist(),
        "rows": histogram.rows.tolist(),
    }


def histogram_from_dict(record: Mapping[str, Any]) -> ScoreHistogram:
    """Read a histogram that `histogram_to_dict` wrote."""
    return ScoreHistogram(
        np.array(record["probabilities"], dtype=float), np.array(record["rows"], dtype=float)
    )
