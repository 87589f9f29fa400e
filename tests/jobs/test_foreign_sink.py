"""A run's rows go where a class of somebody else's puts them, without a change to the library."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pytest

from sparkweights import Runner, load_config
from sparkweights.core.errors import PublishError
from sparkweights.scoring.run import Outputs
from sparkweights.storage.lock import LastingLock, Lock
from sparkweights.storage.publish.protocol import Publication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Shop
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

RUN_DATE = date(2026, 3, 1)


@dataclass(frozen=True, kw_only=True)
class ViewSink(Publication):
    """Publishes a date as a temporary view of the session; a second run replaces it."""

    spark: SparkSession
    folder: Path
    view: str
    steps: list[str] = field(default_factory=list)
    fails: bool = False

    @property
    def format(self) -> str:
        """The format of its files."""
        return "parquet"

    @property
    def stage_path(self) -> str:
        """A folder of the test."""
        return str(self.folder / self.view)

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Begin with an empty stage."""
        self.steps.append("lock")
        shutil.rmtree(self.stage_path, ignore_errors=True)
        yield LastingLock()
        self.steps.append("unlock")

    def require_ready(self, schema: StructType | None = None) -> None:
        """Take rows of any columns."""
        self.steps.append("ready" if schema is None or len(schema) else "no columns")

    def publish(self) -> None:
        """Replace the view, in one step."""
        if self.fails:
            raise PublishError("The view cannot be made.", hint="none.")
        self.steps.append("publish")
        self.spark.read.parquet(self.stage_path).cache().createOrReplaceTempView(self.view)
        self.spark.table(self.view).count()  # kept, as the stage goes

    def discard(self) -> None:
        """Remove the stage."""
        self.steps.append("discard")
        shutil.rmtree(self.stage_path, ignore_errors=True)


def _outputs(spark: SparkSession, folder: Path, *, fails: bool = False) -> Outputs:
    common = {"run_id": "r", "run_date": RUN_DATE, "spark": spark, "folder": folder}
    return Outputs(
        ViewSink(**common, view="toy_scored", fails=fails),
        ViewSink(**common, view="toy_quarantine"),
    )


def test_foreign_sink_takes_a_run_and_the_record_counts_its_rows(
    shop: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    """Rows and decisions are those that the configuration's own tables hold of the date."""
    runner = Runner(spark, load_config(shop.config("sink.yaml", runs="out/sink_runs")), RUN_DATE)
    into = _outputs(spark, tmp_path)
    run = runner.score(into=into)
    found = {
        row["decision"]: row["count"]
        for row in spark.table("toy_scored").groupBy("decision").count().collect()
    }
    assert {name: rows for name, rows in run.record.decisions.items() if rows} == found
    assert sum(found.values()) == run.record.rows.scored
    assert found == {name: rows for name, rows in shop.manifest()["decisions"].items() if rows}
    for sink in (into.scored, into.quarantine):
        assert isinstance(sink, ViewSink)
        assert sink.steps == ["lock", "ready", "publish", "discard", "unlock"]


def test_foreign_sink_that_fails_leaves_the_view_of_before(
    shop: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    """Its error is the run's, and says what was replaced."""
    spark.range(3).createOrReplaceTempView("toy_scored")
    runner = Runner(spark, load_config(shop.config("sink2.yaml", runs="out/sink_runs2")), RUN_DATE)
    with pytest.raises(PublishError, match="The view cannot be made") as caught:
        runner.score(into=_outputs(spark, tmp_path, fails=True))
    assert "the quarantine of the date WAS replaced" in str(caught.value.hint)
    assert spark.table("toy_scored").count() == 3
