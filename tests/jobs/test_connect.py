"""The stages' battery again, and a night, through Spark Connect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engines
ROOT = Path(__file__).parents[2]


def test_a_night_passes_through_spark_connect() -> None:
    """Trained, scored and replaced; what needs the engine itself says so."""
    assert _passed("tests/jobs/connected.py") == 2


@pytest.mark.slow
def test_stages_pass_through_spark_connect() -> None:
    """Every test of the stages."""
    assert _passed("tests/spark/test_stages.py") >= 19


def _passed(tests: str) -> int:
    """Return how many pass in a process of its own: one holds either kind of session."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, tests],
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
    assert "skipped" not in found.stdout
    return int(passed.group(1))
