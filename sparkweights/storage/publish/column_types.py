"""Keep the types of a published table's columns, whatever type a column arrives in.

A table is read as one: a date whose key is a double among dates with bigints would make the table
unreadable, or change what its readers join on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column, text, unless_nan
from sparkweights.core.errors import InputError, join_names
from sparkweights.storage.catalog_table import sql_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)  # from narrow to wide
_FRACTIONS = (T.FloatType, T.DoubleType)


def with_published_types(
    df: DataFrame, published: T.StructType | None, names: Sequence[str]
) -> DataFrame:
    """Cast columns to the types that they have in a published table, where nothing is lost.

    Columns whose type holds every value of the other are cast. The values of others are read, in
    one pass over these columns, and compared with themselves after the cast and back.

    Parameters
    ----------
    published
        The columns of the table's earlier dates; None where there are none.
    names
        The columns that the table takes over.

    Raises
    ------
    InputError
        With column, both types, and the number of values that a cast would change.
    """
    if published is None:
        return df
    kinds = {each.name: each.dataType for each in published}
    differing = {
        name: kinds[name]
        for name in names
        if name in kinds and kinds[name] != df.schema[name].dataType
    }
    if not differing:
        return df
    _require_lossless(df, differing)
    casts = {name: _cast(df.schema[name], kind) for name, kind in differing.items()}
    return df.withColumns(casts)


def as_written(staged_df: DataFrame, schema: T.StructType) -> DataFrame:
    """Return the rows of a stage with the columns and the types in which they were written.

    The stage does not keep which parts of a type are never null, and no cast adds that.
    """
    kinds = {each.name.casefold(): each.dataType for each in staged_df.schema}
    return staged_df.select(
        *[_value_as(each, kinds[each.name.casefold()]).alias(each.name) for each in schema]
    )


def _value_as(written: T.StructField, staged: T.DataType) -> Column:
    value = column(written.name)
    is_same = sql_type(staged) == sql_type(written.dataType)
    return value if is_same else value.cast(written.dataType)


def is_wider(kind: T.DataType, other: T.DataType) -> bool:
    """Whether a type holds every value of another, exactly.

    Examples
    --------
    >>> is_wider(T.LongType(), T.IntegerType()), is_wider(T.FloatType(), T.DoubleType())
    (True, False)
    """
    if isinstance(kind, T.StringType):
        return isinstance(other, (*_INTEGERS, T.StringType))
    return is_wider_number(kind, other)


def is_wider_number(kind: T.DataType, other: T.DataType) -> bool:
    """Whether a type of numbers holds every value of another, exactly."""
    for ladder in (_INTEGERS, _FRACTIONS):
        if isinstance(kind, ladder) and isinstance(other, ladder):
            return ladder.index(type(kind)) >= ladder.index(type(other))
    return False


def _require_lossless(df: DataFrame, kinds: Mapping[str, T.DataType]) -> None:
    checked = {
        name: kind for name, kind in kinds.items() if not is_wider(kind, df.schema[name].dataType)
    }
    if not checked:
        return
    changed = [
        F.count_if(_is_changed(df.schema[name], kind)).alias(f"changed_{i}")
        for i, (name, kind) in enumerate(checked.items())
    ]
    (row,) = df.agg(*changed).collect()
    problems = [
        f"'{name}' is {df.schema[name].dataType.simpleString()}, and {kind.simpleString()} in the "
        f"earlier dates of the scored table ({count:,} values would change)"
        for (name, kind), count in zip(checked.items(), row, strict=True)
        if count
    ]
    if problems:
        raise InputError(
            f"The incoming table's key {join_names(problems)}.",
            hint="cast it back where the table is made; or name a new scored table, whose types "
            "are those of its first date.",
        )


def _value(field: T.StructField) -> Column:
    """Return a column in which NaN, which is no key, is null."""
    own = column(field.name)
    return unless_nan(own) if isinstance(field.dataType, _FRACTIONS) else own


def _cast(field: T.StructField, kind: T.DataType) -> Column:
    # As text, a whole number is 1, not 1.0, as in the dates before.
    own = text(field.name) if isinstance(kind, T.StringType) else _value(field)
    return own.try_cast(kind)


def _is_changed(field: T.StructField, kind: T.DataType) -> Column:
    back = _cast(field, kind).try_cast(field.dataType)
    return ~back.eqNullSafe(_value(field).cast(field.dataType))
