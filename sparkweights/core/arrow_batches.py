"""Functions of Arrow batches as functions of Columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.spark_releases import arrow_function

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from pyspark.sql import Column


def per_batch(function: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """Return a function of Arrow arrays as a function of Columns that is evaluated once per row.

    The function is declared as not deterministic. Spark merges two deterministic functions into one
    step where the second depends on the first, and repeats the expressions between them (the costs
    of a row, or the calibration of a model) at each of their uses. Such a plan took two minutes to
    compile.

    Parameters
    ----------
    function
        One array of lists of numbers per argument, of equal length; it returns an array of that
        length. Its annotations are read by name: ``pa.Array``.
    returns
        The type of its elements, as Spark SQL writes it.
    """
    return arrow_function(function, returns)
