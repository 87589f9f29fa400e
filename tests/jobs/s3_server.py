"""A server of S3 for tests, what takes a session to it, and a small table on it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fsspec
import pyspark
from batteries import ROOT
from conftest import SUITE, history

from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = ROOT / "build" / "jars-s3"
# Of the session, beside the address and the credentials in the variables of its process.
SETTINGS = {
    "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.checksum.generation": "false",
}
SERVES = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def skipped_for() -> str:
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


@contextmanager
def serve() -> Iterator[dict[str, str]]:
    """Start a server in a process of its own; yield the variables that name it to a process."""
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
        yield {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }
        server.kill()


def new_folder() -> Location:
    """Return an empty folder of a new bucket."""
    name = f"lake-{uuid4().hex[:12]}"
    fsspec.filesystem("s3").call_s3("create_bucket", Bucket=name)
    return Location.of(f"s3a://{name}/of a lender")


def put_on_s3(folder: Location, database: str) -> dict[str, Any]:
    """Return the changes to a configuration that put it on S3, and write what it reads there."""
    incoming = history(400, seed=2).drop(columns="outcome")
    (folder / "incoming" / "part-0.parquet").write_bytes(incoming.to_parquet(index=False))
    (folder / "suites" / "incoming.json").write_bytes(json.dumps(SUITE).encode())
    return {
        "artifacts": str(folder / "models"),
        "runs": str(folder / "runs"),
        "checks__incoming": str(folder / "suites" / "incoming.json"),
        "tables__incoming": {"format": "parquet", "location": str(folder / "incoming")},
        "tables__scored": {"format": "table", "location": f"{database}.scored"},
        "tables__quarantine": {"format": "table", "location": f"{database}.quarantine"},
    }
