"""Small files, each replaced in one step: a reader sees the old one or the new one."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparkweights.core.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # Linux: swap two paths in one step


def unwritable(path: Path, error: OSError) -> PublishError:
    """Return the sentence for a path that cannot be written."""
    return PublishError(
        f"Cannot write '{path}': {error.strerror or error}.",
        hint="nothing was published; check that the folder exists, is writable and has room.",
    )


def make_folder(path: Path) -> None:
    """Make a folder and its parents.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def read_text(path: Path) -> str | None:
    """Return what a text file holds, or None where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):  # a text file may be none
        return None


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place, flush it to disk, and move it there in one step."""
    make_folder(path.parent)
    partial = path.with_name(f"_{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON that people can read."""
    write_text(path, as_json(record))


def as_json(record: Mapping[str, Any], indent: int | None = 2) -> str:
    """Return a record as JSON; a number that is none (NaN, infinite) becomes null."""
    text = json.dumps(
        _finite(record), indent=indent, ensure_ascii=False, allow_nan=False, default=str
    )
    return text + "\n"


def _finite(value: Any) -> Any:  # noqa: ANN401 (plain values, nested)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    return value


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a small table that is already on the driver as one parquet file."""
    make_folder(path.parent)
    partial = path.with_name(f"_{path.name}.partial")
    try:
        pq.write_table(pa.Table.from_pylist(list(rows)), partial)
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Remove a folder that is no longer needed; a reader may still hold a file of it open."""
    shutil.rmtree(path, ignore_errors=True)


def remove_file(path: Path) -> None:
    """Remove a file that is no longer needed, if it is there.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def exchange(new: Path, old: Path) -> bool:
    """Swap two folders in one step; return whether the system can.

    Only Linux offers it, for most local file systems; elsewhere the caller renames twice.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    result = rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        return False
    raise unwritable(old, OSError(code, os.strerror(code)))
