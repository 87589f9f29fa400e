"""The exceptions of expected failures: one sentence, one hint, one exit code.

Every expected failure derives from `SparkweightsError`. Its message states what is wrong, the
value given and what is allowed; its hint states what to do next. The command line prints both on
one line and exits with the class's code; any other exception is a bug.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class SparkweightsError(ValueError):
    """Base of every expected failure.

    Parameters
    ----------
    message
        What is wrong, the value given, and what is allowed.
    hint
        The next step for the reader.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} Hint: {hint}")
        self.message = message
        self.hint = hint


class ConfigError(SparkweightsError):
    """The configuration file or the command line asks for something that is not allowed."""

    exit_code = 2


class QualityGateError(SparkweightsError):
    """A data-quality check or a model gate stopped the run before anything was published."""

    exit_code = 3


class InputError(SparkweightsError):
    """An input table is missing, empty, or differs from what the configuration declares."""

    exit_code = 4


class ModelError(SparkweightsError):
    """A model bundle is missing, altered, or made for another Spark version or schema."""

    exit_code = 5


class PublishError(SparkweightsError):
    """Output could not be written or verified; the earlier output is unchanged."""

    exit_code = 6


class DriftError(SparkweightsError):
    """A table has drifted past a limit from the model's reference; nothing was changed."""

    exit_code = 7


def spark_message(error: Exception) -> str:
    """Return the message of a Spark error in one line, without a full stop.

    An error from Java starts with a line of the Python-to-Java bridge; Java's message is on the
    next line, after a colon.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line[2:] for line in lines if line.startswith(": ")), lines[0]).rstrip(".")


def without_values(text: str) -> str:
    r"""Return a Spark error message without the value of a row that it quotes.

    Examples
    --------
    >>> without_values("The value '0123456789' of the type \"STRING\" cannot be cast")
    'A value of the type "STRING" cannot be cast'
    """
    return re.sub(r"The value '.*?'(?= of the type)", "A value", text)


def join_names(names: Iterable[object]) -> str:
    """Return ``names`` as a comma-separated list for a sentence, or ``none`` when empty."""
    return ", ".join(str(name) for name in names) or "none"


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name most like ``name``, or None where nothing is close.

    Examples
    --------
    >>> nearest("schem", ["scheme", "cap"])
    'scheme'
    """
    candidates = list(allowed)
    folded = {candidate.casefold(): candidate for candidate in candidates}
    if name.casefold() in folded:
        return folded[name.casefold()]
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str | None:
    """Return the sentence ``Did you mean 'x'?`` for the nearest allowed name, or None."""
    match = nearest(name, allowed)
    return None if match is None else f"Did you mean '{match}'?"
