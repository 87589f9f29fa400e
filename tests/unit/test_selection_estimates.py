"""What accepted rows say of all applicants, against simulated tables whose rejected are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sparkweights.config.load import load_config
from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.selection import BINS, SUMS, Selection, describe_selection
from sparkweights.records.training import SelectionSummary
from sparkweights.report.selection_sections import selection_sections

if TYPE_CHECKING:
    from pathlib import Path


def _table(seed: int, applicants: int = 6_000, chance: float = 0.1) -> tuple[Selection, float]:
    """Draw applicants whom an officer rejects by what no column holds; a tenth is accepted anyway.

    Returns what is known with the weights, and the true share of bad applicants.
    """
    rng = np.random.default_rng(seed)
    x, unseen = rng.normal(size=(2, applicants))
    p = 1 / (1 + np.exp(-(-2.5 + x)))
    bad = rng.random(applicants) < 1 / (1 + np.exp(-(-3 + x + 1.5 * unseen)))
    probability = np.where(x + 2 * unseen > 1, chance, 1.0)
    accepted = rng.random(applicants) < probability
    place = np.minimum((np.arcsin(np.sqrt(p)) / np.pi * 2 * BINS).astype(int), BINS - 1)
    weight = accepted / probability
    values = (
        np.ones(applicants), p, accepted, accepted & bad,
        weight, weight**2, weight * bad, weight**2 * bad,
    )  # fmt: skip
    sums = {
        name: np.bincount(place, weights=value, minlength=BINS)
        for name, value in zip(SUMS, values, strict=True)
    }
    return describe_selection("bad", sums, known_probability=True), float(bad.mean())


def test_selection_weighted_estimate_covers_the_truth_that_accepted_rows_miss() -> None:
    """In 300 tables the 95 % interval holds the true share in 92 to 98 %.

    Accepted rows alone say .38 of it; the bounds that assume nothing hold it always.
    """
    held, ratios = 0, []
    for seed in range(300):
        found, truth = _table(seed)
        assert found.estimate is not None
        assert found.interval is not None
        held += found.interval[0] <= truth <= found.interval[1]
        ratios.append((found.estimate / truth, found.accepted_share / truth))
        assert found.bounds[0] <= truth <= found.bounds[1]
    assert 0.92 <= held / 300 <= 0.98
    weighted, alone = np.mean(ratios, axis=0)
    assert weighted == pytest.approx(1, abs=0.02)  # each table's error is .09
    assert alone == pytest.approx(0.38, abs=0.02)


def test_selection_bands_are_tenths_that_count_everybody() -> None:
    """Bands ascend, hold all applicants, and few accepted rows make one extrapolated."""
    found, _ = _table(1)
    assert len(found.bands) == 10
    assert sum(band.applicants for band in found.bands) == 6_000
    shares = [band.accepted / band.applicants for band in found.bands]
    assert shares[0] > shares[-1]
    assert all(a.high <= b.low + 1e-12 for a, b in zip(found.bands, found.bands[1:], strict=False))
    for band in found.bands:
        assert band.low <= band.mean_probability <= band.high
        assert band.effective <= band.accepted + 1e-9
    few, _ = _table(1, applicants=1_500, chance=0.02)
    assert few.bands[-1].is_extrapolated
    assert few.extrapolated > 0


def test_selection_without_probabilities_tells_bounds_and_no_estimate() -> None:
    """By hand: 100 applicants, 50 accepted, 5 of them bad: between 5 and 55 %."""
    sums: Any = {name: np.zeros(BINS) for name in SUMS}
    for name, value in zip(SUMS, (100, 20, 50, 5, 50, 50, 5, 5), strict=True):
        sums[name][300] = value
    found = describe_selection("bad", sums, known_probability=False)
    assert found.bounds == pytest.approx((0.05, 0.55))
    assert (found.estimate, found.interval) == (None, None)
    [section] = selection_sections(SelectionSummary.from_dict(found.to_dict()))
    assert "among the accepted it was 10.0 %" in section.sentence
    assert "between 5.0 % and 55.0 %" in section.sentence
    with_weights = describe_selection("bad", sums, known_probability=True)
    error = np.sqrt(0.1 * 0.9 / 50)
    assert with_weights.interval == pytest.approx(
        (0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=1e-4
    )


def test_selection_columns_are_never_features(tmp_path: Path) -> None:
    """Who was accepted is no property of an applicant, named or matched by a pattern."""
    text = """\
name: loans
columns:
  keys: [id]
  label: outcome
  classes: {repaid: 0, defaulted: 1}
  numeric: [NUMERIC]
selection: {accepted: taken, probability: p_taken}
"""
    path = tmp_path / "loan.yaml"
    path.write_text(text.replace("NUMERIC", "income, p_taken"))
    with pytest.raises(ConfigError, match="selection: column 'p_taken' is listed under"):
        load_config(path)
    path.write_text(text.replace("NUMERIC", '{matching: ".*n.*"}'))
    names = ["id", "outcome", "income", "taken", "p_taken", "debt"]
    assert load_config(path).resolve(names).columns.numeric == ("income",)
