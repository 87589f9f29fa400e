"""`monitor`'s alarms: what chance gives is none, what drifted is told from what is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sparkweights.cli.summary import monitor_summary
from sparkweights.config.load import load_config
from sparkweights.config.resolve import monitoring_spec, training_spec
from sparkweights.evaluation.drift import (
    ColumnBins,
    Stability,
    column_stability,
    holm,
    homogeneity_p_value,
    stability_index,
)
from sparkweights.evaluation.rare_counts import count_p_value
from sparkweights.monitoring.alarms import (
    MISS_LEVEL,
    Calibration,
    diagnose,
    exceeded_limits,
    has_drifted,
)
from sparkweights.monitoring.monitor import MonitoringResult
from sparkweights.monitoring.records import monitoring_record
from sparkweights.probability.label_shift import LabelShift
from sparkweights.probability.priors import PriorEstimate
from sparkweights.report.monitor_report import monitor_report

if TYPE_CHECKING:
    from pathlib import Path

LOAN = """
name: loans
artifacts: models
runs: runs
columns: {keys: [id], label: bad, classes: {repay: 0, default: 1}, numeric: [income]}
"""


def _exact_tails(p: np.ndarray) -> np.ndarray:
    """Return the two-sided p-value of each count, from the Poisson-binomial law by convolution."""
    law = np.ones(1)
    for one in p:
        law = np.convolve(law, [1 - one, one])
    below = np.cumsum(law)
    above = 1 - np.r_[0.0, below[:-1]]
    return np.minimum(1, 2 * np.minimum(below, above))


def test_count_p_value_of_equal_probabilities_is_the_binomials() -> None:
    """40 rows at .07: every count's tails as by convolution."""
    p = np.full(40, 0.07)
    found = [count_p_value(k, p.sum(), (p * (1 - p)).sum()) for k in range(12)]
    assert found == pytest.approx(_exact_tails(p)[:12], rel=1e-6)


def test_count_p_value_of_unequal_probabilities_is_near_the_exact_law() -> None:
    """12 expected events of skewed scores: the alarm's p-value to within a fifth of itself."""
    rng = np.random.default_rng(1)
    p = np.r_[rng.beta(0.3, 8, 200), np.full(5, 0.5)]
    exact = _exact_tails(p)
    for k in range(40):
        if exact[k] > MISS_LEVEL / 2:
            found = count_p_value(k, p.sum(), (p * (1 - p)).sum())
            assert found == pytest.approx(exact[k], rel=0.2)


def test_count_p_value_at_rare_events_has_no_false_alarms_of_its_own() -> None:
    """500 calibrated rows of .1 %: no event happens in 61 % of tables, and that is no alarm."""
    rng = np.random.default_rng(2)
    alarms, by_share = 0, 0
    for _ in range(400):
        p = rng.beta(0.4, 0.4 * 999, 500)
        y = rng.random(500) < p
        share = y.mean()
        by_share += abs(p.mean() - share) > 3 * np.sqrt(share * (1 - share) / 500)
        alarms += count_p_value(y.sum(), p.sum(), (p * (1 - p)).sum()) < MISS_LEVEL
    assert by_share > 200
    assert alarms <= 4


def test_count_p_value_of_a_tenfold_error_is_an_alarm_at_ten_events() -> None:
    """Half of the 10 events where 1 was expected suffice; none where 10 were does as well."""
    assert count_p_value(5, 1, 0.999) < MISS_LEVEL
    assert count_p_value(0, 10, 9.99) < MISS_LEVEL


def test_count_p_value_weights_of_one_size_are_no_further_evidence() -> None:
    """Weight 20 for every row says what the rows say."""
    plain = count_p_value(9, 4, 3.9)
    weighted = count_p_value(20 * 9, 20 * 4, 400 * 3.9, weight_ratio=20)
    assert weighted == pytest.approx(plain)


def _alarms(rng: np.random.Generator, rows: int, weight: float) -> tuple[bool, bool]:
    """Draw 20 columns of unchanged tenths; alarm by the limit alone, and with the p-value."""
    halves = rows // 2, rows - rows // 2
    effective = (halves[0] + weight * halves[1]) ** 2 / (halves[0] + weight**2 * halves[1])
    indices, p_values = [], []
    for _ in range(20):
        law = np.full(10, 0.1)
        before = rng.multinomial(5_000, law)
        after = rng.multinomial(halves[0], law) + weight * rng.multinomial(halves[1], law)
        indices.append(stability_index(before, after))
        p_values.append(homogeneity_p_value(before, after, (5_000, effective)))
    found = [Stability(*pair) for pair in zip(indices, holm(p_values), strict=True)]
    return max(indices) > 0.2, any(has_drifted(one, 0.2) for one in found)


@pytest.mark.parametrize(("rows", "weight"), [(50, 1.0), (500, 1.0), (500, 20.0)])
def test_indices_of_unchanged_columns_alarm_in_one_table_of_a_hundred(
    rows: int, weight: float
) -> None:
    """20 columns of tenths: by the limit alone every table of 50 rows alarms."""
    rng = np.random.default_rng(3)
    found = np.array([_alarms(rng, rows, weight) for _ in range(100)])
    assert found[:, 1].sum() <= 2
    if rows == 50:
        assert found[:, 0].mean() > 0.9


def test_index_of_a_changed_column_alarms_at_fifty_rows() -> None:
    """Half of the mass moved into one tenth: found among 20 columns."""
    after = np.r_[np.full(9, 2.5), 27.5]
    p_values = [homogeneity_p_value(np.full(10, 500), after, (5_000, 50)), *[0.5] * 19]
    index = stability_index(np.full(10, 500), after)
    assert has_drifted(Stability(index, holm(p_values)[0]), 0.2)


def test_homogeneity_p_value_is_pearsons() -> None:
    """By hand for 60:40 against 40:60: four cells of 10^2 / 50, 8 in all, with one degree."""
    assert homogeneity_p_value([60, 40], [40, 60], (100, 100)) == pytest.approx(0.0046777, abs=1e-7)
    assert homogeneity_p_value([50, 50], [150, 150], (100, 300)) == pytest.approx(1.0)
    assert homogeneity_p_value([3, 2], [2, 1], (5, 3)) == 1.0
    assert np.isnan(homogeneity_p_value([3, 2], [0, 0], (5, 0)))


def test_column_stability_counts_effective_rows() -> None:
    """Weight 20 on each row changes neither index nor p-value."""
    before = ColumnBins("x", (1.0,), counts=(0.0, 60.0, 40.0))
    after = ColumnBins("x", (1.0,), counts=(0.0, 40.0, 60.0))
    heavy = ColumnBins("x", (1.0,), counts=(0.0, 800.0, 1_200.0), weight_square_sum=40_000.0)
    assert column_stability(before, heavy).index == column_stability(before, after).index
    assert column_stability(before, heavy).p_value == pytest.approx(
        column_stability(before, after).p_value
    )


def test_holm_is_the_step_down_procedure() -> None:
    """By hand: 4 * .01, 3 * .013, then .03 * 2 and .05 * 1, none below the one before."""
    assert holm([0.05, 0.01, 0.03, 0.013]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert np.isnan(holm([float("nan"), 0.2])[0])
    assert holm([float("nan"), 0.2])[1] == 0.2


def _shift(p_value: float, mean: float, fit: float = 0.5) -> LabelShift:
    estimate = PriorEstimate(
        "saerens_em",
        (0.85, 0.15),
        (0.01, 0.01),
        likelihood_intervals=((0.83, 0.87), (0.13, 0.17)),
    )
    return LabelShift(
        classes=("repay", "default"),
        prior=(0.95, 0.05),
        rows=5_000,
        effective_rows=5_000.0,
        mean_probabilities=(1 - mean, mean),
        estimates=(estimate,),
        p_value=p_value,
        fit_p_value=fit,
        shrunk=(0.86, 0.14),
        max_shift=2.0,
    )


def _calibration(share: float, mean: float) -> dict[str, Calibration]:
    p_value = count_p_value(5_000 * share, 5_000 * mean, 5_000 * mean * (1 - mean))
    return {
        "repay": Calibration(5_000, 1 - share, 1 - mean, p_value),
        "default": Calibration(5_000, share, mean, p_value),
    }


@pytest.mark.parametrize(
    ("shift", "share", "words"),
    [
        (_shift(1e-9, 0.06), 0.061, "drifted and the probabilities hold"),
        (_shift(0.6, 0.05), 0.1, "miscalibrated and the mix of rows has not visibly drifted"),
        (_shift(1e-9, 0.06), 0.15, "what label shift predicts"),
        (_shift(1e-9, 0.06, fit=1e-5), 0.15, "drifted (mean probability of default 0.0500 in"),
        (_shift(1e-9, 0.06), 0.1, "miscalibrated as well"),
        (_shift(0.6, 0.05), 0.05, None),
    ],
    ids=["drift", "miscalibration", "label shift", "refused label shift", "both", "neither"],
)
def test_diagnose_tells_drift_from_miscalibration(
    shift: LabelShift, share: float, words: str | None
) -> None:
    """The mean score says whether rows drifted, the outcomes whether the probabilities hold."""
    found = diagnose(shift, _calibration(share, shift.mean_probabilities[1]))
    assert list(found) == ([] if words is None else ["default"])
    assert words is None or words in found["default"]


def test_monitored_record_names_the_columns_that_are_over_by_more_than_chance() -> None:
    """An index of .3 of few rows is in the record, and not over the limit."""
    found = MonitoringResult(
        rows=50,
        columns={"chance": Stability(0.3, 0.4), "change": Stability(0.3, 1e-6)},
        scores={},
        shift=_shift(0.6, 0.05),
        assumed={"repay": 0.95, "default": 0.05},
        calibration={},
        overrides=None,
        quarantined=0.0,
    )
    assert found.drift(0.2).over == ("change",)
    assert found.drift(0.2).columns == {"chance": 0.3, "change": 0.3}


def test_monitor_page_and_summary_say_what_is_known(tmp_path: Path) -> None:
    """Verdict of the shift, diagnosis and p-values are on the page and in the terminal."""
    shift = _shift(1e-9, 0.06, fit=1e-5)
    calibration = _calibration(0.061, 0.06)
    found = MonitoringResult(
        rows=5_000,
        columns={"income": Stability(0.3, 1e-6)},
        scores={"default": Stability(0.04, 0.2)},
        shift=shift,
        assumed={"repay": 0.95, "default": 0.05},
        calibration=calibration,
        overrides=0.02,
        quarantined=0.0,
        diagnosis=diagnose(shift, calibration),
    )
    path = tmp_path / "loan.yaml"
    path.write_text(LOAN, encoding="utf-8")
    config = load_config(path)
    spec = monitoring_spec(config, training_spec(config, ["id", "income"]))
    found = replace(found, exceeded=tuple(exceeded_limits(found, spec)))
    bundle = SimpleNamespace(version="v1")
    record = monitoring_record("loan", spec, bundle, found, "incoming", date(2026, 3, 1))  # type: ignore[arg-type]
    page, text = monitor_report(record), " ".join(monitor_summary(record).split())
    for words in ("no mixture of the scores", "probabilities hold", "the natural prior is kept"):
        assert words in page, words
        assert words in text, words
    assert "column income has a stability index of 0.300" in text
    assert "Label shift does not explain the scores" not in text  # .06 is within a fifth of .05
