"""Functions of Arrow batches as functions of Columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql.pandas.functions import arrow_udf

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from pyspark.sql import Column


def per_batch(function: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """Return a function of Arrow arrays as one of Columns that is asked once per row.

    Spark is told that the function is not deterministic. Of two deterministic ones in a plan, where
    the second depends on the first, it makes one step, and repeats for it whatever lies between
    them, at each of its uses: a price of a row, or the calibration of a model. Such a plan took
    two minutes to make.

    Parameters
    ----------
    function
        One array per argument, of equal length; it returns an array of that length. Its
        annotations are read by name: ``pa.Array``.
    returns
        The type of its elements, in Spark's words.
    """
    as_udf: Any = arrow_udf  # its stubs know iterators only
    asked: Callable[..., Column] = as_udf(function, returns).asNondeterministic()
    return asked
