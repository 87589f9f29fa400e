"""The image: pinned in every layer, and run as a user. No engine builds it here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

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


def _commands() -> list[list[str]]:
    return [shlex.split(part) for run in _of("RUN") for part in run.split("&&")]


def test_base_image_is_pinned_by_an_exact_tag_and_by_its_digest() -> None:
    """A tag is built anew from time to time; a digest names one build."""
    assert len(_of("FROM")) >= 1
    for image in _of("FROM"):
        assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)


def test_image_runs_as_a_user() -> None:
    """A process of root in a container is root on files that are mounted into it."""
    user = _of("USER")[-1]
    assert user not in {"root", "0"}
    assert ["useradd", "--create-home", user] in _commands()
    after = [name for name, _ in _instructions()][::-1]
    assert after.index("USER") < after.index("RUN")


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
