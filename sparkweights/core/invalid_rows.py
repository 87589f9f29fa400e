"""Rows that a stage cannot use: what they lack, and their refusal when they are read.

The fault of a row is a text Column that is null where the row is valid. A refusal costs no pass of
its own: it is raised by the pass that reads the row, as MLlib's ``handleInvalid="error"`` is.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column
from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column

    from sparkweights.core.roles import ColumnRoles

_RAISED = re.compile(
    r"\[USER_RAISED_EXCEPTION\] (.* cannot use a row: .*?\.) Hint: (.*?\.)", re.DOTALL
)


def label_fault(roles: ColumnRoles) -> Column:
    """Return the fault of a row whose label is missing or names no class."""
    index = class_index(roles)
    return F.when(index == -1, f"no label in column '{roles.label}'").when(
        index == -2, f"a label in column '{roles.label}' that names no class"
    )


def weight_fault(name: str) -> Column:
    """Return the fault of a row whose sample weight is not a finite number >= 0."""
    weight = column(name).cast("double")
    usable = F.coalesce((weight >= 0) & (weight < float("inf")), F.lit(col=False))
    return F.when(~usable, f"no finite sample weight >= 0 in column '{name}'")


def probability_fault(probabilities: Sequence[Column], name: str) -> Column:
    """Return the fault of a row that lacks a probability; ``name`` says where they should be."""
    fault = F.lit(None).cast("string")
    for probability in probabilities:
        unknown = probability.isNull() | F.isnan(probability)
        fault = F.when(unknown, f"no probability of each class in {name}").otherwise(fault)
    return fault


def first_fault(*faults: Column) -> Column:
    """Return the first of several faults that a row has; null for a valid row."""
    return F.coalesce(*faults, F.lit(None).cast("string"))


def refuse(value: Column, fault: Column, reader: str, *, setting: str = "handleInvalid") -> Column:
    """Return a value, and fail where it is read from an invalid row.

    Parameters
    ----------
    reader
        The stage or function that cannot use the row.
    setting
        Its setting that leaves out such rows.
    """
    message = F.concat(
        F.lit(f"{reader} cannot use a row: it has "),
        fault,
        F.lit(f". Hint: leave such rows out, for instance by {setting}='skip'."),
    )
    return F.when(fault.isNull(), value).otherwise(F.raise_error(message))


@contextmanager
def refusals_as_input_errors() -> Iterator[None]:
    """Raise the refusal of a row, in a job that is run within, as an `InputError`."""
    try:
        yield
    except PySparkException as error:
        refusal = _RAISED.search(str(error))
        if refusal is None:
            raise
        raise InputError(refusal[1], hint=refusal[2]) from None
