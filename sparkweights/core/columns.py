"""Columns by name: quoting that survives dots, spaces and backticks, and schema checks."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.errors import InputError, did_you_mean, join_names
from sparkweights.core.roles import ColumnRoles, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column

# Of a text table whose malformed records are quarantined: the record as read; null of other rows.
MALFORMED_RECORD = "malformed_record"


def column(name: str) -> Column:
    """Return the top-level column called exactly ``name``."""
    return F.col(quoted(name))


def number(name: str) -> Column:
    """Return column ``name`` as a double in which NaN, like null, is null.

    Every later step then treats missing numbers alike.
    """
    return unless_nan(column(name).cast("double"))


def unless_nan(value: Column) -> Column:
    """Return a double in which NaN, like null, is null."""
    return F.nanvl(value, F.lit(None).cast("double"))


def text(name: str) -> Column:
    """Return column ``name`` as the text of a category; NaN, like null, is null.

    A whole number has the same text whatever its type: 1.0 is ``1``. So a column of codes keeps its
    categories where one missing value made it a double.
    """
    value = column(name)
    plain = value.cast("string")
    exact = plain.try_cast("decimal(38, 18)")
    whole = F.when(exact == F.floor(exact), F.floor(exact).cast("string"))
    fractional = F.typeof(value).rlike("^(float|double|decimal)")  # known before a row is read
    return F.when(fractional, F.coalesce(whole, F.when(plain != "NaN", plain))).otherwise(plain)


def is_number(data_type: T.DataType) -> bool:
    """Whether a column of this type can enter arithmetic."""
    return isinstance(data_type, T.NumericType)


def kind_of(data_type: T.DataType) -> str:
    """Return the family of a type: number, text, boolean, or Spark's own name for it.

    Schema drift compares families: an int that became a double still is a number.
    """
    if is_number(data_type):
        return "number"
    if isinstance(data_type, T.StringType):
        return "text"
    return data_type.simpleString()


def require_columns(schema: T.StructType, names: Iterable[str], *, table: str) -> None:
    """Refuse a schema that lacks one of ``names`` or holds it twice.

    Raises
    ------
    InputError
        Naming the table, the column and the nearest column there is.
    """
    counts = Counter(field.name.casefold() for field in schema)
    present = {field.name for field in schema}
    for name in names:
        if counts[name.casefold()] > 1:
            raise InputError(
                f"Table '{table}' holds column '{name}' {counts[name.casefold()]} times "
                "(Spark ignores upper and lower case in names); each column may appear once.",
                hint="rename or drop one of them where the table is made.",
            )
        if name not in present:
            raise InputError(
                f"Table '{table}' has no column '{name}'; it has {join_names(sorted(present))}.",
                hint=_flatten(schema, name) or did_you_mean(name, present) or _absent_hint(table),
            )


def _flatten(schema: T.StructType, name: str) -> str | None:
    """Return the hint for a name that is a field of a struct, else None."""
    outer, _, inner = name.partition(".")
    kind = schema[outer].dataType if outer in schema.names else None
    if not isinstance(kind, T.StructType):
        return None
    fields = join_names(kind.names)
    return (
        f"'{outer}' is a struct of {fields}; flatten it where the table is made, for instance "
        f"{outer}.{inner.partition('.')[0]} AS {name.replace('.', '_')}, and name that column."
    )


def _absent_hint(table: str) -> str:
    hint = "correct the column's name in the configuration, or the table"
    if table not in {"labelled", "incoming"}:
        return f"{hint}."
    return (
        f"{hint}; where only some of its Parquet or ORC files hold it, set "
        f"tables.{table}.options: {{mergeSchema: true}}."
    )


def require_kind(
    schema: T.StructType, names: Iterable[str], kinds: tuple[str, ...], *, table: str, role: str
) -> None:
    """Refuse columns whose type family is not one of ``kinds``.

    Raises
    ------
    InputError
        Naming the table, the column, its type and the types that are allowed.
    """
    for name in names:
        data_type = schema[name].dataType
        if kind_of(data_type) not in kinds:
            raise InputError(
                f"Column '{name}' of table '{table}' is {data_type.simpleString()}; "
                f"{role} must be {' or '.join(kinds)}.",
                hint=_flatten_any(name, data_type)
                or "cast it where the table is made, or change its role in the configuration.",
            )


def _flatten_any(name: str, data_type: T.DataType) -> str | None:
    if not isinstance(data_type, T.StructType):
        return None
    return (
        f"flatten it where the table is made, for instance {name}.{data_type.names[0]} AS "
        f"{name}_{data_type.names[0]}, and name that column."
    )


def sample_weight(roles: ColumnRoles) -> Column:
    """Return how often a labelled row counts; 2 is the row twice."""
    return F.lit(1.0) if roles.weight is None else column(roles.weight).cast("double")


def optional_weight(schema: T.StructType, roles: ColumnRoles) -> Column | None:
    """Return how often a row of any table counts; None where each counts once.

    Tables other than the labelled one may lack the weight. Where one has it, as a number, a row
    whose weight is not above 0 and finite counts 0 times.
    """
    name = roles.weight
    if name is None or name not in schema.names or not is_number(schema[name].dataType):
        return None
    times = sample_weight(roles)
    return F.when((times > 0) & (times < float("inf")), times).otherwise(0.0)


def class_index(roles: ColumnRoles) -> Column:
    """Return the row's class index; -1 for a null or NaN label, -2 for a value of no class."""
    label = column(roles.label)
    chosen = F.when(label.isNull(), -1)
    for index, values in enumerate(roles.class_values.values()):
        chosen = chosen.when(reduce(or_, [label == F.lit(value) for value in values]), index)
    return chosen.when(F.lower(label.cast("string")) == "nan", -1).otherwise(-2)


def require_label(schema: T.StructType, roles: ColumnRoles, *, table: str) -> None:
    """Refuse a label column whose type cannot hold the values under ``columns.classes``.

    Raises
    ------
    InputError
        With the column's type and the values it is compared with.
    """
    require_columns(schema, [roles.label], table=table)
    data_type = schema[roles.label].dataType
    fits = {bool: "boolean", int: "number", float: "number", str: "text"}
    stated = [(name, value) for name, values in roles.class_values.items() for value in values]
    for name, value in stated:
        if kind_of(data_type) != fits[type(value)]:
            raise InputError(
                f"Label column '{roles.label}' of table '{table}' is {data_type.simpleString()}, "
                f"but class '{name}' is the {fits[type(value)]} {value!r}.",
                hint="write the values under columns.classes as the column holds them "
                "(text in quotes, numbers without).",
            )
