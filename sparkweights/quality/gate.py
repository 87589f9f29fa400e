"""The gates: what stops a run before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.errors import QualityGateError, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkweights.evaluate import Evaluation
    from sparkweights.quality.suites import CheckReport

_TOLD = 3  # of the checks that failed
CERTAIN = 3.0  # standard errors; sampling noise alone passes it once in 370 runs


def gate_checks(report: CheckReport, *, quarantined: Collection[str], table: str) -> None:
    """Stop where a critical check failed that quarantining rows cannot answer.

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
    """Stop where too many rows would leave without a decision.

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
        "quarantined": _told("failed most", quarantined_for),
        "unscorable": _told("most for", faults),
    }
    for name, count in (("quarantined", quarantined), ("unscorable", unscorable)):
        share = count / rows if rows else 0.0
        if share > limits[name]:
            raise QualityGateError(
                f"{count} of {rows} rows ({share:.1%}) are {name}; at most "
                f"{limits[name]:.1%} may be{why[name]}.",
                hint=f"nothing was published; repair the table, or raise checks.max_{name}.",
            )


def _told(words: str, rows: Mapping[str, int]) -> str:
    """Return the commonest of what was wrong, in brackets; nothing where nothing was."""
    worst = sorted((item for item in rows.items() if item[1]), key=lambda item: -item[1])[:_TOLD]
    told = listed(f"{name} on {count}" for name, count in worst)
    return f" ({words}: {told})" if worst else ""


def gate_base_rate(evaluation: Evaluation, tolerance: float) -> None:
    """Stop where calibrated probabilities do not average to the share of the class.

    The mean over the test rows may differ from the class's share by ``tolerance`` times that
    share, or by three standard errors of the mean, whichever is larger.

    Raises
    ------
    QualityGateError
        Naming the classes.
    """
    off = []
    for name, found in evaluation.classes.items():
        error = evaluation.share_error(name)
        if abs(found.mean_probability - found.share) > max(
            tolerance * found.share, CERTAIN * error
        ):
            off.append(
                f"{name}: mean probability {found.mean_probability:.4f}, share {found.share:.4f}"
            )
    if off:
        raise QualityGateError(
            f"The model's probabilities miss the base rate by more than {tolerance:.0%} on "
            f"{evaluation.rows} test rows ({listed(off)}).",
            hint="the model was not published; calibrate it (decision.calibration: auto), or "
            "set decision.base_rate_tolerance.",
        )
