"""Batteries of tests whose session needs jars or catalogs of its own, each run in a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dderby.stream.error.file=/dev/null"


def count_passed(
    files: Sequence[str],
    jars: Sequence[Path],
    *options: str,
    settings: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run the tests of files and return how many pass; fail where one does not.

    Parameters
    ----------
    files
        Below the project's folder.
    jars
        Of the session.
    options
        Of pytest.
    settings, variables
        Of the session and of its process.
    """
    stated = {"spark.jars": ",".join(map(str, jars)), **(settings or {})}
    conf = " ".join(f"--conf {key}={value}" for key, value in stated.items())
    submit = f"--driver-java-options '{JAVA}' {conf} pyspark-shell"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *options, *files],
        cwd=ROOT,
        env={**os.environ, **(variables or {}), "PYSPARK_SUBMIT_ARGS": submit},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    return int(passed.group(1))
