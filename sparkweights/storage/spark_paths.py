"""Paths as Spark's readers take them."""

from __future__ import annotations

import re

_PATTERN_CHARACTERS = re.compile(r"[\\{}\[\]*?]")


def literal_path(path: object) -> str:
    r"""Return a path for Spark's readers, which take ``[``, ``{``, ``*`` and ``?`` as patterns.

    A path of a user is a path: without the escapes, a table in ``incoming[1]`` would be read from
    ``incoming1``. Writers, and the option ``basePath``, take a path literally.

    Examples
    --------
    >>> literal_path("data/incoming[1]")
    'data/incoming\\[1\\]'
    """
    return _PATTERN_CHARACTERS.sub(r"\\\g<0>", str(path))
