"""Score several dates in one session: one publication per date, and one result for all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sparkweights.app.spark_errors import expected_failure
from sparkweights.app.tables import table_source
from sparkweights.core.engine_errors import NETWORK_ERRORS
from sparkweights.core.errors import ConfigError, SparkweightsError
from sparkweights.records.runs import BackfillRecord, DateOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from sparkweights.config.schema import Config
    from sparkweights.core.progress import Progress
    from sparkweights.records import RunRecord


@dataclass(frozen=True)
class Backfill:
    """The result of a backfill.

    Attributes
    ----------
    record
        What became of each date.
    worst
        The failure with the highest exit code, the first of these; None without a failure.
    bug
        An error that has no sentence, which ended all; None without one.
    missing
        Whether dates that were published before were left out.
    """

    record: BackfillRecord
    worst: SparkweightsError | None
    bug: Exception | None
    missing: bool

    @property
    def failure(self) -> Exception | None:
        """The failure of the whole, with the kind and the exit code of the worst one."""
        if self.bug is not None or self.worst is None:
            return self.bug
        failed, dates = self.record.failed, self.record.dates
        others = len(dates) - len(self.record.scored)
        first = next(one for one in failed if one.exit_code == self.worst.exit_code)
        return type(self.worst)(
            f"{others} of {len(dates)} dates were not scored. {first.run_date}: "
            f"{self.worst.message}",
            hint=f"{self.worst.hint or 'see the message.'} {self._again}",
        )

    @property
    def _again(self) -> str:
        """What to run then; dates that were published before this run are not to be left out."""
        if self.missing:
            return "Then run the same again."
        dates = [one.run_date for one in self.record.dates]
        others = [one.run_date for one in self.record.dates if one.exit_code != 0]
        if others == dates[-len(others) :]:
            return f"Then run the same with --from {others[0]}."
        return f"Then score each of these with --run-date: {', '.join(others)}."


def require_dated(config: Config, first: date, last: date) -> None:
    """Refuse an incoming table that is the same on every date.

    Raises
    ------
    ConfigError
        If no part of its place names the date of the run.
    """
    one, other = (table_source(config, "incoming", day) for day in (first, last))
    if first != last and (one.location, one.partition) == (other.location, other.partition):
        raise ConfigError(
            "tables.incoming names no {run_date}: each date would get the same rows.",
            hint="name the date in its location or partition, for instance location: "
            "data/{run_date}; or score one date with --run-date.",
        )


def dates_between(first: date, last: date) -> tuple[date, ...]:
    """Return the dates from the first to the last, both included.

    Raises
    ------
    ConfigError
        If the last is before the first.

    Examples
    --------
    >>> from datetime import date
    >>> [str(day) for day in dates_between(date(2026, 2, 28), date(2026, 3, 1))]
    ['2026-02-28', '2026-03-01']
    """
    if last < first:
        raise ConfigError(
            f"The last date, {last}, is before the first, {first}.",
            hint="state the earlier date first.",
        )
    return tuple(first + timedelta(days=i) for i in range((last - first).days + 1))


def backfill(
    name: str,
    dates: Sequence[date],
    score: Callable[[date], RunRecord],
    *,
    missing: bool,
    keep_going: bool,
    progress: Progress,
) -> Backfill:
    """Score dates one by one.

    Parameters
    ----------
    name
        Of the configuration.
    score
        Scores and publishes one date.
    missing
        Whether dates that were published before were left out.
    keep_going
        Whether the dates after one that failed are scored as well. An error that has no sentence
        ends all, as the session may have ended, or the program is wrong.
    """
    outcomes, failures, bug = list[DateOutcome](), list[SparkweightsError](), None
    for i, day in enumerate(dates, start=1):
        if bug is not None or (failures and not keep_going):
            outcomes.append(DateOutcome(run_date=day.isoformat()))
            continue
        progress.step(f"date {i} of {len(dates)}: {day}")
        try:
            outcomes.append(_scored(score(day)))
        except Exception as error:  # noqa: BLE001 (`Backfill.failure` is it)
            failure = error if isinstance(error, SparkweightsError) else expected_failure(error)
            if failure is None:
                bug = error
                failure = SparkweightsError(f"it ended with {type(error).__name__}.")
            elif isinstance(error, NETWORK_ERRORS):
                keep_going = False  # the engine is gone
            progress.warn(f"{day} was not scored: {failure.message}")
            failures.append(failure)
            outcomes.append(_failed(day, failure))
    worst = max(failures, key=lambda failure: failure.exit_code, default=None)
    return Backfill(BackfillRecord(name=name, dates=tuple(outcomes)), worst, bug, missing)


def _scored(record: RunRecord) -> DateOutcome:
    return DateOutcome(
        run_date=record.run_date, run_id=record.run_id, rows=record.rows, exit_code=0
    )


def _failed(day: date, failure: SparkweightsError) -> DateOutcome:
    return DateOutcome(run_date=day.isoformat(), exit_code=failure.exit_code, error=failure.message)
