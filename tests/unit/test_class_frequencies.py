"""Counts of classes add up, are taken away again, and are forgotten."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sparkweights.core.errors import InputError
from sparkweights.weights.class_frequencies import ClassFrequencies


def _drawn(seed: int, names: list[str], rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"class": rng.choice(names, rows), "w": rng.integers(1, 5, rows) * 0.5})


def _counted(frame: pd.DataFrame) -> ClassFrequencies:
    """Return what a pass over the rows would find."""
    found = frame.assign(w2=frame["w"] ** 2).groupby("class")[["w", "w2"]].agg(["size", "sum"])
    return ClassFrequencies.of(
        list(found.index), found[("w", "size")], found[("w", "sum")], found[("w2", "sum")]
    )


def _by_name(found: ClassFrequencies) -> dict[tuple[str, str], float]:
    return {
        (one.name, key): value for one in found for key, value in vars(one).items() if key != "name"
    }


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    """Of three tables, one of which lacks a class and one of which has another."""
    parts = [
        _drawn(1, ["good", "bad"], 300),
        _drawn(2, ["bad", "fraud"], 200),
        _drawn(3, ["good"], 50),
    ]
    whole = _by_name(_counted(pd.concat(parts)))
    a, b, c = map(_counted, parts)
    for total in (a + b + c, c + (b + a)):
        assert _by_name(total) == pytest.approx(whole)


def test_a_window_is_what_came_less_what_left() -> None:
    """Adding a day and taking the oldest away is counting the days between."""
    days = [_drawn(seed, ["good", "bad"], 100) for seed in range(5)]
    window = _counted(days[0]) + _counted(days[1])
    for i in range(2, 5):
        window = window + _counted(days[i]) - _counted(days[i - 2])
        assert _by_name(window) == pytest.approx(_by_name(_counted(pd.concat(days[i - 1 : i + 1]))))


def test_decayed_counts_are_those_of_decayed_weights() -> None:
    """Half the weight of each row: sums are halved, squares quartered, the shares the same."""
    frame = _drawn(4, ["good", "bad"], 100)
    decayed = _counted(frame).decayed(0.5)
    halved = _counted(frame.assign(w=frame["w"] / 2))
    assert decayed.weight == pytest.approx(halved.weight)
    assert decayed.weight_square == pytest.approx(halved.weight_square)
    assert decayed.prior() == pytest.approx(_counted(frame).prior())


def test_rows_that_were_never_added_cannot_be_taken_away() -> None:
    """A class with fewer rows than leave is a mistake of the caller, not a negative share."""
    with pytest.raises(InputError, match="Class 'bad' has fewer rows"):
        _ = ClassFrequencies.of(["good"], [5]) - ClassFrequencies.of(["bad"], [1])
