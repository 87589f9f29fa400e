"""Settings of probabilities: calibration methods and class shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTO = "auto"  # the method is chosen by held-out rows
CALIBRATIONS = (AUTO, "none", "isotonic", "sigmoid", "temperature")
_SUM_TOLERANCE = 1e-6


def require_prior(prior: Mapping[str, float], classes: Sequence[str], *, where: str) -> None:
    """Refuse shares that are not one number > 0 per class, summing to 1.

    Raises
    ------
    ConfigError
        Naming the class, or the sum.
    """
    for name, share in prior.items():
        if name not in classes:
            raise ConfigError(
                f"{where}: unknown class '{name}'; the model has seen {join_names(classes)}.",
                hint=did_you_mean(name, classes),
            )
        if not 0 < share < 1:
            raise ConfigError(
                f"{where}.{name}: {share}; a share is a number between 0 and 1, both excluded.",
                hint="a class that never occurs has no weight; leave it out of columns.classes.",
            )
    missing = [name for name in classes if name not in prior]
    total = sum(prior.values())
    if missing or abs(total - 1) > _SUM_TOLERANCE:
        problem = (
            f"no share for class {join_names(missing)}" if missing else f"shares sum to {total}"
        )
        raise ConfigError(
            f"{where}: {problem}; every class needs one and they sum to 1.",
            hint=f"for instance {{{', '.join(f'{n}: {1 / len(classes):.2g}' for n in classes)}}}.",
        )
