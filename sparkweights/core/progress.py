"""What the pipeline tells whoever is watching."""

from __future__ import annotations

import logging
from typing import Protocol

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives one call per step; the command line shows them, a notebook may ignore them."""

    def step(self, text: str) -> None:
        """Announce that a step begins."""

    def warn(self, text: str) -> None:
        """Say what the user should know although the run goes on."""


class LoggedProgress:
    """The default: steps and warnings go to the module's logger."""

    def step(self, text: str) -> None:
        """Log a step."""
        logger.info("%s", text)

    def warn(self, text: str) -> None:
        """Log a warning."""
        logger.warning("%s", text)
