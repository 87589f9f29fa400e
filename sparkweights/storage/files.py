"""Records of a run as files: text, JSON and small tables, each replaced in one step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sparkweights.core.errors import escape_json_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.storage.location import Location


def write_text(file: Location, text: str) -> None:
    """Write text as UTF-8.

    Raises
    ------
    PublishError
        If that is not possible; the old file stays.
    """
    file.write_bytes(text.encode())


def write_json(file: Location, record: Mapping[str, object]) -> None:
    """Write a record as JSON that people can read.

    Raises
    ------
    PublishError
        If that is not possible; the old file stays.
    """
    write_text(file, as_json(record))


def as_json(record: Mapping[str, object], indent: int | None = 2) -> str:
    """Return a record as JSON; a number that is none (NaN, infinite) becomes null.

    It can be printed and encoded, whatever characters the names in it have.
    """
    text = json.dumps(
        _finite(record), indent=indent, ensure_ascii=False, allow_nan=False, default=str
    )
    return escape_json_controls(text) + "\n"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def write_rows(file: Location, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows that are already on the driver as one Parquet file.

    Raises
    ------
    PublishError
        If that is not possible; the old file stays.
    """
    write_table(file, pa.Table.from_pylist(list(rows)))


def write_table(file: Location, table: pa.Table) -> None:
    """Write a small Arrow table as one Parquet file.

    Raises
    ------
    PublishError
        If that is not possible; the old file stays.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    file.write_bytes(sink.getvalue().to_pybytes())
