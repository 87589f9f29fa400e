"""Columns of a pandas DataFrame as numpy arrays that mean what they mean to Spark."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkweights.core.errors import InputError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Texts = np.ndarray[tuple[int, ...], np.dtype[np.object_]]

_MOMENTS = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_null)
_STEP, _LIMIT = Decimal(1).scaleb(-18), Decimal(10) ** 20  # Spark's decimal(38,18)
_PLAIN = (1e-3, 1e7)  # between these, Java writes a number without an exponent


@dataclass(frozen=True)
class InputColumns:
    """The rows of a DataFrame, by column.

    Attributes
    ----------
    frame
        Rows to score.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, rows: object) -> InputColumns:
        """Return the columns of rows that a caller gives.

        Raises
        ------
        InputError
            If the rows are not a DataFrame of pandas.
        """
        if not isinstance(rows, pd.DataFrame):
            raise InputError(
                f"Rows are given as {type(rows).__name__}; allowed: a DataFrame of pandas, whose "
                "columns have the names of the labelled table.",
                hint="make a DataFrame of the rows; a Spark table is scored by "
                "sparkweights.load_bundle.",
            )
        return cls(rows)

    def __len__(self) -> int:
        return len(self.frame)

    def require(self, kinds: Mapping[str, str | None]) -> None:
        """Refuse rows that lack a column, hold it twice, or hold values of another kind.

        Parameters
        ----------
        kinds
            Column -> number, text or boolean; None for a column of any kind. A column without any
            value is of each kind.

        Raises
        ------
        InputError
            Naming the column, its kind, and what is allowed.
        """
        present = list(self.frame.columns)
        for name, kind in kinds.items():
            if name not in present:
                raise InputError(
                    f"The rows have no column '{name}'; they have {join_names(present)}.",
                    hint=did_you_mean(name, map(str, present)) or "add the column, or rename one.",
                )
            if present.count(name) > 1:
                raise InputError(
                    f"The rows hold column '{name}' {present.count(name)} times; each column may "
                    "appear once.",
                    hint="rename or drop one of them.",
                )
            values = self._arrow(name)
            stated = _kind_of(values.type)
            if kind not in {None, stated} and values.null_count < len(values):
                raise InputError(
                    f"Column '{name}' of the rows is {stated}; the model needs {kind}.",
                    hint="convert the column, for example by DataFrame.astype.",
                )

    def number(self, name: str) -> Array:
        """Return a column of numbers as float64, booleans as 0 and 1; a missing one is NaN."""
        values = self._arrow(name)
        if _kind_of(values.type) == "boolean":
            values = values.cast(pa.int8())
        if _kind_of(values.type) != "number":  # no value at all
            return np.full(len(values), np.nan)
        return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))

    def text(self, name: str) -> Texts:
        """Return a column as texts of categories; a missing one, or NaN, is None.

        A whole number has the same text whatever its type, as in `sparkweights.core.columns.text`.
        """
        values = self._arrow(name)
        if pa.types.is_null(values.type):
            return np.full(len(values), None, dtype=object)
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        levels = [_text(value) for value in coded.dictionary.to_pylist()]
        if pa.types.is_floating(coded.dictionary.type):
            shortest = coded.dictionary.to_numpy(zero_copy_only=False)
            levels = [_fraction_text(Decimal(str(x)), x) for x in shortest]
        codes = coded.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)
        return np.asarray(np.array([*levels, None], dtype=object)[codes])

    def moment(self, name: str) -> pd.Series[pd.Timestamp]:
        """Return a column of dates or timestamps, each in the time zone that it is given in.

        Raises
        ------
        InputError
            If it holds anything else.
        """
        stated = self._arrow(name).type
        if not any(is_kind(stated) for is_kind in _MOMENTS):
            raise InputError(
                f"Column '{name}' of the rows is {_kind_of(stated)}; windows of time need dates or "
                "timestamps.",
                hint="convert the column, for example by pandas.to_datetime.",
            )
        moments = pd.to_datetime(self.frame[name])
        return moments if moments.dt.tz is None else moments.dt.tz_localize(None)

    def _arrow(self, name: str) -> pa.Array:
        try:
            values = pa.Array.from_pandas(self.frame[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            raise InputError(
                f"Column '{name}' of the rows holds values of several types.",
                hint="convert the column to one type, for example by DataFrame.astype.",
            ) from None
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _kind_of(data_type: pa.DataType) -> str:
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if any(is_kind(data_type) for is_kind in numeric):
        return "number"
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if any(is_kind(data_type) for is_kind in texts):
        return "text"
    return "boolean" if pa.types.is_boolean(data_type) else str(data_type)


def _text(value: object) -> str | None:
    """Return the text of a value that is no float, as Spark casts it."""
    if isinstance(value, bool):
        return str(value).lower()
    return _fraction_text(value, value) if isinstance(value, Decimal) else str(value)


def _fraction_text(exact: Decimal, value: object) -> str | None:
    """Return the text of a number with decimals: of a whole one, its digits alone.

    Parameters
    ----------
    exact
        The shortest number that is read as the value.
    value
        The number itself; NaN has no text.
    """
    if exact.is_nan():
        return None
    if exact.is_finite() and abs(exact) < _LIMIT:
        with localcontext(prec=60):
            rounded = exact.quantize(_STEP, rounding=ROUND_HALF_UP)
        if rounded == rounded.to_integral_value():
            return str(int(rounded))
    if isinstance(value, Decimal):
        return f"{value:f}"
    if not exact.is_finite():
        return "-Infinity" if exact < 0 else "Infinity"
    return _java_text(exact)


def _java_text(exact: Decimal) -> str:
    """Return a float as Java writes it: with an exponent where it is small or large."""
    low, high = _PLAIN
    if low <= abs(exact) < high:
        return f"{exact.normalize():f}"
    sign, digits, exponent = exact.normalize().as_tuple()
    first, *rest = map(str, digits)
    power = len(digits) - 1 + int(exponent)
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{power}"
