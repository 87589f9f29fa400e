"""A server of Spark Connect for tests: of another user, in a folder that no one else can enter."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from batteries import JAVA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SPARK_HOME = Path(pyspark.__file__).parent
USER, GROUP = "nobody", "nogroup"
PATIENCE = 120
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"


def skipped_for() -> str:
    """Return why no such server can be started here; empty where it can."""
    if os.getuid() != 0:
        return "only root can start a server as another user"
    command = ["test", "-r", str(SPARK_HOME / "bin" / "spark-submit")]
    if subprocess.run(command, check=False, cwd="/", user=USER, extra_groups=[]).returncode:
        return f"the user {USER} cannot read Spark in this environment"
    return ""


@contextmanager
def serve(
    jars: Sequence[Path], settings: Mapping[str, str], variables: Mapping[str, str]
) -> Iterator[str]:
    """Start a server whose user is another one than this process's; yield its address.

    It sees none of the private folders of this process, and this process, unless it is root, none
    of its own.

    Parameters
    ----------
    jars, settings
        Of its session.
    variables
        Of its process.
    """
    folder = Path(tempfile.mkdtemp(prefix="connect-"))  # for its owner alone
    for jar in jars:
        shutil.copy(jar, folder)  # the project's folder may be closed to it
    shutil.chown(folder, USER, GROUP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.host": "127.0.0.1",
        "spark.jars": ",".join(str(folder / jar.name) for jar in jars),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.hive.exec.scratchdir": str(folder / "hive"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:it;create=true",
        "spark.ui.enabled": "false",
        **settings,
    }
    command = [str(SPARK_HOME / "bin" / "spark-submit"), "--class", CONNECT, "--master", "local[2]",
               "--driver-java-options", f"{JAVA} -Djava.io.tmpdir={folder}",
               *(word for key, value in conf.items() for word in ("--conf", f"{key}={value}")),
               "spark-internal"]  # fmt: skip
    inherited = {key: os.environ[key] for key in ("JAVA_HOME", "PATH") if key in os.environ}
    env = {**inherited, **variables, "HOME": str(folder), "LC_ALL": "C.UTF-8",
           "SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1"}  # fmt: skip
    log = folder / "log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            command, cwd=folder, env=env, stdout=stream, stderr=stream,
            user=USER, group=GROUP, extra_groups=[],
        ) as server,
    ):  # fmt: skip
        try:
            _wait(server, port, log)
            yield f"sc://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
            shutil.rmtree(folder)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text()[-4000:]}")
