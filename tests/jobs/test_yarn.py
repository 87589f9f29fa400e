"""YARN in cluster mode, by the page's command: the driver runs on a node, and its code is told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import yarn_server
from conftest import RUN_DATE, SUITE, Shop
from submitting import (
    PATIENCE,
    ROOT,
    SPARK_HOME,
    command_of_page,
    environment,
    make_package,
    scored_rows,
    write_defaults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engines
DEFAULTS = {
    "spark.driver.memory": "900m",
    "spark.executor.memory": "512m",
    "spark.executor.instances": "1",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    # Every container has Spark here; a cluster without it gets the files of the host that submits.
    "spark.yarn.jars": f"local:{SPARK_HOME / 'jars' / '*'}",
    "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1",
    "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[yarn_server.Cluster]:
    """Start a cluster of one node."""
    with yarn_server.serve(tmp_path_factory.mktemp("yarn")) as started:
        yield started


@dataclass(frozen=True)
class Ended:
    """What is left of a job.

    Attributes
    ----------
    code
        Of spark-submit.
    log
        What spark-submit wrote.
    app
        What the resource manager tells of the application: name -> text.
    attempts
        How many drivers it had.
    output
        What its last driver wrote to either stream: Spark merges them.
    """

    code: int
    log: str
    app: dict[str, str]
    attempts: int
    output: str


@dataclass(frozen=True)
class Host:
    """A host that submits, in a folder where the page's command finds what it names."""

    folder: Path
    cluster: yarn_server.Cluster

    def submit(self, *arguments: str) -> Ended:
        """Run the page's command with its job's arguments replaced; none keeps them."""
        words = shlex.split(command_of_page("yarn"))
        at = words.index("jobs/run.py") + 1
        ran = subprocess.run(
            [*words[:at], *(arguments or words[at:])],
            cwd=self.folder,
            env=environment(
                HADOOP_CONF_DIR=str(self.cluster.conf), SPARK_CONF_DIR=str(self.folder / "conf")
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        named = re.search(r"application_\d+_\d+", ran.stderr)
        assert named is not None, ran.stderr[-4000:]
        app = self.cluster.report(named[0])
        # Of each attempt, the driver has the first container.
        drivers = sorted((self.cluster.logs / named[0]).glob("container_*_000001"))
        output = (drivers[-1] / "stdout").read_text(encoding="utf-8")
        return Ended(ran.returncode, ran.stderr, app, len(drivers), output)


@pytest.fixture
def host(own_shop: Shop, cluster: yarn_server.Cluster) -> Host:
    """Return a host whose `loan.yaml` is the configuration, with locations that a driver finds.

    YARN copies the file into a folder of its own, so that nothing is beside it.
    """
    folder = own_shop.folder
    tables = ("data/history", "data/incoming", "out/scored", "out/quarantine")
    names = ("labelled", "incoming", "scored", "quarantine")
    located = {
        f"tables__{name}__location": str(folder / table)
        for name, table in zip(names, tables, strict=True)
    }
    own_shop.config(
        "loan.yaml",
        **located,
        artifacts=str(folder / "out" / "models"),
        runs=str(folder / "out" / "runs"),
        checks__incoming=str(folder / "incoming.json"),
    )
    (folder / "build").mkdir()
    make_package(folder / "build" / "sparkweights.zip")
    (folder / "jobs").symlink_to(ROOT / "jobs")
    write_defaults(
        folder / "conf", {**DEFAULTS, "spark.yarn.stagingDir": f"file://{folder / 'staging'}"}
    )
    return Host(folder, cluster)


def test_scoring_job_in_a_driver_of_the_cluster_writes_the_rows_of_local_mode(host: Host) -> None:
    """The zip, the configuration and the driver travel; the code is 0."""
    shop = Shop(host.folder)
    before = scored_rows(shop)
    shutil.rmtree(host.folder / "out" / "scored")
    ended = host.submit()
    assert ended.code == 0, ended.log[-3000:] + ended.output[-3000:]
    assert (ended.app["Final-State"], ended.app["Diagnostics"]) == ("SUCCEEDED", "")
    # The run's id depends on the configuration, whose locations differ.
    pd.testing.assert_frame_equal(
        scored_rows(shop).drop(columns="run_id"), before.drop(columns="run_id")
    )


def test_refused_suite_is_code_3_in_the_diagnostics_and_1_of_spark_submit(host: Host) -> None:
    """spark-submit knows success and failure alone; YARN repeats the job's code, once."""
    strict = {"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 1}}
    suite = {**SUITE, "expectations": [{**strict, "severity": "critical"}]}
    (host.folder / "incoming.json").write_text(json.dumps(suite), encoding="utf-8")
    before = Shop(host.folder).state()
    ended = host.submit("check", "--config", "loan.yaml", "--table", "incoming")
    _require_failed(ended, 3, "Table 'incoming' fails 1 critical checks")
    assert ended.app["Diagnostics"] == "User application exited with status 3"
    assert Shop(host.folder).state() == before


def test_missing_table_is_code_4_in_the_diagnostics(host: Host) -> None:
    """As the job says in client mode, or on one machine."""
    shutil.rmtree(host.folder / "data" / "incoming")
    before = Shop(host.folder).state()
    _require_failed(host.submit(), 4, "No table at")
    assert Shop(host.folder).state() == before


def test_job_that_ends_before_its_session_is_told_with_the_end_of_its_log(host: Host) -> None:
    """YARN calls it 13, a driver without a session, and repeats the driver's last lines."""
    ended = host.submit("score", "--config", "absent.yaml", "--run-date", RUN_DATE)
    _require_failed(ended, 2, "No configuration file")
    assert "exitCode: 13" in ended.app["Diagnostics"]


def _require_failed(ended: Ended, code: int, sentence: str) -> None:
    """Require that an operator sees the job's code where the page says, and its last line."""
    assert ended.code == 1
    told = f"User application exited with status {code}"
    assert told in ended.app["Diagnostics"], ended.app["Diagnostics"]
    assert told in ended.log
    assert (ended.app["Final-State"], ended.attempts) == ("FAILED", 1)
    assert f"sparkweights: {sentence}" in ended.output.splitlines()[-1]
