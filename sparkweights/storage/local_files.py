"""Calls to the operating system for files and folders that somebody else may write to as well.

Nothing here follows a symbolic link at the end of a path, or waits for the other end of a FIFO.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
from contextlib import suppress
from typing import NamedTuple

FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "symbolic link", "hard link"
OTHER = "special file"  # a FIFO, a socket, a device

# Windows has none of these, and one of its own for files that are not text.
_PLAIN = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # Linux: swap two paths in one step
_MOUNTS = "/proc/self/mountinfo"  # Linux


class Mount(NamedTuple):
    """Where a filesystem is mounted, its type, and what it states as its source."""

    folder: str
    kind: str
    source: str


def mount_of(path: str) -> Mount | None:
    """Return the mount that a path is on; None where the system does not list its mounts."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as stream:
            mounts = [_parse_mount(line) for line in stream]
    except OSError:
        return None
    above = [each for each in mounts if f"{path}/".startswith(f"{each.folder.rstrip('/')}/")]
    # The later one of two mounts on a folder hides the first.
    return max(reversed(above), key=lambda each: len(each.folder), default=None)


def _parse_mount(line: str) -> Mount:
    """Parse a line: ID, parent, device, root, folder, options ..., a hyphen, kind, source, options.

    Spaces and their like in names are written as octal numbers.
    """
    fields = [
        re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), each) for each in line.split()
    ]
    kind, source = fields[fields.index("-", 6) + 1 :][:2]
    return Mount(fields[4], kind, source)


def can_link(folder: str) -> bool:
    """Whether a file of a folder can have two names; no mount of an object store offers that.

    Raises
    ------
    OSError
        If no file can be made there.
    """
    path = os.path.join(folder, f"_{secrets.token_hex(8)}.partial")
    create(path, b"", 0o600)
    try:
        os.link(path, f"{path}.partial")
        os.unlink(f"{path}.partial")
    except OSError:
        return False
    finally:
        os.unlink(path)
    return True


def list_entries(folder: str) -> dict[str, str]:
    """Return everything below a folder: relative path -> kind.

    Raises
    ------
    OSError
        If the folder is not there, is a link, or cannot be read.
    """
    if os.path.islink(folder):
        raise _error(errno.ENOTDIR, folder)
    entries = dict[str, str]()
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as scanned:
            for entry in scanned:
                kind = _kind(entry.stat(follow_symlinks=False))
                entries[os.path.relpath(entry.path, folder)] = kind
                if kind == FOLDER:
                    folders.append(entry.path)
    return entries


def read_plain(path: str, limit: int) -> bytes:
    """Return the content of a regular file with one name and at most ``limit`` bytes.

    Raises
    ------
    OSError
        If it is not such a file, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | _PLAIN)
    try:
        status = os.fstat(descriptor)
        if (kind := _kind(status)) != FILE:
            raise OSError(errno.EINVAL, f"it is a {kind}", path)
        if status.st_size > limit:
            raise _error(errno.EFBIG, path)
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def create(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet.

    Raises
    ------
    OSError
        If that is not possible, or something has its name.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, mode & 0o666)
    with open(descriptor, "wb") as stream:
        stream.write(content)


def make_folder(path: str, mode: int) -> None:
    """Make a folder and those above it, where they are missing.

    Raises
    ------
    OSError
        If that is not possible, or a symbolic link leads to it.
    """
    missing, above = list[str](), path
    while not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)
    if os.path.realpath(above) != above:
        raise OSError(errno.ELOOP, "a symbolic link is in its path", path)
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process has made it
            os.mkdir(folder, mode)
    if not os.path.isdir(path):
        raise _error(errno.ENOTDIR, path)


def settle(folder: str, mode: int) -> None:
    """Give everything in a folder its permissions, less those of the umask, and flush it to disk.

    Raises
    ------
    OSError
        If the process may not change them, or the disk fails.
    """
    mode &= ~_umask()
    # The content of a folder before the folder, which holds its names.
    for entry in (*sorted(list_entries(folder), reverse=True), ""):
        descriptor = os.open(os.path.join(folder, entry), os.O_RDONLY | _PLAIN)
        try:
            status = os.fstat(descriptor)
            # The bit by which new files belong to the group of their folder stays.
            kept = status.st_mode & stat.S_ISGID
            permitted = mode | kept if stat.S_ISDIR(status.st_mode) else mode & 0o666
            if stat.S_IMODE(status.st_mode) != permitted:
                os.fchmod(descriptor, permitted)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: str) -> None:
    """Remove a folder and what is below it, or a file or link, as far as that is possible.

    Where a link leads to it from the folder above, somebody else has put the link there, and what
    it leads to is left alone.
    """
    folder, name = os.path.split(path)
    if not shutil.rmtree.avoids_symlink_attacks:  # Windows
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _PLAIN)
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(name, ignore_errors=True, dir_fd=descriptor)
            else:
                os.unlink(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def replace(path: str, by: str) -> None:
    """Put a file in the place of another, in one step, when its content is on the disk.

    Raises
    ------
    OSError
        If that is not possible.
    """
    _flush(by)
    rename(by, path)


def rename(path: str, target: str) -> None:
    """Rename a file or folder; the new name is on the disk at the end.

    Raises
    ------
    OSError
        If the target is a folder that is not empty, or lies on another filesystem.
    """
    os.rename(path, target)
    _flush_names(target)


def exchange(path: str, other: str) -> bool:
    """Swap two folders in one step; return whether the system can.

    Raises
    ------
    OSError
        If it can, but one of the two is missing or may not be moved.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    new, old = os.fsencode(path), os.fsencode(other)
    if call(_AT_FDCWD, new, _AT_FDCWD, old, _RENAME_EXCHANGE) == 0:
        _flush_names(other)
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        return False
    raise _error(code, other)


def _kind(status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return FOLDER
    if stat.S_ISLNK(status.st_mode):
        return LINK
    if not stat.S_ISREG(status.st_mode):
        return OTHER
    return FILE if status.st_nlink == 1 else HARD_LINK


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | _PLAIN)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_names(path: str) -> None:
    """Write the names that the folder of a path holds to the disk, where its filesystem can."""
    with suppress(OSError):
        _flush(os.path.dirname(path))


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
