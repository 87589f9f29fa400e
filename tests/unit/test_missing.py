"""Missing values and unseen categories: alarms where feeds break, and none by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from sparkweights.core.errors import QualityGateError
from sparkweights.features.missing import LEVEL, AbsentFeature, MissingCounts, missing_shifts
from sparkweights.quality.gates import gate_absent, gate_missing

LIMIT = 0.2
TRAINED = MissingCounts(3_000, {"income": 0, "age": 900, "card": 3}, {"card": 6})


def _run(
    rows: int, *, income: int = 0, age: int = 0, card: int = 0, unseen: int = 0
) -> MissingCounts:
    return MissingCounts(rows, {"income": income, "age": age, "card": card}, {"card": unseen})


def test_feature_that_no_row_holds_stops_the_run_from_three_rows_on() -> None:
    """It never was missing in training: three rows without it are no chance."""
    (shift,) = missing_shifts(TRAINED, _run(3, income=3, age=1), limit=LIMIT)
    assert (shift.column, shift.kind, shift.before, shift.share) == ("income", "missing", 0.0, 1.0)
    with pytest.raises(QualityGateError, match="'income' is missing on every row"):
        gate_missing([shift], LIMIT)


def test_empty_feature_stops_the_run_though_most_training_rows_lacked_it() -> None:
    """A rise of 10 % is below the limit; but nothing is left of the column."""
    trained = MissingCounts(5_000, {"income": 4_500})
    (shift,) = missing_shifts(trained, MissingCounts(400, {"income": 400}), limit=LIMIT)
    assert shift.exceeds(LIMIT)


def test_rise_below_the_limit_is_told_and_stops_nothing() -> None:
    """One file of ten lacks the column."""
    (shift,) = missing_shifts(TRAINED, _run(1_000, income=100, age=300), limit=LIMIT)
    assert shift.share == pytest.approx(0.1)
    gate_missing([shift], LIMIT)


def test_unseen_categories_stop_the_run_above_the_limit() -> None:
    """Their share is compared with that of categories that were too rare to be learned."""
    (shift,) = missing_shifts(TRAINED, _run(500, age=150, unseen=200), limit=LIMIT)
    with pytest.raises(QualityGateError, match=r"'card' holds a category unseen .* 40\.0%"):
        gate_missing([shift], LIMIT)


def test_fewer_missing_values_than_in_training_are_told() -> None:
    """A feed that writes 0 for missing is broken too; it may also have been repaired."""
    (shift,) = missing_shifts(TRAINED, _run(1_000, age=0), limit=LIMIT)
    assert (shift.column, shift.share) == ("age", 0.0)
    assert not shift.exceeds(LIMIT)


@pytest.mark.parametrize(
    ("x", "n", "y", "m"), [(0, 50, 4, 40), (9, 3_000, 7, 200), (40, 90, 1, 30)]
)
def test_p_value_is_twice_the_smaller_tail_of_fishers_test(x: int, n: int, y: int, m: int) -> None:
    """Oracle: scipy's one-sided tests of the same table."""
    (shift,) = missing_shifts(
        MissingCounts(n, {"a": x}), MissingCounts(m, {"a": y}), limit=0.0
    ) or (None,)
    table = [[y, m - y], [x, n - x]]
    tails = [fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    expected = min(1.0, 2 * min(tails))
    assert (shift is not None) == (expected < LEVEL)
    if shift is not None:
        assert shift.p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [10, 300, 20_000])
def test_rows_like_those_of_training_raise_no_alarm(rows: int) -> None:
    """At most one run in a thousand, over forty columns with shares from 0 to a half."""
    rng = np.random.default_rng(rows)
    shares = np.linspace(0, 0.5, 40)
    alarms = 0
    for _ in range(200):
        trained, now = rng.binomial(2_000, shares), rng.binomial(rows, shares)
        counts = [
            MissingCounts(n, {str(i): int(x) for i, x in enumerate(missing)})
            for n, missing in ((2_000, trained), (rows, now))
        ]
        alarms += bool(missing_shifts(*counts, limit=0.0))
    assert alarms <= 2  # expected: at most .2


def test_files_without_a_feature_stop_training_above_the_limit() -> None:
    """The message holds files and rows."""
    absent = AbsentFeature("income", 1, 3, 400, 1_200)
    with pytest.raises(QualityGateError, match=r"1 of 3 files \(400 of 1,200 rows\)"):
        gate_absent([absent], 0.1)
    gate_absent([absent], 0.4)
