"""The house rules that a linter does not know."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "sparkweights").rglob("*.py"))
# A module is as long as its one subject; beyond these, it has more than one.
MAX_LINES, MAX_FUNCTION_LINES, MAX_JOB_LINES = 600, 50, 20
MAX_SILENCED, MAX_OPEN_TYPES = 90, 150  # lines
# What opens, lists, moves, removes or locks files; `Location` does, for every file of a user.
FILE_MODULES = {
    "fcntl", "filelock", "fsspec", "glob", "os.path", "pathlib", "posixpath", "pyarrow.fs",
    "shutil", "tempfile",
}  # fmt: skip
HARMLESS_IN_OS = {"PathLike", "_exit", "environ", "fsencode", "fspath", "getpid"}
HAS_FILES_OF_ITS_OWN = {
    "sparkweights/storage/location.py": "the one module for them",
    "sparkweights/storage/filesystems.py": "the library's calls behind a location",
    "sparkweights/storage/local_files.py": "the calls behind a location's local path",
    "sparkweights/storage/lock.py": "the library of locks, which takes a location's local path",
    "sparkweights/app/session.py": "Java, and what an engine on this machine needs",
    "sparkweights/cli/signals.py": "the list of child processes, which the system keeps in files",
    "sparkweights/cli/options.py": "paths as they were typed, which messages repeat",
}
FORBIDDEN = ("_jvm", "sparkContext", ".rdd", "toPandas", "pickle")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_any_stays_small_and_on_the_public_engine(path: Path) -> None:
    """Modules stay readable, and use nothing that Spark Connect lacks."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    code = "\n".join(ast.unparse(node) for node in _statements(ast.parse(text)))
    assert not [word for word in FORBIDDEN if word in code]
    assert path.stem not in {"utils", "misc", "helpers", "common"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_function_any_fits_a_screen(path: Path) -> None:
    """A function without its docstring has at most 50 lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            lines -= len(docstring.splitlines()) + 1 if docstring else 0
            assert lines <= MAX_FUNCTION_LINES, node.name


def _file_access(tree: ast.Module) -> list[str]:
    """Return what a module uses of `FILE_MODULES`, of `os`, and the built-in ``open``."""
    found = list[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [str(node.module)] + [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.append(node.func.id)
    return [
        name
        for name in found
        if name in FILE_MODULES | {"open", "io.open"}
        or (name.startswith("os.") and name.removeprefix("os.") not in HARMLESS_IN_OS)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_leaves_the_files_of_users_to_location(path: Path) -> None:
    """What works on a local folder alone would fail on the storage of the next user."""
    used = _file_access(ast.parse(path.read_text(encoding="utf-8")))
    assert bool(used) == (str(path.relative_to(ROOT)) in HAS_FILES_OF_ITS_OWN), used


@pytest.mark.parametrize(
    "code",
    [
        "import pathlib", "from pathlib import Path", "import os.path", "from os import remove",
        "import os; os.makedirs('x')", "from os import path", "open('x')", "io.open('x')",
        "from pyarrow import fs", "import shutil as s", "def f():\n    import tempfile",
    ],
)  # fmt: skip
def test_file_access_is_recognised(code: str) -> None:
    """However it is imported."""
    assert _file_access(ast.parse(code))


def _statements(tree: ast.Module) -> list[ast.stmt]:
    """Return the module without its docstrings, which may speak of anything."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                item
                for item in body
                if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ] or [ast.Pass()]
    return tree.body


def test_jobs_are_thin() -> None:
    """A job hands its arguments to the command line; logic there would have no test."""
    jobs = sorted((ROOT / "jobs").glob("*.py"))
    assert {job.stem for job in jobs} >= {"weights", "train", "check", "score", "run"}
    assert all(len(job.read_text().splitlines()) < MAX_JOB_LINES for job in jobs)


def test_test_files_have_names_of_their_own() -> None:
    """Two of one name cannot be collected in one run, however well each passes alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_records_are_read_by_their_attributes() -> None:
    """A key in quotes is checked by nobody; only the records package reads JSON."""
    above = ("app", "bundle", "cli", "explain", "monitoring", "report", "scoring", "training")
    for path in (path for name in above for path in (ROOT / "sparkweights" / name).rglob("*.py")):
        found = re.findall(r"\b\w*(?:record|manifest)\[\".*", path.read_text(encoding="utf-8"))
        assert not found, (path.name, found)


def test_exceptions_from_the_rules_stay_few() -> None:
    """Rules are silenced, and types left open, where there is no other way."""
    folders = ("sparkweights", "jobs", "benchmarks", "docs", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert sum("# noqa" in line for line in lines) <= MAX_SILENCED
    package = [line for file in MODULES for line in file.read_text(encoding="utf-8").splitlines()]
    assert sum(re.search(r"\bAny\b", line) is not None for line in package) <= MAX_OPEN_TYPES
