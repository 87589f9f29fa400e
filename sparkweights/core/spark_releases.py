"""What later releases of Spark than 4.0 added and this package uses, with an exact older way.

The learners that need a later release state it in `sparkweights.models.registry`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas import functions

from sparkweights.core.versions import release

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from pyspark.sql import Column, DataFrame, Row

    Counts = dict[str | None, int]  # value -> rows, in descending order

arrow_udf: Any = getattr(functions, "arrow_udf", None)  # its stubs know iterators only


def has_approx_top_k() -> bool:
    """Whether the active session's engine has the aggregate ``approx_top_k``."""
    return release(SparkSession.active().version) >= (4, 1)


def planning_settings(spark: SparkSession) -> dict[str, str]:
    """Return the settings with which the engine plans the many conditions of a scoring run in time.

    Before Spark 4.1 it compares all conditions that it infers with each other, which took minutes.
    """
    is_slow = release(spark.version) < (4, 1)
    return {"spark.sql.constraintPropagation.enabled": "false"} if is_slow else {}


def can_send_sessions() -> bool:
    """Whether what holds the active session can be sent to tasks.

    Before Spark 4.3 it cannot, once the session has observed a query: its manager of observations
    cannot be serialized.
    """
    return release(SparkSession.active().version) >= (4, 3)


def arrow_function(function: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """Return a function of Arrow arrays of lists as a function of Columns, not deterministic.

    Before Spark 4.1 the arrays pass through pandas, where a NaN in a result becomes null.

    Parameters
    ----------
    function
        It returns lists of doubles, or lists of such lists, none of which holds a null.
    returns
        Their type, as Spark SQL writes it.
    """
    if arrow_udf is not None:
        newer: Callable[..., Column] = arrow_udf(function, returns).asNondeterministic()
        return newer

    import pandas as pd  # noqa: PLC0415 (executors of later releases need none)

    def of_series(*columns: pd.Series) -> pd.Series:
        result: pd.Series = function(*map(_as_lists, columns)).to_pandas()
        return result

    # Spark takes the kind of function from them; here they are texts until now.
    of_series.__annotations__ = {"columns": pd.Series, "return": pd.Series}
    pandas_udf: Any = functions.pandas_udf
    older = pandas_udf(of_series, returns).asNondeterministic()
    depth = returns.count("array<")
    return lambda *columns: _with_nan(older(*columns), depth)


def _with_nan(value: Column, depth: int) -> Column:
    """Return nested lists with NaN in place of null numbers; a missing list stays null."""
    if depth == 0:
        return F.coalesce(value, F.lit(math.nan))
    return F.transform(value, lambda inner: _with_nan(inner, depth - 1))


def _as_lists(column: pd.Series) -> pa.Array:
    """Return lists of numbers as Arrow has them; NaN stays NaN, and a missing list is null."""
    first = next((numbers for numbers in column if isinstance(numbers, np.ndarray)), None)
    numbers = pa.float64() if first is None else pa.from_numpy_dtype(first.dtype)
    return pa.array(column.to_numpy(), pa.list_(numbers), from_pandas=False)


def collect_commonest(
    df: DataFrame,
    values: Sequence[Column],
    most: int,
    tracked: int,
    measures: Sequence[Column] = (),
) -> tuple[Row, list[Counts]]:
    """Compute aggregates, and count the commonest values of columns, in one Spark job.

    Before Spark 4.1 in two jobs: the values of all columns are then counted exactly.

    Parameters
    ----------
    values
        Texts; null counts as a value.
    most
        How many values of each column to return.
    tracked
        The counts are exact where a column has no more values than these.
    measures
        The aggregates.

    Returns
    -------
    tuple
        The aggregates, and for each column the rows of each value.
    """
    if not has_approx_top_k():
        row = df.agg(*(measures or [F.count(F.lit(1))])).collect()[0]
        return row, _collect_exactly(df, values, most)
    top = [
        F.call_function("approx_top_k", value, F.lit(most), F.lit(tracked)).alias(f"commonest_{i}")
        for i, value in enumerate(values)
    ]
    row = df.agg(*measures, *top).collect()[0]
    found = [row[f"commonest_{i}"] or [] for i in range(len(values))]
    return row, [{entry["item"]: entry["count"] for entry in entries} for entries in found]


def _collect_exactly(df: DataFrame, values: Sequence[Column], most: int) -> list[Counts]:
    counts: list[Counts] = [{} for _ in values]
    if not values:
        return counts
    entries = F.array(
        *[F.struct(F.lit(i).alias("at"), value.alias("item")) for i, value in enumerate(values)]
    )
    long_df = df.select(F.explode(entries).alias("e")).select("e.*")
    rank = F.row_number().over(Window.partitionBy("at").orderBy(F.desc("count"), "item"))
    ranked_df = long_df.groupBy("at", "item").count().withColumn("rank", rank)
    for row in ranked_df.filter(F.col("rank") <= most).orderBy("at", "rank").collect():
        counts[row["at"]][row["item"]] = row["count"]
    return counts
