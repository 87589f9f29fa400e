"""Leftovers: what runs have left behind that nothing names any more."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sparkweights.app.tables import outputs
from sparkweights.bundle.integrity import MANIFEST, is_incomplete
from sparkweights.core.errors import PublishError, SparkweightsError
from sparkweights.records.runs import Leftover, VacuumRecord
from sparkweights.storage.publish.catalog import CatalogPublication

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import SparkSession

    from sparkweights.config.schema import Config
    from sparkweights.storage.location import Location

OLD_DAYS = 7  # by default; a query of a folder that a later run has replaced has ended by then
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Vacuum:
    """What was found and removed.

    Attributes
    ----------
    failure
        The failure with the highest exit code; None where everything was done.
    """

    record: VacuumRecord
    failure: SparkweightsError | None


def vacuum(
    spark: SparkSession, config: Config, *, remove: bool = False, days: int = OLD_DAYS
) -> Vacuum:
    """List, and remove where that is asked for, what nothing names.

    These are, below ``_runs`` of a Parquet or ORC table of the catalog, the folders of runs that no
    partition points to; and, in the folders of models, of records and of a stream, files that a
    killed run was writing, and models that it published in part (on an object store). Staging
    tables and branches of Delta and Iceberg are removed by runs, those of a run that was killed by
    the next run of its date or, after a day, of another one; older versions by their own ``VACUUM``
    and ``expire_snapshots``.

    What cannot be opened, because of its storage or because a run is writing it, is a failure of
    the result; the rest is done.

    Parameters
    ----------
    days
        How long ago another run must have replaced a folder, or a file been written.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    leftovers, failures = list[Leftover](), list[SparkweightsError]()
    searches = {
        "tables.scored": _of_table(spark, config, "scored", before, remove=remove),
        "tables.quarantine": _of_table(spark, config, "quarantine", before, remove=remove),
        "the folders of models, records and streams": _of_folders(config, before),
    }
    for place, found in searches.items():
        try:
            for location, reason in found:
                leftovers.append(_leftover(location, reason, remove=remove))
        except SparkweightsError as error:
            failures.append(error)
        except OSError as error:
            failures.append(_unreadable(place, error))
    left = [one.path for one in leftovers if not one.removed]
    if remove and left:
        failures.append(_unremovable(left))
    record = VacuumRecord(
        name=config.name,
        removed=remove,
        leftovers=tuple(leftovers),
        failures=tuple(dict.fromkeys(failure.message for failure in failures)),
    )
    worst = max(failures, key=lambda failure: failure.exit_code, default=None)
    return Vacuum(record, worst)


def _leftover(location: Location, reason: str, *, remove: bool) -> Leftover:
    """Describe what nothing names, and remove it where that is asked for."""
    size = location.size
    removed = remove and _remove(location)
    return Leftover(path=str(location), bytes=size, reason=reason, removed=removed)


def _remove(location: Location) -> bool:
    """Remove a file or folder; return whether nothing of it is left."""
    with suppress(PublishError, OSError):
        location.remove() if location.is_dir() else location.remove_file()
        return not location.exists()
    return False


def _unreadable(place: str, error: OSError) -> PublishError:
    return PublishError(
        f"What runs have left in {place} cannot be listed here: {error.strerror or error}.",
        hint="check the storage, this user's rights and the package of Python for it, then run "
        "vacuum again.",
    )


def _unremovable(paths: Sequence[str]) -> PublishError:
    return PublishError(
        f"{len(paths)} leftovers could not be removed: {paths[0]}{', ...' if paths[1:] else ''}.",
        hint="check this user's rights there, then run vacuum again.",
    )


def _of_table(
    spark: SparkSession, config: Config, role: str, before: datetime, *, remove: bool
) -> Iterator[tuple[Location, str]]:
    """Yield the folders of runs that no partition of a table names.

    Their date is locked while they are removed. Where one cannot be, the others are yielded first.
    """
    output = getattr(outputs(spark, config, "", before.date()), role)
    if not isinstance(output, CatalogPublication):
        return
    failures = list[PublishError | OSError]()
    for day in output.days_of_runs():
        of_day = replace(output, run_date=day)
        try:
            if not of_day.unnamed_folders(before):
                continue
            with of_day.lock() if remove else nullcontext():
                for folder in of_day.unnamed_folders(before):
                    yield folder, f"no partition of '{output.name}' names it"
        except (PublishError, OSError) as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _of_folders(config: Config, before: datetime) -> Iterator[tuple[Location, str]]:
    """Yield files and models that were being written by a run that was killed."""
    models = config.path(config.artifacts)
    for model in () if models.is_local or not models.is_dir() else models.children():
        if is_incomplete(model) and (model / MANIFEST).modified < before:
            yield model, "a run ended while it published it"
    stated = [config.artifacts, config.runs]
    if config.stream is not None:
        stated.append(config.stream.folder)
    for folder in map(config.path, stated):
        for file in folder.files() if folder.is_dir() else ():
            is_partial = file.name.startswith("_") and file.name.endswith(_PARTIAL)
            if is_partial and file.modified < before:
                yield file, "a run ended while it wrote it"
