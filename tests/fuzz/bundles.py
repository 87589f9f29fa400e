"""Altered bundles: each differs in one place from what training wrote, and none is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparkweights.bundle.integrity import read_bundle, write_manifest
from sparkweights.core.errors import ModelError
from sparkweights.records.training import TrainingRecord
from sparkweights.storage.location import Location

TRAINED = Path(__file__).parents[1] / "golden" / "before" / "models"
KEY = b"a key of thirty-two random bytes"
MAX_SECONDS = 5.0
_LAST = ("manifest.json", "manifest.sha256", "manifest.hmac")
_NAMES = (
    "x", "x=1", ".hidden", "_SUCCESS.crc", "part-99999.parquet", "manifest.json~", "manifest.JSON",
    "Manifest.sha256", "extra.py", "__pycache__", "a b", "näive", "a\nb", "\u202eabc", "-rf", "*",
    "..a", "\udcff", "x" * 200,
)  # fmt: skip


@dataclass(frozen=True)
class Models:
    """A folder of bundles, of which one is about to be altered.

    Attributes
    ----------
    root
        The artifacts folder.
    version, other
        The bundle that ``current`` names, and another one.
    outside
        A folder beside, which an attacker can write to.
    signed
        Whether both are signed by `KEY`.
    """

    root: Path
    version: str
    other: str
    outside: Path
    signed: bool

    @property
    def bundle(self) -> Path:
        """The folder of the bundle in use."""
        return self.root / self.version

    def draw_file(self, rng: random.Random, *, listed: bool = False) -> Path:
        """Draw a file of the bundle, if need be one that its manifest lists."""
        files = [path for path in sorted(self.bundle.rglob("*")) if path.is_file()]
        return rng.choice([path for path in files if not listed or path.name not in _LAST])

    def draw_folder(self, rng: random.Random, *, below: bool = False) -> Path:
        """Draw a folder of the bundle, if need be one below it."""
        folders = [path for path in sorted(self.bundle.rglob("*")) if path.is_dir()]
        return rng.choice(folders if below else [self.bundle, *folders])

    def draw_new_path(self, rng: random.Random) -> Path:
        """Draw a path of the bundle where nothing is."""
        while True:
            path = self.draw_folder(rng) / rng.choice(_NAMES)
            if not os.path.lexists(path):
                return path


Alteration = Callable[[random.Random, Models], str | None]  # the version to load, if not the one


def write_models(folder: Path, *, signed: bool) -> Models:
    """Write two sound bundles and the pointer to one of them."""
    version = (TRAINED / "current").read_text().strip()
    models = Models(folder / "models", version, f"{version[:-1]}0", folder / "outside", signed)
    for name in (models.version, models.other):
        target = models.root / name
        shutil.copytree(TRAINED / version, target)
        record = TrainingRecord.from_dict(json.loads((target / _LAST[0]).read_text("utf-8")))
        for file in _LAST:
            (target / file).unlink(missing_ok=True)
        if name == models.other:  # another model, in an attacker's eyes
            (target / "report.html").write_text("another report")
        changed = json.loads(json.dumps({**record.to_dict(), "version": name}))
        written = TrainingRecord.from_dict(changed)
        write_manifest(Location.of(target), written, KEY if signed else None)
    (models.root / "current").write_text(version + "\n")
    models.outside.mkdir()
    return models


def _flip_a_byte(rng: random.Random, models: Models) -> None:
    file = models.draw_file(rng)
    content = bytearray(file.read_bytes())
    if not content:
        file.write_bytes(b"\n")
        return
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def _truncate(rng: random.Random, models: Models) -> None:
    file = models.draw_file(rng)
    size = file.stat().st_size
    if size == 0:
        file.unlink()
    else:
        os.truncate(file, rng.randrange(size))


def _append(rng: random.Random, models: Models) -> None:
    with models.draw_file(rng).open("ab") as stream:
        stream.write(rng.randbytes(rng.randint(1, 300)))


def _grow_without_end(rng: random.Random, models: Models) -> None:
    os.truncate(models.draw_file(rng), 2**40)  # holes, which take no room


def _remove_a_file(rng: random.Random, models: Models) -> None:
    models.draw_file(rng).unlink()


def _remove_a_folder(rng: random.Random, models: Models) -> None:
    shutil.rmtree(models.draw_folder(rng))


def _swap_two_files(rng: random.Random, models: Models) -> None:
    first, second = models.draw_file(rng), models.draw_file(rng)
    contents = first.read_bytes(), second.read_bytes()
    if contents[0] == contents[1]:
        first.unlink()
        return
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])


def _rename_a_file(rng: random.Random, models: Models) -> None:
    file = models.draw_file(rng)
    file.rename(rng.choice([file.with_name(file.name.swapcase()), models.draw_new_path(rng)]))


def _rename_a_folder(rng: random.Random, models: Models) -> None:
    folder = models.draw_folder(rng, below=True)
    folder.rename(folder.with_name(rng.choice([folder.name.swapcase(), f"{folder.name}=1", "y"])))


def _add_a_file(rng: random.Random, models: Models) -> None:
    content = rng.choice([b"", b"x", models.draw_file(rng).read_bytes()])
    models.draw_new_path(rng).write_bytes(content)


def _add_a_folder(rng: random.Random, models: Models) -> None:
    folder = models.draw_new_path(rng)
    if rng.random() < 0.5:
        folder.mkdir()
    else:
        shutil.copytree(models.root / models.other / "model", folder)


def _add_a_special_file(rng: random.Random, models: Models) -> None:
    _make_special(rng, models.draw_new_path(rng))


def _put_a_special_file_in_place(rng: random.Random, models: Models) -> None:
    file = models.draw_file(rng)
    file.unlink()
    _make_special(rng, file)


def _make_special(rng: random.Random, path: Path) -> None:
    if rng.random() < 0.7 or len(os.fsencode(path)) > 100:  # a limit of sockets
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))


def _put_a_folder_in_place(rng: random.Random, models: Models) -> None:
    file = models.draw_file(rng)
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    if rng.random() < 0.5:
        (file / file.name).write_bytes(content)


def _add_a_link(rng: random.Random, models: Models) -> None:
    targets = [models.outside, models.draw_file(rng), models.draw_folder(rng), "..", ".", "absent"]
    models.draw_new_path(rng).symlink_to(rng.choice(targets))


def _put_a_link_in_place(rng: random.Random, models: Models) -> None:
    """Whatever it names has the right bytes, so far."""
    moved = models.draw_file(rng) if rng.random() < 0.5 else models.draw_folder(rng)
    target = models.outside / "moved"
    shutil.move(moved, target)
    moved.symlink_to(rng.choice([target, os.path.relpath(target, moved.parent)]))


def _put_a_hard_link_in_place(rng: random.Random, models: Models) -> None:
    """Give a file a second name outside, by which it can be written to later."""
    os.link(models.draw_file(rng), models.outside / "linked")


def _rename_the_bundle(rng: random.Random, models: Models) -> str:
    name = rng.choice(["renamed", models.version.swapcase(), f"{models.version}.1"])
    models.bundle.rename(models.root / name)
    return name


def _swap_two_versions(rng: random.Random, models: Models) -> str:
    models.bundle.rename(models.root / "_")
    (models.root / models.other).rename(models.bundle)
    (models.root / "_").rename(models.root / models.other)
    return rng.choice([models.version, models.other])


def _mix_two_versions(rng: random.Random, models: Models) -> None:
    """Take one of the files in which the two differ from the other version."""
    name = rng.choice(["report.html", *(one for one in _LAST if (models.bundle / one).exists())])
    shutil.copy(models.root / models.other / name, models.bundle / name)


def _name_a_path(rng: random.Random, models: Models) -> str:
    shutil.copytree(models.bundle, models.outside / models.version)
    return rng.choice([
        str(models.outside / models.version), f"../outside/{models.version}", f"./{models.version}",
        f"{models.version}/", f"{models.version}/.", f"{models.other}/../{models.version}", "", ".",
        "..", "/", f"{models.version}\n", f"{models.version}\0", f" {models.version}", "current",
        f"file://{models.bundle}", f"{models.version}\\", "~", "*", f"{models.version[:-1]}?",
        "x" * 5_000, "naïve",
    ])  # fmt: skip


def _alter_the_pointer(rng: random.Random, models: Models) -> None:
    pointer = models.root / "current"
    pointer.unlink()
    match rng.randrange(6):
        case 0:
            _make_special(rng, pointer)
        case 1:
            (models.outside / "current").write_text(models.version)
            pointer.symlink_to(models.outside / "current")
        case 2:
            pointer.mkdir()
        case 3:
            pointer.write_bytes(rng.randbytes(20))
        case 4:
            with pointer.open("wb") as stream:
                stream.truncate(2**40)
        case _:
            pointer.write_text(_name_a_path(rng, models).replace("\n", "/").strip() or "/")


def _edit_the_manifest(rng: random.Random, models: Models) -> None:
    """Without its checksum, or with it where there is a signature."""
    manifest = models.bundle / "manifest.json"
    record = json.loads(manifest.read_text("utf-8"))
    key = rng.choice(sorted(record))
    record[key] = rng.choice([None, 1, "x", [], {}])
    file = models.draw_file(rng, listed=True)
    if rng.random() < 0.5:
        file.write_bytes(b"another content")
        name = str(file.relative_to(models.bundle))
        if isinstance(record["files"], dict):  # not the key that was replaced
            record["files"][name] = _digest(file)
    text = rng.choice([json.dumps(record), "[" * 200_000, "", "null", '{"a": 1', "\udcff"])
    manifest.write_bytes(text.encode("utf-8", "surrogateescape"))
    if models.signed:
        (models.bundle / "manifest.sha256").write_text(_digest(manifest) + "\n")


def _alter_the_signature(rng: random.Random, models: Models) -> None:
    """Remove it, or put one there that is not by the key."""
    signature = models.bundle / "manifest.hmac"
    if not models.signed:
        _edit_the_manifest(rng, models)
        return
    if rng.random() < 0.3:
        signature.unlink()
        return
    manifest = models.bundle / "manifest.json"
    record = TrainingRecord.from_dict(json.loads(manifest.read_text("utf-8")))
    for name in _LAST:
        (models.bundle / name).unlink()
    write_manifest(Location.of(models.bundle), record, rng.choice([rng.randbytes(32), b"", None]))


ALTERATIONS: Mapping[str, Alteration] = {
    alteration.__name__.strip("_"): alteration
    for alteration in (
        _flip_a_byte, _truncate, _append, _grow_without_end, _remove_a_file, _remove_a_folder,
        _swap_two_files, _rename_a_file, _rename_a_folder, _add_a_file, _add_a_folder,
        _add_a_special_file, _put_a_special_file_in_place, _put_a_folder_in_place, _add_a_link,
        _put_a_link_in_place, _put_a_hard_link_in_place, _rename_the_bundle, _swap_two_versions,
        _mix_two_versions, _name_a_path, _alter_the_pointer, _edit_the_manifest,
        _alter_the_signature,
    )
}  # fmt: skip


def fuzz(seed: int, count: int, folder: Path) -> list[str]:
    """Alter bundles, every kind equally often, and return those that are not refused.

    Each is read as scoring reads it, before Spark is needed.
    """
    pristine = {
        signed: write_models(folder / f"pristine-{signed}", signed=signed)
        for signed in (False, True)
    }
    wrong = list[str]()
    kinds = list(ALTERATIONS)
    for trial in range(count):
        # Each trial can be repeated alone.
        rng = random.Random(f"{seed}/{trial}")
        kind, signed = kinds[trial % len(kinds)], rng.random() < 0.5
        with _copied(pristine[signed], folder / "trial") as models:
            version = ALTERATIONS[kind](rng, models)
            answer = _answer(models, version)
        if answer is not None:
            wrong.append(f"{kind}, trial {trial}, signed {signed}, version {version!r}: {answer}")
    return wrong


@contextmanager
def _copied(models: Models, folder: Path) -> Iterator[Models]:
    shutil.copytree(models.root.parent, folder)
    root, outside = folder / "models", folder / "outside"
    try:
        yield Models(root, models.version, models.other, outside, models.signed)
    finally:
        shutil.rmtree(folder)


def _answer(models: Models, version: str | None) -> str | None:
    """Return what is wrong with the answer to an altered bundle, or None where it is refused."""
    begun = time.monotonic()
    try:
        with _interrupted_after(4 * MAX_SECONDS):
            read_bundle(Location.of(models.root), version, KEY if models.signed else None)
    except ModelError as error:
        taken = time.monotonic() - begun
        if error.hint is None:
            return f"no next step: {error}"
        return None if taken < MAX_SECONDS else f"refused after {taken:.0f} s"
    except Exception as error:  # noqa: BLE001 (this is what is looked for)
        return f"{type(error).__name__}: {error}"
    return "it is loaded"


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """End a wait for the other end of a FIFO."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
