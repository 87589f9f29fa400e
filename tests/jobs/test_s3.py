"""Object stores, against a local server of S3: it takes a session with the connector."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest
from batteries import ROOT, count_passed

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = ROOT / "build" / "jars-s3"
SERVES = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def _skipped_for() -> str:
    """Return why S3 cannot be tested here; empty where it can."""
    if not (JARS / ".complete").exists():
        return "the connector is not here; `make jars` brings it"
    missing = [name for name in ("s3fs", "moto") if find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    (client,) = Path(pyspark.__file__).parent.glob("jars/hadoop-client-api-*.jar")
    release = client.stem.removeprefix("hadoop-client-api-")
    if not (JARS / f"hadoop-aws-{release}.jar").exists():
        return f"the connector is of another release of Hadoop than {release}, that of Spark"
    return ""


pytestmark = [pytest.mark.lake, pytest.mark.skipif(bool(_skipped_for()), reason=_skipped_for())]


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Start a server of S3 in a process of its own, and return its address."""
    command = [sys.executable, "-W", "ignore", "-c", SERVES]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        yield f"http://{host}:{port}"
        server.kill()


def test_everything_of_a_lender_may_be_on_s3(endpoint: str) -> None:
    """Models, records, suites, work rows and tables; locks, and what is refused."""
    settings = {
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.checksum.generation": "false",
    }
    variables = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    jars = sorted(JARS.glob("*.jar"))
    passed = count_passed(["tests/jobs/s3.py"], jars, settings=settings, variables=variables)
    assert passed >= 17
