"""One type for every file and folder that the driver touches.

Design note. `Location` is built on fsspec. pyarrow.fs, the alternative, is installed anyway and
needs no further package for S3, but it has no create that fails where the file exists, which a
pointer or a lock on an object store needs; fsspec has it (``pipe_file(..., mode="create")``, a
conditional PUT in s3fs). fsspec is also pure Python without dependencies, knows the URIs that Spark
takes (``s3a://``, ``abfss://``, ``gs://``, ``hdfs://``), and has packages for the storage of most
platforms. Its import takes a quarter of a second, so it waits until a location needs it; reading a
local file, such as a configuration, does not.

Two habits of fsspec are kept out of here. Some of its methods (``rm``, ``mv``, ``cp``, ``glob``,
``expand_path``) read ``[``, ``*`` and ``?`` as patterns, and its URL functions read ``::`` as a
chain of filesystems; a path of a user is a path, so only methods that take it literally are called
(``info``, ``ls``, ``find``, ``open``, ``makedirs``, ``pipe_file``, ``rm_file``, ``rmdir``). And its
local filesystem promises less than the operating system: flushing to disk, replacing a file in one
step, and swapping two folders are therefore done here, by ``os``.

No other module opens, lists, moves or removes files of a user; a test enforces it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import posixpath
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import UnsupportedOperation
from typing import TYPE_CHECKING, TypeAlias

from sparkweights.core.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from io import BufferedIOBase

    from fsspec import AbstractFileSystem

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # Linux: swap two paths in one step


@dataclass(frozen=True, order=True)
class Location:
    """A file or folder, on this machine's filesystems or on another storage.

    A location is a name: nothing has to be there. Each call queries the storage again.

    Attributes
    ----------
    path
        Absolute, with ``/`` between names; every character stands for itself.
    root
        What the path is on, as ``scheme://authority``; empty for this machine's filesystems.

    Examples
    --------
    >>> str(Location("/models") / "current")
    '/models/current'
    >>> str(Location.of("memory://bucket/models").parent)
    'memory://bucket/'
    """

    path: str
    root: str = ""

    @classmethod
    def of(cls, named: AnyLocation) -> Location:
        """Return the location that a user names.

        Parameters
        ----------
        named
            A path, relative to the working folder or absolute, with or without ``file://``; or the
            URI of a filesystem that fsspec knows. Symbolic links of a local path are followed.

        Raises
        ------
        ConfigError
            If the URI's filesystem is unknown, or its package is not installed.
        """
        if isinstance(named, Location):
            return named
        text = os.fspath(named)
        scheme, is_uri, rest = text.partition("://")
        if not is_uri or scheme == "file":
            return cls(os.path.realpath(re.sub("^file:(//)?", "", text)))
        authority, _, path = rest.partition("/")
        root = f"{scheme}://{authority}"
        try:
            _filesystem(root)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"'{text}' is on {scheme}, which cannot be opened here: {error}.",
                hint="install the package of that filesystem, or name a local path.",
            ) from None
        return cls(posixpath.normpath(f"/{path}"), root)

    def resolve(self, named: str) -> Location:
        """Return what a text names that was written in this folder: a relative path starts here.

        Raises
        ------
        ConfigError
            As `of`.
        """
        if "://" in named.removeprefix("file://"):
            return Location.of(named)
        path = re.sub("^file:(//)?", "", named)
        if self.is_local:
            return Location(os.path.realpath(os.path.join(self.path, path)))
        return Location(posixpath.normpath(posixpath.join(self.path, path)), self.root)

    def __truediv__(self, name: str) -> Location:
        return Location(posixpath.join(self.path, name), self.root)

    def __str__(self) -> str:
        return f"{self.root}{self.path}"

    @property
    def name(self) -> str:
        """The last name of the path."""
        return posixpath.basename(self.path)

    @property
    def stem(self) -> str:
        """The last name without its extension."""
        return posixpath.splitext(self.name)[0]

    @property
    def parent(self) -> Location:
        """The folder above; for the top folder, the top folder."""
        return Location(posixpath.dirname(self.path), self.root)

    @property
    def parents(self) -> tuple[Location, ...]:
        """Every folder above, the nearest first."""
        above = self.parent
        return () if above == self else (above, *above.parents)

    def relative_to(self, folder: Location) -> str:
        """Return the path below a folder."""
        return posixpath.relpath(self.path, folder.path)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's filesystems, mounted ones included."""
        return not self.root

    @property
    def local_path(self) -> str:
        """The path for the operating system's own calls.

        Raises
        ------
        OSError
            If it is on another storage, where such calls have no meaning.
        """
        if not self.is_local:
            raise UnsupportedOperation(f"'{self}' is not on a local filesystem")
        return self.path

    def exists(self) -> bool:
        """Whether a file or a folder is there."""
        return self._kind() is not None

    def is_file(self) -> bool:
        """Whether a file is there."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return self._kind() == "directory"

    def children(self) -> tuple[Location, ...]:
        """Return what a folder holds, by name.

        Raises
        ------
        OSError
            If it is not there, or cannot be read.
        """
        filesystem, prefix = _filesystem(self.root)
        join_names = filesystem.ls(prefix + self.path, detail=False)
        locations = (self._below(prefix, path) for path in join_names)
        return tuple(sorted(each for each in locations if each != self))

    def files(self) -> tuple[Location, ...]:
        """Return every file below a folder, or the file itself, by path."""
        return tuple(sorted(self._sizes()))

    @property
    def size(self) -> int:
        """Bytes of the file, or of every file below the folder together."""
        return sum(self._sizes().values())

    def open(self) -> BufferedIOBase:
        """Open a file for reading.

        Raises
        ------
        OSError
            If it is not there, or cannot be read.
        """
        if self.is_local:
            # Without fsspec, whose import takes longer than reading a configuration.
            return open(self.path, "rb")
        filesystem, prefix = _filesystem(self.root)
        stream: BufferedIOBase = filesystem.open(prefix + self.path, "rb")
        return stream

    def read_bytes(self) -> bytes:
        """Return a file's content."""
        with self.open() as stream:
            return stream.read()

    def read_text(self) -> str:
        """Return a file's content, which is UTF-8.

        Raises
        ------
        OSError, UnicodeDecodeError
            If it is not there, cannot be read, or is another encoding.
        """
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes) -> None:
        """Replace a file in one step: a reader sees the old one or the new one.

        Folders above are made. On a local filesystem the new file is written beside the old one and
        flushed to disk before it takes its place; an object store replaces objects whole.

        Raises
        ------
        PublishError
            If that is not possible; the old file stays.
        """
        self.parent.make_folder()
        try:
            if self.is_local:
                self._replace_local(content)
            else:
                filesystem, prefix = _filesystem(self.root)
                filesystem.pipe_file(prefix + self.path, content)
        except OSError as error:
            raise self.unwritable(error) from None

    def _replace_local(self, content: bytes) -> None:
        partial = f"{self.parent / f'_{self.name}.partial'}"
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, self.path)

    def make_folder(self) -> None:
        """Make the folder and those above it, where they are missing.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        filesystem, prefix = _filesystem(self.root)
        try:
            filesystem.makedirs(prefix + self.path, exist_ok=True)
        except OSError as error:
            raise self.unwritable(error) from None

    def remove_file(self) -> None:
        """Remove a file, if it is there.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        filesystem, prefix = _filesystem(self.root)
        try:
            filesystem.rm_file(prefix + self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.unwritable(error) from None

    def remove(self) -> None:
        """Remove a folder and what is below it, as far as that is possible.

        On a local filesystem a process that has one of the files open can go on reading it.
        """
        if self.is_local:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        filesystem, prefix = _filesystem(self.root)
        entries = filesystem.find(prefix + self.path, withdirs=True, detail=True)
        for path in sorted(entries, reverse=True):  # the content of a folder before the folder
            with suppress(OSError):
                is_folder = entries[path]["type"] == "directory"
                (filesystem.rmdir if is_folder else filesystem.rm_file)(path)

    def rename(self, target: Location) -> None:
        """Move a file or folder to another path of the same local filesystem, in one step.

        Raises
        ------
        OSError
            If the target is a file or a folder that is not empty, or the storage has no such step.
        """
        os.rename(self.local_path, target.local_path)

    def exchange(self, other: Location) -> bool:
        """Swap two folders in one step; return whether the storage can.

        Only Linux offers it, for most local filesystems; elsewhere the caller renames twice.

        Raises
        ------
        OSError
            If the storage can, but one of the two is missing or may not be moved.
        """
        try:
            rename = ctypes.CDLL(None, use_errno=True).renameat2
        except (AttributeError, OSError):
            return False
        new, old = os.fsencode(self.local_path), os.fsencode(other.local_path)
        if rename(_AT_FDCWD, new, _AT_FDCWD, old, _RENAME_EXCHANGE) == 0:
            return True
        code = ctypes.get_errno()
        if code in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            return False
        raise OSError(code, os.strerror(code))

    def find_write_obstacle(self) -> Location | None:
        """Return the part of the path that keeps a folder from being made or written, or None.

        An object store has no folders, and reports missing permissions only on writing.
        """
        if not self.is_local:
            return None
        # Unlike a question about the path itself, this one is answered in folders that the user may
        # not search.
        nearest = next(each for each in (self, *self.parents) if os.access(each.path, os.F_OK))
        fits = nearest.is_dir() and os.access(nearest.path, os.W_OK)
        return None if fits else nearest

    def unwritable(self, error: OSError) -> PublishError:
        """Return the error for a location that cannot be written."""
        return PublishError(
            f"Cannot write '{self}': {error.strerror or error}.",
            hint="nothing was published; check that the folder exists, is writable and has "
            "free space.",
        )

    def _kind(self) -> str | None:
        """Return "file", "directory" or "other"; None where nothing is there."""
        filesystem, prefix = _filesystem(self.root)
        try:
            kind: str = filesystem.info(prefix + self.path)["type"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return kind

    def _sizes(self) -> dict[Location, int]:
        """Return the bytes of every file below the folder, or of the file itself."""
        filesystem, prefix = _filesystem(self.root)
        if self.is_file():
            return {self: filesystem.size(prefix + self.path)}
        entries = filesystem.find(prefix + self.path, detail=True)
        return {
            self._below(prefix, path): info["size"]
            for path, info in entries.items()
            if info["type"] == "file" or info.get("islink")
        }

    def _below(self, prefix: str, path: str) -> Location:
        """Return the location of a path as the filesystem lists it."""
        return Location(path.removeprefix(prefix).rstrip("/"), self.root)


AnyLocation: TypeAlias = Location | str | os.PathLike[str]


@cache
def _filesystem(root: str) -> tuple[AbstractFileSystem, str]:
    """Return the filesystem of a root, and what it expects before a location's path."""
    if not root:
        from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415 (takes a while)

        return LocalFileSystem(), ""
    from fsspec.core import url_to_fs  # noqa: PLC0415 (takes a while)

    # Other processes write as well, so no listing is remembered.
    filesystem, prefix = url_to_fs(root, use_listings_cache=False)
    return filesystem, prefix.rstrip("/")
