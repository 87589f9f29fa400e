"""A folder is shared if a file that Spark copies there is there for this process as well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.errors import AnalysisException

from sparkweights.core.errors import ConfigError
from sparkweights.storage import shared_folders
from sparkweights.storage.location import Location
from sparkweights.storage.shared_folders import require_shared

if TYPE_CHECKING:
    from collections.abc import Callable


class Session:
    """One of Spark Connect, which copies a file in its own way."""

    def __init__(self, copy: Callable[[Path, Path], object]) -> None:
        self.copy = copy
        self.copied = list[Path]()

    @property
    def read(self) -> Session:
        """Itself, as a reader."""
        return self

    @property
    def write(self) -> Any:
        """What writes the text that was read last."""
        return Writer(self)

    def text(self, path: str) -> Session:
        """Read a file."""
        self.copied.append(Path(path.replace("\\", "")))
        return self


class Writer:
    """Writes the text of a session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def text(self, path: str) -> None:
        """Write a folder."""
        self.session.copy(self.session.copied[-1], Path(path))


def _shares(read: Path, written: Path) -> None:
    written.mkdir()
    (written / "part-0.txt").write_bytes(read.read_bytes() + b"\n")
    (written / "_SUCCESS").touch()


def _sees_nothing(read: Path, written: Path) -> None:
    raise AnalysisException(f"[PATH_NOT_FOUND] Path does not exist: file:{read}.")


def _has_a_disk_of_its_own(read: Path, written: Path) -> None:
    pass


def _writes_another_text(read: Path, written: Path) -> None:
    written.mkdir()
    (written / "part-0.txt").write_text("another\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    """Return a folder that is not there yet, of a name that Spark reads as a pattern."""
    return Location.of(tmp_path / "models [1]")


def test_folder_that_is_shared_is_tried_once_and_left_empty(folder: Location) -> None:
    """Once for each session; each copy lies in a folder for this user alone."""
    modes = list[int]()

    def copy(read: Path, written: Path) -> None:
        modes.append(read.parent.stat().st_mode & 0o777)
        _shares(read, written)

    session = Session(copy)
    for _ in range(2):
        require_shared(session, folder)  # type: ignore[arg-type]
    assert len(session.copied) == 1
    require_shared(Session(copy), folder, folder.parent)  # type: ignore[arg-type]
    assert modes == [0o700] * 3
    assert folder.children() == ()


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        (_sees_nothing, r"Spark answers \[PATH_NOT_FOUND\] Path does not exist"),
        (_has_a_disk_of_its_own, "a file that Spark writes there is not there for this process"),
        (_writes_another_text, "a file that Spark writes there is not there for this process"),
    ],
)
def test_folder_that_is_not_shared_is_refused_each_time(
    folder: Location, copy: Callable[[Path, Path], object], reason: str
) -> None:
    """With the reason, and with what to name instead."""
    session = Session(copy)
    for _ in range(2):
        with pytest.raises(ConfigError, match=reason) as caught:
            require_shared(session, folder)  # type: ignore[arg-type]
        assert f"'{folder}' is on this machine" in caught.value.message
        assert "such as s3a://bucket/models" in str(caught.value.hint)
    assert folder.children() == ()


def test_folder_whose_new_files_only_the_server_can_remove_is_refused(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that runs as root shares the disk, and leaves what no run can replace."""
    monkeypatch.setattr(Location, "remove", lambda _: None)
    with pytest.raises(ConfigError, match="this process cannot remove a file that Spark writes"):
        require_shared(Session(_shares), folder)  # type: ignore[arg-type]


def test_folder_elsewhere_or_of_a_classic_session_is_not_tried(
    bucket: Location, folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both reach an object store by its address; a classic driver is this process."""
    session = Session(_sees_nothing)
    require_shared(session, bucket)  # type: ignore[arg-type]
    monkeypatch.setattr(shared_folders, "is_connected", lambda _: False)
    require_shared(session, folder)  # type: ignore[arg-type]
    assert session.copied == []
    assert not folder.exists()
