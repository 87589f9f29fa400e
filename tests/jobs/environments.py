"""Virtual environments with the project's wheel in them, and packages in their locked versions."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel into a folder that holds no other one."""
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    subprocess.run([sys.executable, *PIP, *build], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def locked_versions() -> list[str]:
    """Return the locked versions but those of Spark and its bridge to Java, as constraints."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+==\S+?(?: ; .+?)?) \\$", text, re.MULTILINE)
    return [pin for pin in pins if not pin.startswith(("pyspark==", "py4j=="))]


@dataclass(frozen=True)
class Environment:
    """A virtual environment, made where it is missing.

    Attributes
    ----------
    folder
        Its folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.python.exists():
            venv.create(self.folder, with_pip=True)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def install(self, *packages: str) -> None:
        """Install packages; what they need comes in its locked version where it has one."""
        constraints = self.folder / "constraints.txt"
        constraints.write_text("\n".join(locked_versions()), encoding="utf-8")
        self.pip("install", "--constraint", str(constraints), *packages)

    def pip(self, *arguments: str) -> None:
        """Run its pip."""
        subprocess.run([self.python, *PIP, *arguments], check=True)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, as if no other Python and no Spark were on the machine."""
        hidden = ("PYTHONPATH", "SPARK_", "PYSPARK_")
        return subprocess.run(
            [self.folder / "bin" / command, *arguments],
            cwd=self.folder,
            env={name: text for name, text in os.environ.items() if not name.startswith(hidden)},
            capture_output=True,
            text=True,
            check=False,
        )

    def digests(self, package: str) -> dict[str, str]:
        """Return the SHA-256 of each file that a package has installed, its RECORD included."""
        (found,) = (one for one in self._distributions() if one.name == package)
        digests = {}
        for file in found.files or []:
            with Path(str(found.locate_file(file))).open("rb") as stream:
                digests[str(file)] = hashlib.file_digest(stream, "sha256").hexdigest()
        return digests

    def owners(self, module: str) -> set[str]:
        """Return the packages that have files in a module's folder."""
        return {
            one.name
            for one in self._distributions()
            if any(file.parts[0] == module for file in one.files or [])
        }

    def _distributions(self) -> Iterator[Distribution]:
        (packages,) = self.folder.glob("lib/python*/site-packages")
        return iter(distributions(path=[str(packages)]))
