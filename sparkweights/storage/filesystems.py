"""The calls to fsspec that take a path literally, for every filesystem, with one kind of error.

A library of a storage raises exceptions of its own where no connection or no credentials are there;
here they are `OSError`, as those of the operating system are.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from functools import cache, wraps
from io import UnsupportedOperation
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from io import BufferedIOBase

    from fsspec import AbstractFileSystem

P = ParamSpec("P")
R = TypeVar("R")
FILE, FOLDER = "file", "directory"  # fsspec's words


class Entry(NamedTuple):
    """A file or folder below another one: its path, its kind, and its bytes."""

    path: str
    kind: str
    size: int


def _raises_os_errors(call: Callable[P, R]) -> Callable[P, R]:
    """Turn what the library of a storage raises into an `OSError`."""

    @wraps(call)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except OSError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error

    return translated


@dataclass(frozen=True)
class Filesystem:
    """A filesystem of fsspec; every path begins with ``/``.

    Attributes
    ----------
    library
        The filesystem's class of fsspec, or of a package that extends it.
    prefix
        What the library expects before a path, such as the name of a bucket.
    """

    library: AbstractFileSystem
    prefix: str

    @_raises_os_errors
    def kind(self, path: str) -> str | None:
        """Return `FILE`, `FOLDER` or another word; None where nothing is there."""
        try:
            kind: str = self.library.info(self.prefix + path)["type"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return kind

    @_raises_os_errors
    def names(self, path: str) -> list[str]:
        """Return the paths of what a folder holds."""
        listed = self.library.ls(self.prefix + path, detail=False)
        return [self._path(each) for each in listed]

    @_raises_os_errors
    def below(self, path: str) -> list[Entry]:
        """Return everything below a folder at any depth; an object store may list a folder twice.

        Stores without folders keep objects of no bytes whose names end with ``/`` for some; these
        are folders, too.
        """
        found = self.library.find(self.prefix + path, withdirs=True, detail=True)
        return [
            Entry(
                name.removeprefix(self.prefix),
                FOLDER if name.endswith("/") else FILE if info.get("islink") else info["type"],
                info["size"],
            )
            for name, info in found.items()
        ]

    @_raises_os_errors
    def size(self, path: str) -> int:
        """Return the bytes of a file."""
        size: int = self.library.size(self.prefix + path)
        return size

    @_raises_os_errors
    def modified(self, path: str) -> datetime:
        """Return when a file was last changed."""
        changed: datetime = self.library.modified(self.prefix + path)
        return changed

    @_raises_os_errors
    def open(self, path: str) -> BufferedIOBase:
        """Open a file for reading."""
        stream: BufferedIOBase = self.library.open(self.prefix + path, "rb")
        return stream

    @_raises_os_errors
    def read(self, path: str) -> bytes:
        """Return a file's content."""
        content: bytes = self.library.cat_file(self.prefix + path)
        return content

    @_raises_os_errors
    def replace(self, path: str, content: bytes) -> None:
        """Write a file, or another in its place; an object store does so in one step."""
        self.library.pipe_file(self.prefix + path, content)

    @_raises_os_errors
    def create(self, path: str, content: bytes) -> None:
        """Write a file where none is; of several writers at once, one succeeds.

        Raises
        ------
        FileExistsError, OSError
            If one is there; some libraries say so by another error.
        UnsupportedOperation
            If the library has no such step.
        """
        from fsspec import AbstractFileSystem  # noqa: PLC0415 (takes a while)

        # What a library without one inherits looks for the file, and then writes in another step.
        if getattr(self.library.pipe_file, "__func__", None) is AbstractFileSystem.pipe_file:
            raise UnsupportedOperation("its library has no create that fails where a file is")
        self.library.pipe_file(self.prefix + path, content, mode="create")

    @_raises_os_errors
    def copy(self, path: str, target: str) -> None:
        """Copy a file within the storage; an object store does so without a download."""
        self.library.cp_file(self.prefix + path, self.prefix + target)

    @_raises_os_errors
    def remove(self, path: str, kind: str = FILE) -> None:
        """Remove a file, or a folder that is empty."""
        is_folder = kind == FOLDER and not path.endswith("/")
        (self.library.rmdir if is_folder else self.library.rm_file)(self.prefix + path)

    def _path(self, listed: str) -> str:
        return listed.removeprefix(self.prefix).rstrip("/")


@cache
def filesystem_of(root: str) -> Filesystem:
    """Return the filesystem of a root, ``scheme://authority``; the local one for an empty root.

    Raises
    ------
    ImportError, OSError, ValueError
        If the scheme is unknown, or its library is not installed or cannot start.
    """
    if not root:
        from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415 (takes a while)

        return Filesystem(LocalFileSystem(), "")
    from fsspec.core import url_to_fs  # noqa: PLC0415 (takes a while)

    # Other processes write as well, so no listing is remembered.
    library, prefix = url_to_fs(root, use_listings_cache=False)
    return Filesystem(library, prefix.rstrip("/"))
