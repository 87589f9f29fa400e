"""What `monitor` makes of its measures: limits passed by more than chance, and what that means."""

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
    """Of one class, on rows that get a decision and whose outcome is known.

    Attributes
    ----------
    rows
        How many they are.
    share
        What happened, by sample weight.
    mean_probability
        What was predicted, by sample weight.
    p_value
        Chance of a difference as large if every row's probability is right.
    """

    rows: int
    share: float
    mean_probability: float
    p_value: float


def is_missed(own: Calibration, classes: int) -> bool:
    """Return whether chance alone explains too badly what happened of one of so many classes."""
    return own.p_value < MISS_LEVEL / max(classes - 1, 1)  # of two classes, one says it all


def has_drifted(found: Stability, limit: float) -> bool:
    """Return whether an index passes a limit, and so many rows do not give that by chance."""
    return found.index > limit and found.p_value < DRIFT_LEVEL


def diagnose(shift: LabelShift, calibration: Mapping[str, Calibration]) -> dict[str, str]:
    """Tell drift of the rows from probabilities that are wrong, by class.

    Rows drifted where the scores are not those of training. Probabilities are wrong where their
    mean is not what happened. One may come without the other; a class without both is left out, and
    so is the more common of two.

    Parameters
    ----------
    shift
        What the scores say, without outcomes.
    calibration
        What the outcomes say.
    """
    names = [*calibration]
    if len(names) == 2:  # two mirror each other
        shares = dict(zip(shift.classes, shift.prior, strict=True))
        names = [min(names, key=lambda name: shares[name])]
    found = {name: _diagnosis(shift, name, calibration[name]) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def _diagnosis(shift: LabelShift, name: str, own: Calibration) -> str | None:
    c = shift.classes.index(name)
    moved = f"{shift.prior[c]:.4f} in training, {shift.mean_probabilities[c]:.4f} now"
    drifted = shift.p_value is not None and shift.p_value < SIGNIFICANCE
    if not is_missed(own, len(shift.classes)):
        if not drifted:
            return None
        return (
            f"the mix of rows drifted and the probabilities hold: the mean probability of {name} "
            f"moved ({moved}), and what happened ({own.share:.4f}) moved with it"
        )
    if not drifted:
        return (
            f"the probabilities of {name} are miscalibrated and the mix of rows has not visibly "
            f"drifted: their mean is that of training ({moved}), and {own.share:.4f} happened"
        )
    low, high = shift.estimates[0].interval()[c]
    if shift.is_label_shift and low <= own.share <= high:
        return (
            f"the mix of rows drifted (mean probability of {name} {moved}), and the share that "
            f"happened ({own.share:.4f}) is what label shift predicts from the scores"
        )
    return (
        f"the mix of rows drifted (mean probability of {name} {moved}), and the probabilities are "
        f"miscalibrated as well: {own.share:.4f} happened"
    )


def exceeded_limits(found: MonitoringResult, spec: MonitoringSpec) -> list[str]:
    """Return a sentence per limit that is passed, the worst column first."""
    limits = spec.monitor
    ranked = sorted(found.columns.items(), key=lambda item: -item[1].index)
    indices = [(f"column {name}", own) for name, own in ranked]
    indices += [(f"the probability of {name}", own) for name, own in found.scores.items()]
    told = [
        f"{subject} has a stability index of {own.index:.3f}; the limit is {limits.psi:g}"
        for subject, own in indices
        if has_drifted(own, limits.psi)
    ]
    told += [*_moved_shares(found, limits.shift), *_missed_shares(found, limits.calibration)]
    if found.overrides is not None and found.overrides > limits.overrides:
        told.append(
            f"{found.overrides:.1%} of the decisions were overridden; the limit is "
            f"{limits.overrides:.1%}"
        )
    most = spec.scoring.checks.max_quarantined
    if found.quarantined > most:
        told.append(
            f"{found.quarantined:.1%} of the rows would be quarantined; the limit is {most:.1%}"
        )
    return told


def _moved_shares(found: MonitoringResult, most: float) -> Iterator[str]:
    """Say which shares are not those that decisions are taken for, by more than chance."""
    shift = found.shift
    if shift.verdict == TOO_FEW_ROWS:
        return
    if shift.verdict == NOT_LABEL_SHIFT:
        # Other rows, each with the probability that it has: their mean is the share.
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
        share, before = shares[name], found.assumed[name]
        if abs(share / before - 1) > most and not low <= before <= high:
            yield (
                f"the share of {name} is estimated at {share:.2%} ({low:.2%} to {high:.2%}); "
                f"decisions are taken for {before:.2%}, and it may differ by {most:.0%} of that"
            )


def _missed_shares(found: MonitoringResult, most: float) -> Iterator[str]:
    for name, own in found.calibration.items():
        off = abs(own.mean_probability - own.share)
        if off > most * own.share and is_missed(own, len(found.calibration)):
            why = found.diagnosis.get(name)
            yield (
                f"the mean probability of {name} is {own.mean_probability:.4f} where "
                f"{own.share:.4f} happened (p = {own.p_value:.2g}); it may miss by {most:.0%}"
                + ("" if why is None else f": {why}")
            )
