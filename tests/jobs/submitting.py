"""How the tests of clusters submit jobs: as a user does, with a zip of the package."""

from __future__ import annotations

import os
import socket
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pyspark
from conftest import SHORT_LIVED, Shop
from pages import blocks

ROOT = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
PATIENCE = 240


def free_port() -> int:
    """Return a port that nothing listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_package(target: Path) -> Path:
    """Write what `make package` writes."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted((ROOT / "sparkweights").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(ROOT))
    return target


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a host that submits, none of them those of the tests' own session."""
    names = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_SUBMIT_ARGS")
    return {
        **{name: value for name, value in os.environ.items() if name not in names},
        **SHORT_LIVED,
        "PATH": f"{SPARK_HOME / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        **variables,
    }


def command_of_page(master: str) -> str:
    """Return the command of the deployment page that submits to a kind of cluster."""
    (found,) = (
        command
        for block in blocks("sh")
        if block.page == "deployment.md"
        for command in block.text.replace("\\\n", " ").splitlines()
        if command.startswith("spark-submit ") and f"--master {master}" in command
    )
    return found


def write_defaults(folder: Path, settings: dict[str, str]) -> Path:
    """Write a folder for SPARK_CONF_DIR, with what a small machine needs beside the command."""
    folder.mkdir()
    lines = "".join(f"{key} {value}\n" for key, value in settings.items())
    (folder / "spark-defaults.conf").write_text(lines, encoding="utf-8")
    return folder


def scored_rows(shop: Shop) -> pd.DataFrame:
    """Return the scored table but for the time of the run."""
    table = pd.read_parquet(shop.folder / "out" / "scored")
    return table.drop(columns="scored_at").sort_values("loan id").reset_index(drop=True)
