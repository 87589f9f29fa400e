"""Run-time packages: locked by hash, with the licences that the table states, all permissive."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.dependencies import (
    FILE,
    LOCK,
    UNCHANGED,
    UNKNOWN,
    installed_licence,
    is_permissive,
    licence,
    locked,
)

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "requirements.lock", LOCK)
RELEASES = json.loads(FILE.read_text(encoding="utf-8"))["releases"]
ENTRY = re.compile(r"^(?P<pin>\S+==\S+?)(?: ; (?P<marker>.+?))?(?P<hashes>(?: \\\n +--hash=.+)*)$")


def _entries(lock: Path) -> dict[str, tuple[str, str]]:
    """Return the marker and the hashes of each locked version."""
    parts = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").rstrip("\n"))
    found = [ENTRY.fullmatch(part) for part in parts]
    return {one["pin"]: (one["marker"] or "", one["hashes"]) for one in found if one}


def _run_time_packages() -> set[str]:
    """Return what the installed packages say that the project needs, for this Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = list(project["dependencies"])
    for extra, packages in project["optional-dependencies"].items():
        own += () if extra == "all" else packages
    waiting = [(Requirement(one), {""}) for one in own]
    found = set[tuple[str, frozenset[str]]]()
    while waiting:
        one, extras = waiting.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name, asked = canonicalize_name(one.name), frozenset(one.extras)
        if (name, asked) not in found:
            found.add((name, asked))
            waiting += [(Requirement(each), {"", *asked}) for each in requires(name) or ()]
    return {name for name, _ in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_any_holds_the_hashes_of_each_version_and_no_address(lock: Path) -> None:
    """A file that was exchanged is refused, whichever index is configured."""
    entries = _entries(lock)
    assert len(entries) == len(locked(lock)) > 50
    for pin, (_, hashes) in entries.items():
        digests = re.findall(r"--hash=(\S+)", hashes)
        assert digests, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in digests), pin
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--?\w", text, re.MULTILINE)


def test_run_time_lock_is_a_part_of_the_developers_lock() -> None:
    """What is tested is what is deployed: the same versions, markers and files."""
    everything = _entries(ROOT / "requirements.lock")
    for pin, (marker, hashes) in _entries(LOCK).items():
        assert everything[pin] == (marker, hashes)


def test_run_time_lock_holds_what_installed_packages_require() -> None:
    """Nothing is missing on a fresh machine, and no developer's tool is deployed."""
    here = {
        pin.partition("==")[0]
        for pin, (marker, _) in _entries(LOCK).items()
        if not marker or Marker(marker).evaluate()
    }
    assert here == _run_time_packages()


def test_table_holds_each_locked_version_with_the_licence_that_it_declares() -> None:
    """A version of another Python is not installed; its licence is what the index stated."""
    assert [(one["name"], one["version"]) for one in RELEASES] == locked(LOCK)
    compared = 0
    for one in RELEASES:
        marker, _ = _entries(LOCK)[f"{one['name']}=={one['version']}"]
        if not marker or Marker(marker).evaluate():
            assert version(one["name"]) == one["version"]
            assert installed_licence(one["name"], one["version"]) == one["licence"]
            compared += 1
    assert compared > 50
    for one in RELEASES:
        assert one["first"] <= one["released"] <= one["newest"]


def test_table_holds_permissive_licences_alone_but_for_packages_that_stay_unchanged() -> None:
    """Neither a copyleft nor an unknown licence, and no vulnerability that the index named."""
    others = {one["name"] for one in RELEASES if not is_permissive(one["licence"])}
    assert others == UNCHANGED
    assert not [one["name"] for one in RELEASES if one["advisories"]]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("MIT", True),
        ("MIT AND BSD-3-Clause", True),
        ("MIT AND MPL-2.0", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("AGPL-3.0-or-later AND MIT", False),
        ("MIT AND (GPL-2.0-only OR MIT)", False),
        (UNKNOWN, False),
        ("", False),
    ],
)
def test_licence_with_a_copyleft_part_or_unknown_is_not_permissive(
    declared: str, *, expected: bool
) -> None:
    """Every part of one alternative must be permissive; what is not understood is not."""
    assert is_permissive(declared) is expected


@pytest.mark.parametrize(
    ("expression", "classifiers", "text", "expected"),
    [
        ("MIT", ["License :: OSI Approved :: BSD License"], "Other", "MIT"),
        (None, ["Topic :: X", "License :: OSI Approved :: BSD License"], "Text", "BSD License"),
        (None, [], "Apache-2.0", "Apache-2.0"),
        (None, [], "A whole\nlicence", UNKNOWN),
        (None, [], None, UNKNOWN),
    ],
)
def test_licence_is_read_from_the_most_precise_field(
    expression: str | None, classifiers: list[str], text: str | None, expected: str
) -> None:
    """An SPDX expression, else the classifiers, else a text of one line."""
    assert licence(expression, classifiers, text) == expected


def test_installed_licence_of_another_version_is_unknown() -> None:
    """A licence may change from one version to the next."""
    assert installed_licence("numpy", "0.0.1") == UNKNOWN
    assert installed_licence("no-such-package", "1.0") == UNKNOWN
