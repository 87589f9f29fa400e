"""spark-submit with a zip of the package on a standalone cluster scores the same rows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyspark
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Shop

ROOT = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
PATIENCE = 240


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _zip(target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted((ROOT / "sparkweights").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(ROOT))
    return target


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a master and two workers on the loopback address."""
    folder = tmp_path_factory.mktemp("cluster")
    env = {
        **os.environ,
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        "PYSPARK_PYTHON": sys.executable,
    }
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    launcher = str(SPARK_HOME / "bin" / "spark-class")
    deploy = "org.apache.spark.deploy"
    commands = [[launcher, f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port),
                 "--webui-port", str(_free_port())]]  # fmt: skip
    commands += [[launcher, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--cores", "1",
                  "--memory", "1g", "--webui-port", str(_free_port()), url]] * 2  # fmt: skip
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            time.sleep(2)
        yield url


def _rows(shop: Shop) -> pd.DataFrame:
    table = pd.read_parquet(shop.folder / "out" / "scored")
    return table.drop(columns="scored_at").sort_values("loan id").reset_index(drop=True)


def test_submitted_job_scores_the_same_rows_as_local_mode(
    own_shop: Shop, cluster: str, tmp_path: Path
) -> None:
    """Two executors that have never seen the package write what local mode wrote."""
    shop = own_shop
    local = _rows(shop)
    package = _zip(tmp_path / "sparkweights.zip")
    command = [
        str(SPARK_HOME / "bin" / "spark-submit"), "--master", cluster,
        "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.ui.enabled=false",
        "--conf", "spark.executor.memory=512m", "--conf", "spark.sql.shuffle.partitions=2",
        "--py-files", str(package), str(ROOT / "jobs" / "score.py"),
        "--config", str(shop.folder / "shop.yaml"), "--run-date", "2026-03-01",
    ]  # fmt: skip
    env = {**os.environ, "SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1",
           "PYSPARK_PYTHON": sys.executable}  # fmt: skip
    for name in ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"):
        env.pop(name, None)
    done = subprocess.run(
        command,
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "rows in" in done.stdout
    pd.testing.assert_frame_equal(_rows(shop), local)
    refused = subprocess.run(
        [*command[:-3], "no/such.yaml", *command[-2:]],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    # spark-submit in client mode merges the driver's two streams into its standard output.
    assert "No configuration file" in refused.stdout
