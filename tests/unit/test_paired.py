"""The verdict of a paired comparison."""

from __future__ import annotations

import pytest

from sparkweights.evaluate import PairedCosts


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-2.0, -1.0), "better"), ((1.0, 2.0), "worse"), ((-1.0, 1.0), "not told apart")],
)
def test_verdict_needs_the_whole_interval(interval: tuple[float, float], verdict: str) -> None:
    """A change is told apart only where the interval leaves 0 out."""
    assert PairedCosts(9, 5.0, 5.0, interval).verdict == verdict
