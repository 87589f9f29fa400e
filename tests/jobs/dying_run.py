"""A scoring run that is killed at a step of its own; `killed` starts it.

``python dying_run.py STEP SECONDS WHOM score --config ...`` waits for a line of its input, with an
engine that has started, and is killed so many seconds into the step, by SIGKILL. STEP is
``scored.publish`` or another method of a publication, ``record.write``, ``record.written``, or
``never``. WHOM is ``driver``, whose Java lives on for a moment, or ``both``.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from threading import Timer
from typing import TYPE_CHECKING, Any

from sparkweights.app import runner
from sparkweights.app.session import open_session
from sparkweights.app.tables import outputs
from sparkweights.cli.main import main
from sparkweights.records.store import FolderRunStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkweights.records.base import Record
    from sparkweights.scoring.run import Outputs

_write = FolderRunStore.write


def _kill(whom: str) -> None:
    if whom == "both":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(step: Callable[..., Any], seconds: float, whom: str, *args: Any, **options: Any) -> Any:
    """Take a step, and be killed before it begins or so many seconds later."""
    if seconds == 0:
        _kill(whom)
    blow = Timer(seconds, _kill, [whom])
    blow.daemon = True
    blow.start()
    return step(*args, **options)


def _aim(step: str, seconds: float, whom: str) -> None:
    """Have the step kill the process."""
    role, _, method = step.partition(".")

    def aimed(*args: Any) -> Outputs:
        found = outputs(*args)
        publication = getattr(found, role)
        dying = partial(_dying, getattr(publication, method), seconds, whom)
        object.__setattr__(publication, method, dying)
        return found

    def write(self: FolderRunStore, record: Record) -> None:
        if method == "written":
            _write(self, record)
        _kill(whom)

    if role == "record":
        FolderRunStore.write = write
    elif step != "never":
        runner.outputs = aimed


def run(step: str, seconds: float, whom: str, command: list[str]) -> int:
    """Start an engine and its catalog, wait for a line, and run the command."""
    open_session("dying").catalog.listDatabases()
    _aim(step, seconds, whom)
    sys.stdin.readline()
    return main(command)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
