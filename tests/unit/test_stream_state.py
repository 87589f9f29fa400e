"""The core of a stream, without Spark: windows, drift, priors, the learner, and its state."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.cli.summary import stream_summary
from sparkweights.core.errors import ConfigError
from sparkweights.models.mini_batch import FeatureScale
from sparkweights.models.optimizers import State
from sparkweights.models.rounds import Block, block_round
from sparkweights.probability.priors import ScoreHistogram
from sparkweights.records import StreamRecord
from sparkweights.records.stream import BatchSummary
from sparkweights.report.stream_report import stream_report
from sparkweights.storage.files import as_json
from sparkweights.stream.adwin import Adwin, Moments
from sparkweights.stream.current_prior import (
    MIN_WINDOW,
    estimate_prior,
    match_outcomes,
    outcome_factors,
)
from sparkweights.stream.fixed_settings import ARRIVING, FixedSettings
from sparkweights.stream.learner import (
    LabelledBatch,
    LearnerSettings,
    OnlineLearner,
    combined_weights,
    window_weights,
)
from sparkweights.stream.metrics import stream_record
from sparkweights.stream.outcomes import time_range
from sparkweights.stream.state import (
    LOSS,
    MAX_HISTORY,
    SCORE,
    BatchCosts,
    Part,
    StreamRules,
    StreamState,
    Totals,
)
from sparkweights.stream.window import MAX_BUCKETS, Bucket, Window, WindowLimits, merge_histograms
from sparkweights.weights.class_frequencies import ClassFrequencies
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spec import WeightSpec

NAMES = ("good", "bad")
PRIOR = {"good": 0.95, "bad": 0.05}


def sigmoid(margin: Any) -> Any:
    """Return the probability of log odds."""
    return 1 / (1 + np.exp(-margin))


def histogram(p: Any, labels: Any = None) -> ScoreHistogram:
    """Count rows by probability of the second class, and by class if it is known."""
    rows = np.ones((len(p), 1)) if labels is None else np.eye(2)[labels]
    return merge_histograms([ScoreHistogram(np.stack([1 - p, p], axis=1), rows)])


def bucket(batch: int, p: Any, labels: Any, time: float = 0.0) -> Bucket:
    """Sum up rows of which a wrong approval costs 9 and a wrong decline 1."""
    counts = np.bincount(labels, minlength=2).astype(float)
    costs = np.array([[0.0, 1.0], [9.0, 0.0]]) * counts[:, None]
    frequencies = ClassFrequencies.of(NAMES, counts)
    return Bucket(batch, time, frequencies, histogram(np.asarray(p, float), labels), costs)


def few(batch: int, rows: int = 10, time: float = 0.0) -> Bucket:
    """Sum up some rows, the first of which is bad."""
    labels = np.array([1] + [0] * (rows - 1))
    return bucket(batch, np.full(rows, 0.1), labels, time)


def moments(batch: int, values: Any) -> Moments:
    """Sum up a measure."""
    return Moments(batch, 1, len(values), float(np.sum(values)), float(np.sum(values**2)))


def test_window_of_rows_keeps_the_latest_batches_that_hold_them() -> None:
    """Of batches of 10 rows, three hold 25."""
    window = Window()
    for batch in range(6):
        window = window.add(few(batch), WindowLimits(rows=25))
    assert [one.batch for one in window.buckets] == [3, 4, 5]
    assert window.total is not None
    assert window.total.frequencies.rows.tolist() == [27, 3]
    assert window.total.costs.tolist() == [[0, 27], [27, 0]]


def test_window_of_time_counts_from_the_latest_row_with_outcome() -> None:
    """Batches at 0, 10, ..., 50 and one that comes late: 25 before the latest is the oldest."""
    window, limits = Window(), WindowLimits(start=lambda latest: latest - 25)
    for batch in range(6):
        window = window.add(few(batch, time=10.0 * batch), limits)
    assert [one.time for one in window.buckets] == [30, 40, 50]
    assert [one.time for one in window.add(few(6, time=27.0), limits).buckets] == [30, 40, 50, 27]


def test_half_life_halves_the_weight_of_earlier_rows() -> None:
    """Batches of 10 rows with a half-life of 10: 10 + 5 + 2.5 rows, and squares of weights."""
    window = Window()
    for batch in range(3):
        window = window.add(few(batch), WindowLimits(half_life=10))
    assert window.total is not None
    assert window.rows == pytest.approx(17.5)
    frequencies = window.total.frequencies
    assert frequencies.weight.sum() == pytest.approx(17.5)
    assert frequencies.weight_square.sum() == pytest.approx(10 + 2.5 + 0.625)
    assert window.total.scores.effective_rows == pytest.approx(17.5**2 / 13.125)


def test_window_of_many_batches_has_few_buckets_and_all_rows() -> None:
    """However many micro-batches a window spans, the state stays small."""
    window = Window()
    for batch in range(200):
        window = window.add(few(batch), WindowLimits(rows=10_000))
    assert len(window.buckets) == MAX_BUCKETS
    assert window.rows == 2_000
    assert all(a.batch < b.batch for a, b in pairwise(window.buckets))


def test_merged_histograms_keep_rows_by_class_and_mean_probabilities() -> None:
    """Merging is as counting all rows at once; nearby scores share a cell."""
    rng = np.random.default_rng(1)
    p, labels = rng.random(500), rng.integers(0, 2, 500)
    parts = [histogram(p[i::3], labels[i::3]) for i in range(3)]
    merged = merge_histograms(parts)
    assert merged.rows.sum(axis=0).tolist() == np.bincount(labels).tolist()
    assert (merged.of_cell @ merged.probabilities)[1] == pytest.approx(p.sum())
    assert len(merged.rows) < 500


@given(
    factor=st.floats(0.05, 20),
    slope=st.floats(0.2, 3),
    classes=st.integers(2, 4),
)
def test_matched_factors_are_those_that_moved_the_outcomes(
    factor: float, slope: float, classes: int
) -> None:
    """Where the last class's odds are f times what a model says, r is f."""
    x = np.linspace(-2, 2, 41)
    p = np.exp(np.outer(x, np.arange(classes)) * slope / classes)
    p /= p.sum(axis=1, keepdims=True)
    truth = p * np.append(np.ones(classes - 1), factor)
    truth /= truth.sum(axis=1, keepdims=True)
    prior = p.mean(axis=0)
    r = match_outcomes(ScoreHistogram(p, truth * 1e7), prior)
    np.testing.assert_allclose(r[:-1], r[0], rtol=1e-4)
    assert r[-1] / r[0] == pytest.approx(factor, rel=1e-4)


def test_factors_are_one_where_the_shares_move_with_the_scores() -> None:
    """A covariate shift that the model follows is no change of its prior."""
    p = np.full(10_000, 0.4)
    labels = (np.arange(10_000) % 10 < 4).astype(int)
    found = estimate_prior(PRIOR, bucket(0, p, labels), None, 2.0)
    assert found.target["bad"] == pytest.approx(0.05, rel=0.02)


def test_prior_follows_outcomes_and_then_the_scores_alone() -> None:
    """The base rate goes from 5 % to 20 %; of the later rows no outcome is known yet."""
    rng = np.random.default_rng(2)

    def draw(share: float, rows: int) -> tuple[Any, Any]:
        labels = (rng.random(rows) < share).astype(int)
        x = rng.normal(2.0 * labels)
        return sigmoid(2 * x - 2 + np.log(0.05 / 0.95)), labels

    window = bucket(0, *draw(0.10, 20_000))
    recent = histogram(draw(0.20, 20_000)[0])
    outcomes = estimate_prior(PRIOR, window, None, 4.0)
    assert outcomes.target["bad"] == pytest.approx(0.10, abs=0.01)
    both = estimate_prior(PRIOR, window, recent, 4.0)
    assert both.shift is not None
    assert both.shift.shifted
    assert both.target["bad"] == pytest.approx(0.20, abs=0.015)
    limited = estimate_prior(PRIOR, window, recent, 1.2)
    assert limited.target == limited.outcomes  # the interval excludes what is allowed


def test_prior_before_outcomes_follows_the_scores_beside_the_models_test_rows() -> None:
    """The test rows are 5 % bad, the later ones 8 %."""
    rng = np.random.default_rng(6)

    def draw(share: float) -> tuple[Any, Any]:
        labels = (rng.random(20_000) < share).astype(int)
        return sigmoid(2 * rng.normal(2.0 * labels) - 2 + np.log(0.05 / 0.95)), labels

    recent, reference = histogram(draw(0.08)[0]), histogram(*draw(0.05))
    found = estimate_prior(PRIOR, None, recent, 2.0, reference)
    assert found.outcomes == PRIOR
    assert found.target["bad"] == pytest.approx(0.08, abs=0.01)


def test_prior_of_few_outcomes_is_the_models() -> None:
    """Nothing is known from some dozens of rows; nor do they move a learner's margins."""
    window = few(0, rows=int(MIN_WINDOW) - 1)
    assert estimate_prior(PRIOR, window, None, 2.0).target == PRIOR
    assert outcome_factors(PRIOR, window).tolist() == [1, 1]


def run_adwin(values: Any, size: int = 50) -> list[int]:
    """Return the batches in which a change is found."""
    adwin, found = Adwin(), []
    for batch, part in enumerate(np.split(values, len(values) // size)):
        adwin, change = adwin.add(moments(batch, part))
        if change is not None:
            found.append(batch)
    return found


def test_adwin_finds_a_change_soon_and_none_in_shuffled_rows() -> None:
    """It beats a detector that always fires, and one that never does, on both counts."""
    rng = np.random.default_rng(3)
    values = (rng.random(10_000) < np.where(np.arange(10_000) < 5_000, 0.05, 0.20)).astype(float)
    found = run_adwin(values)
    assert 100 <= found[0] <= 110  # of 200 batches; the change is at 100
    assert len(found) <= 3

    def mistakes(alarms: Any) -> int:
        missed = not any(100 <= batch < 120 for batch in alarms)
        return missed + sum(batch < 100 for batch in alarms)

    assert [mistakes(one) for one in (found, [], range(200))] == [0, 1, 100]
    for seed in range(5):
        assert not run_adwin(np.random.default_rng(seed).permutation(values))


def test_adwin_leaves_out_what_was_before_the_change() -> None:
    """The window that is left has the new mean."""
    adwin = Adwin()
    for batch in range(60):
        values = np.full(50, 0.1 if batch < 30 else 0.6)
        adwin, _ = adwin.add(moments(batch, values))
    rows = sum(one.rows for one in adwin.buckets)
    assert sum(one.total for one in adwin.buckets) / rows == pytest.approx(0.6)
    assert rows >= 25 * 50


def test_adwin_keeps_few_buckets() -> None:
    """The state grows with the logarithm of the batches."""
    adwin = Adwin()
    for batch in range(1_000):
        adwin, _ = adwin.add(moments(batch, np.full(10, 0.5)))
    assert len(adwin.buckets) < 60
    assert sum(one.rows for one in adwin.buckets) == 10_000


SETTINGS = LearnerSettings(0.02, 64, 1, 0.0, None, 7)


def learner(slope: float, intercept: float, weights: tuple[float, float]) -> OnlineLearner:
    """Return a learner of one feature."""
    rule = WeightRule.fixed("manual", dict(zip(NAMES, weights, strict=True)))
    return OnlineLearner(State.start(np.array([[slope, intercept]])), rule)


def natural(found: OnlineLearner, x: Any) -> Any:
    """Return the probability of the second class with the weights inverted."""
    slope, intercept = found.state.parameters[0]
    return sigmoid(slope * x + intercept - np.log(found.weights[1] / found.weights[0]))


def test_parameters_of_standardised_features_give_the_margins_of_the_features() -> None:
    """Both ways, with a constant feature; a stream goes on from the parameters of a bundle."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(50, 3)) * [1, 100, 0] + [5, -3, 7]
    deviation = np.array([*x.std(axis=0)[:2], 0.0])
    scale = FeatureScale(x.mean(axis=0), deviation)
    own = np.array([[0.3, -0.02, 0.0, 1.5]])
    scaled = (x - scale.mean) / np.where(deviation > 0, deviation, 1)
    standardised = scale.standardised(own)
    margins = scaled @ standardised[0, :-1] + standardised[0, -1]
    np.testing.assert_allclose(margins, x @ own[0, :-1] + own[0, -1])
    np.testing.assert_allclose(scale.in_own_units(standardised), own)


def test_change_of_weights_keeps_natural_probabilities() -> None:
    """The margin moves by the logarithm of their ratio, and the ledger inverts as much."""
    before = learner(1.5, -0.5, (1, 9))
    after = before.reweighted(WeightRule.fixed("balanced", {"good": 0.6, "bad": 3.0}))
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(natural(before, x), natural(after, x), rtol=1e-12)
    three = OnlineLearner(
        State.start(np.array([[1.0, 0.2], [0.0, 0.1], [-1.0, 0.0]])),
        WeightRule.fixed("manual", {"a": 1, "b": 2, "c": 3}),
    )
    other = three.reweighted(WeightRule.fixed("manual", {"a": 5, "b": 1, "c": 2}))
    odds = [np.exp(f.state.parameters @ np.array([0.7, 1.0])) / f.weights for f in (three, other)]
    np.testing.assert_allclose(odds[0] / odds[0].sum(), odds[1] / odds[1].sum(), rtol=1e-12)


def rows_runner(x: Any, labels: Any) -> Any:
    """Run rounds on rows that are here, as one block."""

    def run(weights: Any, state: State, number: int, rounds: Any) -> list[Any]:
        row_weights = weights[labels.astype(int)]
        block = Block(number, x[:, None].astype(np.float32), labels.astype(float), row_weights)
        return [block_round(block, state, number, rounds)]

    return run


def test_steps_learn_the_slope_and_leave_the_intercept_to_the_factors() -> None:
    """The slope doubles and the odds become sixfold; the decided log odds are right."""
    rng = np.random.default_rng(4)
    found, log_odds = learner(1.0, -2.0, (1, 1)), -2.0
    for number in range(150):
        x = rng.normal(size=500)
        labels = (rng.random(500) < sigmoid(2.0 * x + log_odds + np.log(6))).astype(int)
        batch = LabelledBatch(number, 500, np.bincount(labels, minlength=2).astype(float))
        p = natural(found, x)
        factors = match_outcomes(histogram(p, labels), np.array([0.9, 0.1]))
        found = found.partial_fit(batch, factors, SETTINGS, rows_runner(x, labels))
    slope, intercept = found.state.parameters[0]
    assert slope == pytest.approx(2.0, abs=0.15)
    assert intercept == -2.0
    moved = np.log(factors[1] / factors[0])
    assert intercept + moved == pytest.approx(log_odds + np.log(6), abs=0.3)


def test_window_weights_are_those_of_the_schemes() -> None:
    """Balanced by frequencies, cost by the mean regret 9 and 1; bounds and a missing class hold."""
    window = bucket(0, np.full(100_000, 0.1), (np.arange(100_000) % 10 == 0).astype(int))
    balanced = np.array(window_weights(WeightSpec("balanced"), window, PRIOR).constants)
    assert balanced[1] / balanced[0] == pytest.approx(9, rel=1e-3)
    cost = np.array(window_weights(WeightSpec("cost"), window, PRIOR).constants)
    assert cost[1] / cost[0] == pytest.approx(9, rel=1e-3)
    capped = window_weights(WeightSpec("balanced", cap=2.0), window, PRIOR).constants
    assert capped is not None
    assert max(capped) == 2.0
    none = bucket(0, np.full(1_000, 0.1), np.zeros(1_000, int))
    assert max(window_weights(WeightSpec("balanced"), none, PRIOR).constants or ()) < 1_000


def test_weights_of_a_training_multiply() -> None:
    """Class weights and rates of resampling act together."""
    rules = [
        WeightRule.fixed("a", {"good": 1, "bad": 3}),
        WeightRule.fixed("b", {"good": 2, "bad": 1}),
    ]
    assert combined_weights(rules, NAMES).constants == (2, 3)


FIXED = FixedSettings(
    rows=ARRIVING,
    keys=("id",),
    time="t",
    time_kind="number",
    classes=NAMES,
    decisions=("approve", "decline"),
    outcomes=True,
)
RULES = StreamRules(PRIOR, WeightSpec("balanced"), SETTINGS, 1_000, 2.0)


def streamed(rows: int = 40, change: int | None = None) -> StreamState:
    """Run a stream of batches of 100 rows; the base rate changes at a batch."""
    rng = np.random.default_rng(5)
    state = StreamState(model_version="m", learner=learner(1.0, 0.0, (0.5, 10)))
    for number in range(rows):
        x = rng.normal(size=100)
        shift = 2.5 if change is not None and number >= change else 0.0
        labels = (rng.random(100) < sigmoid(x - 3 + shift)).astype(int)
        p = sigmoid(x - 3)
        state = state.with_scores(
            bucket(number, p, labels), moments(number, p), RULES
        ).with_outcomes(
            bucket(number, p, labels), moments(number, (p - labels) ** 2), WindowLimits(rows=2_000)
        )
        batch = LabelledBatch(number, 100, np.bincount(labels, minlength=2).astype(float))
        state = replace(state.learned(batch, RULES, rows_runner(x, labels)), batch=number)
    return state


def test_drift_shortens_the_window_and_holds_the_model() -> None:
    """After the change the window holds later rows, weights follow, and the slopes stay."""
    state = streamed(40, change=20)
    calm = streamed(20)
    assert not calm.wants_model
    assert state.wants_model
    assert {drift.measure for drift in state.drifts} == {LOSS}
    assert 20 <= state.drifts[0].batch <= 24
    assert state.window.buckets[0].batch >= 18
    held = replace(state, learner=calm.learner)
    batch = LabelledBatch(40, 100, np.array([50.0, 50.0]))
    after = held.learned(batch, RULES, lambda *_: pytest.fail("a held model made steps"))
    assert after.learner is not None
    assert calm.learner is not None
    assert after.learner.state.parameters[0, 0] == calm.learner.state.parameters[0, 0]
    assert after.learner.rule != calm.learner.rule


def test_metrics_say_where_a_stream_stands() -> None:
    """Speed, class shares, drift and costs, as a record, a page and a summary."""
    state = streamed(40, change=20)
    totals = state.totals.plus(rows=4_000, seconds=20.0, realised_cost=77.0)
    state = replace(state, totals=totals, history=history(40))
    settings: Any = SimpleNamespace(
        name="loans", bundle=SimpleNamespace(version="m"), rules=RULES, time_kind="number"
    )
    prior = state.prior(RULES)
    record = stream_record(settings, state, prior, "running", rows=100, seconds=2.0, reason="")
    assert (record.rows_per_second, record.mean_rows_per_second) == (50, 200)
    assert (record.model_status, record.learning) == ("new model wanted", "held")
    assert record.prior["target"] == prior.target
    assert record.prior["target"]["bad"] > PRIOR["bad"]
    assert sum(record.window.values()) == record.window_rows == state.window.rows
    assert record.line.startswith("micro-batch 39: 100 rows, 50/s; bad ")
    assert StreamRecord.from_dict(record.to_dict()) == record
    drift = f"after micro-batch {state.drifts[-1].after}, the squared error"
    assert drift.capitalize() in stream_report(record)
    assert "an expected cost of 200; the least costly single decision" in stream_report(record)
    assert "realised cost" in stream_summary(record)
    assert "new model wanted, learning held" in stream_summary(record)


def history(batches: int) -> tuple[BatchCosts, ...]:
    """Return micro-batches of 10 rows, every second one with 4 outcomes."""
    return tuple(
        BatchCosts(batch, 10, 5.0, 8.0, 4 * (batch % 2), 6.0 * (batch % 2), 0.05)
        for batch in range(batches)
    )


def test_costs_of_a_micro_batch_are_what_it_added() -> None:
    """The latest ones are kept, and one without rows has no cost of a row."""
    totals = Totals(scored=100, expected_cost=50.0, outcomes=10, realised_cost=7.0)
    full = replace(StreamState(batch=MAX_HISTORY - 1), history=history(MAX_HISTORY))
    prior = full.prior(RULES)
    later = totals.plus(scored=20, expected_cost=30.0, constant_cost=40.0)
    state = replace(full, totals=later).committed(MAX_HISTORY, totals, 2.0, prior)
    added = BatchCosts(MAX_HISTORY, 20, 30.0, 40.0, 0, 0.0, PRIOR["bad"])
    assert state.history == (*full.history[1:], added)
    assert (state.batch, state.totals.seconds) == (MAX_HISTORY, 2.0)
    summary = BatchSummary(**vars(added))
    assert (summary.expected, summary.constant, summary.realised) == (1.5, 2.0, None)


def test_state_is_the_same_after_json() -> None:
    """Text as JSON, read again, says the same; so a restart goes on from equal numbers."""
    state = streamed(30, change=15)
    part = Part("3", 4.0)
    full = replace(
        state,
        fixed=FIXED,
        latest=5.0,
        aside=(2,),
        waiting=(part,),
        matched=(part,),
        unmatched="3",
        history=history(2),
    )
    text = as_json(full.to_dict(), indent=None)
    again = StreamState.from_dict(json.loads(text))
    assert as_json(again.to_dict(), indent=None) == text
    assert again.fixed == FIXED
    assert again.history == full.history
    earlier = json.loads(text)  # as of a release without a history
    del earlier["history"], earlier["totals"]["constant_cost"]
    assert StreamState.from_dict(earlier).history == ()
    assert again.prior(RULES).target == full.prior(RULES).target


def test_state_of_another_model_keeps_counts_alone() -> None:
    """Scores and drifts are those of a model; the micro-batches and the totals go on."""
    state = streamed(30, change=15)
    fresh = state.for_model("n", learner(2.0, 0.0, (1, 1)))
    assert (fresh.batch, fresh.totals, fresh.wants_model) == (29, state.totals, False)
    assert not fresh.window.buckets
    assert state.for_model("m", learner(2.0, 0.0, (1, 1))) is state


def test_rows_without_outcome_are_no_good_outcome() -> None:
    """A micro-batch of scores alone moves neither frequencies nor the learner."""
    state = streamed(5)
    p = np.full(100, 0.05)
    scored = state.with_scores(bucket(5, p, np.zeros(100, int)), moments(5, p), RULES)
    assert scored.window is state.window
    assert scored.learner is state.learner
    assert scored.detectors[LOSS] == state.detectors[LOSS]
    assert scored.detectors[SCORE] != state.detectors[SCORE]


def test_drift_of_the_scores_leaves_out_the_scores_before_it() -> None:
    """Class shares are estimated from scores since the change; outcomes stay in their window."""
    state = StreamState(window=Window((few(0),)))
    for batch in range(40):
        p = np.full(100, 0.1 if batch < 20 else 0.6) + np.linspace(-0.05, 0.05, 100)
        rows = bucket(batch, p, np.zeros(100, int))
        state = state.with_scores(rows, moments(batch, p), replace(RULES, score_rows=10_000))
    assert {drift.measure for drift in state.drifts} == {SCORE}
    assert state.recent.buckets[0].batch >= state.drifts[-1].after >= 18
    assert state.window.rows == 10


def test_keys_with_outcome_are_kept_as_long_as_a_file_that_they_wait_in() -> None:
    """The oldest rows have their outcome first; of the file's other rows it has not come."""
    state = StreamState(waiting=(Part("0", 10.0), Part("1", 20.0))).with_matched(2)
    assert state.since(15.0).waiting == (Part("1", 20.0),)
    assert [part.name for part in state.since(15.0).matched] == ["2"]
    assert state.since(21.0).matched == ()


def test_event_time_of_a_stream_never_goes_back() -> None:
    """Rows without a time, and rows that come late, leave it as it is."""
    assert StreamState().at(None).latest is None
    assert StreamState().at(3.0).at(None).at(1.0).latest == 3.0


@pytest.mark.parametrize("kind", ["date", "timestamp", "number"])
def test_placeholder_of_a_missing_time_is_no_event_time(kind: str) -> None:
    """The year 9999 and infinity are none; a day after the clock, and any finite number, are."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    first, last = time_range(kind, now)

    def is_time(moment: datetime) -> bool:
        days = (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1)
        return first <= days * (86_400e6 if kind == "timestamp" else 1) <= last

    assert is_time(now + timedelta(hours=23))
    assert is_time(datetime(1950, 1, 1, tzinfo=UTC))
    if kind == "number":
        assert not first <= -math.inf
        assert not math.inf <= last
    else:
        assert not is_time(datetime(9999, 12, 31, tzinfo=UTC))
        assert not is_time(datetime(1, 1, 1, tzinfo=UTC))


def test_micro_batches_follow_each_other_without_a_gap() -> None:
    """Spark repeats the last one; after a replay or a lost state, others would be left out."""
    state = StreamState(batch=4)
    assert state.follows(5, "out/stream")
    assert not state.follows(4, "out/stream")
    for batch in (3, 6):
        with pytest.raises(ConfigError, match=f"micro-batch {batch}, and its state holds micro-ba"):
            state.follows(batch, "out/stream")
    with pytest.raises(ConfigError, match="holds none"):
        StreamState().follows(1, "out/stream")
