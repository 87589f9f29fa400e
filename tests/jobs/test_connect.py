"""The stages' battery again, and a night, through Spark Connect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stages_and_a_night_pass_through_spark_connect() -> None:
    """A process of its own, as one process holds classic sessions or connected ones."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, "tests/spark/test_stages.py", "tests/jobs/connected.py"],
        cwd=ROOT,
        env={**os.environ, "SPARKWEIGHTS_TEST_REMOTE": "local[2]"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-4000:]
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 22
    assert "skipped" not in found.stdout
