"""Progress messages: steps and warnings of a run."""

from __future__ import annotations

import logging
from typing import Protocol

from sparkweights.core.errors import printable

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives one call per step; the command line shows them, a notebook may ignore them."""

    def step(self, text: str) -> None:
        """Report that a step begins."""

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the run."""


class LoggedProgress:
    """The default: steps and warnings go to the module's logger."""

    def step(self, text: str) -> None:
        """Log a step."""
        logger.info("%s", printable(text))

    def warn(self, text: str) -> None:
        """Log a warning."""
        logger.warning("%s", printable(text))
