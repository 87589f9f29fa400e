"""Folders of this machine that the server of a Spark Connect session uses as well, or not.

A model is written by Spark and published by the driver, and the rows that a run keeps are written
to a folder that the driver makes and removes. Of a classic session the driver is Spark's own; the
server of a Spark Connect session may be on another machine, or another user. Only a trial tells: a
path that exists on both machines may be two folders.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark.sql import SparkSession

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import ConfigError, spark_message
from sparkweights.storage.scratch import scratch_folder
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from sparkweights.storage.location import Location

MAX_BYTES = 2**10  # of a token
REMEDY = (
    "name a storage that both open, such as s3a://bucket/models for artifacts and runs, and tables "
    "of a catalog or a database for rows"
)


def is_connected(spark: SparkSession) -> bool:
    """Whether a session is one of Spark Connect."""
    return not isinstance(spark, SparkSession)


def require_shared(spark: SparkSession, *folders: Location) -> None:
    """Refuse folders that Spark and this process do not share, before anything is done with them.

    Where the session is one of Spark Connect and the folder is on a filesystem of this machine,
    Spark copies a file there: one small job, once per session and folder.

    Raises
    ------
    ConfigError
        With what the server cannot do there, and what to name instead.
    PublishError
        If this process cannot write there.
    """
    if is_connected(spark):
        for folder in folders:
            if folder.is_local:
                _try(spark, folder)


@cache  # an error is not kept
def _try(spark: SparkSession, folder: Location) -> None:
    """Have Spark copy a file of this process within a private folder, as a run does with rows."""
    token = uuid4().hex
    with scratch_folder(folder) as workspace:
        sent, copied = workspace / "sent", workspace / "copied"
        sent.create(token.encode())
        try:
            spark.read.text(literal_path(sent)).write.text(str(copied))
        except SPARK_ERRORS as error:
            raise _refusal(folder, f"Spark answers {spark_message(error)}") from None
        if token not in _texts(copied):
            raise _refusal(folder, "a file that Spark writes there is not there for this process")
        copied.remove()
        if copied.exists():
            raise _refusal(folder, "this process cannot remove a file that Spark writes there")


def _texts(folder: Location) -> set[str]:
    try:
        files = [each for each in folder.files() if each.name.startswith("part-")]
        return {each.read_text(MAX_BYTES).strip() for each in files}
    except (OSError, ValueError):  # another user's, or not what was written
        return set()


def _refusal(folder: Location, reason: str) -> ConfigError:
    return ConfigError(
        f"'{folder}' is on this machine, and the server of Spark Connect does not share it: "
        f"{reason}. Models, and the rows that a run keeps, pass between the two in files.",
        hint=f"{REMEDY}; or a folder that the server has at the same path, and let it run as the "
        "user of this process.",
    )
