"""Class shares from scores: recovered parameters, guards and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparkweights.core.errors import ModelError
from sparkweights.probability.priors import (
    PriorEstimate,
    ScoreHistogram,
    bbse,
    saerens_em,
    soft_confusion,
)
from sparkweights.probability.score_cells import MAX_CELLS, level_of
from sparkweights.probability.shift_tests import no_shift_p_value

GRID = np.linspace(0.0025, 0.9975, 200)
PRIOR = (0.8, 0.2)


def _histogram(
    rng: np.random.Generator, rows: int, share: float, *, labelled: bool
) -> ScoreHistogram:
    """Draw scores that are calibrated to PRIOR, of a population with another share."""
    y = rng.random(rows) < share
    x = rng.normal(np.where(y, 1.2, 0.0))
    odds = PRIOR[1] / PRIOR[0] * np.exp(1.2 * x - 0.72)
    p = odds / (1 + odds)
    cells = np.minimum((p * 200).astype(int), 199)
    sums = np.bincount(cells, weights=p, minlength=200)
    counts = np.column_stack([np.bincount(cells[y == c], minlength=200) for c in (False, True)])
    held = counts.sum(axis=1) > 0
    mean = sums[held] / counts.sum(axis=1)[held]
    rows_by = counts[held].astype(float) if labelled else counts[held].sum(axis=1, keepdims=True)
    return ScoreHistogram(np.column_stack([1 - mean, mean]), rows_by.astype(float))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.5, 0.8])
def test_estimates_recover_the_share_and_cover_it(share: float) -> None:
    """Over 60 draws both methods are unbiased, and 95 % intervals hold the truth."""
    rng = np.random.default_rng(17)
    found = {"bbse": [], "saerens_em": []}  # type: dict[str, list[tuple[float, bool]]]
    for _ in range(60):
        source = _histogram(rng, 6000, PRIOR[1], labelled=True)
        target = _histogram(rng, 4000, share, labelled=False)
        for estimate in (bbse(source, target), saerens_em(source, target, PRIOR)):
            low, high = estimate.interval()[1]
            found[estimate.method].append((estimate.shares[1], low <= share <= high))
    for method, draws in found.items():
        mean = np.mean([value for value, _ in draws])
        error = np.std([value for value, _ in draws]) / math.sqrt(len(draws))
        assert abs(mean - share) < max(4 * error, 0.01 * share), method
        assert np.mean([covered for _, covered in draws]) >= 0.87, method


def test_soft_confusion_has_columns_of_mean_scores() -> None:
    """Two cells by hand: class 0 has 3 rows at .1 and 1 at .8, class 1 has 1 and 4."""
    source = ScoreHistogram(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[3.0, 1.0], [1.0, 4.0]]))
    expected = [[0.725, 0.34], [0.275, 0.66]]
    assert soft_confusion(source) == pytest.approx(np.array(expected))


def test_saerens_em_maximises_the_likelihood() -> None:
    """No share on a fine grid makes the target's scores likelier."""
    rng = np.random.default_rng(2)
    source = _histogram(rng, 6000, 0.2, labelled=True)
    target = _histogram(rng, 3000, 0.4, labelled=False)
    ratios = target.probabilities / np.asarray(PRIOR)
    grid = np.linspace(0.001, 0.999, 9981)
    likelihood = [target.of_cell @ np.log(ratios @ [1 - t, t]) for t in grid]
    found = saerens_em(source, target, PRIOR).shares[1]
    assert found == pytest.approx(grid[int(np.argmax(likelihood))], abs=2e-4)


def test_no_shift_p_value_is_uniform_without_shift_and_small_with() -> None:
    """At level 5 % about one table in twenty is refused by chance; a shifted one always."""
    rng = np.random.default_rng(23)
    p_values = []
    for _ in range(200):
        source = _histogram(rng, 4000, 0.2, labelled=True)
        p_values.append(no_shift_p_value(source, _histogram(rng, 3000, 0.2, labelled=False), PRIOR))
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.11
    shifted = _histogram(rng, 3000, 0.35, labelled=False)
    assert no_shift_p_value(source, shifted, PRIOR) < 1e-6


def test_bbse_model_that_knows_nothing_is_refused() -> None:
    """The same scores for both classes leave no equation to solve."""
    rows = np.array([[40.0, 10.0], [40.0, 10.0]])
    source = ScoreHistogram(np.array([[0.8, 0.2], [0.79, 0.21]]), rows)
    with pytest.raises(ModelError, match="condition number"):
        bbse(source, ScoreHistogram(source.probabilities, rows.sum(axis=1, keepdims=True)))


def test_three_classes_recover_their_shares() -> None:
    """Multiclass mixtures are solved alike, each class with its own error."""
    rng = np.random.default_rng(4)
    prior, truth = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])

    def draw(shares: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.choice(3, rows, p=shares)
        x = rng.normal(size=(rows, 2)) + 1.8 * np.array([[0, 0], [1, 0], [0, 1]])[y]
        density = [np.exp(-0.5 * ((x - 1.8 * np.array(c)) ** 2).sum(axis=1))
                   for c in ([0, 0], [1, 0], [0, 1])]  # fmt: skip
        joint = np.column_stack(density) * prior
        return y, joint / joint.sum(axis=1, keepdims=True)

    y, p = draw(prior, 9000)
    source = ScoreHistogram(p, np.eye(3)[y])
    _, p = draw(truth, 6000)
    target = ScoreHistogram(p, np.ones((6000, 1)))
    for estimate in (bbse(source, target), saerens_em(source, target, tuple(prior))):
        assert sum(estimate.shares) == pytest.approx(1)
        for share, error, true in zip(
            estimate.shares, estimate.standard_errors, truth, strict=True
        ):
            assert abs(share - true) < 4 * error
            assert 0 < error < 0.05


@pytest.mark.parametrize("classes", [4, 5, 6])
def test_many_classes_have_cells_enough_for_their_shares(classes: int) -> None:
    """Of calibrated scores of a modest model; cells of a quarter or a fifth were far off."""
    rng = np.random.default_rng(classes)
    prior = np.r_[0.6, np.full(classes - 1, 0.4 / (classes - 1))]
    wanted = np.r_[0.3, np.full(classes - 1, 0.7 / (classes - 1))]

    def scored(shares: np.ndarray) -> ScoreHistogram:
        y = rng.choice(classes, 100_000, p=shares)
        x = rng.normal(size=(len(y), classes)) + np.eye(classes)[y]
        p = prior * np.exp(x)
        p /= p.sum(axis=1, keepdims=True)
        cells = level_of(p[:, 1:], classes)
        _, place = np.unique(cells, axis=0, return_inverse=True)
        rows = np.zeros((place.max() + 1, classes))
        np.add.at(rows, (place.ravel(), y), 1)
        sums = np.zeros_like(rows)
        np.add.at(sums, place.ravel(), p)
        assert len(rows) <= MAX_CELLS
        return ScoreHistogram(sums / rows.sum(axis=1, keepdims=True), rows)

    target = scored(wanted)
    unlabelled = ScoreHistogram(target.probabilities, target.rows.sum(axis=1, keepdims=True))
    found = saerens_em(scored(prior), unlabelled, tuple(prior))
    assert found.shares[0] == pytest.approx(0.3, abs=0.02)


def test_interval_of_a_share_of_zero_still_says_something() -> None:
    """Cut off at 0 and two standard errors up; away from the edges both ends stay inside."""
    at_zero = PriorEstimate("bbse", (1.0, 0.0), (0.015, 0.015)).interval()
    assert at_zero[1] == pytest.approx((0.0, 1.96 * 0.015), abs=1e-4)
    assert at_zero[0] == pytest.approx((1 - 1.96 * 0.015, 1.0), abs=1e-4)
    low, high = PriorEstimate("bbse", (0.9, 0.1), (0.02, 0.02)).interval()[1]
    assert 0 < low < 0.1 < high < 0.2
