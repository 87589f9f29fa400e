"""Two tests on score histograms: have the class shares moved, and is label shift a fitting name.

Neither needs a label of the target. Scores alone cannot tell label shift (the classes look as they
did, their shares moved) from covariate shift (other rows, the same probability for each): both move
the mean score. They differ in the shape of the score's distribution, which the second test looks
at where there are rows enough for it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from sparkweights.probability.priors import Array, ScoreHistogram, mean_covariance

BINS = 8  # of a score, by which the fit is tested; more spread its power over noise
MIN_EXPECTED = 5.0  # rows of a bin, so that its count is near enough to normal (Cochran 1954)
_DRAWS = 1_999  # from the null, where a chi-square is no good approximation to it
_RARE = 200.0  # expected rows of the rarest class; with more of them it is
_UNDOUBTED = 0.2  # p-values above need no better approximation


def no_shift_p_value(
    source: ScoreHistogram, target: ScoreHistogram, prior: tuple[float, ...]
) -> float:
    """Return the p-value of "the target has the source's shares", by a score test.

    Scores average to the same in both where nothing shifted. With p calibrated to pi the mean
    score is the score function of the mixture's likelihood at theta = pi, so the squared
    difference in units of its covariance *under the null* is Rao's score statistic, chi-squared
    with K - 1 degrees of freedom (Rao 1948). Where a rare class makes the mean of few scores
    skewed, its distribution is drawn from the source's histogram instead.

    Parameters
    ----------
    prior
        pi, the shares that the probabilities were calibrated to.
    """
    mixture, weights = source.by_class @ np.asarray(prior), target.of_cell
    expected = mixture @ source.probabilities
    rows = target.effective_rows
    covariance = mean_covariance(source, source.probabilities, prior, rows)[:-1, :-1]
    inverse = np.linalg.pinv(covariance)

    def statistic(means: Array) -> Array:
        reduced = np.atleast_2d(means - expected)[:, :-1]
        return np.asarray(((reduced @ inverse) * reduced).sum(axis=1))

    found = statistic(weights @ target.probabilities / weights.sum())[0]
    p_value = float(chi2.sf(found, len(prior) - 1))
    if p_value > _UNDOUBTED or rows * min(prior) > _RARE:
        return p_value
    rng = np.random.default_rng(0)
    count = max(round(rows), 1)
    drawn = rng.multinomial(count, mixture / mixture.sum(), _DRAWS) @ source.probabilities / count
    # What is left of the covariance without the target's part is the source's sampling noise.
    noise = mean_covariance(source, source.probabilities, prior, np.inf)
    drawn = drawn + rng.multivariate_normal(np.zeros(len(prior)), noise, _DRAWS, method="svd")
    return float((1 + (statistic(drawn) >= found).sum()) / (1 + _DRAWS))


def label_shift_p_value(
    source: ScoreHistogram, target: ScoreHistogram, shares: tuple[float, ...]
) -> float | None:
    """Return the p-value of "the target's scores are a mixture of the source's classes".

    The shares of the target in `BINS` ranges of a class's probability are compared with
    sum_c theta_c h_c, h_c being those of the source's class c, by the least chi-square over theta,
    with B - K degrees of freedom (Neyman 1949). The covariance holds the sampling noise of the
    target and of every source class. Under covariate shift no theta fits. Of more than two classes
    each has its ranges, and the least p-value counts, times K (Bonferroni).

    Parameters
    ----------
    shares
        The most likely theta, to start from.

    Returns
    -------
    float or None
        None where the scores have too few values, or the target too few rows, to test anything.
    """
    theta = np.asarray(shares)
    classes = range(1, 2) if len(theta) == 2 else range(len(theta))  # mirrored
    found = [_fit_p_value(source, target, theta, c) for c in classes]
    tested = [p_value for p_value in found if p_value is not None]
    return min(1.0, min(tested) * len(tested)) if tested else None


def _fit_p_value(
    source: ScoreHistogram, target: ScoreHistogram, theta: Array, c: int
) -> float | None:
    edges = _range_edges(source, target, theta, c)
    size = len(edges) + 1

    def shares(histogram: ScoreHistogram) -> Array:
        place = np.searchsorted(edges, histogram.probabilities[:, c], side="right")
        counts = np.zeros((size, histogram.rows.shape[1]))
        np.add.at(counts, place, histogram.rows)
        return np.asarray(counts / counts.sum(axis=0))

    by_class, seen = shares(source), shares(target)[:, 0]
    count = len(theta)
    if size <= count:
        return None
    # Counts of a class with few rows are no good variances; half a row per bin is added to them.
    effective = source.effective_rows_by_class
    smooth = (by_class * effective + 0.5) / (effective + 0.5 * size)
    for _ in range(3):
        mixture = smooth @ theta
        covariance = (np.diag(mixture) - np.outer(mixture, mixture)) / target.effective_rows
        for k, share in enumerate(theta):
            own = smooth[:, k]
            covariance += share**2 * (np.diag(own) - np.outer(own, own)) / effective[k]
        # The last share is 1 minus the others.
        inverse = np.asarray(np.linalg.inv(covariance[:-1, :-1]), dtype=np.float64)
        theta, free = _least_squares(by_class[:-1], seen[:-1], inverse)
    missed = (seen - by_class @ theta)[:-1]
    return float(chi2.sf(missed @ inverse @ missed, size - 1 - free))


def _least_squares(by_class: Array, seen: Array, inverse: Array) -> tuple[Array, int]:
    """Return the theta >= 0, of sum 1, that fits best, and how many shares of it were free."""
    active = list(range(by_class.shape[1]))
    while True:
        base, free = active[0], active[1:]
        design = by_class[:, free] - by_class[:, [base]]
        solved = np.linalg.lstsq(
            design.T @ inverse @ design,
            design.T @ inverse @ (seen - by_class[:, base]),
            rcond=None,
        )[0]
        theta = np.zeros(by_class.shape[1])
        theta[free], theta[base] = solved, 1 - solved.sum()
        if theta.min() >= 0:
            return theta, len(free)
        active.remove(int(theta.argmin()))


def _range_edges(source: ScoreHistogram, target: ScoreHistogram, theta: Array, c: int) -> Array:
    """Return edges between ranges of a class's probability that can be compared.

    Each holds about the same share of the classes' mean histogram, so that every class is spread
    over some; a range in which the target is expected to have few rows is joined to the next.
    """
    score = source.probabilities[:, c]
    order = np.argsort(score, kind="stable")
    mean = source.by_class.mean(axis=1)[order]
    expected = (source.by_class @ theta)[order] * target.effective_rows
    last = np.append(np.diff(score[order]) > 0, True)
    edges, held, rows, left = [], 0.0, 0.0, float(expected.sum())
    for i, value in enumerate(score[order]):
        held, rows, left = held + mean[i], rows + expected[i], left - expected[i]
        if i + 1 < len(order) and last[i] and held >= 1 / BINS and rows >= MIN_EXPECTED:
            if left < MIN_EXPECTED:
                break
            # Halfway to the next score: rounding must not move a plateau across an edge.
            edges.append((value + score[order[i + 1]]) / 2)
            held, rows = 0.0, 0.0
    return np.array(edges)
