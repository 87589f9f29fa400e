"""The wheel beside the engine of a platform: no file of that changes, and the wheel works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from environments import Environment, build_wheel

import sparkweights

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engines
# Another release than the locked one, and the client that has its module in the same folder.
ENGINES = {"pyspark": "4.0.5", "pyspark-client": "4.2.0"}
LOADS = """
import sparkweights
from importlib.resources import files
print(sparkweights.load_config(files("sparkweights.demo") / "logistic.yaml").name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build today's wheel."""
    return build_wheel(tmp_path_factory.mktemp("wheels"))


def _demo(environment: Environment) -> str:
    (found,) = environment.folder.glob("lib/python*/site-packages/sparkweights/demo/logistic.yaml")
    return str(found)


def _assert_starts(environment: Environment) -> None:
    """Try what needs no session, whatever engine is there."""
    told = environment.run("sparkweights", "--version")
    assert told.stdout == f"sparkweights {sparkweights.__version__}\n", told.stderr
    helped = environment.run("sparkweights", "--help")
    assert "monitor" in helped.stdout, helped.stderr
    loaded = environment.run("python", "-c", LOADS)
    assert loaded.stdout == "credit_card_default_logistic\n", loaded.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_wheel_leaves_the_engine_of_a_platform_alone(
    engine: str, wheel: Path, tmp_path: Path
) -> None:
    """No file of it is another one afterwards, and no second package has files in its module."""
    environment = Environment(tmp_path / "environment")
    environment.install("--no-compile", f"{engine}=={ENGINES[engine]}")
    before = environment.digests(engine)
    assert len(before) > 300
    for extras in ("", "[checks,report]"):
        environment.install("--no-compile", f"{wheel}{extras}")
        assert environment.digests(engine) == before
        assert environment.owners("pyspark") == {engine}
        _assert_starts(environment)
    runner = environment.run("python", "-c", "from sparkweights import Runner, load_bundle")
    assert runner.returncode == 0, runner.stderr
    if engine == "pyspark-client":
        _assert_asks_for_a_server(environment)


def _assert_asks_for_a_server(environment: Environment) -> None:
    refused = environment.run("sparkweights", "weights", "--config", _demo(environment), "--quiet")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "SPARK_REMOTE" in line


def test_wheel_without_an_engine_says_how_one_is_installed(wheel: Path, tmp_path: Path) -> None:
    """In one line; what needs no engine works."""
    environment = Environment(tmp_path / "environment")
    environment.install("--no-compile", str(wheel))
    _assert_starts(environment)
    refused = environment.run("sparkweights", "weights", "--config", _demo(environment), "--quiet")
    assert refused.returncode == 2
    assert refused.stderr == (
        "sparkweights: This needs the pyspark library, which is not installed. "
        "Hint: pip install 'sparkweights[spark]'.\n"
    )
