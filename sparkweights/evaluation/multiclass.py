"""Multiclass averages of metrics over one-against-the-rest tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkweights.evaluation.score_table import ScoreTable


def macro_average(tables: Mapping[str, ScoreTable], metric: Callable[[ScoreTable], float]) -> float:
    """Return the unweighted mean of a metric over the classes.

    Parameters
    ----------
    tables
        Class name -> the table of its probability against all other classes.
    metric
        Any function of one table. The average is NaN where the metric of a class is NaN, because
        means over different classes are not comparable.

    Raises
    ------
    InputError
        If there is no table.

    Examples
    --------
    >>> from sparkweights.evaluation.discrimination import roc_auc
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> perfect, constant = ScoreTable([0, 1], [0, 1], [1, 0]), ScoreTable([0], [1], [1])
    >>> macro_average({"a": perfect, "b": constant}, roc_auc)
    0.75
    """
    return float(np.mean(_values(tables, metric)))


def prevalence_average(
    tables: Mapping[str, ScoreTable], metric: Callable[[ScoreTable], float]
) -> float:
    """Return the mean of a metric over the classes, weighted by their rows.

    scikit-learn calls it ``weighted``. Parameters and errors are those of `macro_average`.

    Examples
    --------
    >>> from sparkweights.evaluation.score_table import ScoreTable
    >>> often, seldom = ScoreTable([0, 1], [1, 2], [1, 0]), ScoreTable([0, 1], [0, 1], [2, 1])
    >>> prevalence_average({"often": often, "seldom": seldom}, lambda table: table.prior)
    0.625
    """
    values = _values(tables, metric)
    weights = np.array([table.positives.sum() for table in tables.values()])
    return float(weights @ values / weights.sum()) if weights.sum() else float("nan")


def _values(
    tables: Mapping[str, ScoreTable], metric: Callable[[ScoreTable], float]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    if not tables:
        raise InputError("An average over classes needs the table of at least one; none given.")
    return np.array([metric(table) for table in tables.values()], dtype=np.float64)
