"""Stores of records and reports: the protocol, and a store in folders.

A record is written before its pages, so that an error in a page does not lose the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sparkweights.records.base import Record, stated_text
from sparkweights.records.distillation import DistillationRecord
from sparkweights.records.evaluation import EvaluationRecord
from sparkweights.records.runs import MonitoringRecord, RunRecord
from sparkweights.records.studies import BacktestRecord, ImportanceRecord, TuningRecord
from sparkweights.records.weights import WeightsRecord
from sparkweights.storage.files import write_json, write_rows, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from sparkweights.storage.location import Location

MANIFEST, PENDING = "manifest.json", "manifest.pending.json"
MAX_MANIFEST_BYTES = 2**28
_OF_ARTIFACTS: Mapping[type[Record], str] = {
    WeightsRecord: "weights",
    TuningRecord: "tuning",
    BacktestRecord: "backtest",
    ImportanceRecord: "importance",
    EvaluationRecord: "evaluation",
    DistillationRecord: "distillation",
}


class RunStore(Protocol):
    """A store of the records of stages, with their tables, pages and figures."""

    def write(self, record: Record) -> None:
        """Write a record and its pages; they replace those of the same run.

        Raises
        ------
        PublishError
            If that is not possible.
        """

    def prepare_run(self, run_date: date) -> None:
        """Make the folder of a date's records, so that an error occurs before tables change.

        Raises
        ------
        PublishError
            If that is not possible.
        """

    def write_pending_manifest(self, record: RunRecord) -> None:
        """Write the record of a run before its tables are published; `write` removes it.

        If a run ends between its tables and its record, this identifies the run that wrote the
        rows: the rows and both records hold `scored_at`.
        """

    def run_name(self, run_date: date) -> str | None:
        """Return the name of the configuration whose run of a date is recorded, or None."""

    def interrupted_run(self, run_date: date) -> str | None:
        """Return the id of a run that ended while it published a date, or None."""

    def is_complete(self, run_date: date) -> bool:
        """Whether a date is published and recorded, and no later run of it was interrupted."""


@dataclass(frozen=True)
class FolderRunStore:
    """Records in folders, one per run, each file replaced in one step.

    Attributes
    ----------
    artifacts, runs
        The folders for what belongs to models, and for what belongs to dates.
    pages
        The function that renders a record: file name -> text.
    """

    artifacts: Location
    runs: Location
    pages: Callable[[Record], Mapping[str, str]]

    def write(self, record: Record) -> None:
        """Write a record and its pages; they replace those of the same run."""
        folder, name = self._folder_and_name(record)
        rows = record.table_rows()
        if rows is not None:
            write_rows(folder / f"{name}.parquet", rows)
        write_json(folder / f"{name}.json", record.to_dict())
        if isinstance(record, RunRecord):
            (folder / PENDING).remove_file()
        for page, text in self.pages(record).items():
            write_text(folder / page, text)

    def prepare_run(self, run_date: date) -> None:
        """Make the folder of a date."""
        self._of_date(run_date.isoformat()).make_folder()

    def write_pending_manifest(self, record: RunRecord) -> None:
        """Write the pending record beside the path of the final record."""
        write_json(self._of_date(record.run_date) / PENDING, record.to_dict())

    def run_name(self, run_date: date) -> str | None:
        """Return the name of the configuration whose run of a date is recorded, or None."""
        return self._stated(self._of_date(run_date.isoformat()) / MANIFEST, "name")

    def interrupted_run(self, run_date: date) -> str | None:
        """Return the id of a run that ended while it published a date, or None."""
        return self._stated(self._of_date(run_date.isoformat()) / PENDING, "run_id")

    def is_complete(self, run_date: date) -> bool:
        """Whether a date is published and recorded, and no later run of it was interrupted."""
        folder = self._of_date(run_date.isoformat())
        return (folder / MANIFEST).exists() and not (folder / PENDING).exists()

    def _stated(self, file: Location, key: str) -> str | None:
        try:
            return stated_text(file.read_plain(MAX_MANIFEST_BYTES).decode(), key)
        except (OSError, ValueError):  # it is missing, or is no text
            return None

    def _folder_and_name(self, record: Record) -> tuple[Location, str]:
        """Return the folder of a record, and the name of its files without an ending."""
        if isinstance(record, RunRecord):
            return self._of_date(record.run_date), "manifest"
        if isinstance(record, MonitoringRecord):
            return self._of_date(record.run_date), "monitor"
        name = _OF_ARTIFACTS[type(record)]
        folder = self.artifacts / name
        if isinstance(record, ImportanceRecord | EvaluationRecord | DistillationRecord):
            return folder / record.model_version, name
        return folder, name

    def _of_date(self, run_date: str) -> Location:
        return self.runs / f"run_date={run_date}"
