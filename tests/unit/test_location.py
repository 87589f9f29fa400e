"""A location names one file or folder, on every filesystem, whatever its name consists of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage.location import Location
from sparkweights.storage.lock import lock, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWKWARD = [
    "a b", "a#b", "100%", "%41", "naïve 名", "a[b]c", "a*", "a?", "{x,y}", "a::b", "a&b=c", "'a'",
    'a"b', "a\\b", "~", "-rf", "$HOME", "a:b", "s3:", "..a",
]  # fmt: skip


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """Return a folder that is there and empty."""
    if request.param == "local":
        yield Location.of(tmp_path)
        return
    found = Location.of(f"memory://bucket-{uuid4().hex}/folder")
    found.make_folder()
    yield found
    found.parent.remove()


@pytest.mark.parametrize("name", AWKWARD)
def test_location_with_an_awkward_name_is_that_file_and_no_other(
    folder: Location, name: str
) -> None:
    """A path is never a pattern, an escape, a chain or an option."""
    # What the names would also mean, if they were patterns or encoded.
    others = ["axc", "abc", "ab", "x", "y", "A", "a", "100"]
    for other in others:
        (folder / other / "file").write_bytes(b"other")
    file = folder / name / name
    assert not file.exists()
    file.write_bytes(b"first")
    file.write_bytes(b"second")
    assert (file.is_file(), file.is_dir(), file.parent.is_dir()) == (True, False, True)
    assert file.read_bytes() == b"second"
    assert (file.name, file.parent.name, file.parent.parent) == (name, name, folder)
    assert file.relative_to(folder) == f"{name}/{name}"
    assert file.parent.children() == (file,)
    assert file.parent.files() == (file,)
    assert (file.size, file.parent.size) == (6, 6)
    assert set(folder.children()) == {folder / each for each in [*others, name]}
    file.remove_file()
    assert not file.exists()
    file.write_bytes(b"third")
    file.parent.remove()
    assert not file.parent.exists()
    assert set(folder.children()) == {folder / each for each in others}
    assert all((folder / each / "file").read_bytes() == b"other" for each in others)


@pytest.mark.parametrize("name", AWKWARD)
def test_location_of_its_own_text_is_the_same(folder: Location, name: str) -> None:
    """Messages and records show a location by its text."""
    location = folder / name / "file"
    assert Location.of(str(location)) == location
    assert folder.resolve(str(location)) == location


def test_local_location_is_where_the_operating_system_puts_it(tmp_path: Path) -> None:
    """Local folders are an ordinary case: the same paths as everywhere else."""
    for name in AWKWARD:
        (Location.of(tmp_path) / name / "file").write_bytes(name.encode())
        assert (tmp_path / name / "file").read_bytes() == name.encode()
    assert str(Location.of(tmp_path) / "a b") == str(tmp_path.resolve() / "a b")


def test_location_without_a_file_says_so(folder: Location) -> None:
    """Asking is never an error; reading is."""
    absent = folder / "absent"
    assert (absent.exists(), absent.is_file(), absent.is_dir()) == (False, False, False)
    assert (absent.files(), absent.size) == ((), 0)
    with pytest.raises(FileNotFoundError):
        absent.read_bytes()
    absent.remove_file()
    absent.remove()
    file = folder / "file"
    file.write_bytes(b"")
    below = file / "below"
    assert (below.exists(), below.is_file(), below.is_dir()) == (False, False, False)


def test_location_files_are_those_at_any_depth(folder: Location) -> None:
    """In the order of their paths; folders are none, hidden files are some."""
    for path in ("b", "a/c/.hidden", "a/b"):
        (folder / path).write_bytes(path.encode())
    (folder / "empty").make_folder()
    paths = [file.relative_to(folder) for file in folder.files()]
    assert paths == ["a/b", "a/c/.hidden", "b"]
    assert folder.size == sum(map(len, paths))


def test_location_parents_lead_to_the_top() -> None:
    """The nearest first, and the same on every filesystem."""
    assert [str(each) for each in Location("/a/b/c").parents] == ["/a/b", "/a", "/"]
    there = Location.of("memory://bucket/a/b")
    assert [str(each) for each in there.parents] == ["memory://bucket/a", "memory://bucket/"]
    assert Location("/a") != Location("/a", "memory://bucket")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data", "{folder}/data"),
        ("../data", "{above}/data"),
        ("/data/x", "/data/x"),
        ("file:/data/x", "/data/x"),
        ("file:///data/x", "/data/x"),
        ("file://data", "{folder}/data"),
        ("", "{folder}"),
        ("~/data", "{folder}/~/data"),
        ("memory://bucket/data", "memory://bucket/data"),
    ],
)
def test_resolve_reads_a_relative_path_from_the_folder(
    tmp_path: Path, text: str, path: str
) -> None:
    """An absolute path and a URI stay what they are."""
    folder = tmp_path.resolve()
    expected = path.format(folder=folder, above=folder.parent)
    assert str(Location.of(tmp_path).resolve(text)) == expected


def test_resolve_on_another_storage_stays_there() -> None:
    """A configuration on an object store names its neighbours as on a disk."""
    folder = Location.of("memory://bucket/conf")
    assert str(folder.resolve("../data/x")) == "memory://bucket/data/x"
    assert str(folder.resolve("/data")) == "memory://bucket/data"


def test_location_follows_links_of_a_local_path(tmp_path: Path) -> None:
    """Two names of one folder are one location, so that outputs cannot overlap unseen."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert Location.of(tmp_path / "link" / "x") == Location.of(tmp_path / "real" / "x")


@pytest.mark.parametrize("uri", ["nonsense://bucket/x", "tosomewhere+else://x"])
def test_location_on_an_unknown_filesystem_is_refused(uri: str) -> None:
    """With the text and its scheme."""
    with pytest.raises(ConfigError, match="cannot be opened here") as caught:
        Location.of(uri)
    assert f"'{uri}' is on {uri.partition('://')[0]}" in str(caught.value)


def test_location_on_s3_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own message names a package, and no release that fits the product."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"'s3a://lake/x' needs the s3fs library") as caught:
        Location.of("s3a://lake/x")
    assert caught.value.hint == "pip install 'sparkweights[s3]'."


def test_write_bytes_leaves_nothing_beside_the_file_and_keeps_the_umask(tmp_path: Path) -> None:
    """A file of a group stays one that the group can read."""
    before = os.umask(0o027)
    try:
        (Location.of(tmp_path) / "new" / "file").write_bytes(b"x")
    finally:
        os.umask(before)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750


def test_write_bytes_that_dies_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the bytes were on the disk before the rename, or a power cut could leave neither."""
    file, steps = Location.of(tmp_path) / "file", list[str]()
    file.write_bytes(b"old")

    def dies(_: str, __: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: steps.append("fsync"))
        patch.setattr(os, "rename", dies)
        with pytest.raises(PublishError, match=r"Cannot write '.*file': No space left on device\."):
            file.write_bytes(b"new")
    assert steps == ["fsync"]
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reader_of_a_replaced_file_sees_the_old_content(tmp_path: Path) -> None:
    """A replaced file is another one; nothing is overwritten under a reader."""
    file = Location.of(tmp_path) / "file"
    file.write_bytes(b"old")
    with file.open() as stream:
        file.write_bytes(b"newer")
        assert stream.read() == b"old"
    assert file.read_bytes() == b"newer"


def test_writing_where_a_file_is_in_the_way_is_a_publish_error(tmp_path: Path) -> None:
    """With the folder that cannot be made, also where the rights of a super user apply."""
    (tmp_path / "file").write_text("")
    below = Location.of(tmp_path) / "file" / "folder"
    for deed in (below.make_folder, lambda: (below / "x").write_bytes(b"")):
        with pytest.raises(PublishError, match=r"Cannot write '.*file/folder': Not a directory\."):
            deed()
    assert below.find_write_obstacle() == below.parent
    assert (Location.of(tmp_path) / "a" / "b").find_write_obstacle() is None


def test_written_files_and_folders_have_the_locations_mode(tmp_path: Path) -> None:
    """Less what the umask takes away; a folder that was there stays as it was."""
    (tmp_path / "shared").mkdir(mode=0o777)
    before = os.umask(0o022)
    try:
        shared = Location.of(tmp_path) / "shared"
        (shared / "a" / "file").write_bytes(b"x")
        (shared.with_mode(0o777) / "b" / "file").write_bytes(b"x")
        (shared.resolve("c").with_mode(0o700) / "file").create(b"x")
        os.umask(0o077)
        (shared.with_mode(0o777) / "d" / "file").write_bytes(b"x")
    finally:
        os.umask(before)
    modes = {
        name: [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "file")]
        for name in "abcd"
        if (folder := tmp_path / "shared" / name)
    }
    assert modes == {
        "a": ["0o750", "0o640"],
        "b": ["0o755", "0o644"],
        "c": ["0o700", "0o600"],
        "d": ["0o700", "0o600"],
    }


def test_settle_gives_what_others_wrote_the_mode_and_flushes_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark writes files that everybody may read, also under a strict umask."""
    stage = tmp_path / "stage" / "decision=a b"
    stage.mkdir(parents=True)
    (stage / "part-0").write_text("rows")
    for path, mode in ((stage.parent, 0o755), (stage, 0o2777), (stage / "part-0", 0o666)):
        path.chmod(mode)
    flushed = set[int]()
    before = os.umask(0o027)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: flushed.add(os.fstat(fd).st_ino))
        Location.of(tmp_path / "stage").with_mode(0o775).settle()
    assert os.umask(before) == 0o027
    paths = (stage.parent, stage, stage / "part-0")
    assert [oct(path.stat().st_mode & 0o7777) for path in paths] == ["0o750", "0o2750", "0o640"]
    assert flushed == {path.stat().st_ino for path in paths}
    (stage / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        Location.of(tmp_path / "stage").settle()


def test_nothing_is_written_moved_or_removed_through_a_link(tmp_path: Path) -> None:
    """Whoever may write to an output folder may not choose what else is written or removed."""
    victim = tmp_path / "victim"
    (victim / "below").mkdir(parents=True)
    (victim / "file").write_text("precious")
    out = Location.of(tmp_path) / "out"
    out.make_folder()
    (tmp_path / "out" / "folder").symlink_to(victim)
    (tmp_path / "out" / "file").symlink_to(victim / "file")
    (tmp_path / "out" / "absent").symlink_to(victim / "absent")
    for below in ("folder", "folder/below", "folder/new"):
        with pytest.raises(PublishError, match="a symbolic link is in its path"):
            (out / below / "x").write_bytes(b"mine")
    for name in ("file", "absent", "folder"):
        with pytest.raises(PublishError, match="File exists"):
            (out / name).create(b"mine")
    (out / "file").write_bytes(b"mine")  # takes the place of the link
    (out / "folder").remove()
    (out / "absent").remove()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["file"]
    assert (tmp_path / "out" / "file").read_text() == "mine"
    assert (victim / "file").read_text() == "precious"
    assert sorted(path.name for path in victim.iterdir()) == ["below", "file"]


def test_many_writers_of_one_file_all_succeed(tmp_path: Path) -> None:
    """Two runs that end at once are both told the truth: the file is that of one of them."""
    file, contents = Location.of(tmp_path) / "current", [str(i).encode() * 9 for i in range(60)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(file.write_bytes, contents))
    assert file.read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["current"]


def test_entries_tell_files_from_what_only_looks_like_them(tmp_path: Path) -> None:
    """A link is not followed, and a FIFO is not waited for."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "plain").write_text("x")
    (tmp_path / "a" / "one").write_text("x")
    os.link(tmp_path / "a" / "one", tmp_path / "a" / "two")
    (tmp_path / "a" / "link").symlink_to("b")
    os.mkfifo(tmp_path / "a" / "fifo")
    folder = Location.of(tmp_path) / "a"
    assert folder.entries() == {
        "b": "folder",
        "plain": "file",
        "one": "hard link",
        "two": "hard link",
        "link": "symbolic link",
        "fifo": "special file",
    }
    assert (folder / "plain").read_plain(1) == b"x"
    with pytest.raises(OSError, match="File too large"):
        (folder / "plain").read_plain(0)
    for name in ("b", "one", "link", "fifo"):
        with pytest.raises(OSError, match=r"it is a|symbolic links"):
            (folder / name).read_plain(9)
    with pytest.raises(NotADirectoryError):
        (folder / "link").entries()


def test_entries_of_another_storage_are_its_files_and_folders(folder: Location) -> None:
    """The same paths on every filesystem."""
    (folder / "a" / "b" / "file").write_bytes(b"x")
    assert (folder / "a").entries() == {"b": "folder", "b/file": "file"}
    assert (folder / "a" / "b" / "file").read_plain(1) == b"x"


def test_exchange_swaps_two_folders(tmp_path: Path) -> None:
    """Each is whole before and after; where the storage cannot swap, nothing moves."""
    new, old = Location.of(tmp_path) / "new [1]", Location.of(tmp_path) / "old"
    (new / "file").write_bytes(b"new")
    (old / "file").write_bytes(b"old")
    swapped = new.exchange(old)
    assert (old / "file").read_bytes() == (b"new" if swapped else b"old")
    assert (new / "file").read_bytes() == (b"old" if swapped else b"new")


def test_what_only_a_local_filesystem_can_do_is_refused_elsewhere() -> None:
    """An object store has no rename, and no two folders that are swapped."""
    there = Location.of("memory://bucket/x")
    for deed in (there.rename, there.exchange):
        with pytest.raises(OSError, match="'memory://bucket/x' is not on a local filesystem"):
            deed(there / "y")


HOLDS = textwrap.dedent("""
    import sys, time
    from sparkweights.storage.location import Location
    from sparkweights.storage.lock import lock
    with lock(Location.of(sys.argv[1]), "it"):
        print("locked", flush=True)
        time.sleep(60)
""")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_lock_of_another_process_is_refused_until_it_dies(
    tmp_path: Path, blow: signal.Signals
) -> None:
    """However it dies; the file stays, and its name may be any."""
    file = Location.of(tmp_path) / "runs [a*]" / "_lock-100% b"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(PublishError, match="Another run is writing the table"),
            lock(file, "the table"),
        ):
            pass
    finally:
        holder.send_signal(blow)
        holder.wait(30)
        holder.stdout.close()
    assert file.is_file()
    with lock(file, "the table"):
        pass


def test_lock_within_one_process_excludes_a_second_run(tmp_path: Path) -> None:
    """Two runs of one notebook are two runs; the first one's end frees the lock."""
    file = Location.of(tmp_path) / "_lock"
    with lock(file, "it"):
        with pytest.raises(PublishError, match="Another run is writing it"), lock(file, "it"):
            pass
        assert try_lock(file) is None  # the refused one has freed nothing
    with lock(file, "it"):
        pass
    with pytest.raises(ValueError, match="inside"), lock(file, "it"):
        raise ValueError("inside")
    with lock(file, "it"):
        pass


def test_lock_is_waited_for_as_long_as_it_is_asked(tmp_path: Path) -> None:
    """Another run needs it for a moment."""
    file = Location.of(tmp_path) / "_lock"
    with ThreadPoolExecutor(1) as pool:
        with lock(file, "it"):
            waiting = pool.submit(_take_and_release, file, 30.0)
            with pytest.raises(PublishError, match="Another run is writing it"):
                _take_and_release(file, 0.3)
            assert not waiting.done()
        waiting.result()


def _take_and_release(file: Location, patience: float) -> None:
    with lock(file, "it", patience=patience):
        pass


@pytest.mark.parametrize("removed", ["the file", "a link in its place"])
def test_lock_whose_file_is_removed_still_excludes_a_second_run(
    tmp_path: Path, removed: str
) -> None:
    """Somebody tidies up below a run; the folder itself is locked as well."""
    file, victim = Location.of(tmp_path) / "_lock", tmp_path / "victim"
    victim.write_text("precious")
    with lock(file, "it"):
        (tmp_path / "_lock").unlink()
        if removed != "the file":
            (tmp_path / "_lock").symlink_to(victim)
        with pytest.raises(PublishError, match=r"Another run is|symbolic links"), lock(file, "it"):
            pass
    assert victim.read_text() == "precious"
    file.remove_file()
    with lock(file, "it"):
        pass


def test_lock_in_a_folder_that_cannot_be_made_is_a_publish_error(tmp_path: Path) -> None:
    """Before any work is done."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PublishError, match=r"Cannot write '.*file': (File exists|Not a directory)"),
        lock(Location.of(tmp_path) / "file" / "_lock", "it"),
    ):
        pass


def test_lock_is_refused_where_the_storage_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose existence is the lock would outlive a killed run, and block the next one."""
    import fcntl

    def missing(_: int, __: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with (
        pytest.raises(PublishError, match=r"Cannot write '.*': Function not implemented"),
        lock(Location.of(tmp_path) / "_lock", "it"),
    ):
        pass


def test_reading_a_local_file_does_not_import_the_filesystem_library(tmp_path: Path) -> None:
    """Its import takes longer than reading a configuration."""
    (tmp_path / "file").write_text("x")
    code = (
        "import sys; from sparkweights.storage.location import Location;"
        "print(Location.of(sys.argv[1]).read_text(), 'fsspec' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "x False\n"
