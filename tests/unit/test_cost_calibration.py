"""Expected against realised cost: chance is told from error, by amount and with few events."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import norm, poisson, t

from benchmarks.rightness.gates import compare, customer_alarms, scores
from sparkweights.cli.summary import train_summary
from sparkweights.core.errors import QualityGateError
from sparkweights.evaluation.intervals import EVALUATION_BLOCKS
from sparkweights.evaluation.score_test import (
    INDEPENDENT,
    Tails,
    block_dependence,
    skewed_tails,
)
from sparkweights.quality.gates import gate_costs
from sparkweights.records import TrainingRecord
from sparkweights.report.sentences import cost_calibration_sentence

if TYPE_CHECKING:
    from sparkweights.evaluation.cost_calibration import CostCalibration

GOLDEN = Path(__file__).parents[1] / "golden"
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _compare(rng: np.random.Generator, p: Array, amount: Array, bad: Array) -> CostCalibration:
    return compare(rng.integers(0, EVALUATION_BLOCKS, len(p)), p, amount, bad)


def _rows(rng: np.random.Generator, rows: int) -> tuple[Array, Array, Array]:
    p = scores(rng, rows)
    return p, rng.lognormal(4, 1.2, rows), (rng.random(rows) < p).astype(float)


@pytest.mark.parametrize("expected", [1, 3, 10, 30])
def test_skewed_tails_of_a_count_are_near_the_exact_ones(expected: int) -> None:
    """Of a Poisson count: between half of the exact tail and twice it, down to .05 %."""
    for count in range(expected, 4 * expected + 6):
        exact = poisson.sf(count - 1, expected)
        if exact > 5e-4:
            found = skewed_tails(count - expected, expected, expected, step=1).above
            assert 0.5 < found / exact < 2


def test_cost_calibration_sound_probabilities_are_never_called_off() -> None:
    """Ten events with heavy amounts, 60 draws: no warning at a tolerance of .15."""
    rng = np.random.default_rng(1)
    found = [_compare(rng, *_rows(rng, 1_000)) for _ in range(60)]
    assert sum(len(one.off(0.15)) > 0 for one in found) <= 1
    assert not any(one.far_off(0.15) for one in found)


@pytest.fixture(scope="module")
def too_low() -> CostCalibration:
    """Probabilities at .4 of the truth where amounts are in their highest tenth."""
    rng = np.random.default_rng(3)
    p, amount, bad = _rows(rng, 60_000)
    told = p * np.where(amount > np.quantile(amount, 0.9), 0.4, 1.0)
    return _compare(rng, told, amount, bad)


def test_cost_calibration_too_low_at_high_amounts_is_seen_there(too_low: CostCalibration) -> None:
    """The highest tenth is off and its interval lies below 1; the middle tenths are not."""
    assert 0.3 < too_low.groups[-1].ratio < 0.75
    assert too_low.groups[-1].interval[1] < 1
    assert too_low.groups[-1] in too_low.far_off(0.15)
    assert not set(too_low.groups[2:8]) & set(too_low.off(0.15))
    assert any("rows with a stake of" in sentence for sentence in too_low.warnings(0.15))


def test_gate_costs_far_off_stops_the_run(too_low: CostCalibration) -> None:
    """The error names the ratio, the amounts, and the key that would let it pass."""

    class Found:
        cost_calibration = too_low
        rows = 60_000

    with pytest.raises(QualityGateError, match="of the realised cost") as caught:
        gate_costs(Found(), 0.15)  # type: ignore[arg-type]
    assert "decision.cost_tolerance" in (caught.value.hint or "")
    gate_costs(Found(), 0.9)  # type: ignore[arg-type]


def test_cost_calibration_of_equal_stakes_is_one_group() -> None:
    """Constant costs leave nothing to tell apart by amount; the total is tested alone."""
    rng = np.random.default_rng(3)
    p, _, bad = _rows(rng, 5_000)
    found = _compare(rng, p, np.full(5_000, 100.0), bad)
    assert (len(found.groups), found.tests) == (1, 1)
    assert found.groups[0].expected == pytest.approx(found.total.expected)


def test_train_summary_says_what_costs_and_few_events_mean(too_low: CostCalibration) -> None:
    """The terminal has the ratio, each warning, and the sentence about few events."""
    stated = json.loads((GOLDEN / "model_manifest.json").read_text(encoding="utf-8"))
    stated["evaluation"] |= {
        "caution": "Only 23 test rows are of class bad.",
        "cost_calibration": {**too_low.to_dict(), "warnings": too_low.warnings(0.15)},
    }
    record = TrainingRecord.from_dict(stated)
    text = " ".join(train_summary(record).split())
    assert cost_calibration_sentence(record.evaluation.cost_calibration) in text
    assert "warning: expected cost is" in text
    assert "note: Only 23 test rows are of class bad." in text


def test_block_dependence_of_repeated_rows_is_the_number_of_repetitions() -> None:
    """Each row five times in a block of its own: five times the variance of independent rows."""
    rng = np.random.default_rng(5)
    p = np.full(4_000, 0.2)
    bad = (rng.random(4_000) < p).astype(float)
    found = block_dependence(5 * bad, 5 * p, 5 * float((p * (1 - p)).sum()))
    assert found.effect == pytest.approx(5, rel=0.05)
    assert found.degrees == pytest.approx(3_999)


def test_block_dependence_counts_blocks_by_what_they_hold() -> None:
    """Of four blocks that expect 7, 1, 1 and 1, there are 100 / 52 effective ones."""
    found = block_dependence(np.array([7.0, 2, 1, 0]), np.array([7.0, 1, 1, 1]), 8.0)
    assert found.effect == 1  # residuals 0, 1, 0, -1: a variance of 2 * 4 / 3, below that of 8
    assert found.degrees == 1  # never fewer
    assert block_dependence(np.zeros(3), np.ones(3), 1.0) == INDEPENDENT


def test_tails_of_an_estimated_variance_are_those_of_t() -> None:
    """As scipy's t distribution has them at the same quantile; with infinite degrees, the same."""
    normal = Tails(float(norm.sf(2.5)), float(norm.cdf(2.5)))
    assert normal.of_t(7) == pytest.approx((t.sf(2.5, 7), t.cdf(2.5, 7)))
    assert normal.of_t(math.inf) == normal
    assert Tails(0.0, 1.0).of_t(7) == (0, 1)


def test_gates_with_rows_that_depend_on_each_other() -> None:
    """Few false alarms where rows are known to depend, many where they are taken as independent.

    400 customers of 40 rows. A mean a tenth of the share is stopped: with the spread of the blocks
    at the share that the model expects, not even each second one was.
    """
    rates = customer_alarms(400, 40)
    assert rates["sound, base rate"] <= 2.5
    assert rates["sound, money"] <= 2.5
    assert rates["sound, base rate, rows taken as independent"] > 10
    assert rates["p x 0.1, base rate"] == rates["p x 10, base rate"] == 100


def test_gate_stops_a_tenfold_error_of_few_customers() -> None:
    """Of 50 customers, whose blocks vary with what they hold."""
    rates = customer_alarms(50, 40)
    assert rates["sound, base rate"] <= 5
    assert rates["p x 0.1, base rate"] == rates["p x 10, base rate"] == 100
