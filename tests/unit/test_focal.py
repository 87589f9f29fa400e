"""The distortion of the focal loss, against minimisers of its risk, and its place in the ledger."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.models.losses import ClassLoss, log_probabilities
from sparkweights.models.optimizers import Clipping, Schedule, Sgd, State
from sparkweights.models.rounds import Block, Limits, RoundSettings, block_round, run_rounds
from sparkweights.probability.corrections import WEIGHTS, Ledger
from sparkweights.probability.focal import invert_focal
from sparkweights.records.weights import LedgerSummary
from sparkweights.weights.rule import WeightRule

PRIOR = {"repay": 0.9, "default": 0.1}


def _minimiser(eta: np.ndarray, loss: ClassLoss) -> np.ndarray:
    """Return the q of least focal risk at class probabilities, found numerically."""

    def risk(margins: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = np.append(margins, 0.0)[:, None]
        logs = log_probabilities(parameters, np.zeros((1, 0)))
        slopes = loss.margin_slopes(logs, eta[None])
        return float(loss.of_rows(logs, eta[None])[0]), slopes[0, :-1]

    found = minimize(risk, np.zeros(len(eta) - 1), jac=True, options={"gtol": 1e-11})
    return np.exp(log_probabilities(np.append(found.x, 0.0)[:, None], np.zeros((1, 0))))[0]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("alpha", [None, (0.5, 3.0, 1.0, 2.0)])
@pytest.mark.parametrize("eta", [(0.95, 0.05), (0.3, 0.7), (0.6, 0.3, 0.1), (0.4, 0.3, 0.2, 0.1)])
def test_inverse_of_the_risk_minimiser_is_the_class_probability(
    gamma: float, alpha: tuple[float, ...] | None, eta: tuple[float, ...]
) -> None:
    """Two classes, three and four, with and without a factor per class."""
    factors = None if alpha is None else alpha[: len(eta)]
    q = _minimiser(np.array(eta), ClassLoss(gamma, factors))
    found = invert_focal(list(q), gamma, factors)
    assert [float(p) for p in found] == pytest.approx(eta, abs=1e-6)
    if gamma > 0 and alpha is None:
        assert q.max() < max(eta)  # focal loss is less sure


@given(
    margin=st.floats(-700, 700),
    gamma=st.floats(0, 8),
)
def test_inverse_is_a_probability_that_keeps_the_order(margin: float, gamma: float) -> None:
    """From certainty to certainty: finite, on the same side of 1/2, and rising."""
    margins = np.array([margin, margin + 0.01])
    q = [1 / (1 + np.exp(margins)), 1 / (1 + np.exp(-margins))]
    lower, upper = invert_focal(q, gamma)
    assert lower + upper == pytest.approx([1, 1])
    assert upper[1] >= upper[0] - 1e-12
    assert ((upper - 0.5) * (q[1] - 0.5) > -1e-12).all()


def test_weights_and_loss_are_both_inverted_and_survive_json() -> None:
    """The ledger names the loss, inverts it once, and refuses what would price too early."""
    rule = WeightRule.fixed("cost", {"repay": 1, "default": 4})
    ledger = Ledger(PRIOR).with_reweighting(WEIGHTS, rule).with_focal_loss(2.0)
    assert [step.kind for step in ledger.uncorrected] == ["weights", "focal"]
    with pytest.raises(ModelError, match="cost weights and focal loss of gamma 2"):
        ledger.require_natural()
    natural = ledger.with_weights_inverted()
    natural.require_natural()
    with pytest.raises(ModelError, match="inverted already"):
        natural.with_weights_inverted()
    with pytest.raises(ModelError, match="before any correction"):
        natural.with_focal_loss(2.0)
    assert Ledger.from_dict(json.loads(json.dumps(natural.to_dict()))) == natural
    summary = LedgerSummary.from_dict(ledger.to_dict())
    assert summary.uncorrected == ("weights", "focal loss")
    assert Ledger.from_dict(summary.to_dict()) == ledger
    assert "focal loss of gamma 2: inverted" in " ".join(natural.sentences())


def test_loss_of_gamma_zero_leaves_the_ledger_as_it_was() -> None:
    """Cross-entropy is proper: there is nothing to invert, and no key in the record."""
    ledger = Ledger.by_hand(PRIOR)
    assert ledger.with_focal_loss(0.0) == ledger
    assert "loss" not in ledger.to_dict()
    assert "loss" not in LedgerSummary.from_dict(ledger.to_dict()).to_dict()


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_impossible_gamma_is_refused(gamma: float) -> None:
    """By hand as by configuration."""
    with pytest.raises(ConfigError, match="gamma"):
        Ledger.by_hand(PRIOR).with_focal_loss(gamma)


def test_impossible_factor_is_refused_and_a_second_loss() -> None:
    """A factor is a finite number > 0 for each class; a model has one loss."""
    ledger = Ledger.by_hand(PRIOR)
    with pytest.raises(ConfigError, match="class 'default'"):
        ledger.with_focal_loss(2.0, {"repay": 1.0})
    twice = ledger.with_focal_loss(2.0, {"repay": 1.0, "default": 2.0})
    with pytest.raises(ModelError, match="one loss"):
        twice.with_focal_loss(2.0)


def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray, gamma: float) -> np.ndarray:
    """Return the probability of the second class in each row, as full-batch rounds learn it."""
    settings = RoundSettings(
        classes=2,
        loss=ClassLoss(gamma),
        l2=0.0,
        batch_rows=0,
        steps=1,
        passes=1,
        sampling="uniform",
        optimizer=Sgd(0.9),
        schedule=Schedule(1.0),
        clipping=Clipping(),
        weight=float(w.sum()),
        rows=len(y),
        seed=1,
    )
    block = Block(0, x.astype(np.float32), y, w)
    start = State.start(np.zeros((1, x.shape[1] + 1)))
    result = run_rounds(
        lambda state, number: [block_round(block, state, number, settings)],
        start,
        settings,
        Limits(800),
        lambda _text: None,
    )
    return np.exp(log_probabilities(result.parameters[-1], x))[:, 1]


def test_focal_model_is_as_near_the_truth_as_cross_entropy_once_inverted() -> None:
    """Data of a known law: 1.5 times cross-entropy's error at most, and a third of the distorted.

    Sixteen cells of any probability: a model with a position per cell can follow any law, so that
    what is left is the error of the sample, and the distortion.
    """
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.02, 0.6, 16)
    rows = rng.multinomial(40_000, np.full(16, 1 / 16))
    events = rng.binomial(rows, truth)
    x = np.repeat(np.eye(16), 2, axis=0) * 4  # about unit variance, as standardised features have
    y = np.tile([0.0, 1.0], 16)
    w = np.column_stack([rows - events, events]).ravel().astype(float)
    plain, focal = (fit(x, y, w, gamma)[::2] for gamma in (0.0, 2.0))
    inverted = invert_focal([1 - focal, focal], 2.0)[1]
    errors = [np.average(np.abs(p - truth), weights=rows) for p in (plain, focal, inverted)]
    assert errors[2] <= 1.5 * errors[0]
    assert errors[2] <= errors[1] / 3
