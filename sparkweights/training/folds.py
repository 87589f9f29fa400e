"""Folds: the part of each row when a fold is held out, and features learned outside it.

Each fold splits the rows into rows to fit, to calibrate and to test. Its roles are a column beside
the prepared rows, so that functions that read `PART` work on a fold as on the whole table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.errors import InputError
from sparkweights.features.fit import learn_outcomes
from sparkweights.models.base import FEATURES
from sparkweights.sampling.split import (
    CALIBRATE,
    FIT,
    MIN_ROWS,
    TEST,
    part,
    summarise_time_split,
)
from sparkweights.training.data import (
    PART,
    end_before_gap,
    outcome_order,
    split_order,
    with_gap,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.spec.training import TrainingSpec


def role_col(fold: int) -> str:
    """Return the column that holds a row's part in a fold: fit, calibrate, test, or null."""
    return f"__role_{fold}"


def features_col(fold: int) -> str:
    """Return the column that holds a row's features as learned in a fold."""
    return f"__features_{fold}"


def held_out_roles(fold: Column, folds: int) -> tuple[Column, ...]:
    """Return the roles of rows where each fold of the fit rows is held out in turn.

    Parameters
    ----------
    fold
        The row's fold, from 0. Rows to calibrate are those of the split itself.
    """
    of_part = F.col(PART)
    return tuple(
        F.when(of_part == CALIBRATE, CALIBRATE)
        .when((of_part == FIT) & (fold == number), TEST)
        .when(of_part == FIT, FIT)
        for number in range(folds)
    )


def divide_forward(
    labelled_df: DataFrame, spec: TrainingSpec, folds: int
) -> tuple[DataFrame, tuple[Column, ...]]:
    """Split by time, and return the roles of rows in folds that go forward in time.

    The fit rows are divided into ``folds + 1`` spans of equal size, and every span but the first is
    held out once. As `train` does, a fold fits on the earliest rows before its span and calibrates
    on the latest of them; no row after the span is used. A gap (``split.gap``) precedes the
    calibration rows and the span. One aggregation.

    Returns
    -------
    tuple
        The table with `PART`, and a role per fold.
    """
    by, shares = spec.split.by, spec.split
    assert by is not None  # noqa: S101 (narrows the type)
    first, second = 1 - shares.calibrate - shares.test, 1 - shares.test
    ends = [first * number / (folds + 1) for number in range(1, folds + 2)]
    starts = [end * first / second for end in ends[:-1]]  # where the calibration rows begin
    quantiles = sorted({round(value, 12) for value in (*starts, *ends, second)})
    split = summarise_time_split(labelled_df, spec.problem.roles, by, tuple(quantiles))
    name = spec.problem.roles.class_names[0]  # a moment divides all classes alike
    at = dict(zip(quantiles, (*split.folds[name], *split.boundaries[name]), strict=True))
    moments = [[at[round(value, 12)] for value in values] for values in (starts, ends)]
    order, before_gap = split_order(labelled_df, spec), end_before_gap(labelled_df, spec)
    roles = tuple(
        F.when(order <= before_gap(calibrated), FIT)
        .when((order > calibrated) & (order <= before_gap(begun)), CALIBRATE)
        .when((order > begun) & (order <= ended), TEST)
        for calibrated, begun, ended in zip(
            moments[0], moments[1][:-1], moments[1][1:], strict=True
        )
    )
    split = with_gap(split, labelled_df, spec)
    return labelled_df.withColumn(PART, part(split, spec.problem.roles, order)), roles


def learn_fold_plans(
    divided_df: DataFrame, spec: TrainingSpec, plan: FeaturePlan, roles: Sequence[Column]
) -> tuple[FeaturePlan, ...]:
    """Fit, per fold, encodings by outcome on the rows that the fold fits on, in one Spark job.

    Otherwise an encoding by outcome would contain the outcomes of held-out rows. Medians, quantiles
    and levels are those of ``plan``: they do not depend on outcomes.

    Returns
    -------
    tuple
        A plan per fold; empty where the plan looks at no outcomes, and serves every fold.
    """
    if not plan.looks_at_outcomes:
        return ()
    order = outcome_order(spec)
    learns = [role == FIT for role in roles]
    return tuple(learn_outcomes(divided_df, spec.problem.roles, plan, order, learns))


def fold_columns(
    spec: TrainingSpec, plans: Sequence[FeaturePlan], roles: Sequence[Column]
) -> dict[str, Column]:
    """Return the columns of the folds: a role each, and features where they differ."""
    order = outcome_order(spec)
    columns = {role_col(number): role for number, role in enumerate(roles)}
    for number, plan in enumerate(plans):
        is_fit = F.coalesce(roles[number] == FIT, F.lit(col=False))
        columns[features_col(number)] = plan.training_vector(is_fit, order)
    return columns


def fold_rows(prepared_df: DataFrame, fold: int) -> DataFrame:
    """Return prepared rows with the parts and features of a fold."""
    columns = {PART: F.col(role_col(fold))}
    if features_col(fold) in prepared_df.columns:
        columns[FEATURES] = F.col(features_col(fold))
    return prepared_df.withColumns(columns)


def require_role_rows(
    counts: Mapping[tuple[int, str, str], int], names: Sequence[str], folds: int
) -> None:
    """Refuse folds that lack rows of a class.

    Parameters
    ----------
    counts
        (fold, role, class name) -> rows.

    Raises
    ------
    InputError
        Naming the class, the fold, the part and its rows.
    """
    totals = {
        name: sum(rows for (*_, label), rows in counts.items() if label == name) for name in names
    }
    for name in sorted(names, key=totals.__getitem__):  # the scarcest class first
        for fold in range(folds):
            for role in (FIT, CALIBRATE, TEST):
                rows = counts.get((fold, role, name), 0)
                if rows < MIN_ROWS:
                    raise InputError(
                        f"Class '{name}' has {rows} rows to {role} in fold {fold + 1}; at least "
                        f"{MIN_ROWS} of each class are needed to fit, to calibrate and to "
                        "compare.",
                        hint="lower tune.folds, group by a finer column, or gather more history.",
                    )
