"""Alarms of `monitor`: limits that are exceeded by more than chance, and their diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.probability.label_shift import NOT_LABEL_SHIFT, SIGNIFICANCE, TOO_FEW_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkweights.evaluation.drift import Stability
    from sparkweights.monitoring.monitor import MonitoringResult
    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.spec.scoring import MonitoringSpec

DRIFT_LEVEL = 0.005  # of all indices of a table together: no false alarm in 199 of 200
# Of the mean probabilities of a table's classes against what happened. Five events where one is
# expected (p = .0073) are an alarm, so that an error of ten times is found at ten events in 97 %.
MISS_LEVEL = 0.0075


@dataclass(frozen=True)
class Calibration:
    """Calibration of a class, on rows with a decision and a known outcome.

    Attributes
    ----------
    rows
        The number of these rows.
    share
        Observed share, by sample weight.
    mean_probability
        Predicted share, by sample weight.
    p_value
        Chance of a difference as large if every row's probability is right.
    """

    rows: int
    share: float
    mean_probability: float
    p_value: float


def is_missed(calibration: Calibration, classes: int) -> bool:
    """Return whether a class's observed share differs significantly from the predicted one."""
    return calibration.p_value < MISS_LEVEL / max(classes - 1, 1)  # two classes are one test


def has_drifted(stability: Stability, limit: float) -> bool:
    """Return whether an index exceeds a limit, and is significant for the number of rows."""
    return stability.index > limit and stability.p_value < DRIFT_LEVEL


def diagnose(shift: LabelShift, calibration: Mapping[str, Calibration]) -> dict[str, str]:
    """Distinguish drift of the rows from miscalibrated probabilities, by class.

    Rows drifted if the distribution of scores differs from training. Probabilities are
    miscalibrated if their mean differs from the observed share. Either can occur alone; a class
    with neither is left out, and so is the more common of two.

    Parameters
    ----------
    shift
        The estimate from scores, without outcomes.
    calibration
        The calibration by outcomes.
    """
    names = [*calibration]
    if len(names) == 2:  # two classes are complementary
        shares = dict(zip(shift.classes, shift.prior, strict=True))
        names = [min(names, key=lambda name: shares[name])]
    diagnoses = {name: _diagnosis(shift, name, calibration[name]) for name in names}
    return {name: text for name, text in diagnoses.items() if text is not None}


def _diagnosis(shift: LabelShift, name: str, calibration: Calibration) -> str | None:
    c = shift.classes.index(name)
    moved = f"{shift.prior[c]:.4f} in training, {shift.mean_probabilities[c]:.4f} now"
    drifted = shift.p_value is not None and shift.p_value < SIGNIFICANCE
    if not is_missed(calibration, len(shift.classes)):
        if not drifted:
            return None
        return (
            f"the mix of rows drifted and the probabilities hold: the mean probability of {name} "
            f"moved ({moved}), and what happened ({calibration.share:.4f}) moved with it"
        )
    if not drifted:
        return (
            f"the probabilities of {name} are miscalibrated and the mix of rows has not visibly "
            f"drifted: their mean is that of training ({moved}), and "
            f"{calibration.share:.4f} happened"
        )
    low, high = shift.estimates[0].interval()[c]
    if shift.is_label_shift and low <= calibration.share <= high:
        return (
            f"the mix of rows drifted (mean probability of {name} {moved}), and the share that "
            f"happened ({calibration.share:.4f}) is what label shift predicts from the scores"
        )
    return (
        f"the mix of rows drifted (mean probability of {name} {moved}), and the probabilities are "
        f"miscalibrated as well: {calibration.share:.4f} happened"
    )


def exceeded_limits(result: MonitoringResult, spec: MonitoringSpec) -> list[str]:
    """Return a sentence per exceeded limit, the worst column first."""
    limits = spec.monitor
    ranked = sorted(result.columns.items(), key=lambda item: -item[1].index)
    indices = [(f"column {name}", stability) for name, stability in ranked]
    indices += [
        (f"the probability of {name}", stability) for name, stability in result.scores.items()
    ]
    sentences = [
        f"{subject} has a stability index of {stability.index:.3f}; the limit is {limits.psi:g}"
        for subject, stability in indices
        if has_drifted(stability, limits.psi)
    ]
    sentences += [*_moved_shares(result, limits.shift), *_missed_shares(result, limits.calibration)]
    if result.overrides is not None and result.overrides > limits.overrides:
        sentences.append(
            f"{result.overrides:.1%} of the decisions were overridden; the limit is "
            f"{limits.overrides:.1%}"
        )
    most = spec.scoring.checks.max_quarantined
    if result.quarantined > most:
        sentences.append(
            f"{result.quarantined:.1%} of the rows would be quarantined; the limit is {most:.1%}"
        )
    return sentences


def _moved_shares(result: MonitoringResult, most: float) -> Iterator[str]:
    """Yield a sentence per class whose share differs from the assumed one by more than chance."""
    shift = result.shift
    if shift.verdict == TOO_FEW_ROWS:
        return
    if shift.verdict == NOT_LABEL_SHIFT:
        # Without label shift, the mean probability estimates the share.
        for name, mean, before in zip(
            shift.classes, shift.mean_probabilities, shift.prior, strict=True
        ):
            if abs(mean / before - 1) > most:
                yield (
                    f"the mean probability of {name} is {mean:.2%}; in training it was "
                    f"{before:.2%}, and it may differ by {most:.0%} of that. Label shift does not "
                    "explain the scores: the rows are others"
                )
        return
    shares = shift.estimated() or dict(zip(shift.classes, shift.prior, strict=True))
    for name, (low, high) in zip(shift.classes, shift.estimates[0].interval(), strict=True):
        share, before = shares[name], result.assumed[name]
        if abs(share / before - 1) > most and not low <= before <= high:
            yield (
                f"the share of {name} is estimated at {share:.2%} ({low:.2%} to {high:.2%}); "
                f"decisions are taken for {before:.2%}, and it may differ by {most:.0%} of that"
            )


def _missed_shares(result: MonitoringResult, most: float) -> Iterator[str]:
    for name, calibration in result.calibration.items():
        off = abs(calibration.mean_probability - calibration.share)
        if off > most * calibration.share and is_missed(calibration, len(result.calibration)):
            why = result.diagnosis.get(name)
            yield (
                f"the mean probability of {name} is {calibration.mean_probability:.4f} where "
                f"{calibration.share:.4f} happened (p = {calibration.p_value:.2g}); it may miss by "
                f"{most:.0%}" + ("" if why is None else f": {why}")
            )
