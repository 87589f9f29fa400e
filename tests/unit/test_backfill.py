"""Several dates in a row: each is scored once, and the whole fails like the worst of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from sparkweights.app.backfill import Backfill, backfill, dates_between
from sparkweights.cli.summary import backfill_summary
from sparkweights.core.errors import ConfigError, InputError, PublishError, QualityGateError
from sparkweights.core.progress import LoggedProgress
from sparkweights.records import BackfillRecord, RunRecord

FILE = Path(__file__).parents[1] / "golden" / "before" / "run.json"
RUN = RunRecord.from_dict(json.loads(FILE.read_text(encoding="utf-8")))
DATES = dates_between(date(2026, 3, 1), date(2026, 3, 4))


def _backfill(
    failures: dict[int, Exception], *, keep_going: bool, missing: bool = False
) -> tuple[list[int], Backfill]:
    asked = list[int]()

    def score(day: date) -> RunRecord:
        asked.append(day.day)
        if day.day in failures:
            raise failures[day.day]
        return replace(RUN, run_date=day.isoformat())

    how = {"missing": missing, "keep_going": keep_going}
    result = backfill("n", DATES, score, **how, progress=LoggedProgress())
    return asked, result


def test_backfill_stops_at_the_first_failure_and_lists_the_dates_not_begun() -> None:
    """The dates before it are scored; it has its exit code, and later ones have none."""
    asked, result = _backfill({2: QualityGateError("A gate.", hint="look.")}, keep_going=False)
    assert asked == [1, 2]
    assert [one.exit_code for one in result.record.dates] == [0, 3, None, None]
    failure = result.failure
    assert type(failure) is QualityGateError
    assert failure.message == "3 of 4 dates were not scored. 2026-03-02: A gate."
    assert failure.hint == "look. Then run the same with --from 2026-03-02."
    lines = backfill_summary(result.record).splitlines()
    assert lines[0] == "Scored 1 of 4 dates"
    assert [line.split()[0] for line in lines[2:]] == [day.isoformat() for day in DATES]
    assert lines[3].split()[1:] == ["exit", "3"]
    assert lines[5].split()[1:] == ["not", "begun"]
    assert BackfillRecord.from_dict(result.record.to_dict()) == result.record


def test_backfill_that_keeps_going_fails_like_the_worst_date() -> None:
    """An error of Spark that the input causes counts as its kind."""
    failures = {
        1: InputError("No table."),
        2: PublishError("A full disk."),
        4: PySparkException("[FAILED_READ_FILE] x"),
    }
    asked, result = _backfill(failures, keep_going=True)
    assert asked == [1, 2, 3, 4]
    assert [one.exit_code for one in result.record.dates] == [4, 6, 0, 4]
    assert type(result.failure) is PublishError
    assert "3 of 4 dates were not scored. 2026-03-02: A full disk." in result.failure.message


@pytest.mark.parametrize(
    ("failed", "missing", "again"),
    [
        ([2], True, "Then run the same again."),
        ([3, 4], False, "Then run the same with --from 2026-03-03."),
        ([1, 3], False, "Then score each of these with --run-date: 2026-03-01, 2026-03-03."),
    ],
)
def test_backfill_says_how_the_dates_that_failed_are_scored(
    failed: list[int], again: str, *, missing: bool
) -> None:
    """--missing would leave out a date that an older model has scored."""
    failures: dict[int, Exception] = dict.fromkeys(failed, InputError("Torn.", hint="repair."))
    _, result = _backfill(failures, keep_going=True, missing=missing)
    assert isinstance(result.failure, InputError)
    assert result.failure.hint == f"repair. {again}"


def test_backfill_without_an_engine_ends_whatever_was_asked() -> None:
    """Each date would fail like the one before."""
    asked, result = _backfill({2: ConnectionRefusedError()}, keep_going=True)
    assert asked == [1, 2]
    assert [one.exit_code for one in result.record.dates] == [0, 1, None, None]


def test_backfill_without_a_failure_has_none_and_a_bug_ends_it() -> None:
    """It is raised as it is, after the dates are told that were published before it."""
    _, result = _backfill({}, keep_going=False)
    assert result.failure is None
    assert len(result.record.scored) == 4
    bug = ZeroDivisionError()
    asked, result = _backfill({2: bug}, keep_going=True)
    assert asked == [1, 2]
    assert result.failure is bug
    assert [one.exit_code for one in result.record.dates] == [0, 1, None, None]
    assert result.record.dates[1].error == "it ended with ZeroDivisionError."


def test_dates_that_run_backwards_are_refused() -> None:
    """A range of one date is a range."""
    assert dates_between(date(2026, 3, 1), date(2026, 3, 1)) == (date(2026, 3, 1),)
    with pytest.raises(ConfigError, match="before the first"):
        dates_between(date(2026, 3, 2), date(2026, 3, 1))
