"""Object stores that are mounted as folders, which look like a filesystem and are none.

Such a mount locks a file for its own machine alone, and renames a folder file by file: tried with
s3fs, two machines held one lock, and readers saw parts of a date. Filesystems of clusters that use
FUSE as well, such as GlusterFS, JuiceFS or sshfs, do neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError
from sparkweights.storage import local_files

if TYPE_CHECKING:
    from sparkweights.storage.location import Location

# The programs that mount an object store, as they name themselves: in the type of the mount
# (fuse.s3fs), or in its source where the type is fuse.
_PROGRAMS = frozenset({
    "blobfuse", "blobfuse2", "cosfs", "gcsfuse", "geesefs", "goofys", "mount-s3", "mountpoint-s3",
    "obsfs", "ossfs", "rclone", "riofs", "s3fs", "tigrisfs", "yas3fs",
})  # fmt: skip
# Databricks shows its stores as these folders.
_FOLDERS = ("/dbfs", "/Volumes", "/Workspace")


def require_no_object_store(folder: Location) -> None:
    """Refuse a folder that is on a mounted object store.

    Raises
    ------
    ConfigError
        With what mounts it, and what to name instead.
    OSError
        If the folder cannot be written.
    """
    mount = local_files.mount_of(folder.local_path)
    if mount is None or not _is_object_store(mount, folder.local_path):
        return
    program = mount.kind.removeprefix("fuse.") if mount.kind != "fuse" else mount.source
    raise ConfigError(
        f"'{folder}' is on '{mount.folder}', where {program} mounts an object store; such a mount "
        "does not exclude a second run, and replaces a folder file by file.",
        hint="name the store itself, such as s3a://bucket/models, for artifacts and runs; write "
        "rows to a table of the catalog (format: table), for instance of Delta or Iceberg.",
    )


def _is_object_store(mount: local_files.Mount, folder: str) -> bool:
    family, _, program = mount.kind.partition(".")
    if family != "fuse":
        return False
    if program:
        return program in _PROGRAMS
    if mount.source in _PROGRAMS or mount.folder in _FOLDERS:
        return True
    # Some programs state the bucket alone, which may have any name.
    return not local_files.can_link(folder)
