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


def _backfill(failures: dict[int, Exception], *, keep_going: bool) -> tuple[list[int], Backfill]:
    asked = list[int]()

    def score(day: date) -> RunRecord:
        asked.append(day.day)
        if day.day in failures:
            raise failures[day.day]
        return replace(RUN, run_date=day.isoformat())

    result = backfill("n", DATES, score, keep_going=keep_going, progress=LoggedProgress())
    return asked, result


def test_backfill_stops_at_the_first_failure_and_lists_the_dates_not_begun() -> None:
    """The dates before it are scored; it has its exit code, and later ones have none."""
    asked, result = _backfill({2: QualityGateError("A gate.", hint="look.")}, keep_going=False)
    assert asked == [1, 2]
    assert [one.exit_code for one in result.record.dates] == [0, 3, None, None]
    failure = result.failure
    assert type(failure) is QualityGateError
    assert failure.message == "3 of 4 dates were not scored. 2026-03-02: A gate."
    assert failure.hint == "look. Then run the same with --missing."
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


def test_backfill_without_a_failure_has_none_and_a_bug_ends_it() -> None:
    """Whatever is no expected failure is raised as it is."""
    _, result = _backfill({}, keep_going=False)
    assert result.failure is None
    assert len(result.record.scored) == 4
    with pytest.raises(ZeroDivisionError):
        _backfill({2: ZeroDivisionError()}, keep_going=True)


def test_dates_that_run_backwards_are_refused() -> None:
    """A range of one date is a range."""
    assert dates_between(date(2026, 3, 1), date(2026, 3, 1)) == (date(2026, 3, 1),)
    with pytest.raises(ConfigError, match="before the first"):
        dates_between(date(2026, 3, 2), date(2026, 3, 1))
