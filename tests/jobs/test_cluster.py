"""spark-submit with a zip of the package on a standalone cluster: the same rows, come what may."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop
from submitting import (
    PATIENCE,
    ROOT,
    SPARK_HOME,
    environment,
    free_port,
    make_package,
    scored_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.engines
MANY_FILES = 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a master and two workers on the loopback address."""
    folder = tmp_path_factory.mktemp("cluster")
    env = environment(SPARK_WORKER_DIR=str(folder / "work"))
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    launcher = str(SPARK_HOME / "bin" / "spark-class")
    deploy = "org.apache.spark.deploy"
    commands = [[launcher, f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port),
                 "--webui-port", str(free_port())]]  # fmt: skip
    commands += [[launcher, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--cores", "1",
                  "--memory", "1g", "--webui-port", str(free_port()), url]] * 2  # fmt: skip
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            time.sleep(2)
        yield url


@pytest.fixture
def submit(own_shop: Shop, cluster: str, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return how to submit the scoring job to the cluster."""
    package = make_package(tmp_path / "sparkweights.zip")

    def start(*conf: str, config: str = "") -> subprocess.Popen[str]:
        settings = [
            "spark.driver.host=127.0.0.1",
            "spark.ui.enabled=false",
            "spark.executor.memory=512m",
            "spark.sql.shuffle.partitions=2",
            *conf,
        ]
        command = [
            str(SPARK_HOME / "bin" / "spark-submit"), "--master", cluster,
            *[word for setting in settings for word in ("--conf", setting)],
            "--py-files", str(package), str(ROOT / "jobs" / "score.py"),
            "--config", config or str(own_shop.folder / "shop.yaml"), "--run-date", RUN_DATE,
        ]  # fmt: skip
        return subprocess.Popen(
            command,
            env=environment(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_submitted_job_scores_the_same_rows_as_local_mode(
    own_shop: Shop, submit: Callable[..., subprocess.Popen[str]]
) -> None:
    """Two executors that have never seen the package write what local mode wrote."""
    local = scored_rows(own_shop)
    done = submit()
    told, errors = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, errors[-3_000:]
    assert "rows in" in told
    pd.testing.assert_frame_equal(scored_rows(own_shop), local)
    refused = submit(config="no/such.yaml")
    told, _ = refused.communicate(timeout=PATIENCE)
    assert refused.returncode == 2
    # spark-submit in client mode merges the driver's two streams into its standard output.
    assert "No configuration file" in told


def _executors() -> list[int]:
    """Return the process ids of the executors on this machine."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in words:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_executor_killed_during_the_write_costs_no_row(
    own_shop: Shop, submit: Callable[..., subprocess.Popen[str]]
) -> None:
    """What a lost executor had written is written again by another, and nothing twice."""
    local = scored_rows(own_shop)
    whole = pd.read_parquet(own_shop.folder / "data" / "incoming")
    shutil.rmtree(own_shop.folder / "data" / "incoming")
    (own_shop.folder / "data" / "incoming").mkdir()
    for i in range(MANY_FILES):
        part = whole.iloc[i::MANY_FILES]
        part.to_parquet(own_shop.folder / "data" / "incoming" / f"part-{i}.parquet", index=False)
    # A task per file makes the write last some seconds.
    run = submit("spark.sql.files.openCostInBytes=134217728")
    staging = own_shop.folder / "out" / "scored" / "_staging"
    killed = 0
    deadline = time.monotonic() + PATIENCE
    while not killed and run.poll() is None and time.monotonic() < deadline:
        if any(staging.rglob("part-*.parquet")):
            killed = _executors()[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.005)
    told, errors = run.communicate(timeout=PATIENCE)
    assert killed
    assert "Lost executor" in told + errors
    assert run.returncode == 0, errors[-3_000:]
    pd.testing.assert_frame_equal(scored_rows(own_shop), local)
    assert not staging.exists()
