"""Candidates, the choice among them, and an honest word on what weighting is worth."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rightness.comparisons import (
    draw_equal_trials,
    draw_forward_trials,
    shares_of_verdicts,
)
from sparkweights.cli.summary import tune_summary
from sparkweights.core.errors import InputError
from sparkweights.records import TuningRecord
from sparkweights.training.trials import FoldCosts, Settings, Trial, compare_trials
from sparkweights.training.weight_grid import candidates, log_grid, ratio_weights

GOLDEN = Path(__file__).parents[1] / "golden"
BLOCKS = 40
NOISE = np.random.default_rng(0).normal(size=(9, 2, BLOCKS))  # by seed, class and block


def _trial(
    ratio: float | None, *costs: float, noise: float = 0.0, seed: int = 0, **params: object
) -> Trial:
    """Return a trial of these mean costs per fold; blocks of one row of each class differ."""
    folds = []
    for number, cost in enumerate(costs):
        around = NOISE[(seed + number) % 9]
        around = around - around.mean()
        folds.append(FoldCosts(cost + noise * around, np.full(BLOCKS, 2.0)))
    return Trial(Settings(ratio, params), tuple(folds))


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


def test_difference_is_paired() -> None:
    """By hand: folds that cost 10, 20 and 30 differ by exactly 1, so the difference is certain."""
    dear, cheap = _trial(1.0, 11, 21, 31, noise=3.0), _trial(2.0, 10, 20, 30, noise=3.0)
    first, second = compare_trials([dear, cheap]).differences
    assert (first.cost, first.error) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    assert (second.cost, second.error) == (0.0, 0.0)
    assert dear.standard_error > 5


def test_difference_error_by_hand() -> None:
    """Two folds of two blocks: residuals 1 and -1 in each, so sqrt(2 * 2 * 2) / 2 / 2 = 0.7071."""
    ones = np.ones(2)
    plain = Trial(Settings(1.0, {}), (FoldCosts(np.array([[4.0, 4.0]]), ones),) * 2)
    other = Trial(Settings(2.0, {}), (FoldCosts(np.array([[2.0, 4.0]]), ones),) * 2)
    found = compare_trials([plain, other], forward=True)
    assert found.differences[0].cost == pytest.approx(1.0)
    assert found.differences[0].error == pytest.approx(np.sqrt(2 * 2 * (1 + 1)) / 2 / 2)


def test_weights_that_save_in_every_fold_are_chosen_however_unlike_the_folds() -> None:
    """Costs of 10, 20 and 40 a row, of which weights save 7 % each: the level hides nothing."""
    trials = [
        _trial(1.0, 10, 20, 40, noise=0.5),
        _trial(4.0, 9.3, 18.6, 37.2, noise=0.5, seed=3),
        _trial(9.0, 9.3, 18.6, 37.2, noise=0.5, seed=5),
    ]
    verdict = compare_trials(trials, forward=True)
    assert verdict.chosen.settings.ratio == 4.0
    effect = verdict.effect
    assert effect is not None
    assert effect.matters
    assert effect.ratio == 4.0
    assert effect.interval[0] > 0
    assert effect.saving == pytest.approx(0.07 * 70 / 3)


def test_weights_within_chance_are_not_chosen_and_not_said_to_pay() -> None:
    """The cheapest is weighted, by less than the blocks' noise explains: no weights."""
    trials = [_trial(1.0, 10, 10, noise=2.0), _trial(4.0, 9.9, 9.8, noise=2.0, seed=4)]
    verdict = compare_trials(trials)
    assert verdict.best.settings.ratio == 4.0
    assert verdict.chosen.settings.ratio == 1.0
    assert verdict.effect is not None
    assert verdict.effect.ratio == 4.0
    assert not verdict.effect.matters


def test_folds_dealt_at_random_that_disagree_show_no_saving() -> None:
    """The same mean saving matters where the folds agree, and not where they do not."""
    plain = _trial(1.0, 10.0, 11.0, 12.0, noise=3.0)
    agreeing = compare_trials([plain, _trial(8.0, 8.0, 9.1, 9.9, noise=3.0, seed=4)]).effect
    other = compare_trials([plain, _trial(8.0, 4.0, 15.0, 8.0, noise=3.0, seed=4)]).effect
    assert agreeing is not None
    assert other is not None
    assert agreeing.saving == pytest.approx(other.saving)
    assert agreeing.matters
    assert not other.matters


def test_a_saving_that_few_rows_carry_is_not_shown() -> None:
    """Nine blocks that lose nothing and gain much: too few are decided differently."""
    sums = np.zeros((2, BLOCKS))
    sums[0] = 5.0
    fewer = sums.copy()
    fewer[0, :9] = 1.0
    weights = np.full(BLOCKS, 2.0)
    trials = [
        Trial(Settings(ratio, {}), (FoldCosts(own, weights),) * 2)
        for ratio, own in ((1.0, sums), (3.0, fewer))
    ]
    effect = compare_trials(trials).effect
    assert effect is not None
    assert effect.scarce
    assert not effect.matters


def test_choice_without_weights_takes_the_first_of_equal_parameters() -> None:
    """So that parameters listed from simple to complex give the simple one."""
    trials = [
        _trial(1.0, 10.1, 10.1, noise=2.0, maxDepth=2),
        _trial(1.0, 10.0, 10.0, noise=2.0, seed=3, maxDepth=9),
    ]
    verdict = compare_trials(trials)
    assert verdict.chosen.settings.params == {"maxDepth": 2}
    assert verdict.effect is None


def test_effect_does_not_credit_a_better_parameter_to_the_weights() -> None:
    """Weighted at depth 5 against the cheapest without weights, which is of depth 5, too."""
    trials = [
        _trial(1.0, 20, 21, maxDepth=1),
        _trial(2.0, 19, 20, maxDepth=1),
        _trial(1.0, 10, 11.1, maxDepth=5),
        _trial(2.0, 9, 10, maxDepth=5),
    ]
    effect = compare_trials(trials).effect
    assert effect is not None
    assert effect.saving == pytest.approx(np.mean([1.0, 1.1]))


def test_choice_where_all_candidates_are_weighted_is_the_least_within_its_error() -> None:
    """Without a candidate of no weights their worth stays unknown."""
    trials = [
        _trial(2.0, 10.1, 10.1, noise=2.0),
        _trial(4.0, 10.0, 10.0, noise=2.0, seed=3),
        _trial(None, 30.0, 30.0, noise=2.0),
    ]
    verdict = compare_trials(trials)
    assert verdict.effect is None
    assert verdict.chosen.settings.ratio == 2.0


def test_weights_are_rarely_said_to_pay_between_equals_and_never_against_the_settings() -> None:
    """Seven equal candidates, nominal 2.5 % for all together: in 120 draws at most 4 %."""
    found = shares_of_verdicts(draw_equal_trials, draws=120)
    assert found["pays"] <= 0.04
    assert found["contradicted"] == 0


@pytest.mark.parametrize("saving", [0.0, 0.05, 0.3])
def test_summary_says_that_weights_pay_where_the_settings_have_them(saving: float) -> None:
    """No saving, one within chance, and a clear one: sentence and choice come to the same."""
    trials = [
        _trial(1.0, 2.0, 3.0, noise=0.6),
        _trial(4.0, 2.0 - saving, 3.0 - saving, noise=0.6, seed=4),
    ]
    verdict = compare_trials(trials)
    record = TuningRecord.from_dict(json.loads((GOLDEN / "tuning_record.json").read_text("utf-8")))
    assert verdict.effect is not None
    text = " ".join(tune_summary(replace(record, effect=verdict.effect)).split())
    weighted = verdict.chosen.settings.ratio == 4.0
    assert ("Weighting pays, and the settings have it" in text) == weighted
    assert ("so the settings have none" in text) != weighted
    assert weighted == (saving == 0.3)


@pytest.mark.slow  # 24 logistic fits in each of 20 draws
def test_forward_folds_choose_weights_where_they_save() -> None:
    """A logistic model of a truth that is none, forward in time, while the level of costs rises."""
    found = shares_of_verdicts(draw_forward_trials, draws=20, forward=True)
    assert found["weights_chosen"] >= 0.8
    assert found["contradicted"] == 0


def test_ratio_weights_of_equal_classes_are_one_where_nothing_is_tried() -> None:
    """The way out that the refusal of other ratios names."""
    even = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert ratio_weights(even, 1.0) == dict.fromkeys(even, 1.0)
    with pytest.raises(InputError, match="no rarest one"):
        ratio_weights(even, 2.0)
