"""A run that has lost a lock publishes nothing more, and says what it has published."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

import pytest

from sparkweights.core.errors import PublishError
from sparkweights.scoring.run import Outputs, ScoringRun

if TYPE_CHECKING:
    from sparkweights.storage.lock import Lock

STEPS = ["pending manifest", "quarantine", "scored", "record"]
WHEN_LOST = {
    0: "it was lost",
    1: "the quarantine of the date WAS replaced, the scored table was not",
    2: "both tables WERE published",
}


@dataclass(frozen=True)
class _Step:
    """A table and a store that list what is done with them."""

    name: str
    done: list[str]

    def publish(self) -> None:
        self.done.append(self.name)

    def write_pending_manifest(self, _: object) -> None:
        self.done.append("pending manifest")

    def write(self, _: object) -> None:
        self.done.append("record")


@dataclass
class _Lock:
    """A lock that another run takes after some questions."""

    questions: int

    def require_held(self) -> None:
        self.questions -= 1
        if self.questions < 0:
            raise PublishError("The lock was lost.", hint="it was lost.")


@pytest.mark.parametrize(("held", "done"), [(0, 0), (1, 2), (2, 3), (3, 4)])
def test_run_asks_its_locks_before_each_step_that_publishes(held: int, done: int) -> None:
    """A process that is paused may be followed by another run at any of them."""
    steps = list[str]()
    sinks = [cast("Any", _Step(name, steps)) for name in ("scored", "quarantine", "store")]
    values: dict[str, Any] = {each.name: None for each in fields(ScoringRun)}
    run = ScoringRun(**values | {"outputs": Outputs(*sinks[:2]), "store": sinks[2]})
    locks: list[Lock] = [_Lock(99), _Lock(held)]
    record = cast("Any", None)
    if held == 3:
        run._publish(record, locks)
        run._record(record, locks)
    else:
        with pytest.raises(PublishError, match="The lock was lost") as caught:
            [each(record, locks) for each in (run._publish, run._record)]
        assert WHEN_LOST[held] in str(caught.value.hint)
    assert steps == STEPS[:done]
