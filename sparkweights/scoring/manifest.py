"""The record of a run beside its tables: announced before they change, complete afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import PublishError
from sparkweights.report import run_report
from sparkweights.storage.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sparkweights.storage.location import Location


MANIFEST, PENDING = "manifest.json", "manifest.pending.json"


def announce(folder: Location, manifest: Mapping[str, Any]) -> None:
    """Write what is about to be published.

    Where a run dies between its tables and its record, this is what tells whose rows are there:
    they carry `scored_at`, and so do both records.
    """
    write_json(folder / PENDING, manifest)


def record(folder: Location, manifest: Mapping[str, Any]) -> Location:
    """Write the manifest and the report of what was published; return the manifest's place.

    Raises
    ------
    PublishError
        If that is not possible; it says that the tables were published.
    """
    place = folder / MANIFEST
    try:
        # The record first: a page that cannot be drawn must not cost an auditor the manifest.
        write_json(place, manifest)
        (folder / PENDING).remove_file()
        write_text(folder / "report.html", run_report(manifest))
    except PublishError as error:
        raise PublishError(
            error.message,
            hint="both tables WERE published; what is missing is the record. Make room for it, "
            "then run the date again.",
        ) from None
    return place


def record_folder(runs: Location, run_date: date) -> Location:
    """Return where a date's records lie."""
    return runs / f"run_date={run_date}"


def recorded_name(folder: Location) -> str | None:
    """Return the name of the configuration whose run a folder records, or None."""
    try:
        return str(json.loads((folder / MANIFEST).read_text())["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
