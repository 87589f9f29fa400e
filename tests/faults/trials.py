"""Faults at random moments of a run, and what must hold during it and after it.

A trial copies a lender that has a model and yesterday's scores, brings a new table, starts a verb
in a process of its own and lets one fault happen at a moment that the seed decides. Meanwhile a
reader polls what the verb publishes. What must hold:

- the exit code is one that the fault allows, and the last line is the product's own;
- the reader saw the old rows or the new ones, and never a part or a mix;
- the same run succeeds afterwards, and leaves what a run without a fault leaves;
- no process of the run is left 30 seconds after its end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from conftest import RUN_DATE, SHORT_LIVED, Shop, history

from sparkweights.bundle.integrity import read_bundle
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INCOMING = 400  # rows
PATIENCE = 300  # seconds for one run
ENDED = 30  # seconds after which no process of a run may be left
POLL = 0.05  # seconds between two looks of the reader
VARYING = ["scored_at"]  # differs between two runs of one date
UNREADABLE = "unreadable:"
DISK = 4_000_000  # bytes of the small disk, most of which is filled before the run


@dataclass
class Scene:
    """One trial while it runs.

    Attributes
    ----------
    shop
        The lender's folder; all that a run writes is below its folder ``out``.
    verb
        ``score`` or ``train``.
    processes
        Runs that were started, the first one first.
    chance
        Decides the moment and the extent of the fault.
    """

    shop: Shop
    verb: str
    config: Path
    chance: random.Random
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        """Start the verb as a user does, as the first process of a session of its own."""
        options = ["--config", str(self.config), "--run-date", RUN_DATE, "--quiet"]
        own = {name: value for name, value in os.environ.items() if name != "PYSPARK_SUBMIT_ARGS"}
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "sparkweights", self.verb, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**own, **SHORT_LIVED, "SPARK_LOCAL_IP": "127.0.0.1"},
                start_new_session=True,
            )
        )

    @property
    def out(self) -> Path:
        """Return the folder of all that a run writes."""
        return self.shop.folder / "out"

    def running(self) -> bool:
        """Tell whether the first process has not ended."""
        return self.processes[0].poll() is None

    def members(self, name: str = "") -> list[int]:
        """Return the processes of all runs whose command holds a text."""
        sessions = {process.pid for process in self.processes}
        return [pid for pid, command in _processes(sessions) if name in command]

    def send(self, sent: signal.Signals, name: str) -> None:
        """Send a signal to the processes of a name, as soon as there is one."""
        while self.running():
            found = self.members(name)
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, sent)
            if found:
                return
            time.sleep(POLL / 5)


def _processes(sessions: set[int]) -> list[tuple[int, str]]:
    """Return process and command of what lives in one of the sessions."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in sessions and state != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(folder.name), command.decode(errors="replace")))
    return found


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    happen
        Makes the fault happen, at a moment of the run that the caller has waited for.
    allowed
        Exit codes of the first run, besides 0 where it had ended before.
    prepare
        Done before the run starts.
    repair
        Done after it has ended, before the run is repeated.
    readable
        Whether the old output stays where it is, so that a reader must see it.
    traced
        Whether PySpark writes a traceback of its own before the last line.
    """

    happen: Callable[[Scene], None]
    allowed: frozenset[int]
    prepare: Callable[[Scene], None] = lambda _scene: None
    repair: Callable[[Scene], None] = lambda _scene: None
    readable: bool = True
    traced: bool = False


def _stop_and_resume(scene: Scene) -> None:
    """Stop all processes of a run for some seconds, as a machine that sleeps does."""
    for sent in (signal.SIGSTOP, signal.SIGCONT):
        for pid in scene.members():
            with suppress(ProcessLookupError):
                os.kill(pid, sent)
        if sent == signal.SIGSTOP:
            time.sleep(scene.chance.uniform(1, 8))


def _mount_small_disk(scene: Scene) -> None:
    """Put ``out`` on a disk of its own."""
    kept = scene.shop.folder / "kept"
    scene.out.rename(kept)
    scene.out.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(scene.out))
    shutil.copytree(kept, scene.out, dirs_exist_ok=True)


def _fill_disk(scene: Scene) -> None:
    """Leave a random part of what a run needs, from nothing at all to all."""
    free = shutil.disk_usage(scene.out).free
    left = int(scene.chance.uniform(0, min(600_000, free)))
    with suppress(OSError):
        (scene.out / "ballast").write_bytes(b"\0" * (free - left))


def _free_disk(scene: Scene) -> None:
    (scene.out / "ballast").unlink(missing_ok=True)


def _remount(mode: str) -> Callable[[Scene], None]:
    def remount(scene: Scene) -> None:
        if mode == "rw":
            _mount("-o", "remount,rw", str(scene.out))
            return
        while scene.running():  # refused while a file is open for writing
            with suppress(subprocess.CalledProcessError):
                _mount("-o", "remount,ro", str(scene.out))
                return
            time.sleep(POLL / 5)

    return remount


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def _remove_folder(scene: Scene) -> None:
    """Remove what the verb writes into, as a clean-up script with a wrong path does."""
    name = "scored" if scene.verb == "score" else "models"
    shutil.rmtree(scene.out / name, ignore_errors=True)


def _restore_models(scene: Scene) -> None:
    """Bring back a model that was removed; nobody can score without one."""
    if not (scene.out / "models" / "current").exists():
        shutil.copytree(scene.shop.folder / "models_kept", scene.out / "models", dirs_exist_ok=True)


def _keep_models(scene: Scene) -> None:
    shutil.copytree(scene.out / "models", scene.shop.folder / "models_kept")


def _replace_input(scene: Scene) -> None:
    """Write the input anew under the same file names, as a loader that runs late does."""
    _bring_tables(scene.shop, seed=scene.chance.randrange(1_000, 2_000))


# A run that is killed says nothing; -SIGKILL is its exit code.
FAULTS: Mapping[str, Fault] = {
    "driver killed": Fault(
        lambda scene: scene.processes[0].send_signal(signal.SIGKILL), frozenset({-9})
    ),
    # The thread that receives PySpark's accumulators tells that its connection has ended.
    "java killed": Fault(
        lambda scene: scene.send(signal.SIGKILL, "java"), frozenset({1}), traced=True
    ),
    "worker killed": Fault(
        lambda scene: scene.send(signal.SIGKILL, "pyspark.daemon"), frozenset({1})
    ),
    "stopped and resumed": Fault(_stop_and_resume, frozenset()),
    "terminated": Fault(
        lambda scene: scene.processes[0].send_signal(signal.SIGTERM), frozenset({143, -15})
    ),
    "two runs": Fault(Scene.start, frozenset({6})),
    "full disk": Fault(_fill_disk, frozenset({6}), _mount_small_disk, _free_disk),
    "read-only": Fault(_remount("ro"), frozenset({6}), _mount_small_disk, _remount("rw")),
    "folder removed": Fault(
        _remove_folder, frozenset({4, 5, 6}), _keep_models, _restore_models, readable=False
    ),
    "input replaced": Fault(_replace_input, frozenset({4})),
}


class Reader(threading.Thread):
    """Poll what a verb publishes, and keep each state that was seen."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(daemon=True)
        self.scene, self.seen, self.ended = scene, set[str](), threading.Event()

    def run(self) -> None:
        """Look until the trial ends."""
        while not self.ended.wait(POLL):
            self.seen.add(published(self.scene))

    def stop(self) -> set[str]:
        """Return the states that were seen."""
        self.ended.set()
        self.join()
        return self.seen


def published(scene: Scene) -> str:
    """Return a digest of what a reader finds: the scored rows, or the model in use.

    A reader that lists a folder and then opens its files may find that a file has gone meanwhile;
    as readers do, it then looks again.
    """
    until = time.monotonic() + 2
    while True:
        try:
            return _scored(scene) if scene.verb == "score" else _current(scene)
        except Exception as error:  # noqa: BLE001 (whatever a reader meets is a finding)
            if time.monotonic() > until:
                return f"{UNREADABLE} {type(error).__name__}: {error}"
            time.sleep(POLL / 5)


def _scored(scene: Scene) -> str:
    table = pd.read_parquet(scene.out / "scored").drop(columns=VARYING)
    rows = table.sort_values("loan id").sort_index(axis="columns").astype(str)
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()


def _current(scene: Scene) -> str:
    """Return the version in use, of which every file has been verified."""
    return read_bundle(Location.of(str(scene.out / "models"))).version


def _bring_tables(shop: Shop, seed: int) -> None:
    shop.table("incoming", history(INCOMING, seed=seed).drop(columns="outcome"))
    shop.table("history", history(seed=seed))


@dataclass(frozen=True)
class Finding:
    """What one trial came to; without ``wrong`` it holds."""

    name: str
    code: int
    moment: float
    seconds: float
    wrong: tuple[str, ...]


def measure_length(lender: Path, folder: Path, verb: str) -> float:
    """Return the seconds that a run without a fault takes."""
    shutil.copytree(lender, folder)
    begun = time.monotonic()
    scene = Scene(Shop(folder), verb, folder / "shop.yaml", random.Random(0))
    scene.start()
    said = scene.processes[0].communicate(timeout=PATIENCE)[1]
    assert scene.processes[0].returncode == 0, said
    shutil.rmtree(folder)
    return time.monotonic() - begun


def try_fault(
    lender: Path, folder: Path, name: str, verb: str, *, seed: int, length: float
) -> Finding:
    """Let one fault happen to one run.

    Parameters
    ----------
    lender
        Folder of a lender with a model and scores, which is copied.
    folder
        Where the trial takes place.
    name, verb
        The fault and the run.
    seed
        Decides the moment, the extent and the new tables.
    length
        Seconds that a run without a fault takes.
    """
    fault, chance = FAULTS[name], random.Random(seed)
    shutil.copytree(lender, folder)
    shop = Shop(folder)
    scene = Scene(shop, verb, shop.folder / "shop.yaml", chance)
    fault.prepare(scene)
    try:
        return _try(scene, fault, f"{verb}: {name}, seed {seed}", length)
    finally:
        for pid in scene.members():
            os.kill(pid, signal.SIGKILL)
        if os.path.ismount(scene.out):
            subprocess.run(["umount", "--lazy", str(scene.out)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _try(scene: Scene, fault: Fault, name: str, length: float) -> Finding:
    begun = time.monotonic()
    before, brought = published(scene), scene.chance.randrange(100, 1_000)
    _bring_tables(scene.shop, brought)
    reader = Reader(scene)
    reader.start()
    scene.start()
    moment = scene.chance.uniform(0.1, 1.0) * length
    until = time.monotonic() + moment
    while scene.running() and time.monotonic() < until:
        time.sleep(POLL / 5)
    fault.happen(scene)
    wrong = []
    codes = []
    for process in scene.processes:
        try:
            said = process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            wrong.append(f"still runs after {PATIENCE} s")
            break
        codes.append(process.returncode)
        wrong += _spoken(process.returncode, said, fault)
    if len(codes) > 1 and 0 not in codes:
        wrong.append(f"neither of two runs succeeded: {codes}")
    wrong += _left_over(scene)
    fault.repair(scene)
    wrong += _repeat(scene)
    seen = reader.stop()
    if fault.readable:
        wrong += _misread(scene, seen, {before, published(scene)}, brought)
    if scene.verb == "score" and _rows_of_record(scene) != INCOMING:
        wrong.append("the record counts other rows than the table holds")
    return Finding(name, codes[0] if codes else -1, moment, time.monotonic() - begun, tuple(wrong))


def _repeat(scene: Scene) -> list[str]:
    """Run the verb once more, in this process."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
        code = scene.shop.run(scene.verb, scene.config, "--quiet")
    return [f"the run that was repeated: exit code {code}: {said.getvalue()}"] if code else []


def _misread(scene: Scene, seen: set[str], known: set[str], brought: int) -> list[str]:
    """Return what a reader saw that is neither the old output nor that of a whole run."""
    if scene.verb == "train":  # a version that could be read has been verified whole
        return sorted(state for state in seen if state.startswith(UNREADABLE))
    if not seen <= known:  # the input may have been replaced after the run had read it
        _bring_tables(scene.shop, brought)
        _repeat(scene)
        known = {*known, published(scene)}
    return [f"a reader saw what no whole run leaves: {state}" for state in sorted(seen - known)]


def _spoken(code: int, said: str, fault: Fault) -> list[str]:
    """Return what is wrong with an exit code and with what was written to standard error."""
    lines = [line for line in said.splitlines() if line.strip()]
    wrong = []
    if code not in {0, *fault.allowed}:
        wrong.append(f"exit code {code}: {' / '.join(lines[-3:])}")
    if code > 0 and not (lines and lines[-1].startswith("sparkweights: ")):
        wrong.append(f"the last line is not ours: {lines[-1:]}")
    if "Traceback" in said and not fault.traced:
        wrong.append(f"a traceback: {' / '.join(lines[-6:])}")
    return wrong


def _left_over(scene: Scene) -> list[str]:
    until = time.monotonic() + ENDED
    while scene.members() and time.monotonic() < until:
        time.sleep(POLL)
    return [f"processes left after {ENDED} s: {left}"] if (left := scene.members()) else []


def _rows_of_record(scene: Scene) -> int:
    record: dict[str, Any] = json.loads(
        (scene.out / "runs" / f"run_date={RUN_DATE}" / "manifest.json").read_text("utf-8")
    )
    rows: int = record["rows"]["incoming"]
    return rows
