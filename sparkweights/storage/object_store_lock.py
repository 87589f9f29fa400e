"""A lock on an object store: one of several runs has it, and it ends with the run that has it.

No store can be told that a process has died, so a lock has a term, which its holder extends. A
lock is a folder of claims, ``<file>/<generation>``, each one object: who, until when, and whether
it was released. Whoever finds the newest claim released, or its term over, creates the next one.
That creation is conditional: it fails where the object exists, so one of several runs succeeds.
Nothing else is asked of the storage but that a reader sees the last write (S3, Google Cloud Storage
and Azure promise both).

A holder that was paused beyond its term may have been followed by another one. It extends its claim
and then looks for a newer one, before each step that publishes; its follower creates a claim and
then looks whether the older one was extended. Each writes before it reads, so at least one of the
two sees the other, and gives way.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from io import UnsupportedOperation
from threading import Event, Thread
from threading import Lock as Mutex
from typing import TYPE_CHECKING
from uuid import uuid4

from sparkweights.core.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sparkweights.storage.location import Location

TERM = timedelta(seconds=60)
SKEW = timedelta(seconds=10)  # by which the clocks of two machines may differ
_RENEWALS = 3  # per term, so that one may fail


@dataclass(frozen=True)
class Claim:
    """What one run states about its lock.

    Attributes
    ----------
    generation
        One more than that of the claim before.
    owner
        The process and its machine, for messages.
    token
        A text that no other claim has.
    until
        The end of its term.
    released
        Whether its run has ended.
    """

    generation: int
    owner: str
    token: str
    until: datetime
    released: bool = False

    def is_live(self, now: datetime) -> bool:
        """Whether its run may still be running."""
        return not self.released and now < self.until + SKEW

    def to_json(self) -> bytes:
        """Return the content of its object."""
        record = asdict(self) | {"until": self.until.isoformat()}
        del record["generation"]  # the object's name
        return json.dumps(record).encode()

    @classmethod
    def from_json(cls, generation: int, content: bytes) -> Claim:
        """Return the claim of an object.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is none.
        """
        record = json.loads(content)
        until = datetime.fromisoformat(record["until"])
        return cls(generation, record["owner"], record["token"], until, record["released"])


def take(file: Location, term: timedelta = TERM) -> ObjectStoreLock | Claim:
    """Take a lock for a run; return the claim of another run instead where that has it.

    Parameters
    ----------
    file
        The folder of its claims.
    term
        After which it ends, unless it is extended.

    Raises
    ------
    ConfigError
        If the storage has no create that excludes a second writer.
    PublishError
        If the folder holds anything but claims.
    OSError
        If the storage cannot be read or written.
    """
    before = _newest(file)
    now = datetime.now(UTC)
    if before is not None and before.is_live(now):
        return before
    generation = 1 if before is None else before.generation + 1
    owner = f"process {os.getpid()} on {platform.node()}"
    claim = Claim(generation, owner, uuid4().hex, now + term)
    if not _create(file, claim):
        return _read(file, generation) or take(file, term)
    _require_exclusive(file, claim)
    # The claim may be one that others have used and removed since.
    if (newest := _newest(file)) != claim:
        return newest or take(file, term)
    extended = None if before is None else _read(file, before.generation)
    if extended is not None and extended.is_live(datetime.now(UTC)):
        _write(file, replace(claim, released=True))
        return extended
    for older in _generations(file)[:-1]:
        _object(file, older).remove_file()
    return ObjectStoreLock(file, claim, term)


class ObjectStoreLock:
    """A lock that a run has, extended by a thread until it is released.

    Parameters
    ----------
    file
        The folder of its claims.
    claim
        The newest of them.
    term
        By which it is extended.
    """

    def __init__(self, file: Location, claim: Claim, term: timedelta) -> None:
        self._file, self._claim, self._term = file, claim, term
        self._mutex, self._released = Mutex(), Event()
        self._renewing = Thread(target=self._keep_renewing, name="lock", daemon=True)
        self._renewing.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._renewing.join(self._term.total_seconds())
        with self._mutex, suppress(OSError, PublishError):  # else its term ends it
            # A claim that was removed, with a scratch folder, stays so.
            if _object(self._file, self._claim.generation).exists():
                _write(self._file, replace(self._claim, released=True))

    def require_held(self) -> None:
        """Extend the lock, and refuse to go on where that is not possible.

        Raises
        ------
        PublishError
            If another run has taken it, its term is over, or the storage cannot be reached.
        """
        try:
            is_held = self._renew() and _generations(self._file)[-1:] == [self._claim.generation]
        except OSError as error:
            raise self._file.unwritable(error) from None
        if not is_held:
            raise PublishError(
                f"This run was stopped for so long that its lock '{self._file}' ended, and another "
                "run may have begun.",
                hint="nothing more is published by this one; run the date again.",
            )

    def _keep_renewing(self) -> None:
        while not self._released.wait(self._term.total_seconds() / _RENEWALS):
            with suppress(PublishError):  # the next attempt may succeed; `require_held` tells
                self._renew()

    def _renew(self) -> bool:
        """Extend the claim; return whether its term was not over."""
        with self._mutex:
            now = datetime.now(UTC)
            if self._released.is_set() or now >= self._claim.until:
                return False
            extended = replace(self._claim, until=now + self._term)
            _write(self._file, extended)
            self._claim = extended
        return True


def _object(file: Location, generation: int) -> Location:
    return file / f"{generation:010}"


def _create(file: Location, claim: Claim) -> bool:
    """Create the object of a claim; return whether no other claim has it."""
    try:
        return _object(file, claim.generation).try_create(claim.to_json())
    except UnsupportedOperation:
        raise _refusal(file) from None


def _require_exclusive(file: Location, claim: Claim) -> None:
    """Refuse a storage on which a claim that is there is created again."""
    if _create(file, replace(claim, token="", released=True)):
        _object(file, claim.generation).remove_file()
        raise _refusal(file)


def _refusal(file: Location) -> ConfigError:
    return ConfigError(
        f"'{file}' is on a storage that lets two runs create one file, so it cannot hold a lock.",
        hint="set artifacts and runs to an object store with conditional writes (s3a://, gs://, "
        "abfss://), or to a folder of a filesystem that driver and executors share.",
    )


def _write(file: Location, claim: Claim) -> None:
    _object(file, claim.generation).write_bytes(claim.to_json())


def _generations(file: Location) -> list[int]:
    """Return the generations of the claims, the newest last."""
    try:
        return sorted(int(each.name) for each in file.children())
    except FileNotFoundError:
        return []
    except ValueError:
        raise _not_a_lock(file) from None


def _newest(file: Location) -> Claim | None:
    """Return the newest claim; None where there is none."""
    while generations := _generations(file):
        claim = _read(file, generations[-1])
        if claim is not None:
            return claim
    return None


def _read(file: Location, generation: int) -> Claim | None:
    """Return a claim; None where it was removed, because there is a newer one."""
    try:
        return Claim.from_json(generation, _object(file, generation).read_bytes())
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError):
        raise _not_a_lock(file) from None


def _not_a_lock(file: Location) -> PublishError:
    return PublishError(
        f"The lock '{file}' holds what no release of sparkweights writes.",
        hint="see what has put it there; remove it when no run is writing.",
    )
