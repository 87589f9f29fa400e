"""What an installation brings, what works without an extra, and how a job's end is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

import sparkweights
from sparkweights import ConfigError, QualityGateError
from sparkweights.app.session import run_settings
from sparkweights.core.extras import CHECKS, ONNX, POSTGRES, REPORT, SPARK, XGBOOST, missing_extra
from sparkweights.quality.library import quiet_library
from sparkweights.records import RunRecord
from sparkweights.report import StageResult, pages_of

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = (SPARK, XGBOOST, CHECKS, REPORT, POSTGRES, ONNX)
MODULES = [name for extra in EXTRAS for name in (extra.module, *extra.others)]
POSIX = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "fchmod", "getuid")

WITHOUT_EXTRAS = """
import json, os, sys
for name in {modules}:
    sys.modules[name] = None  # as if it were not installed
for name in {absent}:
    delattr(os, name)
import sparkweights
answers = {{}}
for name in sparkweights.__all__:
    try:
        getattr(sparkweights, name)
    except sparkweights.ConfigError as error:
        answers[name] = str(error)
sparkweights.load_config({config!r})
from sparkweights.cli.main import main
print(json.dumps([answers, main(["weights", "--config", {config!r}])]))
"""

CLIENT_ALONE = """
import os, sys
for name in ("pyspark.core", "py4j"):
    sys.modules[name] = None  # what pyspark-client leaves out
from sparkweights import Runner
from sparkweights.cli.main import main
for remote in {remotes!r}:
    os.environ["SPARK_REMOTE"] = remote
    if not remote:
        del os.environ["SPARK_REMOTE"]
    assert main(["weights", "--config", {config!r}, "--quiet"]) == 2
"""


def _names(requirements: list[str]) -> set[str]:
    return {Requirement(one).name for one in requirements}


def test_an_installation_brings_no_engine_and_no_learner() -> None:
    """A platform's own pyspark and xgboost must not be replaced by an installation."""
    optional = PROJECT["optional-dependencies"]
    for extra, package in (
        ("spark", "pyspark"),
        ("xgboost", "xgboost-cpu"),
        ("checks", "great-expectations"),
        ("report", "matplotlib"),
        ("postgres", "psycopg"),
        ("onnx", "onnx"),
    ):
        assert package in _names(optional[extra])
        assert package not in _names(PROJECT["dependencies"])
    assert "numpy" in _names(PROJECT["dependencies"])
    (everything,) = map(Requirement, optional["all"])
    assert everything.extras == set(optional) - {"all"}


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda one: one.install)
def test_extra_is_declared_by_the_name_that_its_sentence_states(extra: object) -> None:
    """Whoever pastes the command gets the library."""
    assert isinstance(extra, type(SPARK))
    (name,) = Requirement(extra.install).extras
    assert name in PROJECT["optional-dependencies"]


def test_package_is_imported_without_extras_and_without_what_windows_lacks(tmp_path: Path) -> None:
    """What needs Spark says how it is installed, in Python and on the command line."""
    modules = [*MODULES, "py4j", "fcntl"]
    config = str(ROOT / "sparkweights" / "demo" / "logistic.yaml")
    code = WITHOUT_EXTRAS.format(modules=modules, absent=POSIX, config=config)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    answers, exit_code = json.loads(done.stdout)
    assert set(answers) >= {"Runner", "ClassWeigher", "load_bundle", "DecisionPolicy"}
    assert not set(answers) & {"Config", "InputError", "load_classifier", "load_config"}
    sentence = (
        "This needs the pyspark library, which is not installed. "
        "Hint: pip install 'sparkweights[spark]'."
    )
    assert set(answers.values()) == {sentence}
    assert exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_client_of_spark_connect_alone_asks_for_a_server(tmp_path: Path) -> None:
    """Instead of looking for Java, which it does not need; also where the address is none."""
    config = str(ROOT / "sparkweights" / "demo" / "logistic.yaml")
    code = CLIENT_ALONE.format(remotes=["", "connect.example:15002"], config=config)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sentence = (
        "sparkweights: Spark Connect is told of no server: SPARK_REMOTE is not set, or is no "
        "address of one. Hint: set it, as in SPARK_REMOTE=sc://HOST:15002; pyspark-client starts "
        "no engine of its own: to have one, remove it first, then "
        "pip install 'sparkweights[spark]'.\n"
    )
    assert done.stderr == 2 * sentence


def test_session_of_an_older_spark_is_refused() -> None:
    """In a sentence, before a method that it lacks is called in the middle of a run."""
    session: Any = SimpleNamespace(version="3.5.9")
    with (
        pytest.raises(ConfigError, match=r"Spark 3\.5\.9; needed: Spark 4\.0"),
        run_settings(session),
    ):
        pass


def test_suite_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence, before a table is read."""
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    with pytest.raises(ConfigError, match=r"pip install 'sparkweights\[checks\]'"), quiet_library():
        pass


def test_reports_without_the_extra_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job writes its record all the same; a notebook says what its chart needs."""
    golden = (ROOT / "tests" / "golden" / "before" / "run.json").read_text(encoding="utf-8")
    record = RunRecord.from_dict(json.loads(golden))
    assert set(pages_of(record)) == {"report.html"}
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert pages_of(record) == {}
    shown = StageResult(None, record)._repr_html_()
    assert "Charts need the jinja2 library" in shown
    assert "pip install 'sparkweights[report]'" in shown


def test_other_missing_modules_are_bugs() -> None:
    """Only a library of an extra has a command that installs it."""
    assert missing_extra(ModuleNotFoundError(name="numpy")) is None
    assert (
        missing_extra(ImportError("cannot import name 'x' from 'pyspark'", name="pyspark")) is None
    )


@pytest.mark.parametrize("failure", [None, QualityGateError("Gate.")])
def test_wheel_task_returns_after_a_success_and_raises_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, failure: QualityGateError | None
) -> None:
    """A scheduler that calls the function reports an exit with code 0 as a failure."""
    module, _, name = PROJECT["scripts"]["sparkweights"].partition(":")
    cli = import_module("sparkweights.cli.main")

    def weights(*_: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setitem(cli._VERBS, "weights", weights)
    monkeypatch.setattr(sys, "argv", ["sparkweights", "weights", "--config", "loans.yaml"])
    task = getattr(import_module(module), name)
    if failure is None:
        assert task() is None
        return
    with pytest.raises(SystemExit) as ended:
        task()
    assert ended.value.code == QualityGateError.exit_code


def test_public_names_are_the_lazy_ones_and_the_release() -> None:
    """A name that is imported nowhere would be refused by `from sparkweights import *`."""
    assert set(sparkweights.__all__) == {*sparkweights._HOMES, "__version__"}
