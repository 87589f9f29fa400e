"""Shared fixtures: one lazy Spark session, started by the first test that asks for it."""

from __future__ import annotations

import math
import os
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4
from zipfile import ZipFile

import pandas as pd
import pytest
from xdist.scheduler import LoadFileScheduling

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers see the packages of the tests
# Short-lived engines on few cores: small tests gain a quarter, long ones lose nothing.
os.environ.setdefault(
    "PYSPARK_SUBMIT_ARGS",
    "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    " -Dderby.stream.error.file=/dev/null' pyspark-shell",
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pyspark.sql import SparkSession

    from sparkweights.storage.location import Location

    Planned = Callable[[], AbstractContextManager[None]]
    Install = Callable[[str, Mapping[str, str], Mapping[str, str]], None]


# A run over a small table spends a third of its time compiling code and planning anew; the slow
# tests, the demo and modules that ask for it do so all the same.
PLANNED_AS_IN_JOBS = os.environ.get("SPARKWEIGHTS_TEST_PLANS") == "as in jobs"
INTERPRETED = {
    "spark.sql.ui.explainMode": "simple",  # no test looks at the page for which plans are told
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
AS_IN_JOBS = {
    "spark.sql.ui.explainMode": "formatted",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
}


# A catalog that would outlive the session, but for its memory; or one that several processes share.
METASTORE = os.environ.get("SPARKWEIGHTS_TEST_METASTORE", "jdbc:derby:memory:it;create=true")


class OneFileOneWorker(LoadFileScheduling):
    """Give the tests of a file to one worker, and all that read the demo to the same one.

    Each worker that meets the demo runs it, which takes as long as a hundred small tests.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        # Tests come here as names, so whoever asks for the demo is read from the files.
        files = Path(__file__).parent.rglob("test_*.py")
        self.demo = {file.name for file in files if "demo: Path" in file.read_text("utf-8")}

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "the demo" if Path(file).name in self.demo else file


@pytest.hookimpl(optionalhook=True)  # one may run the tests without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneFileOneWorker:
    """Deal out whole files."""
    return OneFileOneWorker(config, log)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install packages that register learners, for one test.

    Each is given as its distribution's name, its entry points (kind -> ``module:attribute``) and
    its files (path -> text), which become a wheel on the path.
    """
    from sparkweights.models import registry

    before = set(sys.modules)

    def put(name: str, kinds: Mapping[str, str], files: Mapping[str, str]) -> None:
        wheel = tmp_path / f"{name.replace('-', '_')}-0.1-py3-none-any.whl"
        folder = f"{name.replace('-', '_')}-0.1.dist-info"
        entries = "\n".join(f"{kind} = {value}" for kind, value in kinds.items())
        with ZipFile(wheel, "w") as archive:
            archive.writestr(
                f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n"
            )
            archive.writestr(f"{folder}/entry_points.txt", f"[{registry.GROUP}]\n{entries}\n")
            for path, text in files.items():
                archive.writestr(path, text)
        monkeypatch.syspath_prepend(str(wheel))
        forget()

    def forget() -> None:
        registry.installed.cache_clear()
        registry._load_declaration.cache_clear()

    yield put
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", None)):
            del sys.modules[module]
    monkeypatch.undo()
    forget()


@pytest.fixture
def toy_learner(install: Install) -> str:
    """Install the package in ``tests/toy_learner``, and return the kind that it registers."""
    folder = Path(__file__).parent / "toy_learner"
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    kinds = project["entry-points"]["sparkweights.learners"]
    modules = {str(file.relative_to(folder)): file for file in folder.rglob("*.py")}
    install(project["name"], kinds, {at: file.read_text("utf-8") for at, file in modules.items()})
    (kind,) = kinds
    return str(kind)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Start a quiet two-core session with few partitions and a temporary warehouse.

    With SPARKWEIGHTS_TEST_REMOTE set, the session is one of Spark Connect.
    """
    from pyspark.sql import SparkSession

    remote = os.environ.get("SPARKWEIGHTS_TEST_REMOTE")
    if remote is not None:
        connected = SparkSession.builder.remote(remote).appName("tests").getOrCreate()
        connected.conf.set("spark.sql.shuffle.partitions", "2")
        yield connected
        connected.stop()
        return
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config("spark.sql.catalogImplementation", "hive")
        .config("spark.hadoop.javax.jdo.option.ConnectionURL", METASTORE)
        .config("spark.log.level", "ERROR")
        .config(map=AS_IN_JOBS if PLANNED_AS_IN_JOBS else INTERPRETED)
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")  # as in the jobs
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def planned_as_in_jobs(spark: SparkSession) -> Planned:
    """Return what has Spark compile generated code and plan adaptively while it is entered."""

    @contextmanager
    def planned() -> Iterator[None]:
        before = {key: spark.conf.get(key) for key in AS_IN_JOBS}
        for key, value in AS_IN_JOBS.items():
            spark.conf.set(key, value)
        try:
            yield
        finally:
            for key, value in before.items():
                spark.conf.set(key, str(value))

    return planned


@pytest.fixture(scope="module")
def generated_code(planned_as_in_jobs: Planned) -> Iterator[None]:
    """Plan a module's queries as jobs do: what Spark makes of our expressions is its subject."""
    with planned_as_in_jobs():
        yield


@pytest.fixture(scope="module")
def unobserved(spark: SparkSession) -> Iterator[SparkSession]:
    """Return a session of which no query was observed, planned as the other one is now.

    Before Spark 4.3 a session that has observed one cannot be sent to tasks, and models that MLlib
    has just fitted hold theirs.
    """
    if "SPARKWEIGHTS_TEST_REMOTE" in os.environ:
        yield spark
        return
    fresh = spark.newSession()
    for key in AS_IN_JOBS:
        fresh.conf.set(key, str(spark.conf.get(key)))
    yield fresh
    spark.createDataFrame([], "a int")  # which is the active session again


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    """Return an empty folder of an object store in memory, whose create excludes other threads."""
    from fsspec.implementations.memory import MemoryFileSystem

    from sparkweights.storage.location import Location

    pipe_file, mutex = MemoryFileSystem.pipe_file, Lock()

    def one_step(self: MemoryFileSystem, path: str, value: bytes, mode: str = "overwrite") -> None:
        with mutex:
            pipe_file(self, path, value, mode=mode)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", one_step)
    folder = Location.of(f"memory://bucket-{uuid4().hex}/folder")
    yield folder
    folder.parent.remove()


@pytest.fixture(scope="session")
def score_by_onnx() -> Callable[[bytes, pd.DataFrame], pd.DataFrame]:
    """Score rows by an exported model in ONNX's runtime; a missing text is what the model says."""
    import onnxruntime

    def score(model: bytes, rows: pd.DataFrame) -> pd.DataFrame:
        session = onnxruntime.InferenceSession(model)
        missing = session.get_modelmeta().custom_metadata_map["missing_text"]
        columns = {
            column.name: rows[column.name].fillna(missing).to_numpy(object)
            if column.type == "tensor(string)"
            else rows[column.name].astype("Float64").to_numpy(float, na_value=math.nan)
            for column in session.get_inputs()
        }
        names = [output.name for output in session.get_outputs()]
        return pd.DataFrame(dict(zip(names, session.run(names, columns), strict=True)))

    return score
