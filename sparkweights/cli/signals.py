"""What ends the command line from outside: one line, and no process that goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

INTERRUPT = int(signal.SIGINT)
INTERRUPTED = "\nsparkweights: interrupted; each table is whole, old or new. Run the same again.\n"
CHILD_ENDS = 5  # seconds


@contextmanager
def restored_handlers() -> Iterator[None]:
    """Put the handlers of signals back at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_signals(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    """Have a handler answer SIGINT and SIGTERM; in another thread than the main one, do nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, handler)


def exit_interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit at once, with the line that says so."""
    sys.stderr.write(INTERRUPTED)
    sys.stderr.flush()
    os._exit(128 + number)


def exit_while_java_starts(number: int, frame: FrameType | None) -> NoReturn:
    """End Java first: it would write its own warnings below our last line.

    A Java that is ready ends by itself when its parent does, and then removes its own files.
    """
    for child in _children():
        with suppress(OSError):  # it has ended in between
            _end(child)
    exit_interrupted(number, frame)


def _end(child: int) -> None:
    """End a child process, by force where it does not end in time, and wait for its end."""
    os.kill(child, signal.SIGTERM)
    until = time.monotonic() + CHILD_ENDS
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def _children() -> list[int]:
    """Return the children of this process; none where the system does not list them."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(child) for file in lists for child in file.read_text(encoding="ascii").split()]
