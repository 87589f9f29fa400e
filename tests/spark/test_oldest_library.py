"""The oldest supported release of Great Expectations gives the same verdicts as ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_compiled_suite_equals_the_oldest_great_expectations(tmp_path: Path) -> None:
    """One test compares verdicts on both ends of the range that the package allows."""
    declared = (ROOT / "pyproject.toml").read_text()
    oldest = re.search(r'"great-expectations>=([\d.]+),', declared)
    assert oldest is not None
    # Alone, beside today's other packages; that release needs an older marshmallow as well.
    wanted = [f"great-expectations~={oldest[1]}.0", "marshmallow<4"]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    subprocess.run([*install, str(tmp_path / "old"), *wanted], check=True)
    path = os.pathsep.join([str(tmp_path / "old"), str(ROOT)])
    tests = "tests/spark/test_compiled.py::test_compiled_suite_equals_great_expectations"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
