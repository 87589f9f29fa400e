"""Settings of a session that a run needs: set for its length, and put back.

The session may be somebody else's, such as that of a notebook or of a platform. Engines without a
cluster of their own (serverless) refuse most settings, and even to tell them.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sparkweights.core.engine_errors import CLEANUP_ERRORS, SPARK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession


def read_setting(spark: SparkSession, name: str) -> str | None:
    """Return a setting as it was set; None where it was not, or where the engine does not tell.

    Unlike `effective_setting`: what Spark has by default does not count.
    """
    try:
        return spark.conf.get(name, None)
    except SPARK_ERRORS:
        return None


def effective_setting(spark: SparkSession, name: str) -> str | None:
    """Return a setting, or what Spark has by default; None where the engine does not tell."""
    try:
        return spark.conf.get(name)
    except SPARK_ERRORS:  # also where it has no default
        return None


@contextmanager
def use_settings(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Set what the engine accepts, and put everything back at the end, also after a failure.

    A setting that the engine refuses stays as it is.
    """
    with ExitStack() as stack:
        for name, value in settings.items():
            before = read_setting(spark, name)
            if before == value:
                continue
            try:
                spark.conf.set(name, value)
            except SPARK_ERRORS:
                continue
            stack.callback(_put_back, spark, name, before)
        yield


def _put_back(spark: SparkSession, name: str, before: str | None) -> None:
    with suppress(*CLEANUP_ERRORS):
        if before is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, before)
