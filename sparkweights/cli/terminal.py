"""Steps and warnings: on a terminal as they happen, elsewhere as log lines."""

from __future__ import annotations

import logging
import sys
import time

from sparkweights.core.errors import printable

logger = logging.getLogger("sparkweights")


class TerminalProgress:
    """One line per step on a terminal, with the seconds that the step before it took."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._open = False

    def step(self, text: str) -> None:
        """Close the last step's line and open the next."""
        self.close()
        sys.stderr.write(f"  {printable(text):<52}")
        sys.stderr.flush()
        self._begun, self._open = time.monotonic(), True

    def warn(self, text: str) -> None:
        """Show a warning on a separate line."""
        self.close()
        sys.stderr.write(f"  warning: {printable(text)}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the open line."""
        if self._open:
            sys.stderr.write(f"{time.monotonic() - self._begun:6.1f} s\n")
            self._open = False


class LogProgress:
    """Plain log lines with their time, for schedulers."""

    def __init__(self) -> None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def step(self, text: str) -> None:
        """Log a step."""
        logger.info("%s", printable(text))

    def warn(self, text: str) -> None:
        """Log a warning."""
        logger.warning("%s", printable(text))

    def close(self) -> None:
        """Do nothing; log lines are complete."""


class QuietProgress(LogProgress):
    """Warnings only."""

    def step(self, text: str) -> None:
        """Log nothing."""


AnyProgress = TerminalProgress | LogProgress


def choose_progress(*, quiet: bool) -> AnyProgress:
    """Return the progress display for standard error: a terminal, a log, or warnings only."""
    if quiet:
        return QuietProgress()
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()
