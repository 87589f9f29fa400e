"""Leftovers: what runs have left behind that nothing names any more."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sparkweights.app.tables import outputs
from sparkweights.records.runs import Leftover, VacuumRecord
from sparkweights.storage.publish.catalog import CatalogPublication

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from sparkweights.config.schema import Config
    from sparkweights.storage.location import Location

OLD_DAYS = 7  # by default; a query of a folder that a later run has replaced has ended by then
_PARTIAL = ".partial"


def vacuum(
    spark: SparkSession, config: Config, *, remove: bool = False, days: int = OLD_DAYS
) -> VacuumRecord:
    """List, and remove where that is asked for, what nothing names.

    These are, below ``_runs`` of a Parquet or ORC table of the catalog, the folders of runs that no
    partition points to; and, in the folders of models, of records and of a stream, files that a
    killed run was writing. Staging tables and branches of Delta and Iceberg are removed by each run
    itself, and their older versions by their own ``VACUUM`` and ``expire_snapshots``.

    Parameters
    ----------
    days
        How long ago another run must have replaced a folder, or a file been written.

    Raises
    ------
    PublishError
        If a run is writing one of the tables.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    with ExitStack() as stack:
        found = list(_of_tables(spark, config, before, stack))
        found += _of_folders(config, before)
        sizes = [location.size for location, _ in found]
        for location, _ in found if remove else ():
            location.remove() if location.is_dir() else location.remove_file()
    return VacuumRecord(
        name=config.name,
        removed=remove,
        leftovers=tuple(
            Leftover(path=str(location), bytes=size, reason=reason)
            for (location, reason), size in zip(found, sizes, strict=True)
        ),
    )


def _of_tables(
    spark: SparkSession, config: Config, before: datetime, stack: ExitStack
) -> Iterator[tuple[Location, str]]:
    """Yield the folders of runs that no partition names; their tables stay locked."""
    written = outputs(spark, config, "", before.date())
    for output in (written.scored, written.quarantine):
        if isinstance(output, CatalogPublication):
            stack.enter_context(output.lock())
            for folder in output.unnamed_folders(before):
                yield folder, f"no partition of '{output.name}' names it"


def _of_folders(config: Config, before: datetime) -> Iterator[tuple[Location, str]]:
    """Yield files that were being written by a run that was killed."""
    stated = [config.artifacts, config.runs]
    if config.stream is not None:
        stated.append(config.stream.folder)
    for folder in map(config.path, stated):
        for file in folder.files() if folder.is_dir() else ():
            is_partial = file.name.startswith("_") and file.name.endswith(_PARTIAL)
            if is_partial and file.modified < before:
                yield file, "a run ended while it wrote it"
