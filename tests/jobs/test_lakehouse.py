"""Tables of Delta and Iceberg, in a process of their own: it takes a session with connectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import postgres_server
import pyspark
import pytest
from batteries import ROOT, count_passed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JARS = ROOT / "build" / "jars"
SPARK = "4.1"  # of the connectors
ICEBERG = "org.apache.iceberg.spark.SparkCatalog"
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
needs_server = pytest.mark.skipif(
    postgres_server.programs() is None,
    reason="the server is not here; Debian's package postgresql brings it",
)


def _passed(
    warehouse: Path,
    *options: str,
    files: tuple[str, ...] = ("tests/jobs/lakehouse.py",),
    server: Mapping[str, str] | None = None,
) -> int:
    """Return how many tests of the battery pass.

    Parameters
    ----------
    server
        Spark's options of a server of PostgreSQL; it keeps a second catalog of Iceberg, and the
        metastore of Hive, which processes may share.
    """
    settings = {
        "spark.sql.extensions": ",".join(EXTENSIONS),
        "spark.sql.catalog.spark_catalog": DELTA,
        "spark.sql.catalog.lake": ICEBERG,
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": str(warehouse),
        # A state of Delta is divided into so many partitions, each a task.
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    variables = dict[str, str]()
    if server is not None:
        settings |= _of_server(server, warehouse / "ledger")
        variables = {
            postgres_server.VARIABLE: json.dumps(server),
            "SPARKWEIGHTS_TEST_METASTORE": server["url"],
        }
    jars = sorted(JARS.glob("*.jar"))
    return count_passed(files, jars, *options, settings=settings, variables=variables)


def _of_server(server: Mapping[str, str], warehouse: Path) -> dict[str, str]:
    """Return the settings of the catalogs that a server of PostgreSQL keeps."""
    (driver,) = JARS.glob("postgresql-*.jar")
    ledger, hive = "spark.sql.catalog.ledger", "spark.hadoop.javax.jdo.option.Connection"
    return {
        ledger: ICEBERG,
        f"{ledger}.type": "jdbc",
        f"{ledger}.uri": server["url"],
        f"{ledger}.jdbc.schema-version": "V1",  # without it, a look for a view fails
        f"{ledger}.jdbc.user": server["user"],
        f"{ledger}.jdbc.password": server["password"],
        f"{ledger}.warehouse": str(warehouse),
        "spark.sql.catalogImplementation": "hive",
        f"{hive}URL": server["url"],
        f"{hive}UserName": server["user"],
        f"{hive}Password": server["password"],
        f"{hive}DriverName": "org.postgresql.Driver",
        # Constraints are made on a connection of their own, and would wait for the transaction that
        # needs the table.
        "spark.hadoop.datanucleus.schema.autoCreateAll": "false",
        "spark.hadoop.datanucleus.schema.autoCreateTables": "true",
        "spark.hadoop.datanucleus.schema.autoCreateColumns": "true",
        "spark.hadoop.datanucleus.schema.autoCreateConstraints": "false",
        "spark.hadoop.hive.metastore.schema.verification": "false",
        "spark.driver.extraClassPath": str(driver),  # where the metastore looks for it
    }


def test_a_date_is_published_into_delta_and_into_iceberg(tmp_path: Path) -> None:
    """One publication, and a rerun that replaces it; the whole battery is `make test-lake`."""
    assert _passed(tmp_path, "-k", "replaces_it_alone and (delta or iceberg)") == 2


@pytest.mark.lake
def test_every_sink_passes_the_battery(tmp_path: Path) -> None:
    """Folders, Parquet of the catalog, Delta and Iceberg: the same claims."""
    assert _passed(tmp_path) >= 48


@pytest.mark.lake
@needs_server
def test_tables_of_iceberg_in_a_database_pass_the_battery(tmp_path: Path) -> None:
    """As those whose catalog is a folder."""
    with postgres_server.serve() as server:
        assert _passed(tmp_path, "-k", "iceberg_jdbc", server=server) >= 12


@pytest.mark.lake
@needs_server
def test_runs_that_are_killed_leave_every_sink_whole(tmp_path: Path) -> None:
    """Folders, Parquet of the catalog, Delta, and Iceberg in both catalogs."""
    with postgres_server.serve() as server:
        killed = ("tests/jobs/killed.py",)
        assert _passed(tmp_path, "-k", "not postgres", files=killed, server=server) == 10
