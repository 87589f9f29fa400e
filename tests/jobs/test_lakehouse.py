"""Tables of Delta and Iceberg, in a process of their own: it takes a session with connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyspark
import pytest
from batteries import ROOT, count_passed

if TYPE_CHECKING:
    from pathlib import Path

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
        "spark.sql.extensions": ",".join(EXTENSIONS),
        "spark.sql.catalog.spark_catalog": DELTA,
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": str(warehouse),
        # A state of Delta is divided into so many partitions, each a task.
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    jars = sorted(JARS.glob("*.jar"))
    return count_passed(["tests/jobs/lakehouse.py"], jars, *options, settings=settings)


def test_a_date_is_published_into_delta_and_into_iceberg(tmp_path: Path) -> None:
    """One publication, and a rerun that replaces it; the whole battery is `make test-lake`."""
    assert _passed(tmp_path, "-k", "replaces_it_alone and (delta or iceberg)") == 2


@pytest.mark.lake
def test_every_sink_passes_the_battery(tmp_path: Path) -> None:
    """Folders, Parquet of the catalog, Delta and Iceberg: the same claims."""
    assert _passed(tmp_path) >= 30
