"""One type for every file and folder that the driver touches.

Design note. `Location` is built on fsspec. pyarrow.fs, the alternative, is installed anyway and
needs no further package for S3, but it has no create that fails where the file exists, which a
pointer or a lock on an object store needs; fsspec has it (``pipe_file(..., mode="create")``, a
conditional PUT in s3fs). fsspec is also pure Python without dependencies, knows the URIs that Spark
takes (``s3a://``, ``abfss://``, ``gs://``, ``hdfs://``), and has packages for the storage of most
platforms. Its import takes a quarter of a second, so it waits until a location needs it; reading a
local file, such as a configuration, does not.

Three habits of fsspec are kept out of here. Some of its methods (``rm``, ``mv``, ``cp``, ``glob``,
``expand_path``) read ``[``, ``*`` and ``?`` as patterns, and its URL functions read ``::`` as a
chain of filesystems; a path of a user is a path, so only methods that take it literally are called,
those of `sparkweights.storage.filesystems`. ``makedirs`` makes a bucket that is not there, so none
is called: an object store has no folders. And the local filesystem promises less than the operating
system: flushing to disk, replacing a file in one step, and swapping two folders are therefore done
in `sparkweights.storage.local_files`.

Output folders are shared, so what lies in them may have been put there by somebody else. `of` and
`resolve` follow the symbolic links of a path that the user names. Below it none is followed by what
writes, moves or removes: a new file is created exclusively under a random name, and a folder that
is reached through a link is refused.

No other module opens, lists, moves or removes files of a user; a test enforces it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import UnsupportedOperation
from typing import TYPE_CHECKING, TypeAlias

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.core.extras import S3
from sparkweights.storage import local_files
from sparkweights.storage.filesystems import FILE, FOLDER, filesystem_of

if TYPE_CHECKING:
    from datetime import datetime
    from io import BufferedIOBase

MODE = 0o750  # of folders that are made, unless the configuration says otherwise
PRIVATE = 0o700
S3_SCHEMES = ("s3", "s3a")


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
    mode
        The permissions of folders that are made here; those of files are the same without the right
        to execute. The process's umask may take more away. Only local filesystems have them.

    Examples
    --------
    >>> str(Location("/models") / "current")
    '/models/current'
    >>> str(Location.of("memory://bucket/models").parent)
    'memory://bucket/'
    """

    path: str
    root: str = ""
    mode: int = field(default=MODE, compare=False, repr=False)

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
            filesystem_of(root)
        except (ImportError, OSError, ValueError) as error:
            if scheme in S3_SCHEMES and not S3.is_installed:
                raise S3.refusal(f"'{text}' needs") from None
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"'{text}' is on {scheme}, which cannot be opened here: {reason}.",
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
            return Location(os.path.realpath(os.path.join(self.path, path)), mode=self.mode)
        return replace(self, path=posixpath.normpath(posixpath.join(self.path, path)))

    @classmethod
    def temporary(cls) -> Location:
        """Return this machine's folder for temporary files."""
        return cls.of(tempfile.gettempdir())

    def with_mode(self, mode: int) -> Location:
        """Return the same location with other permissions for what is made there."""
        return replace(self, mode=mode)

    def __truediv__(self, name: str) -> Location:
        return replace(self, path=posixpath.join(self.path, name))

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
        return replace(self, path=posixpath.dirname(self.path))

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
        return self._kind() == FILE

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return self._kind() == FOLDER

    @property
    def is_link(self) -> bool:
        """Whether a symbolic link is there, whatever it names."""
        return self.is_local and os.path.islink(self.path)

    def children(self) -> tuple[Location, ...]:
        """Return what a folder holds, by name.

        Raises
        ------
        OSError
            If it is not there, or cannot be read.
        """
        locations = (replace(self, path=path) for path in filesystem_of(self.root).names(self.path))
        return tuple(sorted(each for each in locations if each != self))

    def files(self) -> tuple[Location, ...]:
        """Return every file below a folder, or the file itself, by path."""
        return tuple(sorted(self._sizes()))

    def entries(self) -> dict[str, str]:
        """Return everything below a folder, without following a link.

        Returns
        -------
        dict
            Path below the folder -> its kind, one of those that `local_files` names.

        Raises
        ------
        OSError
            If the folder is not there, is a link, or cannot be read.
        """
        if self.is_local:
            return local_files.list_entries(self.path)
        kinds = {
            replace(self, path=each.path.rstrip("/")): each.kind
            for each in filesystem_of(self.root).below(self.path)
        }
        return {
            each.relative_to(self): local_files.FOLDER if kind == FOLDER else local_files.FILE
            for each, kind in kinds.items()
            if each != self
        }

    @property
    def size(self) -> int:
        """Bytes of the file, or of every file below the folder together."""
        return sum(self._sizes().values())

    @property
    def modified(self) -> datetime:
        """When the file was last changed.

        Raises
        ------
        OSError
            If it is not there.
        """
        return filesystem_of(self.root).modified(self.path)

    @property
    def state(self) -> tuple[int, ...]:
        """What differs after every change of a local file, also one that keeps size and dates.

        Raises
        ------
        OSError
            If it is on another storage, or not there.
        """
        status = os.stat(self.local_path)
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

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
        return filesystem_of(self.root).open(self.path)

    def read_bytes(self) -> bytes:
        """Return a file's content.

        Raises
        ------
        OSError
            If it is not there, or cannot be read.
        """
        if not self.is_local:
            return filesystem_of(self.root).read(self.path)
        with self.open() as stream:
            return stream.read()

    def read_plain(self, limit: int) -> bytes:
        """Return the content of a regular file that has no other name, and is not a link.

        Nobody is waited for, as a reader of a FIFO would; so a file that others may have put there
        can be read.

        Parameters
        ----------
        limit
            The most bytes that it may have.

        Raises
        ------
        OSError
            If it is not there, cannot be read, is not such a file, or is larger.
        """
        if self.is_local:
            return local_files.read_plain(self.path, limit)
        content = self.read_bytes()
        if len(content) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self))
        return content

    def read_text(self, limit: int | None = None) -> str:
        """Return a file's content, which is UTF-8.

        Parameters
        ----------
        limit
            Bytes that the file may have; None for any number.

        Raises
        ------
        OSError, UnicodeDecodeError
            If it is not there, cannot be read, is too large, or is another encoding.
        """
        if limit is None:
            return self.read_bytes().decode()
        if self.is_local and not stat.S_ISREG(os.stat(self.path).st_mode):
            # Opening a pipe waits for its writer; a device may have no end.
            raise OSError(errno.EINVAL, "it is not a regular file")
        with self.open() as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
        return content.decode()

    def create(self, content: bytes) -> None:
        """Write a new file of a folder that is not published yet; folders above are made.

        Raises
        ------
        PublishError
            If that is not possible, or something of that name is there, be it a link.
        """
        self.parent.make_folder()
        try:
            if self.is_local:
                local_files.create(self.path, content, self.mode)
            elif not self.try_create(content):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        except OSError as error:
            raise self.unwritable(error) from None

    def try_create(self, content: bytes) -> bool:
        """Write a file of another storage where none is; return whether its content is this one.

        Of several writers at once, one succeeds. The content should be that of no other writer: a
        library that lost the answer to its request sends it again, and finds its own file.

        Raises
        ------
        UnsupportedOperation
            If the storage has no such step.
        OSError
            If it cannot be written.
        """
        try:
            filesystem_of(self.root).create(self.path, content)
        except UnsupportedOperation:
            raise
        except OSError:  # the library of a storage may have another one for a file that is there
            if not self.exists():
                raise
            return self.read_bytes() == content
        return True

    def write_bytes(self, content: bytes) -> None:
        """Replace a file in one step: a reader sees the old one or the new one.

        Folders above are made. On a local filesystem the new file is written beside the old one
        under a random name and flushed to disk before it takes its place; an object store replaces
        objects whole.

        Raises
        ------
        PublishError
            If that is not possible; the old file stays.
        """
        self.parent.make_folder()
        try:
            if self.is_local:
                self._replace(content)
            else:
                filesystem_of(self.root).replace(self.path, content)
        except OSError as error:
            raise self.unwritable(error) from None

    def _replace(self, content: bytes) -> None:
        partial = f"{self.parent / f'_{secrets.token_hex(8)}.partial'}"
        try:
            local_files.create(partial, content, self.mode)
            local_files.replace(self.path, partial)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise

    def copy(self, target: Location) -> None:
        """Copy a file to another path of the same object store, in one step.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        try:
            filesystem_of(self.root).copy(self.path, target.path)
        except OSError as error:
            raise target.unwritable(error) from None

    def make_folder(self) -> None:
        """Make the folder and those above it, where they are missing.

        Another storage than a local filesystem makes folders with the files in them, or has none.

        Raises
        ------
        PublishError
            If that is not possible, or a link leads to the folder.
        """
        if not self.is_local:
            return
        try:
            local_files.make_folder(self.path, self.mode)
        except OSError as error:
            raise self.unwritable(error) from None

    def remove_file(self) -> None:
        """Remove a file, if it is there.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        try:
            filesystem_of(self.root).remove(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.unwritable(error) from None

    def remove(self) -> None:
        """Remove a folder and what is below it, as far as that is possible.

        A link is removed, and never what it names; a folder that is reached through one stays. On a
        local filesystem a process that has one of the files open can go on reading it.
        """
        if self.is_local:
            local_files.remove(self.path)
            return
        filesystem = filesystem_of(self.root)
        with suppress(OSError):
            # The content of a folder before the folder.
            for each in sorted(filesystem.below(self.path), reverse=True):
                with suppress(OSError):
                    filesystem.remove(each.path, each.kind)

    def settle(self) -> None:
        """Give a folder that is about to be published its permissions, and write it to the disk.

        Everything below gets the permissions of `mode`, less those of the umask; what Spark writes
        has others. Files and folders are flushed, so that a power failure after the publication
        cannot leave it empty. A storage that is not local needs neither.

        Raises
        ------
        OSError
            If the process may not change them, or the disk fails.
        """
        if self.is_local:
            local_files.settle(self.path, self.mode)

    def rename(self, target: Location) -> None:
        """Move a file or folder to another path of the same local filesystem, in one step.

        The new name is on the disk at the end.

        Raises
        ------
        OSError
            If the target is a file or a folder that is not empty, or the storage has no such step.
        """
        local_files.rename(self.local_path, target.local_path)

    def exchange(self, other: Location) -> bool:
        """Swap two folders in one step; return whether the storage can.

        Only Linux offers it, for most local filesystems; elsewhere the caller renames twice.

        Raises
        ------
        OSError
            If the storage can, but one of the two is missing or may not be moved.
        """
        return local_files.exchange(self.local_path, other.local_path)

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
        checks = "the folder exists, is writable and has free space"
        if not self.is_local:
            checks = "the bucket exists, and the address and the credentials of the storage are set"
        return PublishError(
            f"Cannot write '{self}': {error.strerror or error}.",
            hint=f"nothing was published; check that {checks}.",
        )

    def _kind(self) -> str | None:
        """Return "file", "directory" or "other"; None where nothing is there."""
        return filesystem_of(self.root).kind(self.path)

    def _sizes(self) -> dict[Location, int]:
        """Return the bytes of every file below the folder, or of the file itself."""
        filesystem = filesystem_of(self.root)
        if self.is_file():
            return {self: filesystem.size(self.path)}
        return {
            replace(self, path=each.path): each.size
            for each in filesystem.below(self.path)
            if each.kind == FILE
        }


AnyLocation: TypeAlias = Location | str | os.PathLike[str]
