"""Bending and unbending probabilities, and the ledger that keeps account of it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.probability.corrections import RESAMPLING, WEIGHTS, Ledger
from sparkweights.probability.odds import invert_reweighting, reweight
from sparkweights.probability.settings import require_prior
from sparkweights.weights.rule import WeightRule

FACTOR = st.floats(1e-3, 1e3)
PRIOR = {"repay": 0.9, "default": 0.1}


@st.composite
def _bent(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    size = draw(st.integers(2, 6))
    raw = draw(st.lists(st.floats(1e-3, 1), min_size=size, max_size=size))
    factors = draw(st.lists(FACTOR, min_size=size, max_size=size))
    return [value / math.fsum(raw) for value in raw], factors


@given(_bent())
def test_unbend_undoes_bend(case: tuple[list[float], list[float]]) -> None:
    """undo(apply(p)) = p, and what is bent still sums to 1."""
    probabilities, factors = case
    bent = reweight(probabilities, factors)
    assert math.fsum(bent) == pytest.approx(1, abs=1e-12)
    assert invert_reweighting(bent, factors) == pytest.approx(probabilities, rel=0, abs=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), FACTOR, FACTOR)
def test_unbend_two_classes_shifts_the_log_odds(p: float, first: float, second: float) -> None:
    """Logit p = logit q - log(w1 / w0)."""
    natural = invert_reweighting([1 - p, p], [first, second])
    expected = math.log(p / (1 - p)) - math.log(second / first)
    assert math.log(natural[1] / natural[0]) == pytest.approx(expected, abs=1e-8)


def test_ledger_pricing_weighted_probabilities_is_refused() -> None:
    """A cost is never counted twice: weights must be inverted before a price is applied."""
    ledger = Ledger.by_hand(PRIOR, {"repay": 1, "default": 20})
    with pytest.raises(ModelError, match="count the costs twice"):
        ledger.require_natural()
    with pytest.raises(ModelError, match="still carry"):
        ledger.with_calibration("isotonic")
    natural = ledger.with_weights_inverted()
    natural.require_natural()
    with pytest.raises(ModelError, match="inverted already"):
        natural.with_weights_inverted()
    Ledger.by_hand(PRIOR, {"repay": 1, "default": 1}).require_natural()


def test_ledger_each_second_correction_is_refused() -> None:
    """A target prior is applied once, after which nothing else may reweight or calibrate."""
    moved = Ledger.by_hand(PRIOR).with_prior_shift({"repay": 0.5, "default": 0.5})
    with pytest.raises(ModelError, match="corrected twice"):
        moved.with_prior_shift({"repay": 0.4, "default": 0.6})
    with pytest.raises(ModelError, match="corrected twice"):
        moved.with_calibration("isotonic")
    rule = WeightRule.fixed("manual", {"repay": 1, "default": 2})
    with pytest.raises(ModelError, match="before any correction"):
        moved.with_reweighting(WEIGHTS, rule)
    with pytest.raises(ModelError, match="are of the classes"):
        Ledger.by_hand(PRIOR).with_reweighting(
            WEIGHTS, WeightRule.fixed("manual", {"a": 1, "b": 2})
        )


def test_ledger_composes_and_survives_json() -> None:
    """Weights on resampled rows are two reweightings; both are carried, inverted and told."""
    weights = WeightRule.fixed("cost", {"repay": 1, "default": 4})
    rates = WeightRule.fixed("resampled", {"repay": 0.5, "default": 1})
    ledger = Ledger.by_hand(PRIOR, weights).with_reweighting(RESAMPLING, rates)
    assert [entry.kind for entry in ledger.uncorrected] == [WEIGHTS, RESAMPLING]
    done = ledger.with_weights_inverted().with_calibration("sigmoid")
    done = done.with_prior_shift({"repay": 0.7, "default": 0.3})
    assert Ledger.from_dict(json.loads(json.dumps(done.to_dict()))) == done
    assert done.uncorrected == ()
    story = " ".join(done.sentences())
    for words in (
        "repay 90.00%",
        "cost weights: inverted",
        "resampled",
        "sigmoid",
        "default 30.00%",
    ):
        assert words in story


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"repay": 0.9, "default": 0.2}, "sum to 1.1"),
        ({"repay": 0.9}, "no share for class default"),
        ({"repay": 0.9, "defautl": 0.1}, "Did you mean 'default'"),
        ({"repay": 1.0, "default": 0.0}, "between 0 and 1"),
        ({"repay": math.nan, "default": 0.5}, "nan"),
    ],
)
def test_require_prior_impossible_shares_are_refused(prior: dict[str, float], words: str) -> None:
    """Shares are one number per class that the model has seen, summing to 1."""
    with pytest.raises(ConfigError, match=words):
        require_prior(prior, tuple(PRIOR), where="target_prior")


@pytest.mark.parametrize("weight", [None, 0, -1, math.inf, math.nan])
def test_ledger_by_hand_impossible_weight_is_refused(weight: float | None) -> None:
    """By hand as by scheme: a weight is a finite number > 0 for each class."""
    weights = {"repay": 1.0} | ({} if weight is None else {"default": weight})
    with pytest.raises(ConfigError, match="class 'default'"):
        Ledger.by_hand(PRIOR, weights)
