"""Object stores that are mounted as folders are refused; filesystems that use FUSE are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sparkweights.core.errors import ConfigError
from sparkweights.storage import local_files
from sparkweights.storage.location import Location
from sparkweights.storage.lock import lock
from sparkweights.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# As Linux lists them; each was copied from a machine or from the program's documentation.
STORES = [
    ("fuse.s3fs", "s3fs", "s3fs"),
    ("fuse.gcsfuse", "bucket", "gcsfuse"),
    ("fuse.rclone", "remote:bucket", "rclone"),
    ("fuse.geesefs", "bucket", "geesefs"),
    ("fuse.blobfuse2", "blobfuse2", "blobfuse2"),
    ("fuse", "blobfuse2", "blobfuse2"),
    ("fuse", "mountpoint-s3", "mountpoint-s3"),
]
OTHERS = [
    ("ext4", "/dev/sda1"),
    ("nfs4", "filer:/export"),
    ("fuse.glusterfs", "host:/volume"),
    ("fuse.sshfs", "host:/"),
    ("fuse.juicefs", "JuiceFS:volume"),
    ("fuseblk", "/dev/sdb1"),
    ("fuse", "something"),
]


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Location]:
    """Return how a folder is mounted."""

    def mount(kind: str, source: str) -> Location:
        folder = tmp_path / "a mount"
        folder.mkdir(exist_ok=True)
        named = str(folder).replace(" ", "\\040")
        listed = tmp_path / "mountinfo"
        listed.write_text(
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
            f"40 22 0:40 / {named} rw shared:2 master:1 - tmpfs tmpfs rw\n"
            f"41 22 0:41 / {named} rw,nosuid - {kind} {source} rw,user_id=0\n"
            f"42 22 0:42 / {named}2 rw - tmpfs tmpfs rw\n"
        )
        monkeypatch.setattr(local_files, "_MOUNTS", str(listed))
        return Location.of(folder)

    return mount


@pytest.mark.parametrize(("kind", "source", "program"), STORES)
def test_lock_on_a_mounted_object_store_is_refused(
    mounted: Callable[[str, str], Location], kind: str, source: str, program: str
) -> None:
    """With the program, and with what to name instead; nothing is written."""
    folder = mounted(kind, source)
    for deed in (lock(folder / "runs" / "_lock", "it"), scratch_folder(folder / "models")):
        with pytest.raises(ConfigError, match=f"where {program} mounts an object store") as caught:
            deed.__enter__()
        assert "s3a://bucket/models, for artifacts and runs" in str(caught.value.hint)
        assert "format: table" in str(caught.value.hint)
    assert not [file for file in folder.files() if "_work" not in str(file)]


@pytest.mark.parametrize(("kind", "source"), OTHERS)
def test_lock_on_another_filesystem_is_taken(
    mounted: Callable[[str, str], Location], kind: str, source: str
) -> None:
    """Filesystems of clusters and of disks that use FUSE as well."""
    folder = mounted(kind, source)
    with lock(folder / "runs" / "_lock", "it") as held:
        held.require_held()
    assert [file.name for file in folder.files()] == ["_lock"]


def test_mount_without_a_name_and_without_hard_links_is_an_object_store(
    mounted: Callable[[str, str], Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goofys states the bucket alone; no object gives two names to a file."""
    folder = mounted("fuse", "some-bucket")

    def fails(_: str, __: str) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(ConfigError, match="some-bucket"), lock(folder / "_lock", "it"):
        pass
    assert not folder.files()


def test_mounts_that_the_system_does_not_list_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr(local_files, "_MOUNTS", str(tmp_path / "absent"))
    assert local_files.mount_of(str(tmp_path)) is None
    with lock(Location.of(tmp_path) / "runs" / "_lock", "it"):
        pass


def test_mount_of_a_folder_of_this_machine_is_found() -> None:
    """The list of a Linux machine is read."""
    found = local_files.mount_of("/proc/self")
    assert found is None or found == local_files.Mount("/proc", "proc", "proc")
