"""Does a figure change with time? The line of least weighted squares, and its error."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from sparkweights.evaluation.trend import weighted_trend


def test_weighted_trend_equals_statsmodels() -> None:
    """Slope by WLS; where values scatter more than their errors, so is the error of the slope."""
    values, errors = [0.31, 0.28, 0.35, 0.12, 0.20], [0.01, 0.02, 0.015, 0.01, 0.03]
    found = weighted_trend(values, errors)
    assert found is not None
    oracle = sm.WLS(values, sm.add_constant(np.arange(5.0)), weights=np.array(errors) ** -2).fit()
    assert found.slope == pytest.approx(oracle.params[1])
    assert found.standard_error == pytest.approx(oracle.bse[1])
    assert found.interval == pytest.approx(tuple(oracle.conf_int()[1]))


@pytest.mark.parametrize("origins", [4, 8])
def test_weighted_trend_without_a_trend_is_rarely_shown(origins: int) -> None:
    """Values that scatter by their errors around a constant: at most one in twenty is shown."""
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.5, 2.0, origins)
    shown = 0
    for _ in range(2_000):
        found = weighted_trend(rng.normal(10, errors).tolist(), errors.tolist())
        shown += found is not None and found.shown
    assert shown / 2_000 < 0.06


def test_weighted_trend_of_a_real_decline_is_shown() -> None:
    """A loss of ten standard errors over the origins is no accident."""
    found = weighted_trend([0.30, 0.25, 0.21, 0.15], [0.01] * 4)
    assert found is not None
    assert found.shown
    assert found.slope == pytest.approx(-0.049)


@pytest.mark.parametrize("errors", [[0.1, 0.1], [0.1, 0.0, 0.1], [0.1, float("nan"), 0.1]])
def test_weighted_trend_of_too_little_is_none(errors: list[float]) -> None:
    """Two origins always lie on a line; a figure without an error has no weight."""
    assert weighted_trend([1.0] * len(errors), errors) is None
