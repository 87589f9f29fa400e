"""The Spark session of the command line and the jobs."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from sparkweights.core.errors import ConfigError, SparkweightsError
from sparkweights.core.session_settings import effective_setting, use_settings
from sparkweights.core.versions import release
from sparkweights.models.mllib_trees import CHECKPOINTS
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import lasting_scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="OnSession")
OLDEST = (4, 0)  # release of Spark
TIME_ZONE = "spark.sql.session.timeZone"
_UTC = {"UTC", "Etc/UTC", "Z", "+00:00", "UTC+00:00", "GMT", "Etc/GMT"}
LOCAL_SETTINGS = {
    "spark.master": "local[*]",
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "4",  # for a laptop; a cluster has other settings
}


def open_session(name: str) -> SparkSession:
    """Return the active session as it is, one that spark-submit configures, or a quiet local one.

    Raises
    ------
    SparkweightsError
        If Spark cannot start because there is no Java.
    """
    try:
        return SparkSession.active()
    except PySparkRuntimeError:  # there is none
        builder = SparkSession.builder.appName(name)
    builder = builder.config(TIME_ZONE, "UTC")
    if not _is_remote():  # a Connect server has its own settings
        # By default PySpark records the source line of every expression, which takes a third of
        # the planning time of large expressions.
        builder = builder.config("spark.python.sql.dataFrameDebugging.enabled", "false")
    if not _submitted():
        # Python workers need the packages of this environment, not those of the first python3.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        _use_utf8_names()
        for key, value in LOCAL_SETTINGS.items():
            builder = builder.config(key, value)
        builder = builder.config(CHECKPOINTS, checkpoint_folder())
        # Without this Spark logs a dozen lines at every start.
        logging = Path(__file__).with_name("log4j2.properties")
        if logging.is_file():
            java = f"-Dlog4j2.configurationFile={logging.as_uri()}"
            builder = builder.config("spark.driver.extraJavaOptions", java)
        _require_java()
    return builder.getOrCreate()


@contextmanager
def run_settings(spark: SparkSession) -> Iterator[None]:
    """Set what every run needs, for its length.

    Dates and timestamps mean the same wherever the run takes place: those of UTC.

    Raises
    ------
    ConfigError
        If the session is of an older Spark, or has another time zone and keeps it.
    """
    if release(spark.version) < OLDEST:
        raise ConfigError(
            f"The session is of Spark {spark.version}; needed: Spark 4.0 or newer.",
            hint="run this on a platform of such a release.",
        )
    with use_settings(spark, {TIME_ZONE: "UTC"}):
        zone = effective_setting(spark, TIME_ZONE)
        if zone not in _UTC:
            stated = "not told" if zone is None else f"'{zone}'"
            raise ConfigError(
                f"The session's time zone is {stated} and cannot be changed; allowed: UTC.",
                hint=f"set {TIME_ZONE} to UTC where the session is made.",
            )
        yield


class OnSession(Protocol):
    """Whatever runs on a session."""

    @property
    def spark(self) -> SparkSession:
        """The session."""


def on_session(verb: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Give a verb the settings that every run needs; the session has its own ones afterwards."""

    @wraps(verb)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with run_settings(self.spark):
            return verb(self, *args, **kwargs)

    return run


def checkpoint_folder() -> str:
    """Make a private folder for the checkpoints of a local session.

    It is removed when the process ends; that of a killed one, by the next session.

    Boosting corrects the margins of its rows tree by tree; without checkpoints every task contains
    all previous corrections, and about two hundred overflow Java's stack.
    """
    return str(lasting_scratch_folder(Location.temporary()))


def _use_utf8_names() -> None:
    """Let Java encode file names as UTF-8; in other locales a partition of any name has no file."""
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "C")
    if "utf" not in locale.casefold():
        os.environ["LC_ALL"] = "C.UTF-8"


def _submitted() -> bool:
    """Whether spark-submit, or a notebook's server, chose the settings."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or _is_remote()


def _is_remote() -> bool:
    """Whether the session is one of Spark Connect; `pyspark-client` makes no other."""
    return "SPARK_REMOTE" in os.environ or is_remote()


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    folders = [Path(home) / "bin"] if home else [Path(p) for p in os.get_exec_path()]
    if find_spec("pyspark") and not any((folder / "java").exists() for folder in folders):
        raise SparkweightsError(
            "Spark needs Java 17 or newer, and no `java` is on the PATH.",
            hint="install a Java runtime (Debian: apt-get install openjdk-17-jre-headless).",
        )
