"""Score several dates in one session: one publication per date, and one result for all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sparkweights.app.spark_errors import expected_failure
from sparkweights.core.errors import ConfigError, SparkweightsError
from sparkweights.records.runs import BackfillRecord, DateOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

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
    """

    record: BackfillRecord
    worst: SparkweightsError | None

    @property
    def failure(self) -> SparkweightsError | None:
        """The failure of the whole, with the kind and the exit code of the worst one."""
        if self.worst is None:
            return None
        failed, dates = self.record.failed, self.record.dates
        others = len(dates) - len(self.record.scored)
        first = next(one for one in failed if one.exit_code == self.worst.exit_code)
        return type(self.worst)(
            f"{others} of {len(dates)} dates were not scored. {first.run_date}: "
            f"{self.worst.message}",
            hint=f"{self.worst.hint or 'see the message.'} Then run the same with --missing.",
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
    keep_going
        Whether the dates after one that failed are scored as well. A bug ends all.
    """
    outcomes, failures = list[DateOutcome](), list[SparkweightsError]()
    for i, day in enumerate(dates, start=1):
        if failures and not keep_going:
            outcomes.append(DateOutcome(run_date=day.isoformat()))
            continue
        progress.step(f"date {i} of {len(dates)}: {day}")
        try:
            outcomes.append(_scored(score(day)))
        except Exception as error:
            failure = error if isinstance(error, SparkweightsError) else expected_failure(error)
            if failure is None:
                raise
            progress.warn(f"{day} was not scored: {failure.message}")
            failures.append(failure)
            outcomes.append(_failed(day, failure))
    worst = max(failures, key=lambda failure: failure.exit_code, default=None)
    return Backfill(BackfillRecord(name=name, dates=tuple(outcomes)), worst)


def _scored(record: RunRecord) -> DateOutcome:
    return DateOutcome(
        run_date=record.run_date, run_id=record.run_id, rows=record.rows, exit_code=0
    )


def _failed(day: date, failure: SparkweightsError) -> DateOutcome:
    return DateOutcome(run_date=day.isoformat(), exit_code=failure.exit_code, error=failure.message)
