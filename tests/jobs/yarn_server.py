"""YARN on this machine for tests: the daemons of a cluster, a resource manager and one node.

They are Hadoop's own programs, each started by its `main`. Hadoop's class for tests,
`MiniYARNCluster`, would take a program in Java to start it, and runs both in one process.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen
from xml.sax.saxutils import escape

import pytest
from submitting import ROOT, SPARK_HOME, environment, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JARS = ROOT / "build" / "jars-yarn"
PATIENCE = 60
SERVER = "org.apache.hadoop.yarn.server"
DAEMONS = (f"{SERVER}.resourcemanager.ResourceManager", f"{SERVER}.nodemanager.NodeManager")
CLIENT = "org.apache.hadoop.yarn.client.cli.ApplicationCLI"
OPENED = "--add-opens=java.base/java.lang=ALL-UNNAMED"  # Hadoop 3.4's web pages make classes
QUEUES = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",  # drivers may take all of it
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes
    ----------
    conf
        The folder for HADOOP_CONF_DIR.
    logs
        The folder of the containers' logs.
    address
        Of the resource manager's web service.
    """

    conf: Path
    logs: Path
    address: str

    def count_nodes(self) -> int:
        """Return how many nodes have told the resource manager of themselves."""
        with urlopen(f"{self.address}/ws/v1/cluster/metrics", timeout=10) as answer:  # noqa: S310 (this machine)
            found = json.load(answer)
        # Whether a name is around the answer depends on the libraries that the daemons find.
        return int(found.get("clusterMetrics", found)["activeNodes"])

    def report(self, application: str) -> dict[str, str]:
        """Return what `yarn application -status` says: name -> text."""
        said = subprocess.run(
            [_java(), "-cp", f"{self.conf}:{_classpath()}", CLIENT, "application", "-status",
             application],
            env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=True,
        ).stdout  # fmt: skip
        # Diagnostics have several lines.
        fields = re.findall(r"^\t(\S[^:\n]*) : (.*(?:\n(?!\t\S[^:\n]* : ).*)*)", said, re.MULTILINE)
        return {name: text.strip() for name, text in fields}


def _java() -> str:
    java = shutil.which("java")
    assert java is not None
    return java


def _classpath() -> str:
    """Return the daemons' classes, or fail with the sentence that says how to get them."""
    if not (JARS / ".complete").exists():
        pytest.fail("YARN's daemons are not here; `make test-engines` brings them, with Maven.")
    (client,) = SPARK_HOME.glob("jars/hadoop-client-api-*.jar")
    daemons = JARS / client.name.replace("client-api", "client-minicluster")
    if not daemons.exists():
        (other,) = JARS.glob("hadoop-*.jar")
        pytest.fail(
            f"YARN's daemons ({other.name}) are of another release of Hadoop than {client.name}, "
            "the client of the installed Spark; install the locked pyspark."
        )
    return f"{JARS / '*'}:{SPARK_HOME / 'jars' / '*'}"


def _settings(folder: Path) -> dict[str, str]:
    """Return the settings of a node of 6 GB, which listens to this machine alone."""
    services = {
        "resourcemanager": ("address", "scheduler.address", "resource-tracker.address",
                            "admin.address", "webapp.address"),
        "nodemanager": ("address", "localizer.address", "webapp.address",
                        "collector-service.address"),
    }  # fmt: skip
    addresses = {
        f"yarn.{daemon}.{service}": f"127.0.0.1:{free_port()}"
        for daemon, names in services.items()
        for service in names
    }
    return {
        **addresses,
        "yarn.resourcemanager.hostname": "127.0.0.1",
        "yarn.nodemanager.local-dirs": str(folder / "local"),
        "yarn.nodemanager.log-dirs": str(folder / "logs"),
        "yarn.nodemanager.resource.memory-mb": "6144",
        "yarn.nodemanager.resource.cpu-vcores": "4",
        "yarn.nodemanager.vmem-check-enabled": "false",  # Java reserves much that it never uses
        "yarn.nodemanager.disk-health-checker.enable": "false",  # a full disk fails the test anyway
        "yarn.scheduler.minimum-allocation-mb": "256",
    }


def _write(path: Path, settings: Mapping[str, str]) -> None:
    entries = "".join(
        f"<property><name>{key}</name><value>{escape(value)}</value></property>\n"
        for key, value in settings.items()
    )
    path.write_text(f"<configuration>\n{entries}</configuration>\n", encoding="utf-8")


@contextmanager
def serve(folder: Path) -> Iterator[Cluster]:
    """Start a cluster whose file system is that of this machine."""
    classpath = _classpath()
    conf = folder / "conf"
    conf.mkdir()
    settings = _settings(folder)
    _write(conf / "core-site.xml", {"fs.defaultFS": "file:///"})
    _write(conf / "yarn-site.xml", settings)
    _write(conf / "capacity-scheduler.xml", QUEUES)
    address = f"http://{settings['yarn.resourcemanager.webapp.address']}"
    cluster = Cluster(conf, folder / "logs", address)
    java = _java()
    # The node starts Java, for drivers and executors, by this variable alone.
    variables = environment(JAVA_HOME=str(Path(java).resolve().parents[1]))
    log_file = folder / "log"
    with ExitStack() as stack:
        log = stack.enter_context(log_file.open("w"))
        for daemon in DAEMONS:
            process = subprocess.Popen(
                [java, "-Xmx512m", OPENED, "-cp", f"{conf}:{classpath}", daemon],
                env=variables, cwd=folder, stdout=log, stderr=log,
            )  # fmt: skip
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.terminate)
        _require_node(cluster, log_file)
        yield cluster


def _require_node(cluster: Cluster, log: Path) -> None:
    """Wait until the node has told the resource manager of itself."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if cluster.count_nodes() == 1:
                return
        except (URLError, ConnectionError):
            pass  # it does not listen yet
        time.sleep(0.5)
    pytest.fail(f"no node of YARN after {PATIENCE} seconds: {log.read_text()[-4000:]}")
