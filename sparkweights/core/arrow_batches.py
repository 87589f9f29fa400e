"""Functions of Arrow batches as functions of Columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql.pandas.functions import arrow_udf

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
        One array per argument, of equal length; it returns an array of that length. Its
        annotations are read by name: ``pa.Array``.
    returns
        The type of its elements, as Spark SQL writes it.
    """
    as_udf: Any = arrow_udf  # its stubs know iterators only
    row_function: Callable[..., Column] = as_udf(function, returns).asNondeterministic()
    return row_function
