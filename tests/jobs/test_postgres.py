"""Tables of PostgreSQL, in a process of their own: it takes a server, and a session's driver."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import postgres_server
import pytest

ROOT = Path(__file__).parents[2]
DRIVERS = sorted((ROOT / "build" / "jars").glob("postgresql-*.jar"))


def _skipped_for() -> str:
    """Return why no table of PostgreSQL can be tested here; empty where it can."""
    if not DRIVERS:
        return "the driver is not here; `make jars` brings it"
    if postgres_server.programs() is None:
        return "the server is not here; Debian's package postgresql brings it"
    return ""


@pytest.mark.lake
@pytest.mark.skipif(bool(_skipped_for()), reason=_skipped_for())
def test_table_of_postgresql_passes_the_battery_and_its_own() -> None:
    """The claims of every sink, those of PostgreSQL alone, and runs that are killed."""
    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dderby.stream.error.file=/dev/null"
    with postgres_server.serve() as options:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider",
             "-k", "postgres", "tests/jobs/lakehouse.py", "tests/jobs/postgres.py"],
            cwd=ROOT,
            env={
                **os.environ,
                postgres_server.VARIABLE: json.dumps(options),
                "PYSPARK_SUBMIT_ARGS": f"--driver-java-options '{java}' --jars {DRIVERS[-1]} "
                "pyspark-shell",
            },
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 15
