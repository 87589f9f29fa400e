"""The gates: checks that stop a run before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import QualityGateError, join_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.features.missing import AbsentFeature, MissingShift
    from sparkweights.quality.suite import CheckReport

_MAX_LISTED = 3  # causes named in a message
BY_CHANCE = 0.01  # level of the tests: a calibrated model fails in at most 1 % of the runs


def gate_checks(report: CheckReport, *, quarantined: Collection[str], table: str) -> None:
    """Stop where a critical check failed and quarantining rows does not remedy it.

    Parameters
    ----------
    quarantined
        Ids of checks whose failing rows are set aside instead.

    Raises
    ------
    QualityGateError
        Naming the checks that failed.
    """
    failed = [
        result
        for result in report.results
        if not result.success
        and result.severity == "critical"
        and (result.error is not None or result.id not in quarantined)
    ]
    if failed:
        raise QualityGateError(
            f"Table '{table}' fails {len(failed)} critical checks of suite '{report.suite}': "
            f"{'; '.join(result.sentence for result in failed)}.",
            hint="nothing was published; repair the table, or change the expectation's severity.",
        )


def gate_shares(
    *,
    rows: int,
    quarantined: int,
    unscorable: int,
    limits: Mapping[str, float],
    quarantined_for: Mapping[str, int],
    faults: Mapping[str, int],
) -> None:
    """Stop where too many rows would get no decision.

    Parameters
    ----------
    quarantined_for
        The check that set rows aside -> rows.
    faults
        Why a row was unscorable -> rows.

    Raises
    ------
    QualityGateError
        With the share, its limit, and what was wrong with most of the rows.
    """
    why = {
        "quarantined": _describe_worst("failed most", quarantined_for),
        "unscorable": _describe_worst("most for", faults),
    }
    for name, count in (("quarantined", quarantined), ("unscorable", unscorable)):
        share = count / rows if rows else 0.0
        if share > limits[name]:
            raise QualityGateError(
                f"{count} of {rows} rows ({share:.1%}) are {name}; at most "
                f"{limits[name]:.1%} may be{why[name]}.",
                hint=f"nothing was published; repair the table, or raise checks.max_{name}.",
            )


def _describe_worst(words: str, rows: Mapping[str, int]) -> str:
    """Return the most frequent causes in brackets, or an empty text where there are none."""
    worst = sorted((item for item in rows.items() if item[1]), key=lambda item: -item[1])
    listed = join_names(f"{name} on {count}" for name, count in worst[:_MAX_LISTED])
    return f" ({words}: {listed})" if worst else ""


def gate_missing(shifts: Sequence[MissingShift], limit: float) -> None:
    """Stop where a feature is missing far more often than in training, or holds unseen categories.

    Raises
    ------
    QualityGateError
        Naming the columns, and their shares here and in training.
    """
    far = [shift.sentence for shift in shifts if shift.exceeds(limit)]
    if far:
        raise QualityGateError(
            f"The features are not those of the training rows: {'; '.join(far[:_MAX_LISTED])}"
            f"{f'; and {len(far) - _MAX_LISTED} more' if len(far) > _MAX_LISTED else ''}. A share "
            f"may rise by at most {limit:.1%}.",
            hint="nothing was published; repair the job that fills the column (a column that was "
            "renamed or is empty reads as missing), or raise checks.max_missing_shift.",
        )


def gate_absent(absent: Sequence[AbsentFeature], limit: float) -> None:
    """Stop where too many labelled rows lie in files that lack a feature.

    Raises
    ------
    QualityGateError
        Naming the columns, files and rows.
    """
    far = [one.sentence for one in absent if one.share > limit]
    if far:
        raise QualityGateError(
            f"Some files of table 'labelled' lack a feature: {'; '.join(far[:_MAX_LISTED])}. At "
            f"most {limit:.1%} of the rows may lie in such files.",
            hint="leave those files out (tables.labelled.partition), fill the column, remove it "
            "from columns, or raise checks.max_absent.",
        )


def gate_base_rate(
    evaluation: Evaluation,
    tolerance: float,
    *,
    stratified: bool = False,
    calibration_share: float = 0.0,
    prior: Mapping[str, float] | None = None,
) -> None:
    """Stop where calibrated probabilities do not average to the share of the class.

    A class fails where the mean over the test rows differs from the share by more than
    ``tolerance`` times the share, and a test under the probabilities has p below `BY_CHANCE`.

    Parameters
    ----------
    stratified
        Whether the split gave the test rows the class shares of the table (a random split by
        class); else, forward in time or by groups, their counts vary as well.
    calibration_share
        Test rows over the rows that the probabilities were calibrated on; 0 without calibration.
    prior
        Of a split by time: class name -> share that the probabilities were calibrated to. A shift
        of the shares is then distinguished from probabilities that are wrong.

    Raises
    ------
    QualityGateError
        Naming the classes.
    """
    # Bonferroni; of two classes one counts, because the other is its complement.
    level = BY_CHANCE / max(len(evaluation.tables) - 1, 1)
    off, drifted = [], []
    for name, table in evaluation.tables.items():
        share, mean = table.prior, float(np.average(table.mean_score, weights=table.weight))
        tails = evaluation.base_rate_tails(
            name, stratified=stratified, calibration_share=calibration_share
        )
        if abs(mean - share) > tolerance * share and tails.p_value < level:
            off.append(f"{name}: mean probability {mean:.4g}, share {share:.4g}")
            before = None if prior is None else prior.get(name)
            if before and abs(mean - before) <= tolerance * before:
                drifted.append(f"{name} from {before:.4g} to {share:.4g}")
    if not off:
        return
    hint = (
        "the model was not published; calibrate it (decision.calibration: auto), or set "
        "decision.base_rate_tolerance."
    )
    if len(drifted) == len(off):
        hint = (
            f"the probabilities fit the rows that they were calibrated on, and the share moved "
            f"since ({join_names(drifted)}): this is drift, not miscalibration. Train on later "
            "rows, or set decision.target_prior to the shares that are expected, or raise "
            "decision.base_rate_tolerance."
        )
    raise QualityGateError(
        f"The model's probabilities miss the base rate by more than {tolerance:.0%} on "
        f"{evaluation.rows} test rows ({join_names(off)}), which chance does not explain.",
        hint=hint,
    )


def gate_costs(evaluation: Evaluation, tolerance: float) -> None:
    """Stop where decisions cost far more or less than expected.

    The ratio of expected to realised cost is tested on all test rows, and on each tenth of their
    stakes that carries at least a tenth of the cost. It fails where it differs from 1 by more than
    twice the tolerance and the difference is significant.

    Raises
    ------
    QualityGateError
        Naming the ratios.
    """
    costs = evaluation.cost_calibration
    far = () if costs is None else costs.far_off(tolerance)
    if costs is None or not far:
        return
    raise QualityGateError(
        f"The model's decisions do not cost what it expects, by more than {2 * tolerance:.0%} on "
        f"{evaluation.rows} test rows: {'; '.join(map(costs.describe, far))}.",
        hint="the model was not published; its probabilities are wrong where costs are high: fit "
        "without per-row weights (weights.scheme: cost or none) and calibrate, or raise "
        "decision.cost_tolerance.",
    )
