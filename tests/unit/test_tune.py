"""Candidates, the choice among them, and an honest word on what weighting is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.errors import InputError
from sparkweights.tune import (
    Settings,
    Trial,
    candidates,
    cheapest,
    choose,
    effect_of_weights,
    log_grid,
    ratio_weights,
)


def _trial(ratio: float | None, *costs: float, **params: object) -> Trial:
    return Trial(Settings(ratio, params), costs)


def test_log_grid_is_even_in_the_logarithm() -> None:
    """Nine points from 1 to 256 double at each step; one point is the first end."""
    assert log_grid(1, 256, 9) == tuple(float(2**step) for step in range(9))
    assert log_grid(1, 50, 1) == (1.0,)


def test_candidates_are_every_combination_simple_first() -> None:
    """Parameters outside, ratios inside, the configured scheme last of each."""
    found = candidates([1.0, 2.0], {"maxDepth": [2, 5]}, configured=True)
    assert [(one.ratio, one.params["maxDepth"]) for one in found] == [
        (1.0, 2),
        (2.0, 2),
        (None, 2),
        (1.0, 5),
        (2.0, 5),
        (None, 5),
    ]


@given(st.lists(st.floats(1e-4, 1), min_size=2, max_size=6, unique=True), st.floats(0.1, 1000))
def test_ratio_weights_have_the_ratio_between_rarest_and_commonest(
    shares: list[float], ratio: float
) -> None:
    """And every other class lies between them, in the order of rarity."""
    if max(shares) / min(shares) < 1.01:
        return
    prior = {f"c{i}": share / sum(shares) for i, share in enumerate(shares)}
    weights = ratio_weights(prior, ratio)
    by_share = sorted(prior, key=prior.__getitem__)
    assert weights[by_share[0]] / weights[by_share[-1]] == pytest.approx(ratio, rel=1e-4)
    ordered = [weights[name] for name in by_share]
    assert ordered == sorted(ordered, reverse=ratio >= 1)


def test_ratio_weights_of_equally_common_classes() -> None:
    """Of two, the second is weighed; of three, nothing tells which."""
    assert ratio_weights({"a": 0.5, "b": 0.5}, 3.0) == {"a": 1.0, "b": 3.0}
    with pytest.raises(InputError, match="equally common"):
        ratio_weights(dict.fromkeys("abc", 1 / 3), 3.0)


def test_trial_interval_is_students_over_the_folds() -> None:
    """Three folds: t with two degrees of freedom, 4.303 standard errors."""
    trial = _trial(1.0, 10.0, 12.0, 14.0)
    assert trial.cost == 12.0
    assert trial.standard_error == pytest.approx(2 / math.sqrt(3))
    assert trial.interval[1] - 12.0 == pytest.approx(4.30265 * 2 / math.sqrt(3), rel=1e-5)


def test_choose_takes_the_least_weighted_within_one_standard_error() -> None:
    """2.0 is within the error of 4.0, 1.0 is not; the configured scheme is the last resort."""
    trials = [_trial(1.0, 14, 15), _trial(2.0, 10, 12), _trial(4.0, 9.5, 11.5), _trial(None, 9, 11)]
    assert cheapest(trials).settings.ratio is None
    assert choose(trials).settings.ratio == 2.0
    assert choose([*trials[:1], trials[3]]).settings.ratio is None


def test_choose_of_equally_weighted_takes_the_first() -> None:
    """So that parameters listed from simple to complex give the simple one."""
    trials = [_trial(2.0, 10.1, 12, maxDepth=2), _trial(2.0, 10, 12, maxDepth=9)]
    assert choose(trials).settings.params == {"maxDepth": 2}


def test_effect_says_whether_weights_matter() -> None:
    """The same mean saving matters where the folds agree, and not where they do not."""
    plain = [10.0, 11.0, 12.0]
    agreeing = [_trial(1.0, *plain), _trial(8.0, 8.0, 9.1, 9.9)]
    quarrelling = [_trial(1.0, *plain), _trial(8.0, 4.0, 15.0, 8.0)]
    found, other = effect_of_weights(agreeing), effect_of_weights(quarrelling)
    assert found is not None
    assert other is not None
    assert found.saving == pytest.approx(other.saving)
    assert found.matters
    assert not other.matters
    assert effect_of_weights(agreeing[1:]) is None


def test_effect_compares_at_the_same_parameters() -> None:
    """A better depth is not credited to the weights."""
    trials = [
        _trial(1.0, 20, 21, maxDepth=1),
        _trial(2.0, 19, 20, maxDepth=1),
        _trial(1.0, 10, 11.1, maxDepth=5),
        _trial(2.0, 9, 10, maxDepth=5),
    ]
    effect = effect_of_weights(trials)
    assert effect is not None
    assert effect.saving == pytest.approx(np.mean([1.0, 1.1]))


def test_ratio_weights_of_equal_classes_are_one_where_nothing_is_tried() -> None:
    """The way out that the refusal of other ratios names."""
    even = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert ratio_weights(even, 1.0) == dict.fromkeys(even, 1.0)
    with pytest.raises(InputError, match="no rarest one"):
        ratio_weights(even, 2.0)
