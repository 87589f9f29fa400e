"""The folder of a stream: its state, and the files that only the stream itself reads.

The state is one file that is replaced in one step, and names every other file that counts. What a
micro-batch wrote before it was ended is not named, and is written anew when the batch is repeated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark.sql.types import StringType, StructField, StructType

from sparkweights.core.errors import ModelError
from sparkweights.records.base import stated_text
from sparkweights.storage.files import as_json, write_json, write_text
from sparkweights.storage.location import PRIVATE
from sparkweights.storage.spark_paths import literal_path
from sparkweights.stream.state import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.records import Record, RunRecord
    from sparkweights.storage.location import Location
    from sparkweights.stream.fixed_settings import FixedSettings

WAITING, OUTCOMES, UNMATCHED, ASIDE = "waiting", "outcomes", "unmatched", "set_aside"
SCORED, QUARANTINE, BATCHES, CHECKPOINT = "scored", "quarantine", "batches", "checkpoint"
OFFSETS = f"{CHECKPOINT}/offsets"  # Spark's log of the rows of each micro-batch
STATE, METRICS, BOUNDS = "state.json", "metrics.json", "backfill.json"
_STAGE = "_stage-"  # readers skip names with an underscore


def stream_name(root: Location) -> str | None:
    """Return the name of the configuration whose stream lies in a folder, or None."""
    try:
        return stated_text((root / METRICS).read_bytes().decode(), "name")
    except (OSError, ValueError):  # it is missing, or is no text
        return None


@dataclass(frozen=True)
class StreamFolder:
    """The folder of a stream.

    Attributes
    ----------
    root
        Where it lies; driver and executors share it.
    pages
        The function that renders a record: file name -> text.
    """

    root: Location
    pages: Callable[[Record], Mapping[str, str]]

    @property
    def has_begun(self) -> bool:
        """Whether rows were assigned to micro-batches, committed or not."""
        log = self.root / OFFSETS
        return (self.root / BOUNDS).exists() or (log.is_dir() and any(log.children()))

    def begin(self, fixed: FixedSettings) -> StreamState:
        """Return the state, and record the settings that the stream keeps from now on.

        Raises
        ------
        ConfigError
            If it has begun with others.
        ModelError
            If the state cannot be read.
        """
        state = self.read_state()
        if state.fixed is not None and self.has_begun:
            fixed.require_same(state.fixed)
        if state.fixed != fixed:
            state = replace(state, fixed=fixed)
            self.commit(state)
        return state

    def read_state(self) -> StreamState:
        """Return the state of the last committed micro-batch; an empty one at first.

        Raises
        ------
        ModelError
            If it cannot be read.
        """
        file = self.root / STATE
        if not file.exists():
            return StreamState()
        try:
            return StreamState.from_dict(json.loads(file.read_bytes()))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The stream's state '{file}' cannot be read ({type(error).__name__}).",
                hint="restore it from a copy, or begin a stream in another folder.",
            ) from None

    def commit(self, state: StreamState) -> None:
        """Replace the state: from now on, the micro-batch is done."""
        write_text(self.root / STATE, as_json(state.to_dict(), indent=None))

    def write_metrics(self, record: Record) -> None:
        """Replace the metrics and their page."""
        write_json(self.root / METRICS, record.to_dict())
        for page, text in self.pages(record).items():
            write_text(self.root / page, text)

    def write_rows(self, df: DataFrame, kind: str, part: str) -> DataFrame:
        """Write a part of the rows of a kind, in one Spark job; return it as it was written.

        The job of a driver that was killed may write for a while beside the one that repeats it.
        Each has a private folder of its own, and only a driver that lives gives its rows the name.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        folder = self.root / kind / part
        folder.parent.make_folder()
        stage = folder.parent / f"{_STAGE}{uuid4().hex}"
        stage.with_mode(PRIVATE).make_folder()
        rows = stage / part
        df.write.parquet(str(rows))
        try:
            rows.settle()
            if folder.exists():
                folder.remove()
            rows.rename(folder)
        except OSError as error:
            raise folder.unwritable(error) from None
        stage.remove()
        return self.read_rows(df.sparkSession, kind, [part])

    def read_rows(self, spark: SparkSession, kind: str, parts: Sequence[str]) -> DataFrame:
        """Return parts of the rows of a kind."""
        return spark.read.parquet(*(literal_path(self.root / kind / part) for part in parts))

    def read_scored(self, spark: SparkSession, batch: int) -> DataFrame:
        """Return the scored rows of a micro-batch; a decision is text, whatever it looks like."""
        part = f"batch_id={batch}"
        schema = self.read_rows(spark, SCORED, [part]).schema
        texts = [
            StructField(field.name, StringType()) if field.name == "decision" else field
            for field in schema
        ]
        path = literal_path(self.root / SCORED / part)
        return spark.read.schema(StructType(texts)).parquet(path)

    def discard(self, batch: int) -> None:
        """Remove what an attempt at a micro-batch has written that was ended before its commit.

        The next attempt may write other files: a gate may refuse what it passed before, or the
        configuration may have changed.
        """
        part = f"batch_id={batch}"
        for folder in (SCORED, QUARANTINE, ASIDE):
            (self.root / folder / part).remove()
        (self.root / OUTCOMES / str(batch)).remove()
        (self.root / BATCHES / f"{batch}.json").remove_file()

    def remove_others(self, kind: str, kept: Sequence[str] | None) -> None:
        """Remove parts that no state names any more, or only those without a name."""
        folder = self.root / kind
        for part in folder.children() if folder.is_dir() else ():
            if part.name.startswith(_STAGE) or (kept is not None and part.name not in kept):
                part.remove()


@dataclass(frozen=True)
class BatchStore:
    """The records of the micro-batches of a stream: a `RunStore` without pages.

    Attributes
    ----------
    root
        The stream's folder.
    batch
        The number of the micro-batch.
    """

    root: Location
    batch: int

    @property
    def _file(self) -> Location:
        return self.root / BATCHES / f"{self.batch}.json"

    def write(self, record: Record) -> None:
        """Write the record of the micro-batch."""
        write_json(self._file, record.to_dict())

    def prepare_run(self, run_date: date) -> None:  # noqa: ARG002 (a batch has no date of its own)
        """Make the folder of the records."""
        self._file.parent.make_folder()

    def write_pending_manifest(self, record: RunRecord) -> None:
        """Do nothing: the state tells what was committed."""

    def run_name(self, run_date: date) -> str | None:  # noqa: ARG002 (it is the same for every batch)
        """Return the name of the configuration whose micro-batch is recorded, or None."""
        try:
            return stated_text(self._file.read_bytes().decode(), "name")
        except (OSError, ValueError):
            return None

    def interrupted_run(self, run_date: date) -> str | None:
        """Return None: a micro-batch that was interrupted is repeated."""

    def is_complete(self, run_date: date) -> bool:  # noqa: ARG002 (a batch has no date of its own)
        """Whether the micro-batch is recorded."""
        return self._file.exists()
