"""Commits of tables of a catalog: those of another writer, and those that cannot be confirmed."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.errors import PySparkException

from sparkweights.core.errors import PublishError
from sparkweights.storage.catalog_table import is_conflict
from sparkweights.storage.location import Location
from sparkweights.storage.names import TableName
from sparkweights.storage.publish.delta import DeltaPublication

_TRACE = """
\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1136)
\tat scala.concurrent.impl.Promise$Transformation.run(Promise.scala:484)
"""


@pytest.mark.parametrize(
    "text",
    [
        "[DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT] Transaction conflict detected.",
        "[DELTA_METADATA_CHANGED] The metadata of the Delta table has been changed.",
        "io.delta.exceptions.ConcurrentAppendException: Files were added." + _TRACE,
        "org.apache.spark.sql.delta.ConcurrentWriteException: A transaction has written.",
        "Files were added to the root of the table by a concurrent update. Please try again.",
        "org.apache.iceberg.exceptions.CommitFailedException: Requirement failed: branch main",
        "Cannot fast-forward: main is not an ancestor of staging_1",
    ],
)
def test_commit_of_another_writer_is_told_from_its_own_words(text: str) -> None:
    """Conditions, exceptions and messages of Delta and Iceberg."""
    assert is_conflict(Exception(text))


@pytest.mark.parametrize(
    "text",
    [
        "org.apache.spark.SparkException: Job aborted due to stage failure." + _TRACE,
        "java.util.concurrent.ExecutionException: java.io.IOException: No space left on device",
        "java.util.ConcurrentModificationException" + _TRACE,
        "[TABLE_OR_VIEW_NOT_FOUND] The table `concurrent` cannot be found.",
    ],
)
def test_failure_of_a_task_is_no_commit_of_another_writer(text: str) -> None:
    """Stack traces name Java's packages for threads, whatever failed."""
    assert not is_conflict(Exception(text))


def test_exception_that_delta_gives_to_python_is_a_conflict() -> None:
    """Its name is that of the class; its text need not say so."""
    error = type("ConcurrentAppendException", (Exception,), {})("Please try the operation again.")
    assert is_conflict(error)


def test_commit_that_cannot_be_confirmed_is_not_told_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Delta took it, and then its history could not be read."""

    def fail(_: str) -> None:
        raise PySparkException("The metastore does not answer.")

    writer = SimpleNamespace(options=lambda **_: writer, overwrite=lambda _: None)
    rows = SimpleNamespace(writeTo=lambda _: writer)
    for name, value in (("staged", None), ("to_columns", rows)):
        monkeypatch.setattr(DeltaPublication, name, lambda *_, value=value: value)
    monkeypatch.setattr(DeltaPublication, "is_of_date", None)
    monkeypatch.setattr(DeltaPublication, "_transaction", 1)  # found before the rows were staged
    session: Any = SimpleNamespace(sql=fail)
    publication = DeltaPublication(
        run_id="r",
        run_date=date(2026, 3, 1),
        spark=session,
        name=TableName("lending", "scored"),
        owner="loans",
        locks=Location("/locks"),
    )
    with pytest.raises(PublishError, match="WAS committed for run_date 2026-03-01"):
        publication.publish()
