"""Regular expressions of users: those that could run for ever are refused."""

from __future__ import annotations

import time

import pytest

from sparkweights.core.errors import ConfigError
from sparkweights.core.patterns import require_fast


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[^@ ]+@[^@]+\.[a-z]+$",
        r"\A[\w.]+@\w+\.\w+\z",
        r"^([a-z0-9-]+\.)+[a-z]+$",
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^(AAA|BBB|CCC)+$",
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"(?i)^(yes|no)$",
        r"^\+?(\d[ -]?){6,14}\d$",
        r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$",
        r"^\p{L}+( \p{L}+)*$",
        r"^[A-Z]{2}\d{2}( ?[0-9A-Z]{4}){3,7}$",
        r"^(GBP|EUR|USD)( [0-9]{1,3}(,[0-9]{3})*)$",
        r"^.*a.*b.*c.*d.*$",
        r"^(\d{2}){10}$",
        r"(\d)\1{5}",
        r"(a?)*b",
        r"\Qa+b\E+",
        "",
    ],
)
def test_require_fast_lets_patterns_of_everyday_through(pattern: str) -> None:
    """Addresses, codes, numbers, names: none of them is ambiguous in a loop."""
    require_fast(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a*)*b",
        r"(a|a)*c",
        r"(a|aa)+$",
        r"(?i)(a|A)*b",
        r"^(\w+\s?)*$",
        r"(.*a){20}",
        r"(a|a){30}b",
        r"(\d{1,3}){1,30}$",
        r"((a{1,3}){8}){8}b",
        r"(x+x+)+y",
        r"(a?a?)*b",
        r"(?=(a+)+b)a",
        r"((ab)*c?(ab)*)*d",
        r"(\p{L}+)*1",
        r"([^\W]+_?)*!",
        r"(\s|\t)+x",
        "a*" * 400,
        "[a-z]+ ?" * 60,
        "(" * 60 + ")" * 60,
        "a" * 2_000,
    ],
)
def test_require_fast_refuses_patterns_that_blow_up(pattern: str) -> None:
    """Each of them takes Python's and Java's engines years on a row of some dozen characters."""
    began = time.monotonic()
    with pytest.raises(ConfigError):
        require_fast(pattern)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("pattern", ["(", ")", "[a", "a{", "\\", "(?", "*a"])
def test_require_fast_leaves_broken_patterns_to_the_engine(pattern: str) -> None:
    """What is no regular expression fails in the engine, with its own words."""
    require_fast(pattern)
