"""What an installation takes on disk: the package with what it needs, and what each extra adds.

The files of what is installed here are added up, without Python's compiled ones: in the environment
of `make` these are the locked versions. Nothing is downloaded.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sparkweights
from benchmarks.harness import figure, report

PACKAGE = "sparkweights"


def main() -> int:
    """Add up the files."""
    base = needed(PACKAGE)
    figures = {"without extras": megabytes(base)}
    for extra in metadata(PACKAGE).get_all("Provides-Extra", []):
        figures[f"added by {extra}"] = megabytes(needed(PACKAGE, extra) - base)
    return report("installed", {name: figure([size], "MB") for name, size in figures.items()})


def needed(package: str, extra: str = "") -> set[str]:
    """Return a package and all that it needs, with one of its extras, on this machine."""
    found = set[tuple[str, str]]()
    waiting = [(package, extra)]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        name, asked = one
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": asked}):
                needs = canonicalize_name(requirement.name)
                waiting += [(needs, its) for its in ("", *requirement.extras)]
    return {name for name, _ in found}


def megabytes(packages: set[str]) -> float:
    """Return what the files of packages hold, in millions of bytes."""
    files = {file for package in packages for file in _files(package) if file.is_file()}
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc") / 1e6


def _files(package: str) -> list[Path]:
    if package == PACKAGE:  # it may be installed as a link to this folder
        return list(Path(sparkweights.__file__).parent.rglob("*"))
    found = distribution(package)
    return [Path(str(found.locate_file(file))) for file in found.files or []]


if __name__ == "__main__":
    sys.exit(main())
