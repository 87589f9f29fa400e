"""The image: pinned in every layer, and run as a user. No engine builds it here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# As the base images of Debian have it, with the snapshot that they were made from.
SOURCES = """\
Types: deb
# http://snapshot.example/archive/debian/20261006T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
# http://snapshot.example/archive/debian-security/20261006T000000Z
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def _instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [(one.split()[0], one.partition(" ")[2].strip()) for one in joined.splitlines() if one]


def _of(kind: str) -> list[str]:
    return [arguments for name, arguments in _instructions() if name == kind]


def _stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name; the last one, the default, has none."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for kind, arguments in _instructions():
        if kind == "FROM":
            stages[arguments.partition(" AS ")[2]] = current = []
        current.append((kind, arguments))
    return stages


def _commands() -> list[list[str]]:
    return [shlex.split(part) for run in _of("RUN") for part in run.split("&&")]


def test_base_image_is_pinned_by_an_exact_tag_and_by_its_digest() -> None:
    """A tag is built anew from time to time; a digest names one build."""
    first, *others = (image.partition(" AS ")[0] for image in _of("FROM"))
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", first)
    assert others == ["spark", "spark"]  # the first stage, which is no image of a registry


def test_image_runs_as_a_user() -> None:
    """A process of root in a container is root on files that are mounted into it."""
    assert ["useradd", "--create-home", "--uid", "1000", "runner"] in _commands()
    assert set(_of("USER")) == {"runner", "1000"}
    base = [name for name, _ in _stages()["spark"]][::-1]
    assert base.index("USER") < base.index("RUN")
    # Kubernetes refuses an image whose user is a name where pods must not run as root.
    assert ("USER", "1000") in _stages()["kubernetes"]
    assert list(_stages()) == ["spark", "kubernetes", ""]  # without --target: the command line


def test_image_takes_nothing_but_pinned_packages_and_files_of_the_project() -> None:
    """Packages of Python by hash; what is copied exists, and nothing is downloaded by address."""
    assert not _of("ADD")
    installs = [words for words in _commands() if words[:2] == ["pip", "install"]]
    assert len(installs) == 1
    for words in installs:
        assert {"--require-hashes", "--no-build-isolation"} <= set(words)
        assert words[words.index("-r") + 1] == "requirements-runtime.lock"
    assert {words[0] for words in _commands()} == {
        "apt-get", "chown", "mkdir", "pip", "rm", "sed", "useradd",
    }  # fmt: skip
    for copied in _of("COPY"):
        *sources, _ = copied.split()
        assert all((ROOT / source).exists() for source in sources)


def test_packages_of_debian_come_from_the_snapshot_of_the_base_image(tmp_path: Path) -> None:
    """The mirror's address gives way to the one in the comment above it."""
    path = tmp_path / "debian.sources"
    path.write_text(SOURCES, encoding="utf-8")
    (edit,) = (words for words in _commands() if words[0] == "sed")
    subprocess.run([*edit[:-1], str(path)], check=True)
    addresses = re.findall("^URIs: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert addresses == [
        "http://snapshot.example/archive/debian/20261006T000000Z",
        "http://snapshot.example/archive/debian-security/20261006T000000Z",
    ]
    first = next(words for words in _commands() if words[0] == "apt-get")
    assert first[-1] == "update"  # after the edit, and valid for a snapshot of any age
    assert "Acquire::Check-Valid-Until=false" in first


def test_entry_point_imports_no_module_from_the_folder_of_the_data(tmp_path: Path) -> None:
    """A file that somebody names like a library is not run by the job that reads the folder."""
    for name in ("argparse", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)", encoding="utf-8")
    program, *options = json.loads(_of("ENTRYPOINT")[-1])
    assert program == "python"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *options, "score", "--help"]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "usage: sparkweights score" in found.stdout


class Pod(NamedTuple):
    """What the entry point of a pod is tried with."""

    folder: Path

    def start(self, *arguments: str, **environment: str) -> list[str]:
        """Return the command that runs below tini, which here prints it, one word a line."""
        tini = self.folder / "tini"
        tini.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
        tini.chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        ((_, script),) = (one for one in _stages()["kubernetes"] if one[0] == "COPY")
        found = subprocess.run(
            [str(ROOT / script.split()[0]), *arguments],
            env={"PATH": path, "SPARK_HOME": "/spark", **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        *options, separator = found.stdout.splitlines()[:2]
        assert (options, separator) == (["-s"], "--")
        return found.stdout.splitlines()[2:]


def test_executor_pod_starts_the_backend_with_the_settings_of_its_environment(
    tmp_path: Path,
) -> None:
    """Spark passes them as variables, and Java's options by number."""
    environment = {
        "SPARK_EXECUTOR_MEMORY": "1408m",
        "SPARK_JAVA_OPT_0": "-Dspark.driver.port=7078",
        "SPARK_JAVA_OPT_1": "-Da=b c",
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078",
        "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.7",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "loans-exec-3",
        "SPARK_CONF_DIR": "/opt/spark/conf",
    }
    assert Pod(tmp_path).start("executor", **environment) == [
        "java", "-Dspark.driver.port=7078", "-Da=b c", "-Xms1408m", "-Xmx1408m",
        "-cp", "/opt/spark/conf:/spark/jars/*",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
        "--driver-url", "spark://CoarseGrainedScheduler@driver:7078", "--executor-id", "3",
        "--cores", "2", "--app-id", "spark-1", "--hostname", "10.0.0.7",
        "--resourceProfileId", "0", "--podName", "loans-exec-3",
    ]  # fmt: skip


def test_driver_pod_submits_in_client_mode(tmp_path: Path) -> None:
    """The arguments of spark-submit stay as they are; another command runs as it is."""
    pod = Pod(tmp_path)
    submitted = pod.start(
        "driver", "--properties-file", "/opt/spark/conf/a b", SPARK_DRIVER_BIND_ADDRESS="10.0.0.6"
    )
    assert submitted == [
        "/spark/bin/spark-submit", "--deploy-mode", "client",
        "--conf", "spark.driver.bindAddress=10.0.0.6", "--properties-file", "/opt/spark/conf/a b",
    ]  # fmt: skip
    assert pod.start("python", "-c", "pass") == ["python", "-c", "pass"]
