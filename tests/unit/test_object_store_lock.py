"""A lock on an object store: one run has it, and it ends with that run, however that ends."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage import object_store_lock
from sparkweights.storage.lock import lock, try_lock
from sparkweights.storage.object_store_lock import SKEW, TERM, Claim, ObjectStoreLock, take
from sparkweights.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.storage.location import Location

NOW = datetime.now(UTC)


def _claim(file: Location, generation: int, until: datetime, *, released: bool = False) -> Claim:
    """Write the claim of another run."""
    claim = Claim(generation, "process 7 on host-a", f"token {generation}", until, released)
    (file / f"{generation:010}").write_bytes(claim.to_json())
    return claim


def _names(file: Location) -> list[str]:
    return [each.name for each in file.children()]


@pytest.mark.parametrize("before", ["nothing", "released", "expired"])
def test_lease_that_eight_runs_want_at_once_is_that_of_one(bucket: Location, before: str) -> None:
    """Whatever is there; the others are told who has it."""
    for attempt in range(10):
        file, start = bucket / f"lock-{attempt}", Barrier(8)
        if before != "nothing":
            _claim(file, 4, NOW - 2 * SKEW, released=before == "released")

        def race(_: int, file: Location = file, start: Barrier = start) -> ObjectStoreLock | Claim:
            start.wait()
            return take(file)

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(race, range(8)))
        (winner,) = [each for each in taken if isinstance(each, ObjectStoreLock)]
        winner.require_held()
        assert {each.generation for each in taken if isinstance(each, Claim)} == {
            1 if before == "nothing" else 5
        }
        with winner:
            assert not isinstance(take(file), ObjectStoreLock)


def test_lock_of_another_machine_is_refused_with_its_owner_and_term(bucket: Location) -> None:
    """Until its term, and the difference of two clocks, are over."""
    file = bucket / "locks" / "_lock"
    until = datetime.now(UTC) + timedelta(minutes=5)
    _claim(file, 1, until)
    with (
        pytest.raises(PublishError, match=r"Another run is writing lending\.scored") as caught,
        lock(file, "lending.scored"),
    ):
        pass
    assert caught.value.exit_code == 6
    assert f"process 7 on host-a, which has the lock until {until:%Y-%m-%d %H:%M:%S} UTC" in str(
        caught.value
    )
    assert try_lock(file) is None
    _claim(file, 1, datetime.now(UTC) - SKEW / 2)
    assert try_lock(file) is None
    _claim(file, 1, datetime.now(UTC) - 2 * SKEW)
    with lock(file, "lending.scored") as held:
        held.require_held()
        assert _names(file) == ["0000000002"]


def test_lease_that_is_released_is_free_and_its_number_is_not_used_again(bucket: Location) -> None:
    """Also after an error in the run; the newest claim stays."""
    file = bucket / "_lock"
    for generation in ("0000000001", "0000000002"):
        with pytest.raises(ValueError, match="inside"), lock(file, "it"):
            raise ValueError("inside")
        assert _names(file) == [generation]
        assert json.loads((file / generation).read_bytes())["released"] is True
    with lock(file, "it"):
        with pytest.raises(PublishError, match="Another run is writing it"), lock(file, "it"):
            pass
        assert _names(file) == ["0000000003"]


def test_lease_of_a_run_that_goes_on_is_extended(bucket: Location) -> None:
    """By its thread, before a call asks for it."""
    taken = take(bucket / "_lock", timedelta(seconds=2))
    assert isinstance(taken, ObjectStoreLock)
    claim = bucket / "_lock" / "0000000001"
    first, deadline = claim.read_bytes(), time.monotonic() + 2
    with taken:
        while claim.read_bytes() == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert json.loads(claim.read_bytes())["until"] > json.loads(first)["until"]
        taken.require_held()
    with pytest.raises(PublishError, match="stopped for so long"):
        taken.require_held()  # no longer after its end


def test_run_that_was_followed_by_another_publishes_nothing(bucket: Location) -> None:
    """Paused beyond its term, it finds the newer claim; what it releases is not the other's."""
    file = bucket / "_lock"
    paused = take(file)
    assert isinstance(paused, ObjectStoreLock)
    with paused:
        paused.require_held()
        _claim(file, 2, datetime.now(UTC) + TERM)
        with pytest.raises(PublishError, match="another run may have begun") as caught:
            paused.require_held()
        assert caught.value.exit_code == 6
        (file / "0000000001").remove_file()  # by the follower
    assert _names(file) == ["0000000002"]
    assert json.loads((file / "0000000002").read_bytes())["released"] is False


def test_run_whose_term_is_over_does_not_extend_it(bucket: Location) -> None:
    """Another run may be creating its claim at this moment."""
    file = bucket / "_lock"
    late = take(file, timedelta(0))
    assert isinstance(late, ObjectStoreLock)
    before = (file / "0000000001").read_bytes()
    with late, pytest.raises(PublishError, match="stopped for so long"):
        late.require_held()
    assert json.loads(before)["released"] is False


def test_follower_gives_way_to_a_run_that_extends_its_claim_at_the_same_moment(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writes before it reads, so one of the two notices the other."""
    file, create = bucket / "_lock", object_store_lock._create
    _claim(file, 1, datetime.now(UTC) - 2 * SKEW)

    def late(file: Location, claim: Claim) -> bool:
        _claim(file, 1, datetime.now(UTC) + TERM)
        return create(file, claim)

    monkeypatch.setattr(object_store_lock, "_create", late)
    refused = take(file)
    assert isinstance(refused, Claim)
    assert refused.generation == 1
    assert json.loads((file / "0000000002").read_bytes())["released"] is True


def test_claim_that_others_have_used_and_removed_is_not_used_again(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look and a creation, two other runs may have had the lock."""
    file, create = bucket / "_lock", object_store_lock._create
    _claim(file, 1, NOW, released=True)

    def late(file: Location, claim: Claim) -> bool:
        _claim(file, 3, datetime.now(UTC) + TERM)
        return create(file, claim)

    monkeypatch.setattr(object_store_lock, "_create", late)
    refused = take(file)
    assert isinstance(refused, Claim)
    assert refused.generation == 3


def test_creation_that_the_library_sent_twice_is_that_of_this_run(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first request was lost; the second one finds the file of the first."""
    pipe_file, lost = MemoryFileSystem.pipe_file, list[str]()

    def twice(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        pipe_file(self, path, value, mode=mode)
        if mode == "create" and not lost:
            lost.append(path)
            raise OSError(5, "At least one of the pre-conditions did not hold")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", twice)
    taken = take(bucket / "_lock")
    assert isinstance(taken, ObjectStoreLock)
    with taken:
        assert lost


def _ignores(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
    self.open(path, mode="wb", data=value)


@pytest.mark.parametrize("create", [_ignores, AbstractFileSystem.pipe_file])
def test_storage_whose_creation_excludes_nobody_is_refused(
    bucket: Location, monkeypatch: pytest.MonkeyPatch, create: Callable[..., None]
) -> None:
    """A server that ignores the condition, and a library that looks before it writes."""
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", create)
    with (
        pytest.raises(ConfigError, match="lets two runs create one file") as caught,
        lock(bucket / "_lock", "it"),
    ):
        pass
    assert "s3a://" in str(caught.value.hint)
    assert not bucket.exists()


@pytest.mark.parametrize(("name", "content"), [("0000000001", b"{}"), ("notes.txt", b"")])
def test_lock_that_holds_something_else_is_refused(
    bucket: Location, name: str, content: bytes
) -> None:
    """Nobody knows whether it is another run's."""
    (bucket / "_lock" / name).write_bytes(content)
    with (
        pytest.raises(PublishError, match="what no release of sparkweights writes"),
        lock(bucket / "_lock", "it"),
    ):
        pass


def test_storage_that_cannot_be_reached_ends_in_one_sentence(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries of storage have exceptions of their own, such as for missing credentials."""

    class NoCredentialsError(Exception):
        pass

    def fails(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    with lock(bucket / "_lock", "it") as held:
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", fails)
        with pytest.raises(PublishError, match="NoCredentialsError: Unable to locate") as caught:
            held.require_held()
    assert "credentials of the storage" in str(caught.value.hint)


def test_scratch_folder_of_an_object_store_ends_with_its_process(bucket: Location) -> None:
    """One whose term is over is removed by the next process; one that is in use is not."""
    (bucket / "_work-dead" / "rows" / "part-0").write_bytes(b"personal")
    _claim(bucket / "_work-dead" / "_lock", 1, NOW - 2 * SKEW)
    (bucket / "_work-live" / "rows" / "part-0").write_bytes(b"personal")
    _claim(bucket / "_work-live" / "_lock", 1, datetime.now(UTC) + TERM)
    (bucket / "current").write_bytes(b"v1")
    with scratch_folder(bucket) as folder:
        (folder / "rows" / "part-0").create(b"personal")
        assert _names(bucket) == sorted([folder.name, "_work-live", "current"])
    assert _names(bucket) == ["_work-live", "current"]
