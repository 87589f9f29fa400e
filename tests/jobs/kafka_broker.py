"""A broker of Kafka for tests, in a process and a folder that go with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batteries import JAVA, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = ROOT / "build" / "jars-kafka-broker"
USER, PASSWORD = "bank", "hush7041"
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
CLUSTER = "bG9hbnNBcmVSaXNreSEhIQ"  # any 16 bytes
SECONDS = 60  # that a start may take
# One node that is broker and controller; clients log in, as banks' do.
PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
inter.broker.listener.name=SASL_PLAINTEXT
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={login} \\
  username="{user}" password="{password}" user_{user}="{password}";
log.dirs={data}
num.partitions=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


@contextmanager
def serve() -> Iterator[str]:
    """Start a broker on this machine; yield the address that clients connect to."""
    folder = Path(tempfile.mkdtemp(prefix="kafka-"))
    port, controller = _free_ports()
    stated = folder / "server.properties"
    stated.write_text(
        PROPERTIES.format(
            port=port,
            controller=controller,
            login=LOGIN,
            user=USER,
            password=PASSWORD,
            data=folder / "data",
        ),
        encoding="utf-8",
    )
    home = os.environ.get("JAVA_HOME")
    java = [
        "java" if home is None else f"{home}/bin/java",
        "-Xmx512m",
        *JAVA.split(),
        "-cp",
        f"{JARS}/*",
    ]
    try:
        subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(stated)],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=SECONDS,
        )
        with (folder / "log").open("w") as log:
            broker = subprocess.Popen(
                [*java, "kafka.Kafka", str(stated)], stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait_for(port, broker)
            yield f"127.0.0.1:{port}"
        finally:
            broker.kill()
            broker.wait()
    finally:
        shutil.rmtree(folder)


def _free_ports() -> tuple[int, int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        first, second = (each.getsockname()[1] for each in sockets)
    return first, second


def _wait_for(port: int, broker: subprocess.Popen[bytes]) -> None:
    """Wait until clients can connect; they wait themselves until it answers."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and broker.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("the broker does not answer")
