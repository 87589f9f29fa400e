"""A server of PostgreSQL for tests, in a folder that goes with it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

VARIABLE = "SPARKWEIGHTS_TEST_POSTGRES"  # holds the options of a server that runs, as JSON
USER, PASSWORD = "bank", "hush7041"
DEBIAN = Path("/usr/lib/postgresql")


def options() -> dict[str, str]:
    """Return Spark's options of the server that runs; none where none does."""
    found: dict[str, str] = json.loads(os.environ.get(VARIABLE, "{}"))
    return found


def programs() -> Path | None:
    """Return the folder of the server's programs; None where they are not installed."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    return next(iter(sorted(DEBIAN.glob("*/bin"), reverse=True)), None)


def connect() -> psycopg.Connection[TupleRow]:
    """Connect to the server as its owner."""
    stated = options()
    url = stated["url"].removeprefix("jdbc:")
    return psycopg.connect(url, user=stated["user"], password=stated["password"], autocommit=True)


@contextmanager
def serve() -> Iterator[dict[str, str]]:
    """Start a server on this machine, as a user without rights; yield Spark's options of it."""
    home = programs()
    assert home is not None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        for path in (folder, secret):
            shutil.chown(path, "nobody", "nogroup")
    data = str(folder / "data")
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {folder}"
    make = ["initdb", "-D", data, "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync",
            "--auth=scram-sha-256", f"--pwfile={secret}"]  # fmt: skip
    start = ["pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start"]
    stop = ["pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"]
    try:
        for program, *arguments in (make, start):
            subprocess.run(
                [str(home / program), *arguments],
                check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60, **user,
            )  # fmt: skip
        url = f"jdbc:postgresql://127.0.0.1:{port}/postgres"
        yield {"url": url, "user": USER, "password": PASSWORD}
    finally:
        program, *arguments = stop
        subprocess.run(
            [str(home / program), *arguments],
            check=False, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip
        shutil.rmtree(folder)
