"""Tables of Delta and Iceberg, in a process of their own: it takes a session with connectors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

ROOT = Path(__file__).parents[2]
JARS = ROOT / "build" / "jars"
SPARK = "4.1"  # of the connectors
DELTA = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
EXTENSIONS = (
    "io.delta.sql.DeltaSparkSessionExtension",
    "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
)


def _skipped_for() -> str:
    """Return why no lakehouse can be tested here; empty where it can."""
    if not (JARS / ".complete").exists():
        return "the connectors are not here; `make jars` brings them"
    if not pyspark.__version__.startswith(f"{SPARK}."):
        return f"the connectors are for Spark {SPARK}; this is {pyspark.__version__}"
    return ""


pytestmark = pytest.mark.skipif(bool(_skipped_for()), reason=_skipped_for())


def _passed(warehouse: Path, *options: str) -> int:
    """Return how many tests of the battery pass."""
    settings = {
        "spark.jars": ",".join(map(str, sorted(JARS.glob("*.jar")))),
        "spark.sql.extensions": ",".join(EXTENSIONS),
        "spark.sql.catalog.spark_catalog": DELTA,
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": str(warehouse),
        # A state of Delta is divided into so many partitions, each a task.
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dderby.stream.error.file=/dev/null"
    conf = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *options]
    found = subprocess.run(
        [*command, "tests/jobs/lakehouse.py"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYSPARK_SUBMIT_ARGS": f"--driver-java-options '{java}' {conf} pyspark-shell",
        },
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed is not None
    return int(passed.group(1))


def test_a_date_is_published_into_delta_and_into_iceberg(tmp_path: Path) -> None:
    """One publication, and a rerun that replaces it; the whole battery is `make test-lake`."""
    assert _passed(tmp_path, "-k", "replaces_it_alone and (delta or iceberg)") == 2


@pytest.mark.lake
def test_every_sink_passes_the_battery(tmp_path: Path) -> None:
    """Folders, Parquet of the catalog, Delta and Iceberg: the same claims."""
    assert _passed(tmp_path) >= 30
