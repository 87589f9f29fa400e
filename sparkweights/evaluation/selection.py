"""Estimates for all applicants from a table of accepted rows, and their limits.

Outcomes are known of accepted rows alone, and this module imputes none for the others. It gives the
share accepted by score band, bounds that hold for any outcomes of the rejected, and, where each
accepted row's probability of being accepted is known, an estimate by inverse-probability weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import pi, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

BINS = 1_000  # of the score, equal in asin(sqrt p), so that bins are narrow near 0
BANDS = 10  # tenths of the applicants
MIN_EFFECTIVE = 100  # effective accepted rows that the check of a band's probabilities needs
NORMAL_95 = 1.959964  # half width of a 95 % interval, in standard errors
SUMS = (
    "applicants", "score", "accepted", "events", "weight", "square", "positive", "positive_square",
)  # fmt: skip


@dataclass(frozen=True)
class Band:
    """Applicants of similar scores.

    Attributes
    ----------
    low, high
        Their probability of the class, from and to.
    applicants, accepted
        Rows; accepted ones have an outcome.
    effective
        Effective accepted rows, (sum w)^2 / sum w^2 (Kish 1965).
    mean_probability
        Of all its applicants.
    share
        Of the class among the accepted, by their weights; NaN without any.
    """

    low: float
    high: float
    applicants: int
    accepted: int
    effective: float
    mean_probability: float
    share: float

    @property
    def is_extrapolated(self) -> bool:
        """Whether there are too few accepted rows to check its probabilities."""
        return self.effective < MIN_EFFECTIVE


@dataclass(frozen=True)
class Selection:
    """The share of a class among all applicants.

    Attributes
    ----------
    name
        The class.
    bands
        From the lowest scores to the highest.
    mean_probability
        The model's mean probability over all applicants.
    accepted_share
        The class's share among the accepted rows, each counted once.
    bounds
        Bounds of the share among all applicants for any outcomes of the rejected (Manski 1990).
    estimate, interval
        The share among all applicants by weights of 1 / P(accepted), normalised (Hajek 1971), and
        its 95 % interval by linearisation; None where those probabilities are not known.
    """

    name: str
    bands: tuple[Band, ...]
    mean_probability: float
    accepted_share: float
    bounds: tuple[float, float]
    estimate: float | None
    interval: tuple[float, float] | None

    @property
    def extrapolated(self) -> float:
        """The share of the applicants in bands with too few accepted rows."""
        rows = sum(band.applicants for band in self.bands)
        return sum(band.applicants for band in self.bands if band.is_extrapolated) / rows

    def to_dict(self) -> dict[str, object]:
        """Return the record, ready for JSON."""
        bands = [{**asdict(band), "is_extrapolated": band.is_extrapolated} for band in self.bands]
        return {**asdict(self), "bands": bands, "extrapolated": self.extrapolated}


def describe_selection(
    name: str, sums: Mapping[str, Array], *, known_probability: bool
) -> Selection:
    """Estimate the share of a class among all applicants from accepted rows.

    Parameters
    ----------
    name
        The class that scores are the probability of.
    sums
        `SUMS` -> ``[bin]``, the bins equal in asin(sqrt p): rows of all applicants, the sum of
        their probabilities, accepted rows and those of the class among them, and the sums of the
        weights and of the squared weights of both.
    known_probability
        Whether weights are 1 / P(accepted), so that accepted rows stand for all applicants.

    Examples
    --------
    >>> uniform = {name: np.zeros(BINS) for name in SUMS}
    >>> for name, value in zip(SUMS, (100, 20, 50, 5, 50, 50, 5, 5)):
    ...     uniform[name][300] = value
    >>> describe_selection("bad", uniform, known_probability=False).bounds
    (0.05, 0.55)
    """
    total = {key: float(values.sum()) for key, values in sums.items()}
    accepted, applicants = total["accepted"], total["applicants"]
    low = total["events"] / applicants
    estimate = interval = None
    if known_probability and total["weight"] > 0:
        estimate = total["positive"] / total["weight"]
        others = total["square"] - total["positive_square"]
        squares = total["positive_square"] * (1 - estimate) ** 2 + others * estimate**2
        half_width = NORMAL_95 * sqrt(squares) / total["weight"]
        interval = (max(estimate - half_width, 0.0), min(estimate + half_width, 1.0))
    return Selection(
        name,
        tuple(_bands(sums)),
        total["score"] / applicants,
        total["events"] / accepted if accepted else float("nan"),
        (low, low + 1 - accepted / applicants),
        estimate,
        interval,
    )


def _bands(sums: Mapping[str, Array]) -> list[Band]:
    """Merge bins of scores into tenths of the applicants."""
    counts = sums["applicants"]
    below = np.cumsum(counts) - counts
    tenth = np.minimum((below + counts / 2) / counts.sum() * BANDS, BANDS - 1).astype(int)
    bands = []
    for band in np.unique(tenth[counts > 0]):
        bins = np.flatnonzero((tenth == band) & (counts > 0))
        band_sums = {name: float(values[bins].sum()) for name, values in sums.items()}
        bands.append(
            Band(
                _probability(bins[0]),
                _probability(bins[-1] + 1),
                round(band_sums["applicants"]),
                round(band_sums["accepted"]),
                band_sums["weight"] ** 2 / band_sums["square"] if band_sums["square"] else 0.0,
                band_sums["score"] / band_sums["applicants"],
                band_sums["positive"] / band_sums["weight"]
                if band_sums["weight"]
                else float("nan"),
            )
        )
    return bands


def _probability(edge: int) -> float:
    """Return the probability at the lower edge of a bin."""
    return sin(edge / BINS * pi / 2) ** 2
