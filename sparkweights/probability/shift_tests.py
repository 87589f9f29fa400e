"""Two tests on score histograms: that the class shares changed, and the fit of label shift.

Neither needs labels of the target. The mean score alone cannot distinguish label shift (the
features of each class are as before, the class shares changed) from covariate shift (the features
changed, the probability given the features did not): both change it. They differ in the shape of
the score's distribution, which the second test uses where there are enough rows.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from sparkweights.probability.priors import Array, ScoreHistogram, mean_covariance

BINS = 8  # of a score in the test of fit; more bins reduce its power
MIN_EXPECTED = 5.0  # rows of a bin, so that its count is approximately normal (Cochran 1954)
_DRAWS = 1_999  # from the null distribution, where chi-square approximates it badly
_RARE = 200.0  # expected rows of the rarest class; with more, chi-square is used
_INSIGNIFICANT = 0.2  # larger p-values need no better approximation


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

    observed = statistic(weights @ target.probabilities / weights.sum())[0]
    p_value = float(chi2.sf(observed, len(prior) - 1))
    if p_value > _INSIGNIFICANT or rows * min(prior) > _RARE:
        return p_value
    rng = np.random.default_rng(0)
    count = max(round(rows), 1)
    simulated = (
        rng.multinomial(count, mixture / mixture.sum(), _DRAWS) @ source.probabilities / count
    )
    # With infinite target rows, only the sampling noise of the source is left in the covariance.
    noise = mean_covariance(source, source.probabilities, prior, np.inf)
    simulated = simulated + rng.multivariate_normal(
        np.zeros(len(prior)), noise, _DRAWS, method="svd"
    )
    return float((1 + (statistic(simulated) >= observed).sum()) / (1 + _DRAWS))


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
    p_values = [_fit_p_value(source, target, theta, c) for c in classes]
    tested = [p_value for p_value in p_values if p_value is not None]
    return min(1.0, min(tested) * len(tested)) if tested else None


def _fit_p_value(
    source: ScoreHistogram, target: ScoreHistogram, theta: Array, c: int
) -> float | None:
    edges = _range_edges(source, target, theta, c)
    size = len(edges) + 1

    def shares(histogram: ScoreHistogram) -> Array:
        positions = np.searchsorted(edges, histogram.probabilities[:, c], side="right")
        counts = np.zeros((size, histogram.rows.shape[1]))
        np.add.at(counts, positions, histogram.rows)
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
            class_shares = smooth[:, k]
            covariance += (
                share**2
                * (np.diag(class_shares) - np.outer(class_shares, class_shares))
                / effective[k]
            )
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

    Each holds about the same share of the classes' mean histogram, so that every class occupies
    several; a range with few expected rows of the target is joined to the next.
    """
    score = source.probabilities[:, c]
    order = np.argsort(score, kind="stable")
    mean = source.by_class.mean(axis=1)[order]
    expected = (source.by_class @ theta)[order] * target.effective_rows
    last = np.append(np.diff(score[order]) > 0, True)
    edges, mass, rows, left = [], 0.0, 0.0, float(expected.sum())
    for i, value in enumerate(score[order]):
        mass, rows, left = mass + mean[i], rows + expected[i], left - expected[i]
        if i + 1 < len(order) and last[i] and mass >= 1 / BINS and rows >= MIN_EXPECTED:
            if left < MIN_EXPECTED:
                break
            # Halfway to the next score: rounding must not move a plateau across an edge.
            edges.append((value + score[order[i + 1]]) / 2)
            mass, rows = 0.0, 0.0
    return np.array(edges)
