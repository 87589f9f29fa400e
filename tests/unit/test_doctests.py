"""The examples in docstrings print what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import sparkweights

ROOT = Path(sparkweights.__file__).parent
MODULES = sorted(
    ".".join((ROOT.name, *file.relative_to(ROOT).with_suffix("").parts))
    for file in ROOT.rglob("*.py")
    if ">>>" in file.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_print_what_they_say(name: str) -> None:
    """Each line after a prompt is run."""
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert failed == 0
