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


MAX_MESSAGE = 1_000  # characters of a message; names and values may be of any length

# C0 and C1 controls but for line breaks and tabs, marks of direction, line separators, surrogates.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PASSWORD = re.compile(r"(\b[A-Za-z][\w+.-]*://)[^\s/@'\"]*:[^\s/'\"]*@")
_QUERY = re.compile(r"(\b[A-Za-z][\w+.-]*://[^\s?'\",;)]*)\?[^\s'\",;)]*")
_VALUE = re.compile(
    r"""
    (?P<kept>
        \[[A-Z][A-Z0-9_.]*\]               # an error condition
      | `(?:[^`]|``)+`                      # a name
      | "(?:STRING|BOOLEAN|(?:TINY|SMALL|BIG)?INT|FLOAT|DOUBLE|DATE|TIMESTAMP(?:_NTZ)?|BINARY
          |DECIMAL\(\d+,\d+\))"             # a type
      | \b[a-z][a-z0-9+.-]*:/[^\s,;'"]+    # a path
      | [A-Za-z_][\w.$]*                    # a word, or the name of a Java class
    )
    | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | \[.*\] | \{.*\} | [-+]?\d[\w.+:-]*
    """,
    re.VERBOSE | re.DOTALL,
)


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
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message if hint is None else f"{self.message} Hint: {self.hint}")


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


def printable(text: str) -> str:
    r"""Return a text for messages and logs: bounded, without control characters or credentials.

    A text of more than `MAX_MESSAGE` characters loses its middle, as its ends say what is wrong and
    what is allowed.

    Examples
    --------
    >>> printable("No table at 's3a://user:secret@lake/\x1b[2J'.")
    "No table at 's3a://lake/\\x1b[2J'."
    """
    if len(text) > MAX_MESSAGE:
        head, tail = text[: MAX_MESSAGE * 2 // 3], text[-MAX_MESSAGE // 3 :]
        text = f"{head} [{len(text) - MAX_MESSAGE:,} characters left out] {tail}"
    return escape_controls(without_credentials(text))


def escape_controls(text: str) -> str:
    r"""Return a text whose control characters are written as escapes; line breaks and tabs stay.

    Names of columns and files are whatever their author chose: a terminal would obey the escape
    sequences in them, marks of direction would reorder the line, and half of a surrogate pair has
    no encoding.

    Examples
    --------
    >>> escape_controls("\x1b]0;owned\x07")
    '\\x1b]0;owned\\x07'
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_json_controls(text: str) -> str:
    r"""Return JSON in which control characters and halves of surrogate pairs are escaped.

    Examples
    --------
    >>> escape_json_controls('["\x9b"]')
    '["\\u009b"]'
    """
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_credentials(text: str) -> str:
    """Return a text whose URIs hold neither user information with a password nor a query.

    Examples
    --------
    >>> without_credentials("wasbs://box@lake.example/rows?sig=abc, s3a://key:secret@lake/rows")
    'wasbs://box@lake.example/rows?..., s3a://lake/rows'
    """
    return _QUERY.sub(r"\1?...", _PASSWORD.sub(r"\1", text))


def spark_message(error: Exception) -> str:
    """Return what a Spark error is about, in one line, without a full stop and without values.

    An error from Java starts with a line of the Python-to-Java bridge; Java's message is on the
    next line, after a colon.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    line = next((line[2:] for line in lines if line.startswith(": ")), lines[0])
    return without_values(line).rstrip(".")


def without_values(text: str) -> str:
    r"""Return an error message of a library without the values that it may quote.

    Quoted texts, numbers and everything in brackets or braces may be a value of a row or a whole
    record. Names of error conditions, of columns in backticks and of types, and paths stay.

    Examples
    --------
    >>> without_values("The value '0123456789' of the type \"STRING\" cannot be cast")
    'The value ... of the type "STRING" cannot be cast'
    >>> without_values("[MALFORMED] Malformed records: [7,Jane Doe,null].")
    '[MALFORMED] Malformed records: ....'
    """
    return _VALUE.sub(lambda match: match["kept"] or "...", text)


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
