"""Rounds on blocks in memory: the optimum, unbiased batches, their variance, and the record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sparkweights.core.errors import ConfigError
from sparkweights.models.batches import class_balanced, drawn, permuted, proportional
from sparkweights.models.choices import CONSTANT, COSINE
from sparkweights.models.losses import (
    ClassLoss,
    gradient_of,
    log_probabilities,
    one_hot,
    softmax_loss,
)
from sparkweights.models.optimizers import (
    Adam,
    Clipping,
    Schedule,
    Sgd,
    State,
)
from sparkweights.models.rounds import (
    Block,
    Limits,
    RoundSettings,
    RoundsResult,
    block_round,
    combine,
    run_rounds,
)


def table(classes: int, seed: int, rows: int = 1_500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised correlated features, class indices and weights."""
    rng = np.random.default_rng([seed, classes])
    x = rng.normal(size=(rows, 4)) @ (np.eye(4) + 0.3 * rng.normal(size=(4, 4)))
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    score = x @ rng.normal(size=(4, classes)) + rng.normal(size=classes)
    y = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    return x, y.astype(float), rng.uniform(0.5, 3.0, rows)


def blocks_of(x: np.ndarray, y: np.ndarray, w: np.ndarray, count: int = 3) -> list[Block]:
    """Return the rows in blocks of unequal size."""
    parts = np.arange(len(y)) % (count + 1) % count
    return [Block(k, x[parts == k], y[parts == k], w[parts == k]) for k in range(count)]


def settings_of(y: np.ndarray, w: np.ndarray, **changed: Any) -> RoundSettings:
    """Return settings of gradient descent along the exact gradient."""
    settings = RoundSettings(
        classes=int(y.max()) + 1,
        loss=ClassLoss(),
        l2=0.0,
        batch_rows=0,
        steps=1,
        passes=1,
        sampling="uniform",
        optimizer=Sgd(0.8),
        schedule=Schedule(2.0, CONSTANT),
        clipping=Clipping(),
        weight=float(w.sum()),
        rows=len(y),
        seed=3,
    )
    return replace(settings, **changed)


def run(
    blocks: list[Block], settings: RoundSettings, limits: Limits, told: list[str] | None = None
) -> RoundsResult:
    """Run rounds on blocks in memory."""
    margins = 1 if settings.classes == 2 else settings.classes
    return run_rounds(
        lambda state, number: [block_round(block, state, number, settings) for block in blocks],
        State.start(np.zeros((margins, blocks[0].features.shape[1] + 1))),
        settings,
        limits,
        (lambda _text: None) if told is None else told.append,
    )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_all_rows_reach_the_optimum_of_weighted_logistic_regression(
    classes: int, seed: int
) -> None:
    """Coefficients within 1e-3 of scikit-learn's Newton steps, without and with a penalty."""
    x, y, w = table(classes, seed)
    l2 = 0.0 if seed % 2 else 0.02
    settings = settings_of(y, w, l2=l2)
    found = run(blocks_of(x, y, w), settings, Limits(120)).parameters[-1]
    # Its penalty is per sum of weights; of two classes it has one row of coefficients, as here.
    strength = np.inf if l2 == 0 else 1 / (l2 * w.sum())
    oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=5_000, solver="newton-cg")
    oracle.fit(x.astype(float), y, sample_weight=w)
    expected = np.column_stack([oracle.coef_, oracle.intercept_])
    if classes > 2:
        found, expected = found - found.mean(axis=0), expected - expected.mean(axis=0)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("classes", "sampling"), [(2, "uniform"), (2, "class_balanced"), (2, "loss"), (4, "loss")]
)
def test_batches_converge_to_the_same_minimum(classes: int, sampling: str) -> None:
    """The mean of the blocks' steps ends within 2e-4 of the least loss, however rows are drawn.

    That is an eighth of what the sample itself leaves uncertain: coefficients over twice the rows.
    """
    x, y, w = table(classes, 1, rows=6_000)
    settings = settings_of(
        y,
        w,
        batch_rows=50,
        steps=40,
        sampling=sampling,
        optimizer=Adam(),
        schedule=Schedule(0.1, COSINE, 12),
    )
    found = run(blocks_of(x, y, w), settings, Limits(12)).parameters[-1]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5_000, solver="newton-cg")
    oracle.fit(x.astype(float), y, sample_weight=w)
    best = np.column_stack([oracle.coef_, oracle.intercept_])
    targets = one_hot(y, classes)
    excess = softmax_loss(found, x, targets, w).value - softmax_loss(best, x, targets, w).value
    assert 0 < excess < 2e-4


def test_same_seed_is_the_same_model_and_another_is_not() -> None:
    """Whatever the order in which blocks return."""
    x, y, w = table(3, 2)
    settings = settings_of(y, w, batch_rows=50, steps=10, optimizer=Adam())
    blocks = blocks_of(x, y, w)
    first = run(blocks, settings, Limits(2)).parameters[-1]
    assert (run(blocks[::-1], settings, Limits(2)).parameters[-1] == first).all()
    assert (run(blocks, replace(settings, seed=4), Limits(2)).parameters[-1] != first).any()


def _rare(rows: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    """Return features and classes with 0.1 % positives."""
    rng = np.random.default_rng(5)
    y = (np.arange(rows) < rows // 1_000).astype(float)
    return rng.normal(size=(rows, 5)) + y[:, None], y


@pytest.mark.parametrize(
    ("sampling", "slope", "intercept"),
    [("class_balanced", 0.0, 0.0), ("loss", 0.0, 0.0), ("loss", 1.0, -2.5)],
)
def test_importance_sampling_cuts_the_variance_and_keeps_the_mean(
    sampling: str, slope: float, intercept: float
) -> None:
    """At 0.1 % positives, a tenth of uniform batches' variance at most, and the same mean.

    At the start of a training, from the class shares; by loss also where the model tells the
    classes apart, when the rows of a class differ among themselves.
    """
    x, y = _rare()
    parameters = np.array([[slope] * 5 + [np.log(0.001) + intercept]])
    logs, targets = log_probabilities(parameters, x), one_hot(y, 2)
    slopes = ClassLoss().margin_slopes(logs, targets)
    exact = gradient_of(slopes, x, 1) / len(y)
    random = np.random.default_rng(8)
    losses = ClassLoss().of_rows(logs, targets)
    probabilities = class_balanced(y) if sampling == "class_balanced" else proportional(losses)

    def gradients(batches: Any) -> np.ndarray:
        return np.array([
            gradient_of(slopes[b.rows] * b.shares[:, None], x[b.rows], 1)[0] for b in batches
        ])  # fmt: skip

    important = gradients(drawn(probabilities, 256, 2_000, random))
    uniform = gradients(drawn(np.full(len(y), 1 / len(y)), 256, 2_000, random))
    assert uniform.var(axis=0).sum() > 10 * important.var(axis=0).sum()
    for found in (important, uniform):
        error = found.std(axis=0) / np.sqrt(len(found))  # no less than it is
        assert (np.abs(found.mean(axis=0) - exact[0]) < 4 * error).all()


def test_record_shows_the_variance_that_importance_sampling_cuts() -> None:
    """The record of the first round, from the class shares, has a tenth of it at most."""
    x, y = _rare()
    w = np.ones(len(y))
    settings = settings_of(y, w, batch_rows=256, steps=390, schedule=Schedule(1e-6))
    start = State.start(np.array([[0.0] * 5 + [np.log(0.001)]]))
    block = Block(0, x.astype(np.float32), y, w)
    variance = {}
    for sampling in ("uniform", "class_balanced", "loss"):
        drawn_so = replace(settings, sampling=sampling)
        result = block_round(block, start, 0, drawn_so)
        variance[sampling] = combine([result], start, 0, drawn_so)[1].gradient_variance
    assert variance["uniform"] > 10 * variance["class_balanced"] > 0
    assert variance["uniform"] > 10 * variance["loss"] > 0


def test_uniform_batches_hold_each_row_once_a_pass() -> None:
    """Shares of a batch sum to 1, and every row is in one batch of a pass."""
    batches = list(permuted(10, 6, np.random.default_rng(1), passes=2))
    assert len(batches) == 6
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert [float(batch.shares.sum()) for batch in batches] == pytest.approx([1.0] * 6)


def test_proportional_draws_rows_without_loss_too() -> None:
    """A tenth of the draws is uniform, so no row counts more than ten times."""
    found = proportional(np.array([0.0, 0.0, 3.0, 1.0]))
    assert found == pytest.approx([0.025, 0.025, 0.7, 0.25])
    assert proportional(np.zeros(4)) == pytest.approx([0.25] * 4)


def test_clipping_bounds_the_largest_step_and_is_recorded() -> None:
    """A row of weight 10,000 in one batch: without a limit its gradient is enormous."""
    x, y, w = table(2, 3)
    w[7] = 10_000.0
    free = settings_of(y, w, batch_rows=50, steps=10, optimizer=Sgd(), schedule=Schedule(0.1))
    limited = replace(free, clipping=Clipping(norm=0.5))
    blocks = blocks_of(x, y, w)
    without, bounded = (run(blocks, s, Limits(3)).rounds for s in (free, limited))
    assert max(entry.largest for entry in without) > 2
    assert max(entry.largest for entry in bounded) <= 0.5 * (1 + 1e-12)
    assert {entry.clipped for entry in without} == {0.0}
    assert all(0 < entry.clipped < 1 for entry in bounded)


def test_record_of_a_round_is_of_its_start() -> None:
    """Loss, loss by class and gradient norm, from parameters of 0."""
    x, y, w = table(3, 4)
    (entry,) = run(blocks_of(x, y, w), settings_of(y, w), Limits(1)).rounds
    assert entry.loss == pytest.approx(np.log(3))
    assert entry.class_losses == pytest.approx([np.log(3)] * 3)
    exact = softmax_loss(np.zeros((3, 5)), x, one_hot(y, 3), w).gradient
    assert entry.gradient_norm == pytest.approx(np.linalg.norm(exact))
    assert np.isnan(entry.gradient_variance)
    assert (entry.rate, entry.clipped) == (2.0, 0.0)


def test_rounds_end_when_the_loss_stands_still_or_time_is_over() -> None:
    """And every round is told of, with the time that is left."""
    x, y, w = table(2, 5)
    told = list[str]()
    blocks, settings = blocks_of(x, y, w), settings_of(y, w, optimizer=Sgd())
    still = run(blocks, settings, Limits(200, tol=1e-4), told)
    assert 2 < len(still.rounds) < 200
    assert len(told) == len(still.rounds) == len(still.parameters)
    assert told[0] == "round 1 of 200"
    assert told[1].startswith("round 2 of 200: loss 0.69315, ")
    assert told[1].endswith(" s left")
    assert len(run(blocks, settings, Limits(200, seconds=1e-9)).rounds) == 1


def test_steps_that_are_too_long_are_refused() -> None:
    """With what to change, instead of a model of infinite coefficients."""
    x, y, w = table(2, 6)
    settings = settings_of(y, w, l2=10.0, schedule=Schedule(50.0))
    with pytest.raises(ConfigError, match=r"the loss is not finite in round \d+"):
        run(blocks_of(x, y, w), settings, Limits(300))
