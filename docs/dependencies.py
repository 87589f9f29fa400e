"""Read the releases of the run-time packages: ``python docs/dependencies.py INDEX``.

INDEX is the address of a package index that serves the JSON of PyPI. What it says of each version
in requirements-runtime.lock goes to dependencies.json, which ``generate.py`` makes a table of. Run
it after ``make lock``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import urllib.request
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-runtime.lock"
FILE = ROOT / "docs" / "dependencies.json"
UNKNOWN = "unknown"
# MPL-2.0 and LGPL-3.0 oblige those who change the files, and these are installed as published.
UNCHANGED = frozenset({"certifi", "tqdm", "psycopg", "psycopg-binary"})
# SPDX identifiers, and the names that classifiers and older metadata have for the same licences.
PERMISSIVE = frozenset(
    {
        "0BSD",
        "3-Clause BSD License",
        "Apache Software License",
        "Apache-2.0",
        "BSD License",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "MIT",
        "MIT License",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Python Software Foundation License",
        "Zlib",
    }
)


@dataclasses.dataclass(frozen=True)
class Release:
    """A locked version of a package.

    Attributes
    ----------
    name : name of the package.
    version : the locked version.
    licence : as the package declares it.
    released : date on which the version was uploaded.
    first, newest : dates of the package's first and newest release.
    advisories : identifiers of known vulnerabilities of the version; None where the index does not
        say, which it does for the newest version alone.
    """

    name: str
    version: str
    licence: str
    released: str
    first: str
    newest: str
    advisories: tuple[str, ...] | None


def main(index: str) -> None:
    """Write what the index says of the locked versions."""
    releases = [read_release(index, name, version) for name, version in locked(LOCK)]
    record = {
        "read_on": datetime.now(tz=UTC).date().isoformat(),
        "releases": [dataclasses.asdict(one) for one in releases],
    }
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def locked(lock: Path) -> list[tuple[str, str]]:
    """Return the names and versions in a lock."""
    return re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)


def read_release(index: str, name: str, version: str) -> Release:
    """Return what an index says of a version."""
    with urllib.request.urlopen(f"{index}/pypi/{name}/json") as answer:  # noqa: S310 (the caller's)
        project: dict[str, Any] = json.load(answer)
    info = project["info"]
    dates = {
        number: min(file["upload_time"] for file in files)[:10]
        for number, files in project["releases"].items()
        if files
    }
    is_newest = info["version"] == version
    declared = installed_licence(name, version)
    if declared == UNKNOWN and is_newest:
        declared = licence(info["license_expression"], info["classifiers"], info["license"])
    return Release(
        name=name,
        version=version,
        licence=declared,
        released=dates[version],
        first=min(dates.values()),
        newest=max(dates.values()),
        advisories=_advisories(project["vulnerabilities"]) if is_newest else None,
    )


def installed_licence(name: str, version: str) -> str:
    """Return the licence that an installed package declares; of another version, unknown."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return UNKNOWN
    if told["Version"] != version:
        return UNKNOWN
    expression = next(iter(told.get_all("License-Expression", [])), None)
    text = next(iter(told.get_all("License", [])), None)
    return licence(expression, told.get_all("Classifier", []), text)


def licence(expression: str | None, classifiers: Iterable[str], text: str | None) -> str:
    """Return a declared licence: an SPDX expression, else the classifiers, else the short text.

    Examples
    --------
    >>> licence(None, ["License :: OSI Approved :: MIT License"], "a long text")
    'MIT License'
    """
    names = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    line = (text or "").strip()
    return expression or " AND ".join(names) or (line if "\n" not in line else "") or UNKNOWN


def is_permissive(declared: str) -> bool:
    """Whether a licence asks for no source code: one alternative of it, with all its parts."""
    return any(
        set(alternative.split(" AND ")) <= PERMISSIVE for alternative in declared.split(" OR ")
    )


def _advisories(vulnerabilities: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(one["id"] for one in vulnerabilities if not one["withdrawn"])


if __name__ == "__main__":
    main(*sys.argv[1:])
