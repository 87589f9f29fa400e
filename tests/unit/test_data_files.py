"""Verification of a table's files for several verbs: once, unless a file has changed."""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from sparkweights.app import runner as module
from sparkweights.app.runner import Runner
from sparkweights.config.schema import Config
from sparkweights.core.errors import InputError
from sparkweights.storage.tables import TableSource

if TYPE_CHECKING:
    from pathlib import Path


class _Table:
    """A table as Spark lists its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def inputFiles(self) -> list[str]:
        return [f"file://{file}".replace(" ", "%20") for file in self.folder.glob("*.csv")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a table of two files."""
    for name in ("part 0.csv", "part 1.csv"):
        (tmp_path / name).write_text("1,2\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Return the roles of the tables that were verified."""
    roles = list[str]()

    def verify(_: Any, source: TableSource, __: Any) -> None:
        roles.append(source.role)
        if "torn" in "".join(file.read_text("utf-8") for file in folder.glob("*.csv")):
            raise InputError("It is torn.", hint="mend it.")

    monkeypatch.setattr(module, "verify_files", verify)
    monkeypatch.setattr(module, "read_table", lambda *_: _Table(folder))
    return roles


def _runner() -> Runner:
    columns = {"keys": ["id"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]}
    spark: Any = None
    return Runner(spark, Config(name="loans", columns=columns), date(2026, 3, 1))


def _source(folder: Path, role: str = "incoming", location: str | None = None) -> TableSource:
    return TableSource(role, location or str(folder), "csv")


def test_files_that_nobody_changed_are_verified_once(folder: Path, verified: list[str]) -> None:
    """By each run anew, and for each role: the labelled table has another schema."""
    runner = _runner()
    for role in ("incoming", "labelled", "incoming", "labelled"):
        runner._read(_source(folder, role))
    assert verified == ["incoming", "labelled"]
    _runner()._read(_source(folder))
    assert len(verified) == 3


def test_files_that_changed_in_any_way_are_verified_again(
    folder: Path, verified: list[str]
) -> None:
    """One more, one less, and another content of the same size under the same date."""
    runner = _runner()
    runner._read(_source(folder))
    file = folder / "part 0.csv"
    before = file.stat()
    file.write_text("1,9\n", encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    runner._read(_source(folder))
    (folder / "part 2.csv").write_text("1,2\n", encoding="utf-8")
    runner._read(_source(folder))
    file.unlink()
    runner._read(_source(folder))
    assert len(verified) == 4
    runner._read(_source(folder))
    assert len(verified) == 4


def test_files_that_are_refused_or_on_another_storage_are_verified_each_time(
    folder: Path, verified: list[str]
) -> None:
    """A fault is no verification, and dates of an object store do not tell every change."""
    runner = _runner()
    for _ in range(2):
        runner._read(_source(folder, location="s3a://bucket/rows"))
    assert len(verified) == 2
    (folder / "part 1.csv").write_text("torn", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(InputError, match="torn"):
            runner._read(_source(folder))
    assert len(verified) == 4
